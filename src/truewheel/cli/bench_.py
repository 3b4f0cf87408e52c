"""`truewheel bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from truewheel.cli import VERBS
from truewheel.cli.common import Output, account_options, json_text, refuse_unwritable, unconfined_option, write_text

if TYPE_CHECKING:
    from truewheel.console import Console
    from truewheel.measure.result import Tuning
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
    "--minutes",
    type=click.FloatRange(0.5, 600),
    default=5.0,
    show_default=True,
    help="Time limit; what does not fit is left out, the longest first.",
)
@click.option("--thorough", is_flag=True, help="Measure all lengths in all rounds, without a time limit.")
@click.option(
    "--rounds", type=click.IntRange(2, 100), default=5, show_default=True, help="How often all subjects are restarted."
)
@click.option("--prefill", callback=read_numbers, default="128,512,2048", show_default=True, help="Prompt lengths.")
@click.option("--decode", callback=read_numbers, default="64,128", show_default=True, help="Generated tokens.")
@click.option(
    "--depth", callback=read_numbers, default="0,2048", show_default=True, help="Tokens already in the context."
)
@click.option(
    "--answer",
    type=click.IntRange(0, 4096),
    default=64,
    show_default=True,
    help="Tokens of the end-to-end answer; 0 skips it.",
)
@click.option("--prompt", type=click.IntRange(8, _MOST), default=512, show_default=True, help="Its prompt, tokens.")
@click.option("--repeat", type=click.IntRange(1, 50), default=2, show_default=True, help="Turns per piece of work.")
@click.option(
    "--floor", type=click.FloatRange(0.001, 1), default=0.03, show_default=True, help="Noise above this: no verdict."
)
@click.option("--limits/--no-limits", default=True, help="Measure the limits of the machine.")
@click.option("--tuning", type=click.Path(dir_okay=False, path_type=Path), help="JSON of `tune`, for the page.")
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Also write the JSON.")
@unconfined_option
@account_options
@click.pass_context
def command(
    context: click.Context, /, subjects: tuple[str, ...], model: str, *, output: Output, **options: Any
) -> None:
    """Measure SUBJECTs against the first one, in turn, and against the limits of this machine.

    A SUBJECT is a wheel file, the folder of an environment, or pypi:NAME==VERSION for a published package. @PRESET may
    follow: the name or path of a preset, `defaults` for the engine's own settings, or `cores` (the default) for as many
    threads as there are cores. The default SUBJECTs are the wheels that `truewheel pick` picks.

    Each subject runs in a fresh, locked-down process in every round; they take turns A A B C, then C B A A. The first
    subject is measured twice to get the noise floor, which is shown first; if it is above --floor, there is no verdict.
    The verdict is "faster" only if the interval of the ratios excludes 1. A subject that cannot be installed or run is
    shown with the reason. A benchmark ends within --minutes: if that is too short, there are fewer repetitions and
    lengths, and the output says which. A length with fewer than 5 repetitions gets no verdict.

    \b
    Examples:
      truewheel bench
      truewheel bench ours.whl theirs.whl --quick
      truewheel bench ours.whl theirs.whl --thorough
      truewheel bench ours.whl@defaults ours.whl@presets/this-machine.toml
      truewheel bench ours.whl pypi:xllamacpp==2026.10.1 --model qwen2.5-1.5b:q4_k_m --html page.html
    """
    from truewheel.console import Console
    from truewheel.cpu.host import detect_host
    from truewheel.machine.extras import require
    from truewheel.measure.metrics import make_workload
    from truewheel.measure.pace import Budget
    from truewheel.measure.run import Method, run_benchmark
    from truewheel.measure.subjects import parse_subject
    from truewheel.models.models import find_model
    from truewheel.pages.benchmark import describe_benchmark
    from truewheel.pages.terminal import WIDE

    given = click.core.ParameterSource.COMMANDLINE
    if options["thorough"] and context.get_parameter_source("minutes") is given:
        raise click.UsageError("--thorough takes as long as it takes; leave --minutes away")
    budget = Budget() if options["thorough"] else Budget(60 * options["minutes"])
    if options["quick"]:
        options |= {key: value for key, value in _QUICK.items() if context.get_parameter_source(key) is not given}
    require("bench", "bench")
    refuse_unwritable((options["save"],))
    console, host = Console(), detect_host()
    asked = [parse_subject(text) for text in subjects] or pick_subjects(console)
    tuning = _read_tuning(options["tuning"])
    chosen = find_model(model)
    lengths = (options["prefill"], options["decode"], options["depth"])
    plan = make_workload(*lengths, options["answer"], options["prompt"], options["repeat"])
    if not plan.work:
        raise click.UsageError("there is nothing to measure; leave one of --prefill, --decode and --answer as it is")
    limits = _measure_limits(host, console) if options["limits"] else ((), "they were not asked for")
    method = Method(plan, options["rounds"], options["floor"], budget)
    benchmark = run_benchmark(asked, chosen, method, host, console, limits)
    if options["save"] is not None:
        write_text(options["save"], json_text(benchmark))
        console.say(f"the figures are in {options['save']}")
    output.show(console, benchmark, lambda: describe_benchmark(benchmark, tuning), WIDE)


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
    from truewheel.decoding import UnreadableError, read_json
    from truewheel.errors import LoadError
    from truewheel.measure.result import Tuning
    from truewheel.text import clean

    if path is None:
        return None
    try:
        return read_json(path, Tuning)
    except UnreadableError as error:
        raise LoadError(
            f"{clean(str(path))} is no tuning: {error.reason}", hint="`truewheel tune --save FILE` writes one"
        ) from error
