"""`truewheel pick`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from truewheel.cli import VERBS
from truewheel.cli.common import Output, account_options

if TYPE_CHECKING:
    from truewheel.pick.candidate import Choice, Picked


@click.command("pick", short_help=VERBS["pick"])
@click.argument("paths", nargs=-1, metavar="[DIR|WHEEL]...", type=click.Path(path_type=Path))
@click.option("--engine", default="", metavar="NAME", help="Pick only among the wheels of this project.")
@click.option("--python", default="", metavar="VERSION", help="Pick for this CPython, e.g. 3.9 [default: the running].")
@account_options
def command(paths: tuple[Path, ...], engine: str, python: str, output: Output) -> None:
    """Pick the best wheel for this machine, and explain why, why not the others, and how to install it.

    Considers the wheels of folders [default: the wheelhouse] and single wheels, and picks one of each project.
    They are read in locked-down processes; nothing is installed, built or fetched.

    \b
    Examples:
      truewheel pick
      truewheel pick dist/ somebody_elses.whl --python 3.12
      python3 -m pip install --only-binary :all: "$(truewheel pick --engine llama-cpp-python)"
    """
    from truewheel.config.locations import wheelhouse_root
    from truewheel.console import Console
    from truewheel.errors import CheckError
    from truewheel.pages.choice import describe_picks
    from truewheel.pages.terminal import NARROW, to_lines
    from truewheel.pick.choose import find_nearest
    from truewheel.pick.run import pick_wheels
    from truewheel.pick.target import find_target

    console = Console()
    target = find_target(python)
    with console.steps("reading wheels") as steps:
        choices = pick_wheels(paths or (wheelhouse_root(),), target, engine=engine, tell=steps.advance)
    picks = [_add_commands(choice, python) for choice in choices]
    about = f"{target.python} on {target.host.model}, {target.host.level}, {target.host.libc}"
    document = describe_picks(picks, about)
    console.say(*to_lines(document, NARROW, console.style))
    output.write(console, picks, lambda: document)
    picked = [choice.best for choice in choices if choice.best is not None]
    if not picked:
        nearest = find_nearest(choices)
        what = "no wheel fits this machine; nearest comes" if nearest.project else "there is no wheel to pick:"
        raise CheckError(
            f"{what} {nearest.name}: {nearest.reason}", hint="`truewheel build` makes one for this machine"
        )
    if not output.on_stdout:
        console.data(*(str(best.path) for best in picked))


def _install_commands(path: Path, python: str) -> tuple[str, str]:
    """Return the commands for pip and uv; neither may build anything from source."""
    from truewheel.process import quote

    minor = ".".join(python.split(".")[:2])
    pip = quote([f"python{minor or 3}", "-m", "pip", "install", "--only-binary", ":all:", path])
    uv = quote(["uv", "pip", "install", *(("--python", python) if python else ()), "--no-build", path])
    return pip, uv


def _add_commands(choice: Choice, python: str) -> Picked:
    import msgspec

    from truewheel.pick.candidate import Picked

    pip, uv = _install_commands(choice.best.path, python) if choice.best is not None else ("", "")
    return Picked(**msgspec.structs.asdict(choice), pip=pip, uv=uv)
