"""`truewheel bench`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from truewheel.cli import VERBS
from truewheel.cli.common import json_option, print_json

if TYPE_CHECKING:
    from truewheel.console import Console
    from truewheel.measure.result import Benchmark, Tuning
    from truewheel.measure.subjects import Asked


_MOST = 131_072


def read_numbers(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """Return the numbers of a comma-separated list; an empty text is none."""
    try:
        numbers = tuple(dict.fromkeys(int(part) for part in value.split(",") if part.strip()))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no list of numbers such as 128,512", context, parameter) from error
    lowest = 0 if parameter.name == "depth" else 1
    if any(not lowest <= number <= _MOST for number in numbers):
        raise click.BadParameter(f"{value!r}: each is from {lowest} to {_MOST}", context, parameter)
    return numbers


_QUICK = {"prefill": (128, 512), "decode": (64,), "depth": (0,), "rounds": 3}


@click.command("bench", short_help=VERBS["bench"])
@click.argument("subjects", nargs=-1, metavar="[SUBJECT]...")
@click.option(
    "--model",
    default="smollm2",
    show_default=True,
    metavar="FILE|NAME",
    help="A GGUF file, smollm2, tiny, or a synthetic model SHAPE:QUANT such as qwen2.5-1.5b:q4_k_m.",
)
@click.option("--quick", is_flag=True, help="Measure fewer lengths in 3 rounds.")
@click.option(
    "--rounds", type=click.IntRange(2, 100), default=5, show_default=True, help="How often all are started anew."
)
@click.option("--prefill", callback=read_numbers, default="128,512,2048", show_default=True, help="Prompts, tokens.")
@click.option("--decode", callback=read_numbers, default="64,128", show_default=True, help="Tokens generated.")
@click.option(
    "--depth", callback=read_numbers, default="0,2048", show_default=True, help="Tokens in the context before."
)
@click.option(
    "--answer",
    type=click.IntRange(0, 4096),
    default=64,
    show_default=True,
    help="Tokens of an answer end to end; 0 leaves it out.",
)
@click.option("--prompt", type=click.IntRange(8, _MOST), default=512, show_default=True, help="Tokens of its prompt.")
@click.option("--repeat", type=click.IntRange(1, 50), default=2, show_default=True, help="How often they take turns.")
@click.option(
    "--floor", type=click.FloatRange(0.001, 1), default=0.03, show_default=True, help="Noise above this: no verdict."
)
@click.option("--limits/--no-limits", default=True, help="Measure what the machine can do at most.")
@click.option(
    "--tuning", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="JSON of `tune`, for the page."
)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write one self-contained page there.")
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON there as well.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown on stdout.")
@json_option
@click.pass_context
def command(context: click.Context, /, subjects: tuple[str, ...], model: str, *, as_json: bool, **options: Any) -> None:
    """Measure SUBJECTs against the first of them, in turn, beside what this machine can do at most.

    A SUBJECT is a wheel file, the folder of an environment, or pypi:NAME==VERSION, a package that somebody published.
    @PRESET may follow: a preset's name or path, `defaults` for the engine's own settings, or `cores` (which holds
    where none is named) for as many threads as there are cores. Without a SUBJECT, what `truewheel pick` picks.

    Each is a fresh, locked-down process in every round; they take turns A A B C, then C B A A. The first subject is
    measured twice, as if it were two: that is the noise floor, shown first; above --floor nothing is a difference.
    "faster" is said only when the interval of the ratios excludes 1. What cannot be installed or run is a row with its
    reason.

    \b
    Examples:
      truewheel bench
      truewheel bench ours.whl theirs.whl --quick
      truewheel bench ours.whl@defaults ours.whl@presets/this-machine.toml
      truewheel bench ours.whl pypi:xllamacpp==2026.10.1 --model qwen2.5-1.5b:q4_k_m --html page.html
    """
    from truewheel.console import Console
    from truewheel.cpu.host import detect_host
    from truewheel.measure.metrics import make_plan
    from truewheel.measure.run import Method, run_benchmark
    from truewheel.measure.subjects import parse_subject
    from truewheel.models.models import find_model

    if as_json and options["as_markdown"]:
        raise click.UsageError("--json and --markdown both want stdout; choose one")
    if options["quick"]:
        given = click.core.ParameterSource.COMMANDLINE
        options |= {key: value for key, value in _QUICK.items() if context.get_parameter_source(key) is not given}
    refuse_unwritable((options["html"], options["save"]))
    console, host = Console(), detect_host()
    asked = [parse_subject(text) for text in subjects] or pick_subjects(console)
    tuning = _read_tuning(options["tuning"])
    chosen = find_model(model)
    lengths = (options["prefill"], options["decode"], options["depth"])
    plan = make_plan(*lengths, options["answer"], options["prompt"], options["repeat"])
    if not plan.work:
        raise click.UsageError("there is nothing to measure; leave one of --prefill, --decode and --answer as it is")
    limits = _measure_limits(host, console) if options["limits"] else ((), "they were not asked for")
    method = Method(plan, options["rounds"], options["floor"])
    benchmark = run_benchmark(asked, chosen, method, host, console, limits)
    _write(benchmark, tuning, options, console)
    if as_json:
        print_json(console, benchmark)
    elif options["as_markdown"]:
        from truewheel.pages.bench_markdown import to_markdown

        console.data(to_markdown(benchmark))
    else:
        from truewheel.pages.bench_terminal import to_lines

        console.data("\n".join(to_lines(benchmark)))


def pick_subjects(console: Console) -> list[Asked]:
    """Return the wheels of the wheelhouse that `pick` would take, of engines that can be measured."""
    from truewheel.child.registry import known_engines
    from truewheel.config.locations import wheelhouse_root
    from truewheel.errors import LoadError
    from truewheel.measure.subjects import parse_subject
    from truewheel.pick.run import pick_wheels
    from truewheel.pick.target import find_target

    choices = pick_wheels((wheelhouse_root(),), find_target(""), tell=lambda *_: None)
    best = [choice.best.path for choice in choices if choice.best is not None and choice.project in known_engines()]
    if not best:
        raise LoadError("no wheel of the wheelhouse fits this machine", hint="`truewheel build` makes one; or name one")
    for path in best:
        console.say(f"         taking {path.name}")
    return [parse_subject(str(path)) for path in best]


def _measure_limits(host: Any, console: Console) -> tuple[Any, str]:
    """Return the machine's limits, or why they are not known: a benchmark without them is still one."""
    from truewheel.errors import TruewheelError
    from truewheel.measure.limits import choose_threads, measure_limits

    try:
        return measure_limits(choose_threads(host.usable_cores), host, console), ""
    except TruewheelError as error:
        console.warn(f"the machine's limit is not known: {error.message}")
        return (), error.message


def _read_tuning(path: Path | None) -> Tuning | None:
    import msgspec

    from truewheel.errors import LoadError
    from truewheel.measure.result import Tuning

    if path is None:
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Tuning)
    except (OSError, msgspec.DecodeError) as error:
        raise LoadError(f"{path} is no tuning: {error}", hint="`truewheel tune --save FILE` writes one") from error


def _write(benchmark: Benchmark, tuning: Tuning | None, options: dict[str, Any], console: Console) -> None:
    import msgspec

    if options["html"] is not None:
        from truewheel.pages.bench_page import to_html

        write_text(options["html"], to_html(benchmark, tuning))
        console.say(f"the page is {options['html']}")
    if options["save"] is not None:
        write_text(options["save"], msgspec.json.format(msgspec.json.encode(benchmark), indent=2).decode() + "\n")
        console.say(f"the figures are in {options['save']}")


def write_text(path: Path, text: str) -> None:
    """Write a file that the user named.

    Raises:
        StoreError: it cannot be written.
    """
    from truewheel.errors import StoreError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}", hint="choose another file") from error


def refuse_unwritable(paths: Sequence[Path | None]) -> None:
    """Refuse, before anything is measured, files that could not be written after it.

    Raises:
        StoreError: the folder is not there, or nothing can be written there.
    """
    import tempfile

    from truewheel.errors import StoreError

    for path in paths:
        if path is None:
            continue
        if not path.absolute().parent.is_dir():
            raise StoreError(f"cannot write {path}: its folder is not there", hint="make the folder, or name another")
        try:
            if path.exists():
                path.open("ab").close()
            else:
                tempfile.TemporaryFile(dir=path.absolute().parent).close()
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror or error}", hint="name another file") from error
