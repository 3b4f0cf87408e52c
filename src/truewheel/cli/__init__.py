"""The command line: one file a verb; the only place that exits."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from truewheel import __version__, signals, streams
from truewheel.ends import AGAIN, end_by
from truewheel.errors import BuildError, CheckError, LoadError, PlanError, StoreError, TruewheelError
from truewheel.stages import refusal_of

VERBS = {
    "bench": "Measure engines against each other and this machine's limit.",
    "build": "Build, prove and store a wheel.",
    "check": "Report what any wheel claims and needs, and if it is sound.",
    "compare": "Compare the answers of several wheels of one engine.",
    "doctor": "Show this machine and what it can build.",
    "explain": "Explain the code of a finding.",
    "list": "List the wheels of the wheelhouse.",
    "matrix": "List what can be built and proven here, by engine and profile.",
    "pick": "Pick the best wheel for this machine.",
    "plan": "Show everything that a build would do, without building.",
    "schema": "Print the JSON Schema of a file, or of the output of a verb.",
    "smoke": "Run inference from a wheel in a clean environment.",
    "tune": "Find the best settings for a wheel, a model and this machine.",
}
"""Every verb and its short help; standing here so that `--help` imports none of them."""

_EPILOG = """\
\b
Exit codes: 0 success, 1 internal error, 2 usage, recipe, profile or model, 3 plan,
4 fetch, 5 build, 6 repair, 7 check, 8 wheelhouse, 129 SIGHUP, 130 Ctrl-C, 131 SIGQUIT,
143 SIGTERM.

\b
Shell completion: eval "$(_TRUEWHEEL_COMPLETE=bash_source truewheel)" (or zsh_source, fish_source).
"""


class Verbs(click.Group):
    """A group whose verbs are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the verbs."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        """Import one verb."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"truewheel.cli.{cmd_name}_").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb; what the system refuses outside its stages is told as an error of the verb's own family."""
        try:
            return super().invoke(ctx)
        except streams.UnwrittenError:
            # The help of a verb, which click writes.
            raise
        except (OSError, MemoryError) as error:
            name = ctx.invoked_subcommand or "truewheel"
            raise refusal_of(error, _FAMILIES.get(name, LoadError), name) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest verb when there is none of that name; let `--markdown` print before a wheel to look at."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], VERBS, n=1)
            suggestion = f" Did you mean {near[0]!r}?" if near else f" Verbs are: {', '.join(VERBS)}."
            raise click.UsageError(f"there is no verb {args[0]!r}.{suggestion}", ctx)
        name, command, rest = super().resolve_command(ctx, args)
        pairs = zip(rest, [*rest[1:], ""], strict=False)
        return name, command, [f"{each}=-" if _prints(each, after) else each for each, after in pairs]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


_FAMILIES: dict[str, type[TruewheelError]] = {
    "bench": CheckError,
    "build": BuildError,
    "check": CheckError,
    "compare": CheckError,
    "doctor": PlanError,
    "list": StoreError,
    "matrix": PlanError,
    "pick": CheckError,
    "plan": PlanError,
    "smoke": CheckError,
    "tune": CheckError,
}
"""Which family an error of the system belongs to where no stage says it; of the others to the first."""


def _prints(argument: str, after: str) -> bool:
    """Return whether an argument is a `--markdown` that is followed by a subject of the verb and not by its FILE."""
    return argument == "--markdown" and (".whl" in after or after.startswith("pypi:"))


@click.group(
    cls=Verbs,
    epilog=_EPILOG,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="truewheel")
@click.pass_context
def cli(context: click.Context) -> None:
    """Turn a local LLM engine's source into an optimized Python wheel, prove it, and store it.

    `truewheel build` without arguments builds llama-cpp-python for exactly this machine.
    """
    from truewheel import scratch
    from truewheel.config.locations import cache_root

    scratch.SCRATCH.keep_journals(cache_root() / "runs")
    scratch.sweep(cache_root() / "runs")
    if context.invoked_subcommand is None:
        from truewheel.console import Console

        Console().data(*context.get_help().split("\n"))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the code of what happened; of a signal that asks us to end, we die."""
    streams.mend()
    with signals.raised():
        try:
            code = run(arguments)
        except signals.EndedError as ended:
            end_by(ended.number)
    sys.exit(code)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; a fault of our own raises."""
    from truewheel.console import Console, ReaderGoneError

    try:
        result = _call(arguments)
    except click.exceptions.Exit as request:
        return request.exit_code
    except click.ClickException as error:
        Console().error(error.format_message(), _usage_hint(error))
        return 2
    except TruewheelError as error:
        Console().error(error.message, error.hint)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        Console().error("interrupted; nothing half-made was left behind", AGAIN)
        return 130
    except ReaderGoneError:
        return 0
    return result if isinstance(result, int) else 0


def _call(arguments: list[str] | None) -> Any:
    """Call click; what becomes of the help that it writes is told as of all other data."""
    from truewheel.console import ReaderGoneError, unwritten

    try:
        return cli.main(args=arguments, prog_name="truewheel", standalone_mode=False)
    except SystemExit as left:
        # So click leaves when whoever reads has gone.
        streams.drop(sys.stdout)
        raise ReaderGoneError from left
    except OSError as error:
        streams.drop(sys.stdout)
        raise unwritten(error) from error


def _usage_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"try `{context.command_path if context else 'truewheel'} --help`"
