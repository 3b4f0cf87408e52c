"""Can the loader of the platforms that the tags name take the files at all, before any link is looked at?"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import PurePosixPath

import msgspec

from truewheel.binary.loads import LoadFacts
from truewheel.checks.finding import Finding
from truewheel.examine.facts import Facts
from truewheel.wheel.installed import place_of

CODES = {
    "LOAD-KIND": "A file is called as a library and is none that the platforms of the tags load: another system's, an "
    "object file, a program, a text, or nothing.",
    "LOAD-MACHINE": "A library or a program is for another machine than the tags: it cannot be loaded there.",
    "LOAD-MACHINE-OTHER": "A library is for another machine than the tags, and its name says so: the wheel has another "
    "one for those.",
    "LOAD-SEGMENTS": "A library's segments cannot be mapped: the loader refuses it, or the process dies of a fault.",
    "LOAD-INIT": "A file is named as an extension module and has no function of that name that Python could call: its "
    "import fails.",
    "LOAD-INIT-PLAIN": "A file is named as an extension module and knows nothing of Python: code of the wheel must "
    "load it by other means.",
}
"""What each code means."""

_LIBRARY = re.compile(r".+\.so(?:\.\d+)*")
_ENDINGS = {".pyd": "pe", ".dll": "pe", ".dylib": "macho"}
_EXTENSION = re.compile(
    r"(?P<name>[^.]+)\.(?:cpython-3\d+[a-z]*|abi3t?|pypy3\d*-pp\d+|graalpy\d+-3\d+-native)(?:-[\w-]+)?\.so"
)
_KINDS = {
    "object": "is an object file that no linker has made a library of",
    "program": "is a program, which no loader takes for a library",
    "core": "is the memory image of a process",
    "other": "is an ELF file of a kind that no loader takes",
}
_FORMATS = {"pe": "is a library for Windows", "macho": "is a library for macOS", "elf": "is a library for Linux"}
_HINT = "build it for the platform of the tags, or leave it out"
_MAX_FINDINGS = 50


class _Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int
    bits: int
    order: str
    words: tuple[str, ...]

    @property
    def key(self) -> tuple[int, int, str]:
        return self.number, self.bits, self.order


class _Loaders(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`loaders.toml`, where each field is explained."""

    formats: dict[str, str]
    machines: dict[str, _Machine]


@functools.cache
def _loaders() -> _Loaders:
    text = resources.files("truewheel.checks").joinpath("loaders.toml").read_bytes()
    return msgspec.toml.decode(text, type=_Loaders)


def check(facts: Facts) -> Iterator[Finding]:
    """Yield files that no loader of the tags' platforms takes."""
    parts = (_kinds(facts), _machines(facts), _segments(facts), _inits(facts))
    for part in parts:
        yield from (finding for _, finding in zip(range(_MAX_FINDINGS), part, strict=False))


def _say(code: str, where: str, message: str, hint: str = _HINT) -> Finding:
    return Finding(code=code, where=where, message=message, hint=hint)


def _kinds(facts: Facts) -> Iterator[Finding]:
    platforms = facts.wheel.name.platforms
    found = {_format_of(platform) for platform in platforms}
    for path, entry in facts.wheel.entries.items():
        wanted = _wanted(PurePosixPath(path).name, found)
        if not wanted or "" in found:
            continue
        elf = facts.libraries.get(path)
        if entry.kind not in wanted:
            reason = _FORMATS.get(entry.kind, "is empty" if not entry.size else "is no library")
            yield _say("LOAD-KIND", path, f"{reason}, and the tags name {', '.join(platforms[:3])}")
        elif elf is not None and elf.loads.kind in _KINDS:
            yield _say("LOAD-KIND", path, _KINDS[elf.loads.kind])


def _wanted(file: str, found: set[str]) -> set[str]:
    """Return the kinds that a file of a name may be where the platforms load some kinds; none for no library."""
    if _LIBRARY.fullmatch(file):
        return found
    # A library that is called as another system's is for that one: it is there on purpose.
    return found & {_ENDINGS.get(PurePosixPath(file).suffix, "")}


def _format_of(platform: str) -> str:
    """Return the kind of file that a platform loads; empty where the tag does not tell."""
    formats = _loaders().formats
    return next((kind for start, kind in formats.items() if platform.startswith(start)), "")


def _machine_of(platform: str) -> _Machine | None:
    """Return the machine that a platform tag names, by its longest word for one."""
    fitting = [name for name in _loaders().machines if platform.endswith(f"_{name}")]
    return _loaders().machines[max(fitting, key=len)] if fitting else None


def _machines(facts: Facts) -> Iterator[Finding]:
    platforms = [name for name in facts.wheel.name.platforms if _format_of(name) == "elf"]
    promised = [_machine_of(platform) for platform in platforms]
    keys = {machine.key for machine in promised if machine is not None}
    if not keys or None in promised:
        return
    fits = {path: _key(elf.loads) in keys for path, elf in facts.libraries.items()}
    needed = {name for path, elf in facts.libraries.items() if fits[path] for name in elf.needed}
    for path, elf in facts.libraries.items():
        if fits[path] or not _is_to_load(path):
            continue
        name = PurePosixPath(path).name
        message = f"is for {_show(elf.loads)}, and the tags name {', '.join(platforms[:3])}"
        beside = any(fits.values()) and _is_named_for(path, elf.loads)
        module = _EXTENSION.fullmatch(name) or elf.init or name in needed
        yield _say("LOAD-MACHINE-OTHER" if beside and not module else "LOAD-MACHINE", path, message)


def _is_to_load(path: str) -> bool:
    """Tell whether a file is for the loader: code for other processors, as a GPU's, and for debuggers is not."""
    return _LIBRARY.fullmatch(PurePosixPath(path).name) is not None or place_of(path).root == "bin"


def _key(loads: LoadFacts) -> tuple[int, int, str]:
    return loads.machine, loads.bits, loads.order


def _show(loads: LoadFacts) -> str:
    names = [name for name, machine in _loaders().machines.items() if machine.key == _key(loads)]
    return names[0] if names else f"machine {loads.machine} of {loads.bits} bits, {loads.order}-endian"


def _is_named_for(path: str, loads: LoadFacts) -> bool:
    """Tell whether a path has a word for the machine that a file is for."""
    words = {word for machine in _loaders().machines.values() if machine.key == _key(loads) for word in machine.words}
    plain = path.lower().replace("_", "-")
    patterns = (rf"(?<![a-z0-9]){re.escape(word.replace('_', '-'))}(?!-?64|[a-z0-9])" for word in words)
    return any(re.search(pattern, plain) for pattern in patterns)


def _segments(facts: Facts) -> Iterator[Finding]:
    for path, elf in facts.libraries.items():
        if elf.loads.faults and _is_to_load(path):
            more = f" (and {len(elf.loads.faults) - 1} more)" if len(elf.loads.faults) > 1 else ""
            yield _say("LOAD-SEGMENTS", path, f"{elf.loads.faults[0]}{more}", "get it again, or link it anew")


def _inits(facts: Facts) -> Iterator[Finding]:
    for path, elf in facts.libraries.items():
        *folders, file = path.split("/")
        found = _EXTENSION.fullmatch(file)
        if found is None or elf.loads.kind != "shared":
            continue
        # A package that is one extension module has its folder's name.
        name = folders[-1] if folders and found["name"] == "__init__" else found["name"]
        # A name that is not ASCII is spelled in Punycode, behind another beginning.
        wanted = f"PyInit_{name}" if name.isascii() else "PyInitU_"
        if any(symbol == wanted or (not name.isascii() and symbol.startswith(wanted)) for symbol in elf.init):
            continue
        plain = not elf.init and not any(symbol.name.startswith(("Py", "_Py")) for symbol in elf.undefined)
        code = "LOAD-INIT-PLAIN" if plain and _may_load(facts) else "LOAD-INIT"
        yield _say(code, path, f"offers no {wanted}", "call it as its source calls the module")


def _may_load(facts: Facts) -> bool:
    """Tell whether the wheel's Python files may load libraries that are no modules, as by ctypes."""
    if facts.sources is None:
        return any(path.endswith(".py") for path in facts.wheel.entries)
    return facts.sources.loads
