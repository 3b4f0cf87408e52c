"""Do the wheel's tags fit the Pythons that Requires-Python lets in, and its extension modules?"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from packaging.specifiers import SpecifierSet
from packaging.tags import Tag

from truewheel.checks.finding import Finding
from truewheel.examine.facts import Facts
from truewheel.wheel.modules import find_module_name
from truewheel.wheel.told import MAX_VALUE

_PYTHONS = ((2, 7), *((3, minor) for minor in range(2, 21)))
_MAX_MODULES = 5000
"""Extension modules that are compared with each tag; no wheel has a tenth of that."""

_PATCHES = (0, 99, *range(1, 30))
_INTERPRETER = re.compile(r"([a-z]+)(\d)(\d*)(?:_\w*)?")
_SUFFIX = re.compile(
    r"[^.]+\.(?:(?:cpython-|cp)(?P<cp>\d\d+)(?P<flags>[a-z]*)|(?P<other>pypy\d+-pp\d+|graalpy\d+-\d+-native)|abi3t?)"
    r"(?:-[\w-]+)?\.(?:so|pyd)"
)
_EXACT = re.compile(r"cp(\d)(\d+)")


def show_value(value: str) -> str:
    """Return a value of METADATA as a message may hold it: in ASCII, quoted, and not too long."""
    return ascii(value if len(value) <= 100 else f"{value[:100]}…")  # noqa: PLR2004 - about a line


def read_pythons(values: list[str], where: str) -> tuple[frozenset[tuple[int, int]], list[Finding]]:
    """Return the Pythons that Requires-Python lets in, and what cannot be read."""
    if not values:
        return frozenset(_PYTHONS), []
    try:
        specifiers = SpecifierSet(values[0] if len(values[0]) <= MAX_VALUE else "?")
        versions = {python: [f"{python[0]}.{python[1]}.{patch}" for patch in _PATCHES] for python in _PYTHONS}
        fitting = (python for python in _PYTHONS if any(map(specifiers.contains, versions[python])))
        return frozenset(fitting), []
    except ValueError:
        fault = Finding(
            code="META-REQUIREMENT",
            where=where,
            message=f"Requires-Python: {show_value(values[0])} cannot be read",
            hint='write it as in ">=3.10"',
        )
        return frozenset(_PYTHONS), [fault]


def _list_promised(tag: Tag) -> frozenset[tuple[int, int]]:
    """Return the Pythons that install a wheel with this tag; none where the tag is not understood."""
    interpreter = _INTERPRETER.fullmatch(tag.interpreter)
    if interpreter is None:
        return frozenset()
    kind, major, minor = interpreter[1], int(interpreter[2]), interpreter[3][:4]
    if not minor:
        return frozenset(python for python in _PYTHONS if python[0] == major and kind in ("py", "pp"))
    named = (major, int(minor))
    if kind == "py" or tag.abi in ("abi3", "abi3t"):
        return frozenset(python for python in _PYTHONS if python[0] == major and python >= named)
    if tag.abi.startswith("cp") and not re.fullmatch(f"{tag.interpreter}[a-z]*", tag.abi):
        return frozenset()  # one of the senseless pairs that a compressed tag set stands for too
    return frozenset((named,)) & frozenset(_PYTHONS)


def compare_pythons(
    facts: Facts, tags: list[Tag], values: list[str], allowed: frozenset[tuple[int, int]], where: str
) -> Iterator[Finding]:
    """Compare the Pythons that the tags name with those that Requires-Python lets in."""
    promised = {tag: pythons for tag in tags if (pythons := _list_promised(tag))}
    asked = show_value(",".join(values[:1]))
    if promised and not any(pythons & allowed for pythons in promised.values()):
        yield Finding(
            code="META-PYTHON",
            where=where,
            message=f"Requires-Python: {asked} lets in none of the Pythons of {facts.wheel.name.tags}",
            hint="correct the tags or Requires-Python",
        )
        return
    # `py3` names no minor version: it is refused only where all of them are.
    refused = {
        tag.interpreter
        for tag, pythons in promised.items()
        if not (pythons & allowed if tag.interpreter in ("py2", "py3", "pp2", "pp3") else min(pythons) in allowed)
        and min(pythons) < max(allowed)
    }
    if refused:
        yield Finding(
            code="META-PYTHON-OLDER",
            where=where,
            message=f"Requires-Python: {asked} refuses {', '.join(sorted(refused))}, which the tags name",
            hint="name the oldest Python that is let in",
        )


def compare_abis(facts: Facts, tags: list[Tag], allowed: frozenset[tuple[int, int]]) -> Iterator[Finding]:
    """Compare the suffixes of extension modules with the tags; a module may be there for several Pythons."""
    modules: dict[str, dict[str, str]] = {}
    for path in facts.wheel.entries:
        if path.endswith((".so", ".pyd")) and (name := find_module_name(path)):
            modules.setdefault(name, {})[_read_abi(path)] = path
    wrong: dict[str, str] = {}
    for tag in tags:
        promised = _list_promised(tag) & allowed
        # Where the tag names no exact ABI, a narrow Requires-Python may leave just the Pythons that modules are for.
        wide = tag.abi in ("none", "abi3") and tag.interpreter.startswith(("cp", "py"))
        for abis in itertools.islice(modules.values(), _MAX_MODULES) if promised else ():
            exact = {(int(match[1]), int(match[2])) for abi in abis if (match := _EXACT.fullmatch(abi))}
            if not any(_loads(abi, tag) for abi in abis) and not (wide and promised <= exact):
                told = " and ".join(sorted(abis)[:3])
                wrong.setdefault(min(abis.values()), f"{told}, the tags say {facts.wheel.name.tags}")
    if wrong:
        first = min(wrong)
        more = f" (and {len(wrong) - 1} more modules)" if len(wrong) > 1 else ""
        yield Finding(
            code="META-ABI",
            where=first,
            message=f"is for {wrong[first]}{more}",
            hint="build it for the Python of the tags, or correct the tags",
        )


def _read_abi(path: str) -> str:
    """Return the ABI tag that an extension module's file name stands for; empty where it names none."""
    suffix = _SUFFIX.fullmatch(path.rpartition("/")[2])
    if suffix is None:
        return ""
    if suffix["cp"]:
        return f"cp{suffix['cp']}{suffix['flags'].translate({ord('m'): None, ord('u'): None})}"
    return suffix["other"].replace("-", "_") if suffix["other"] else suffix[0].split(".")[1].partition("-")[0]


def _loads(abi: str, tag: Tag) -> bool:
    """Tell whether the Pythons of a tag find a module with this ABI in its file name."""
    if not abi:
        return True
    if tag.abi == "none":
        # Which Pythons the stable ABI reaches is not in its name.
        return abi.startswith("abi3") or abi.rstrip("dt") == tag.interpreter
    if tag.abi in ("abi3", "abi3t") or abi.startswith("abi3"):
        free_threaded = tag.abi == "abi3t" or (tag.abi.startswith("cp") and tag.abi.endswith("t"))
        return abi == "abi3t" or (abi == "abi3" and not free_threaded and tag.interpreter.startswith("cp"))
    return abi == (re.sub(r"[mu]+$", "", tag.abi) if tag.abi.startswith("cp") else tag.abi)
