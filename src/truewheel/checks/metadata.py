"""Does what the wheel says of itself fit what is in it: requirements, Pythons, ABI, licences, entry points?"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator

import msgspec
from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.utils import canonicalize_name

from truewheel.checks.finding import Finding
from truewheel.checks.python_tags import compare_abis, compare_pythons, read_pythons, show_value
from truewheel.decoding import load_table
from truewheel.examine.facts import Facts
from truewheel.wheel.modules import MAX_DEPTH, ModuleTree, find_module_name, is_vendored, list_prefixes, stands_aside
from truewheel.wheel.told import MAX_VALUE

CODES = {
    "META-DEPENDENCY": "Code that runs when the wheel is imported needs a project that METADATA does not require. "
    "Where nothing else happens to install it, the import fails.",
    "META-DEPENDENCY-EXTRA": "Code that runs at every import needs a project that only an extra requires.",
    "META-DEPENDENCY-LAZY": "Code that runs later, or only sometimes, needs a project that METADATA does not require.",
    "META-REQUIREMENT": "A Requires-Dist or the Requires-Python cannot be read, so installers refuse or ignore it.",
    "META-VERSION": "METADATA is of a version that no installer knows, or that is none: those that read it refuse it.",
    "META-PYTHON": "No Python satisfies both Requires-Python and the wheel's tags: nobody can install it.",
    "META-PYTHON-OLDER": "The tags name a Python that Requires-Python refuses.",
    "META-ABI": "The file name of an extension module says that it is for another Python than the wheel's tags: "
    "it is installed and never found.",
    "META-PURE": "The wheel calls itself pure Python, or fit for any platform, and holds compiled libraries.",
    "META-LICENSE-MISSING": "METADATA names a licence file that is not in the wheel.",
    "META-LICENSE": "The wheel holds no licence file at all.",
    "META-ENTRY": "An entry point cannot be read, or leads to a module or an object that is not in the wheel.",
}
"""What each code means."""

_MAX_VALUES, _MAX_TAGS, _MAX_FINDINGS, _MAX_DEPENDENCIES = 2000, 100, 20, 100
_KNOWN = re.compile(r"[12]\.\d{1,2}")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_LIBRARY = re.compile(r".+\.(?:so(?:\.[\d.]+)?|pyd|dll|dylib)")
_LICENSE = re.compile(r"licen[cs]e|copying|copyright|notice", re.IGNORECASE)
_CODE = (".py", ".pyi", ".pyc", ".so", ".pyd")
_ENTRY = re.compile(r"([\w.]+)\s*(?::\s*([\w.]+)\s*)?(?:\[[^\]]*\]\s*)?")
_COMMON_WORDS = frozenset(
    ("bin", "binary", "client", "core", "cpu", "gpu", "headless", "lib", "nightly", "py", "python", "rolling", "sdk")
)
_SHORTEST_NAME = 5


class _Names(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `import_names.toml` says."""

    nobody: frozenset[str]
    namespaces: frozenset[str]
    projects: dict[str, tuple[str, ...]]


@functools.cache
def _names() -> _Names:
    return load_table("truewheel.checks", "import_names.toml", _Names)


def check(facts: Facts) -> Iterator[Finding]:
    """Yield where the wheel's account of itself and its content differ."""
    where = f"{facts.wheel.dist_info}/METADATA"
    yield from _version(facts, where)
    required, faults = _read_requirements(_values(facts, "Requires-Dist"), where)
    pythons = _values(facts, "Requires-Python")
    allowed, more = read_pythons(pythons, where)
    yield from itertools.islice([*faults, *more], _MAX_FINDINGS)
    tree = ModuleTree(facts.wheel.entries, facts.sources.namespaces if facts.sources else ())
    yield from itertools.islice(_dependencies(facts, tree, required), _MAX_DEPENDENCIES)
    # The platforms of a compressed tag set only repeat the others; no sane wheel has more than a few.
    tags = sorted({Tag(tag.interpreter, tag.abi, "any") for tag in facts.wheel.name.tag_set}, key=str)[:_MAX_TAGS]
    yield from compare_pythons(facts, tags, pythons, allowed, where)
    yield from compare_abis(facts, tags, allowed)
    yield from _purity(facts)
    yield from _licenses(facts, where)
    yield from itertools.islice(_entry_points(facts, tree), _MAX_FINDINGS)


def _values(facts: Facts, key: str) -> list[str]:
    return facts.wheel.metadata.get_all(key)[:_MAX_VALUES]


def _version(facts: Facts, where: str) -> Iterator[Finding]:
    for value in _values(facts, "Metadata-Version")[:1]:
        if not _KNOWN.fullmatch(value.strip()):
            message = f"Metadata-Version: {show_value(value)} is of no format that is known"
            yield Finding(code="META-VERSION", where=where, message=message, hint="write it as the core metadata say")


def _read_requirements(values: list[str], where: str) -> tuple[dict[str, bool], list[Finding]]:
    """Return the required projects, each with whether only an extra requires it, and what cannot be read."""
    required: dict[str, bool] = {}
    faults = []
    for value in values:
        try:
            requirement = Requirement(value if len(value) <= MAX_VALUE else "")
            name, marker = requirement.name, str(requirement.marker or "")
        except (ValueError, RecursionError):
            name, marker = (re.match(r"[\w.-]*", value) or [""])[0], ""
            faults.append(
                Finding(
                    code="META-REQUIREMENT",
                    where=where,
                    message=f"Requires-Dist: {show_value(value)} cannot be read",
                    hint="write it as the dependency specifiers' standard says",
                )
            )
        project = canonicalize_name(name)
        required[project] = required.get(project, True) and re.search(r"\bextra\b", _QUOTED.sub("", marker)) is not None
    return required, faults


def _dependencies(facts: Facts, tree: ModuleTree, required: dict[str, bool]) -> Iterator[Finding]:
    """Yield one finding for each project that is imported and not required."""
    keys: dict[str, bool] = {}
    for project, extra in required.items():
        keys[_key(project)] = keys.get(_key(project), True) and extra
    told = {facts.wheel.name.project}
    # First what certainly fails: a project is told once, by its worst case.
    for certain in (True, False):
        for module, where in _list_needed(facts, tree, certain=certain):
            projects = _find_providers(module)
            found = [keys[_key(project)] for project in projects if _key(project) in keys]
            if not all(found) or (found and not certain) or not told.isdisjoint(map(canonicalize_name, projects)):
                continue
            told.add(canonicalize_name(projects[0]))
            yield Finding(
                code="META-DEPENDENCY-EXTRA" if found else "META-DEPENDENCY" if certain else "META-DEPENDENCY-LAZY",
                where=where,
                message=f"imports {module}, and METADATA requires {projects[0]} "
                + ("for an extra alone" if found else "nowhere"),
                hint="require it, or let the code do without it",
            )


def _list_needed(facts: Facts, tree: ModuleTree, *, certain: bool) -> Iterator[tuple[str, str]]:
    """Yield modules of others that code needs, with the place; not what it can do without."""
    hosts = _list_hosts(facts, tree)
    for found in facts.sources.imports if facts.sources else ():
        runs = found.reached and not found.lazy
        if found.optional or runs != certain or (not certain and _is_beside(found.file)):
            continue
        if found.module.partition(".")[0] in hosts.get(found.file, ()):
            continue
        # What a from-import takes tells the project where the module is a namespace of several.
        taken = [f"{found.module}.{name}" for name in found.names]
        for module in [found.module] if _is_foreign(found.module, tree) else taken:
            if _is_foreign(module, tree):
                yield module, f"{found.file}:{found.line}"
    # PyPy has cffi's back end built in.
    if certain and not all(tag.interpreter.startswith("pp") for tag in facts.wheel.name.tag_set):
        needed = ((module, path) for path, modules in facts.strings.items() for module in modules)
        yield from ((module, path) for module, path in needed if _is_foreign(module, tree))


def _is_beside(path: str) -> bool:
    """Tell whether a file's needs are not those of the project: a test, a copy of another project, or no module."""
    return stands_aside(path) or is_vendored(path) or not find_module_name(path)


def _list_hosts(facts: Facts, tree: ModuleTree) -> dict[str, set[str]]:
    """Return by plug-in the programs that load it, as pytest does for the group `pytest11`; they are there then."""
    hosts: dict[str, set[str]] = {}
    for group, _, value in facts.wheel.entry_points.found:
        path = tree.files.get(value.partition(":")[0].strip(), "")
        hosts.setdefault(path, set()).add((re.match(r"[A-Za-z_]*", group) or [""])[0])
    return hosts


def _is_foreign(module: str, tree: ModuleTree) -> bool:
    return not tree.holds(module) and bool(_find_providers(module))


def _find_providers(module: str) -> list[str]:
    """Return the projects that may provide a module, the likeliest first."""
    names, prefixes = _names(), list_prefixes(module)[:4]
    for prefix in reversed(prefixes):
        if prefix in names.projects:
            return list(names.projects[prefix])
    if prefixes[0] in names.nobody:
        return []
    guesses: list[str] = [canonicalize_name(prefix) for prefix in prefixes]
    return guesses[1:] if prefixes[0] in names.namespaces else guesses


def _key(project: str) -> str:
    """Return what is left of a name without the words that tell one packaging of a thing from another."""
    words = canonicalize_name(project).split("-")
    key = "".join(word for word in words if word not in _COMMON_WORDS) or "".join(words)
    return key.removeprefix("py") if len(key) >= _SHORTEST_NAME else key


def _purity(facts: Facts) -> Iterator[Finding]:
    entries = facts.wheel.entries
    libraries = [
        path for path, entry in entries.items() if entry.kind and _LIBRARY.fullmatch(path) and not stands_aside(path)
    ]
    if facts.wheel.name.platforms == ("any",):
        # One that brings a library for every system is fit for any; and a .dll may hold .NET code, which is, too.
        kinds = {entries[path].kind for path in libraries}
        libraries = [path for path in libraries if not path.endswith(".dll")]
        told = "the platform tag says any" if len(kinds) == 1 else ""
    else:
        libraries = [path for path in libraries if ".data/" not in path]
        pure = facts.wheel.wheel_fields.get("Root-Is-Purelib").strip().lower()
        told = "Root-Is-Purelib is true" if pure == "true" else ""
    if libraries and told:
        yield Finding(
            code="META-PURE",
            where=libraries[0],
            message=f"is compiled, and {told}",
            hint="let the build back end know that the wheel has extension modules",
        )


def _licenses(facts: Facts, where: str) -> Iterator[Finding]:
    entries, folder = facts.wheel.entries, facts.wheel.dist_info
    named = [value.strip().replace("\\", "/") for value in _values(facts, "License-File")]
    missing = []
    for name in named:
        short = name.rpartition("/")[2]
        places = [f"{folder}/{place}{file}" for place in ("licenses/", "", "license_files/") for file in (name, short)]
        if not any(place in entries for place in places):
            missing.append(name)
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        yield Finding(
            code="META-LICENSE-MISSING",
            where=where,
            message=f"License-File: {show_value(missing[0])} is not in the wheel{more}",
            hint=f"put it into {folder}/licenses",
        )
    elif not any(_is_license(path) for path in entries):
        yield Finding(
            code="META-LICENSE",
            where=where,
            message="no file of the wheel looks like a licence",
            hint="name the licence files in the project's metadata, so that the build back end takes them in",
        )


def _is_license(path: str) -> bool:
    *folders, file = path.split("/")
    if file.endswith(_CODE):
        return False
    return _LICENSE.search(file) is not None or any(folder.lower() in ("licenses", "licences") for folder in folders)


def _entry_points(facts: Facts, tree: ModuleTree) -> Iterator[Finding]:
    where = f"{facts.wheel.dist_info}/entry_points.txt"
    entries = facts.wheel.entry_points.found
    if facts.wheel.entry_points.fault:
        message = f"cannot be read: {show_value(facts.wheel.entry_points.fault)}"
        yield Finding(code="META-ENTRY", where=where, message=message, hint="write it as an INI file of name = value")
        return
    # Any folder can be imported, as a namespace; pkg-config's entry points lead to folders without a module.
    folders = {
        path.rpartition("/")[0].replace("/", ".") for path in facts.wheel.entries if path.count("/") <= MAX_DEPTH
    }
    folders = {prefix for folder in folders for prefix in list_prefixes(folder)} - tree.files.keys()
    for group, name, value in entries[:_MAX_VALUES]:
        entry = _ENTRY.fullmatch(value) if len(value) <= MAX_VALUE else None
        fault = "is no reference to an object"
        if entry is not None:
            fault = "" if entry[1] in folders else _judge_entry(facts, tree, entry[1], entry[2])
        if fault:
            message = f"[{show_value(group)[1:-1]}] {show_value(name)[1:-1]} = {show_value(value)[1:-1]} {fault}"
            hint = "correct the entry point, or let the build take the module in"
            yield Finding(code="META-ENTRY", where=where, message=message, hint=hint)


def _judge_entry(facts: Facts, tree: ModuleTree, module: str, attribute: str | None) -> str:
    """Return what is wrong with an entry point, or an empty text."""
    if not tree.holds(module):
        return ""  # it may lead into another project
    defined = facts.sources.defined if facts.sources else {}
    if module not in tree.files:
        above = [tree.files.get(name, "") for name in list_prefixes(module)[:-1]]
        computed = any("__path__" in defined.get(path, ()) for path in above)
        return "" if computed else "leads to a module that is not in the wheel"
    names = defined.get(tree.files.get(module, ""))
    first = (attribute or "").partition(".")[0]
    if not first or names is None or "*" in names or first in names or f"{module}.{first}" in tree.files:
        return ""
    return f"leads to {first}, which its module does not define"
