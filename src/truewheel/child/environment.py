"""A fresh Python environment that holds one wheel and what it depends on."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement

from truewheel import process
from truewheel.config.locations import cache_root
from truewheel.errors import CheckError
from truewheel.files import replacing_folder
from truewheel.kept.entry import is_kept, keep
from truewheel.locks import locked
from truewheel.machine import index
from truewheel.scratch import SCRATCH
from truewheel.wheel.archive import WheelFile
from truewheel.wheel.takeover import explain_takeover


class InstallError(CheckError):
    """pip refuses to install the wheel on this machine."""


class Environment(NamedTuple):
    """An environment that nothing of the wheel has run in yet.

    Attributes:
        python: its interpreter.
        site: its site-packages.
        scratch: an empty folder beside it.
    """

    python: Path
    site: Path
    scratch: Path


@contextlib.contextmanager
def fresh_environment(wheel: WheelFile, log: Path | None = None) -> Iterator[Environment]:
    """Install a wheel with its dependencies into a new environment, and delete it afterwards.

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
    with open_environment([str(wheel.path.absolute())], dependencies, wheel.path.name, log) as environment:
        yield environment


@contextlib.contextmanager
def open_environment(
    requirements: Sequence[str], links: Path, what: str, log: Path | None = None
) -> Iterator[Environment]:
    """Install from a folder of wheels alone into a new environment, and delete it afterwards.

    No interpreter is started with its site-packages afterwards, so that nothing of what was installed runs here: a
    start-up hook in it would.

    Args:
        requirements: paths of wheels, or names and versions.
        links: folder with what they depend on.
        what: what is installed, for the message.
        log: gets everything that is printed.

    Raises:
        InstallError: pip refuses it on this machine.
        CheckError: no environment can be made.
    """
    with SCRATCH.folder("truewheel-smoke") as folder:
        environment = folder / "environment"
        done = process.run([sys.executable, "-m", "venv", "--without-pip", environment], log=log, timeout=120)
        if done.returncode != 0:
            raise CheckError(
                f"no environment can be made: {done.output.strip()[-300:]}", hint="is the venv module installed?"
            )
        python = environment / "bin" / "python"
        site = next((environment / "lib").glob("python*")) / "site-packages"
        offline = ["--no-index", "--find-links", str(links), "--only-binary", ":all:", "--no-compile"]
        command = [sys.executable, *index.PIP, "--python", str(python), "install", *offline, *requirements]
        installed = process.run(command, env=index.pip_environment(), log=log, timeout=600)
        if installed.returncode != 0:
            errors = [line for line in installed.output.splitlines() if line.startswith("ERROR")]
            reason = errors[-1].removeprefix("ERROR: ") if errors else "it gave no reason"
            raise InstallError(
                f"pip cannot install {what}: {reason}",
                hint="its tags or its dependencies do not fit this Python and this machine",
            )
        scratch = folder / "scratch"
        scratch.mkdir()
        yield Environment(python, site, scratch)


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
