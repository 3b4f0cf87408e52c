"""The command llama-rs: generate text, and measure how fast."""

from __future__ import annotations

import argparse
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, NoReturn

    from .llama import Llama

_EXIT_BAD_INPUT = 2
_EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code: 0, 2 for a bad input, 130 for Ctrl-C."""
    options = make_parser().parse_args(arguments)
    try:
        run: Any = options.run
        run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader has gone, and closing stdout at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, RuntimeError, OSError, MemoryError) as error:
        sys.stderr.write(f"llama-rs: {_one_line(error)}; `llama-rs {options.command} --help` lists the options\n")
        return _EXIT_BAD_INPUT
    return 0


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others of this command."""

    def error(self, message: str) -> NoReturn:
        self.exit(_EXIT_BAD_INPUT, f"llama-rs: {message}; `{self.prog} --help` lists the options\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser(prog="llama-rs", description="Run GGUF models on the CPU.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="generate|bench")
    _add_generate(commands.add_parser("generate", help="complete a prompt, or answer it", description=_GENERATE))
    _add_bench(commands.add_parser("bench", help="measure prompt and generation", description=_BENCH))
    return parser


_GENERATE = (
    "Complete a prompt and print the text as it comes; a last line on stderr says how fast it went. "
    "Exits with 0, with 2 after an error, and with 130 after Ctrl-C."
)
_BENCH = (
    "Measure how fast a prompt is read and how fast text is generated, without sampling: tokens a second, the median "
    "of the repetitions and their spread from lowest to highest. One repetition before them is not counted."
)


def _add_generate(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_generate)
    _add_common(parser)
    parser.add_argument("-p", "--prompt", required=True, help="the prompt; - reads it from stdin")
    parser.add_argument("-n", "--max-tokens", type=int, default=-1, help="tokens to generate; below 1 until the end")
    parser.add_argument(
        "--chat", action="store_true", help="write the prompt as a user's message by the model's template"
    )
    parser.add_argument("--system", help="a system message before it, with --chat")
    parser.add_argument(
        "--ctx", type=int, default=4096, help="tokens that the context holds; 0: the model's own length"
    )
    parser.add_argument(
        "--temp", type=float, default=0.8, help="temperature; 0 takes the likeliest token (default 0.8)"
    )
    parser.add_argument("--top-k", type=int, default=40, help="sample from so many tokens (default 40; 0: all)")
    parser.add_argument(
        "--top-p", type=float, default=0.95, help="sample from this share of probability (default 0.95)"
    )
    parser.add_argument("--min-p", type=float, default=0.05, help="least probability beside the best (default 0.05)")
    parser.add_argument(
        "--repeat-penalty", type=float, default=1.0, help="penalty on the last 64 tokens (default 1: none)"
    )
    parser.add_argument("--seed", type=int, default=-1, help="seed of sampling (default -1: a random one)")
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end at this text; may be repeated")
    parser.add_argument("--grammar", metavar="FILE", help="a GBNF grammar that the text must follow")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_bench)
    _add_common(parser)
    parser.add_argument("-p", "--prompt-tokens", type=int, default=512, help="tokens of the prompt (default 512)")
    parser.add_argument("-n", "--generated-tokens", type=int, default=128, help="tokens to generate (default 128)")
    parser.add_argument("-r", "--repetitions", type=int, default=3, help="how often (default 3)")
    parser.add_argument("--json", action="store_true", help="print JSON, with every repetition")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a GGUF file")
    parser.add_argument("--threads", type=int, help="threads that generate (default: as many as fit here)")
    parser.add_argument("--threads-batch", type=int, help="threads that read the prompt (default: as many as fit)")
    parser.add_argument(
        "--flash-attn", choices=("on", "off", "auto"), default="auto", help="default: llama.cpp decides"
    )


def _load(options: argparse.Namespace, **more: Any) -> Llama:
    from .llama import Llama

    flash = {"on": True, "off": False, "auto": None}[options.flash_attn]
    return Llama(
        options.model,
        n_threads=options.threads,
        n_threads_batch=options.threads_batch,
        flash_attn=flash,
        verbose=False,
        **more,
    )


def _generate(options: argparse.Namespace) -> None:
    prompt = sys.stdin.read() if options.prompt == "-" else options.prompt
    if options.system is not None and not options.chat:
        raise ValueError("--system needs --chat")
    from .grammar import LlamaGrammar

    grammar = None if options.grammar is None else LlamaGrammar.from_file(options.grammar)
    with _load(options, n_ctx=options.ctx) as llama:
        _print_chunks(_start(llama, prompt, grammar, options))


def _start(llama: Llama, prompt: str, grammar: object, options: argparse.Namespace) -> Iterable[dict[str, Any]]:
    settings: dict[str, Any] = {
        "max_tokens": options.max_tokens,
        "temperature": options.temp,
        "top_k": options.top_k,
        "top_p": options.top_p,
        "min_p": options.min_p,
        "repeat_penalty": options.repeat_penalty,
        "seed": options.seed,
        "stop": options.stop,
        "grammar": grammar,
        "stream": True,
    }
    chunks: Any
    if options.chat:
        system = [] if options.system is None else [{"role": "system", "content": options.system}]
        chunks = llama.create_chat_completion([*system, {"role": "user", "content": prompt}], **settings)
    else:
        chunks = llama.create_completion(prompt, **settings)
    return chunks  # type: ignore[no-any-return]


def _print_chunks(chunks: Iterable[dict[str, Any]]) -> None:
    timings: dict[str, Any] = {}
    begun = False
    try:
        for chunk in chunks:
            choice = chunk["choices"][0]
            text = choice["text"] if "text" in choice else choice["delta"].get("content", "")
            sys.stdout.write(text)
            sys.stdout.flush()
            begun = True
            timings = chunk.get("timings", timings)
    finally:
        # After Ctrl-C too, so that a shell's prompt begins a line.
        if begun:
            sys.stdout.write("\n")
            sys.stdout.flush()
    sys.stderr.write(f"{_describe(timings)}\n")


def _describe(timings: dict[str, Any]) -> str:
    return (
        f"prompt {timings['prompt_n']} tokens, {timings['prompt_per_second']:.1f}/s; "
        f"generated {timings['predicted_n']} tokens, {timings['predicted_per_second']:.1f}/s; "
        f"first token after {timings['time_to_first_token_ms']:.0f} ms; load {timings['load_ms']:.0f} ms"
    )


def _bench(options: argparse.Namespace) -> None:
    from ._bench import format_table, measure

    for name in ("prompt_tokens", "generated_tokens", "repetitions"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} is at least 1")
    n_ctx = options.prompt_tokens + options.generated_tokens
    with _load(options, n_ctx=n_ctx, n_batch=max(512, min(2048, options.prompt_tokens))) as llama:
        found = measure(llama, options.prompt_tokens, options.generated_tokens, options.repetitions)
    if options.json:
        from json import dumps

        sys.stdout.write(f"{dumps(found, indent=2)}\n")
    else:
        sys.stdout.write(format_table(found))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
