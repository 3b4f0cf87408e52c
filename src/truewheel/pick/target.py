"""What a wheel is picked for: a machine and a Python, and why it does not take a wheel by its tags."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable

import msgspec
from packaging.tags import Tag, compatible_tags, cpython_tags, platform_tags, sys_tags

from truewheel.cpu.host import Host, detect_host
from truewheel.errors import LoadError
from truewheel.targets.manylinux import read_glibc
from truewheel.text import cut, join_words
from truewheel.wheel.name import WheelName

_VERSION = re.compile(r"3\.(\d{1,2})(?:\.\d{1,2})?")
_PATCHES = 100
_LAST_WITH_M = 7
"""Up to CPython 3.7, the ABI's name ends in an m."""
_LINUX = re.compile(r"(many|musl|)linux(?:\d+|_(\d+)_(\d+))?_(\w+)")
_INTERPRETER = re.compile(r"([a-z]+)(\d)(\d*)")
_SYSTEMS = {"macosx": "macOS", "win": "Windows", "ios": "iOS", "android": "Android", "pyodide": "Pyodide"}
_PYTHONS = {"cp": "CPython", "pp": "PyPy", "graalpy": "GraalPy", "py": "Python"}
_SHOWN = 3


class TargetPython(msgspec.Struct, frozen=True, kw_only=True):
    """What a wheel is picked for.

    Attributes:
        host: the machine.
        python: the Python in words, e.g. `CPython 3.11.7`.
        versions: the versions that it may have; several where only `3.11` is known.
        tags: what it installs on this machine.
    """

    host: Host
    python: str
    versions: tuple[str, ...]
    tags: frozenset[Tag]


def make_target(host: Host, python: str, platforms: Iterable[str]) -> TargetPython:
    """Return the target of a version of CPython, `3.11` or `3.11.7`, on a machine with these platform tags.

    Raises:
        LoadError: it is no version of CPython.
    """
    match = _VERSION.fullmatch(python)
    if match is None:
        raise LoadError(f"{python[:40]!r} is no version of CPython 3", hint="write it as in 3.12 or 3.12.4")
    version, places = (3, int(match[1])), list(platforms)
    interpreter = f"cp3{match[1]}"
    abi = f"{interpreter}m" if version[1] <= _LAST_WITH_M else interpreter
    patches = (python,) if python.count(".") > 1 else tuple(f"{python}.{patch}" for patch in range(_PATCHES))
    tags = (*cpython_tags(version, [abi], places), *compatible_tags(version, interpreter, places))
    return TargetPython(host=host, python=f"CPython {python}", versions=patches, tags=frozenset(tags))


def find_target(python: str = "") -> TargetPython:
    """Return this machine with a version of CPython, or with the Python that runs.

    Raises:
        LoadError: it is no version of CPython.
    """
    if python:
        return make_target(detect_host(), python, platform_tags())
    version = ".".join(map(str, sys.version_info[:3]))
    name = f"{platform.python_implementation()} {version}"
    return TargetPython(host=detect_host(), python=name, versions=(version,), tags=frozenset(sys_tags()))


def explain_tags(name: WheelName, target: TargetPython) -> str:
    """Return why a Python does not install a wheel by its tags; an empty text when it does."""
    tags = sorted(name.tag_set, key=str)
    if not target.tags.isdisjoint(tags):
        return ""
    if {tag.platform for tag in target.tags}.isdisjoint(tag.platform for tag in tags):
        # Of several platforms, the one that is nearest to this machine.
        return min(_explain_platform(tag.platform, target.host) for tag in tags)[1]
    if {(tag.interpreter, tag.abi) for tag in target.tags}.isdisjoint((tag.interpreter, tag.abi) for tag in tags):
        pythons = list(dict.fromkeys(map(_python_words, tags)))
        return f"it is for {join_words(pythons, _SHOWN)}, and this is {target.python}"
    return f"its tags {cut(name.tags)} do not go together with {target.python} on this machine"


def _explain_platform(tag: str, host: Host) -> tuple[int, str]:
    """Return how far a platform is from this machine, and why it is another."""
    match = _LINUX.fullmatch(tag)
    if match is None:
        system = next((words for start, words in _SYSTEMS.items() if tag.startswith(start)), tag)
        return 3, f"it is for {system}, and this is {host.system}"
    if match[4] != host.machine:
        return 2, f"it is for {match[4]} CPUs, and this machine is {host.machine}"
    libc = "musl" if match[1] == "musl" else "glibc"
    if not host.libc.startswith(libc):
        return 1, f"it is for systems with {libc}, and this one has {host.libc}"
    oldest = read_glibc(tag) or (match[2], match[3])
    return 0, f"it needs {libc} {oldest[0]}.{oldest[1]} or newer, and this system has {host.libc}"


def _python_words(tag: Tag) -> str:
    match = _INTERPRETER.match(tag.interpreter)
    if match is None:
        return tag.interpreter
    words = f"{_PYTHONS.get(match[1], match[1])} {match[2]}{match[3] and f'.{match[3]}'}"
    if tag.abi.startswith("abi3"):
        return f"{words} or newer"
    usual = not tag.abi.startswith("cp") or tag.abi.rstrip("mu") == tag.interpreter
    return words if usual else f"{words} with the ABI {tag.abi}"
