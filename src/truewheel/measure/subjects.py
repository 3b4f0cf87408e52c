"""What is measured: a wheel file, an installed environment, or a published package, each under a preset or none."""

from __future__ import annotations

import contextlib
import difflib
import re
from pathlib import Path
from typing import NamedTuple

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from truewheel.child.registry import EngineEntry, known_engines
from truewheel.config.presets import Settings
from truewheel.errors import LoadError
from truewheel.files import hash_file
from truewheel.report import refuse_other
from truewheel.wheel.name import parse_wheel_name

_INDEX = "pypi:"
_DIGEST = re.compile(r"_[0-9a-f]{8}$")
_HINT = "name a wheel file, the folder of an environment, or pypi:NAME==VERSION; @PRESET may follow"
_PRESETS = {"cores": "as many threads as cores", "defaults": "nothing but the model and its context"}


class Asked(NamedTuple):
    """One subject as it was named.

    Attributes:
        text: as on the command line.
        kind: `wheel`, `environment` or `index`.
        project: normalized project name.
        version: of the wheel's name or the requirement; empty for an environment.
        place: the wheel or the environment; None for the index.
        preset: `cores`, `defaults`, or the name or path of a preset.
        settings: what it is run with; None stands for as many threads as cores.
    """

    text: str
    kind: str
    project: str
    version: str
    place: Path | None
    preset: str
    settings: Settings | None

    @property
    def engine(self) -> EngineEntry:
        """Return how it is run."""
        return known_engines()[self.project]


def parse_subject(text: str) -> Asked:
    """Read one subject of the command line.

    Raises:
        LoadError: it names nothing that can be measured.
    """
    name, preset = _split(text)
    settings = {} if preset == "defaults" else None if preset == "cores" else dict(_load(preset))
    if name.startswith(_INDEX):
        project, version = _parse_requirement(name)
        return Asked(text, "index", project, version, None, preset, settings)
    path = Path(name)
    if name.endswith(".whl"):
        if not path.is_file():
            raise LoadError(f"there is no wheel {name}", hint=_HINT)
        wheel = parse_wheel_name(path.name)
        with contextlib.suppress(OSError):  # what cannot be read is told where it is installed
            refuse_other(path, hash_file(path))
        return Asked(text, "wheel", _known(wheel.project), wheel.version, path, preset, settings)
    if path.is_dir():
        return Asked(text, "environment", find_project(path), "", path, preset, settings)
    raise LoadError(f"{name!r} is no wheel, no environment and no package", hint=_HINT)


def find_site(environment: Path) -> Path:
    """Return an environment's site-packages.

    Raises:
        LoadError: it has none, or no Python.
    """
    found = sorted((environment / "lib").glob("python3*/site-packages"))
    if not found or not (environment / "bin" / "python").exists():
        raise LoadError(f"{environment} is no environment: it has no bin/python with site-packages", hint=_HINT)
    return found[0]


def find_project(environment: Path) -> str:
    """Return the one project in an environment that can be measured.

    Raises:
        LoadError: there is none, or several.
    """
    site = find_site(environment)
    installed = {canonicalize_name(path.name.split("-")[0]) for path in site.glob("*.dist-info")}
    found = sorted(installed & set(known_engines()))
    if len(found) != 1:
        what = f"holds {', '.join(found)}" if found else "holds no engine that can be measured"
        raise LoadError(f"{environment} {what}", hint=f"one of {', '.join(known_engines())} is wanted")
    return found[0]


def label_subjects(asked: list[Asked]) -> list[str]:
    """Return a short, unique name for each: project, what sets it apart, and its preset."""
    names = [_spell(one, full=False) for one in asked]
    if len(set(names)) < len(names):
        names = [_spell(one, full=names.count(name) > 1) for one, name in zip(asked, names, strict=True)]
    return [
        f"{name} #{names[: number + 1].count(name)}" if names.count(name) > 1 else name
        for number, name in enumerate(names)
    ]


def _spell(one: Asked, *, full: bool) -> str:
    """Name a subject; `full` tells builds of one profile apart by their digests."""
    detail = one.version
    if one.kind == "wheel" and one.place is not None:
        wheel = parse_wheel_name(one.place.name)
        build = wheel.build.partition("_")[2]
        detail = wheel.variant or (build if full else _DIGEST.sub("", build)) or wheel.version
    label = f"{one.project} {detail}".strip()
    return label if one.preset == "cores" else f"{label} @{Path(one.preset).stem}"


def _split(text: str) -> tuple[str, str]:
    """Split a subject from its preset; a path may hold an @ of its own."""
    name, mark, preset = text.rpartition("@")
    if not mark or Path(text).exists():
        return text, "cores"
    if not preset:
        raise LoadError(
            f"{text!r} ends with @ and no preset", hint=f"{', '.join(_PRESETS)}, or a preset's name or path"
        )
    return name, preset


def _load(preset: str) -> Settings:
    from truewheel.config.presets import load_preset

    return load_preset(preset).chosen()


def _parse_requirement(name: str) -> tuple[str, str]:
    project, equals, version = name.removeprefix(_INDEX).partition("==")
    try:
        Version(version)
    except InvalidVersion as error:
        reason = f"{version!r} is no version" if equals else "it names no version"
        raise LoadError(f"{name}: {reason}", hint="a figure is of one version: pypi:NAME==VERSION") from error
    return _known(canonicalize_name(project)), version


def _known(project: str) -> str:
    if project in known_engines():
        return project
    near = difflib.get_close_matches(project, known_engines(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known_engines())}"
    raise LoadError(f"no driver knows the project {project!r}", hint=hint)
