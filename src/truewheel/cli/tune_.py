"""`truewheel tune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from truewheel.cli import VERBS
from truewheel.cli.common import Output, account_options, json_text, refuse_unwritable, unconfined_option, write_text

if TYPE_CHECKING:
    from truewheel.console import Console


@click.command("tune", short_help=VERBS["tune"])
@click.argument("wheel", required=False, type=click.Path(path_type=Path))
@click.option(
    "--model",
    default="smollm2",
    show_default=True,
    metavar="FILE|NAME",
    help="A GGUF file, smollm2, tiny, or a synthetic model SHAPE:QUANT such as qwen2.5-1.5b:q4_k_m.",
)
@click.option(
    "--goal",
    type=click.Choice(["decode", "prefill", "latency", "memory"]),
    default="decode",
    show_default=True,
    help="What to optimize: generated tokens per second, prompt tokens per second, time of a short answer, memory.",
)
@click.option("--minutes", type=click.FloatRange(0.5, 600), default=5.0, show_default=True, help="Time limit.")
@click.option(
    "--preset",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of the preset [default: presets/MACHINE-MODEL-GOAL.toml of the checkout, else of this folder].",
)
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Write all trials as JSON.")
@unconfined_option
@account_options
def command(
    wheel: Path | None,
    model: str,
    goal: Literal["latency", "decode", "prefill", "memory"],
    minutes: float,
    target: Path | None,
    save: Path | None,
    *,
    output: Output,
) -> None:
    """Search for the settings with which WHEEL runs a model best on this machine, and write them as a preset.

    Threads, batch sizes, flash attention, the type of the KV cache, repacked weights, huge pages, the thread pool and
    its polling, pinning and mapping are searched by successive halving: many settings briefly, the better half longer.
    Settings that change the engine's answers (mean KL divergence above 0.005 nats) are rejected. At the end the
    defaults and the two best candidates are measured in turn; only settings that beat the defaults by more than the
    noise are written. The default WHEEL is the one that `truewheel pick` picks.

    The preset is also written to ~/.config/truewheel/presets, by machine, model and engine. The engines of truewheel's
    wheels load it from there together with that model; TRUEWHEEL_PRESET=off disables this.

    \b
    Examples:
      truewheel tune
      truewheel tune wheelhouse/llama_rs-*.whl --model my.gguf --goal prefill --minutes 10
    """
    from truewheel.carried.found import fingerprint
    from truewheel.console import Console
    from truewheel.cpu.host import detect_host
    from truewheel.errors import StoreError
    from truewheel.machine.extras import require
    from truewheel.models.models import find_model
    from truewheel.pages.benchmark import describe_tuning
    from truewheel.pages.terminal import WIDE
    from truewheel.tune.preset import default_target, found_target, make_preset, write_found
    from truewheel.tune.run import TuningRequest, run_tuning

    require("bench", "tune")
    console, host = Console(), detect_host()
    refuse_unwritable((target, save))
    chosen = wheel or pick_wheel(console)
    found = find_model(model)
    tuning = run_tuning(TuningRequest(chosen, goal, minutes * 60), found, host, console)
    preset = make_preset(tuning, host, fingerprint(found.path))
    path = target or default_target(host, found.name, goal)
    write_found(path, preset)
    console.say(f"the preset is {path}")
    try:
        place = found_target(host, preset)
        write_found(place, preset)
    except StoreError as error:
        console.warn(f"{error.message}: the engine will not find the preset by itself")
    else:
        console.say(f"and {place}, where {preset.purpose.engine} finds it by itself; TRUEWHEEL_PRESET=off does without")
    if save is not None:
        write_text(save, json_text(tuning))
    output.show(console, tuning, lambda: describe_tuning(tuning), WIDE)


def pick_wheel(console: Console) -> Path:
    """Return the one wheel that is tuned when none is named: the default engine's where there is one.

    Raises:
        LoadError: no wheel of the wheelhouse fits this machine.
    """
    from truewheel.cli.bench_ import pick_subjects

    asked = pick_subjects(console)
    own = [each for each in asked if each.project == "llama-cpp-python"] or asked
    assert own[0].place is not None
    return own[0].place
