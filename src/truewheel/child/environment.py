"""A fresh tree that holds one wheel and what it depends on, installed by a locked-down pip."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from packaging.requirements import InvalidRequirement, Requirement

from truewheel.child.confinement import INSIST, STRANGERS, Required
from truewheel.child.ending import judge
from truewheel.child.events import Script, read_said
from truewheel.child.installed import Environment, own_interpreter, site_of
from truewheel.child.limits import INSTALL
from truewheel.child.request import InstallRequest, place
from truewheel.child.start import Confined, scratch_in
from truewheel.config.locations import cache_root
from truewheel.errors import CheckError
from truewheel.files import replacing_folder
from truewheel.kept.entry import is_kept, keep
from truewheel.locks import locked
from truewheel.machine import index
from truewheel.scratch import SCRATCH
from truewheel.wheel.archive import WheelFile
from truewheel.wheel.takeover import explain_takeover

_STEPS = ("install",)


class InstallError(CheckError):
    """pip refuses to install the wheel on this machine, or cannot be locked down.

    Attributes:
        code: the smoke test's code for it.
    """

    def __init__(self, message: str, *, code: str = "SMOKE-INSTALL", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


@contextlib.contextmanager
def fresh_environment(
    wheel: WheelFile, log: Path | None = None, *, required: Required = STRANGERS
) -> Iterator[Environment]:
    """Install a wheel with its dependencies into a new environment, and delete it afterwards.

    Args:
        wheel: the wheel.
        log: gets everything that is printed.
        required: what a child may not be without, that installs or runs it; see `confinement.py`.

    Raises:
        InstallError: the wheel cannot be installed on this machine.
        CheckError: its METADATA cannot be followed.
        FetchError: a dependency cannot be had.
    """
    if reason := explain_takeover(wheel):
        raise InstallError(
            f"{wheel.path.name} is not installed: {reason}",
            hint="`truewheel check` says more; do not install it anywhere",
        )
    dependencies = fetch_wheels(declared_requirements(wheel))
    with open_environment(
        [str(wheel.path.absolute())], dependencies, wheel.path.name, log, required=required
    ) as environment:
        yield environment


@contextlib.contextmanager
def open_environment(
    requirements: Sequence[str],
    links: Path,
    what: str,
    log: Path | None = None,
    *,
    required: Required = STRANGERS,
) -> Iterator[Environment]:
    """Install from a folder of wheels alone into a new tree, and delete it afterwards.

    There is no interpreter in it, and none is started with it in its path but in locked-down children: scripts, data
    and start-up hooks of what was installed are files that nobody runs.

    Args:
        requirements: paths of wheels, or names and versions.
        links: folder with what they depend on.
        what: what is installed, for the message.
        log: gets everything that is printed.
        required: what a child may not be without, that installs or runs it; see `confinement.py`.

    Raises:
        InstallError: pip refuses it on this machine.
        CheckError: this Python has no pip.
    """
    with SCRATCH.folder("truewheel-smoke") as folder:
        tree, scratch = folder / "installed", folder / "scratch"
        environment = Environment(own_interpreter(), tree, site_of(tree), scratch, required=required)
        scratch.mkdir()
        environment.site.mkdir(parents=True)
        if sys.platlibdir != "lib":
            # What is compiled would lie apart from the rest.
            (tree / sys.platlibdir).symlink_to("lib")
        _install(environment, requirements, links, what, log)
        yield environment


def _install(environment: Environment, requirements: Sequence[str], links: Path, what: str, log: Path | None) -> None:
    with scratch_in(environment) as scratch:
        confined = Confined(environment, scratch, INSTALL, (environment.tree,))
        pip, wheels = str(_find_pip()), [one for one in requirements if one.endswith(".whl")]
        request = InstallRequest(
            program="install",
            **{**place(environment, scratch, INSTALL), "writable": (str(scratch), str(environment.tree))},
            tree=str(environment.tree),
            links=str(links),
            requirements=tuple(requirements),
            pip=pip,
        )
        request = msgspec.structs.replace(request, readable=(pip, str(links), *wheels))
        done = confined.run(request, log=log)
        ended = judge(_STEPS, read_said(Path(request.events), Script(_STEPS)), done)
    if ended.code == "SMOKE-UNLOCKED":
        raise InstallError(ended.words, code=ended.code, hint=INSIST)
    if ended.code:
        errors = [line for line in done.output.splitlines() if line.startswith("ERROR")]
        reason = errors[-1].removeprefix("ERROR: ") if errors else ended.words
        raise InstallError(
            f"pip cannot install {what}: {reason}",
            hint="its tags or its dependencies do not fit this Python and this machine",
        )


def _find_pip() -> Path:
    """Return the folder that is our pip."""
    spec = importlib.util.find_spec("pip")
    if spec is None or spec.origin is None:
        raise CheckError("wheels cannot be installed: this Python has no pip", hint="python3 -m ensurepip")
    return Path(spec.origin).parent


def declared_requirements(wheel: WheelFile) -> list[str]:
    """Return the wheel's requirements without extras that apply to this Python, sorted.

    Raises:
        CheckError: a requirement cannot be read, or names an address instead of a project.
    """
    result = []
    for text in wheel.metadata.get_all("Requires-Dist"):
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise CheckError(f"{wheel.path.name}: METADATA requires {text!r}: {error}") from error
        if requirement.url is not None:
            raise CheckError(
                f"{wheel.path.name}: METADATA requires {requirement.name} from an address",
                hint="only names and versions are followed",
            )
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            requirement.marker = None
            result.append(str(requirement))
    return sorted(result)


def fetch_wheels(requirements: Sequence[str], what: str = "the wheel's dependencies") -> Path:
    """Return a folder with wheels that satisfy the requirements; fetched once for each Python.

    Raises:
        FetchError: one of them cannot be had.
    """
    version = f"{sys.implementation.cache_tag}"
    identity = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:12]
    folder = cache_root() / "dependencies" / f"{version}-{identity}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent / ".lock", what):
        if is_kept(folder):
            return folder
        with replacing_folder(folder) as beside:
            if requirements:
                index.run_pip(["download", "--only-binary", ":all:", "-d", str(beside), *requirements], what=what)
        keep(folder)
    return folder
