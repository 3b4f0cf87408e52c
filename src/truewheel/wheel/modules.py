"""The modules that a wheel's files are, and which of them run when the wheel is imported."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from truewheel.wheel.installed import path_in_site

MAX_DEPTH = 30
"""Folders above a file; in a deeper one it is no module."""

MAX_DOTTED = 300
"""Length of a dotted name that is followed."""

_MAX_NAMES_AN_IMPORT = 50
_ASIDE = frozenset(("benchmark", "benchmarks", "doc", "docs", "example", "examples", "test", "testing", "tests"))
_ASIDE_FILE = re.compile(r"(conftest|setup|noxfile|versioneer|test_\w*|\w*_tests?)\.pyw?")
_VENDORED = re.compile(r"_?(vendor|vendored|extern|externals?|third_?party|3rd_?party|bundled)")
_SUFFIX = re.compile(r"\.(py|pyw|pyc|so|pyd|[\w-]+\.so|[\w-]+\.pyd)")


class Import(msgspec.Struct, frozen=True):
    """One import of something that is neither the wheel's own nor of the standard library.

    Attributes:
        file: path in the wheel.
        line: where in the file.
        module: absolute dotted name.
        names: what is taken out of the module, for a from-import.
        optional: whether it may fail or be left out: guarded against ImportError, or for some platforms only.
        lazy: whether it is inside a function or a condition, so that it need not run when the file does.
        reached: whether its file runs when the wheel is imported.
    """

    file: str
    line: int
    module: str
    names: tuple[str, ...] = ()
    optional: bool = False
    lazy: bool = False
    reached: bool = False


class Source(msgspec.Struct, frozen=True):
    """What one Python file says.

    Attributes:
        imports: imports of other than the standard library, the wheel's own among them.
        names: names that are bound at its top level; "*" when others may be.
        namespace: whether it declares a namespace package, which other wheels share.
        alters_path: whether it has to do with `sys.path`.
        loads: whether it has to do with loading libraries.
        reason: why it could not be read; empty when it could.
    """

    imports: tuple[Import, ...] = ()
    names: tuple[str, ...] = ()
    namespace: bool = False
    alters_path: bool = False
    loads: bool = False
    reason: str = ""


class ModuleTree:
    """The modules that files of a wheel are."""

    def __init__(self, paths: Iterable[str], namespaces: Iterable[str] = ()) -> None:
        self.files: dict[str, str] = {}
        self.folders: set[str] = set()
        self.namespaces = frozenset(namespaces)
        for path in sorted(paths):
            name = find_module_name(path)
            # A package hides a module of the same name.
            if name and (name not in self.files or "/__init__." in path):
                self.files[name] = path
        for name in self.files:
            self.folders.update(list_prefixes(name)[:-1])

    def is_regular(self, name: str) -> bool:
        """Tell whether a module or package is this wheel's alone."""
        return name in self.files and name not in self.namespaces

    def holds(self, module: str) -> bool:
        """Tell whether a dotted name lies in the wheel, or would have to."""
        for prefix in list_prefixes(module):
            if self.is_regular(prefix):
                return True
            if prefix not in self.folders and prefix not in self.files:
                return False
        return True


def find_module_name(path: str) -> str:
    """Return the dotted name under which a file of a wheel is imported, or an empty text."""
    folder, _, file = path_in_site(path).rpartition("/")
    stem, dot, rest = file.partition(".")
    parts = [*folder.split("/"), stem] if folder else [stem]
    if not _SUFFIX.fullmatch(dot + rest) or not all(part.isidentifier() for part in parts) or "__pycache__" in parts:
        return ""
    name = ".".join(parts[:-1] if stem == "__init__" else parts)
    return name if len(name) <= MAX_DOTTED and len(parts) <= MAX_DEPTH else ""


def list_prefixes(module: str) -> list[str]:
    """Return `a`, `a.b` and `a.b.c` for `a.b.c`."""
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def stands_aside(path: str) -> bool:
    """Tell whether a file is no part of what a wheel is installed for: tests, examples, documents, set-up."""
    *folders, file = path.split("/")
    return any(folder.lstrip("_") in _ASIDE for folder in folders) or _ASIDE_FILE.fullmatch(file) is not None


def is_vendored(path: str) -> bool:
    """Tell whether a file belongs to a copy of another project."""
    return any(map(_VENDORED.fullmatch, path.split("/")[:-1]))


def find_roots(tree: ModuleTree, scans: dict[str, Source]) -> list[str]:
    """Return the files that run first when the wheel's packages and modules are imported."""

    def is_whole(name: str) -> bool:
        """Tell whether importing a package is importing what the wheel is for: a bare namespace package is not."""
        scan = scans.get(tree.files.get(name, ""), Source())
        return tree.is_regular(name) or any(tree.holds(found.module) for found in scan.imports)

    roots: dict[str, str] = {}
    loose: list[str] = []
    for name, path in tree.files.items():
        *above, _ = list_prefixes(name)
        if name == "__main__" or stands_aside(path) or any(map(is_whole, above)):
            continue
        if not above or "/__init__." in path:
            roots[name] = path
        elif len(above) == 1:
            loose.append(path)
    # A private module beside a public one runs when that one imports it, or when a plug-in's host does.
    public = [path for name, path in roots.items() if not name.startswith("_")]
    # A module in a folder that is no package may be one of a namespace, but beside a package it is a script.
    return public or [*roots.values()] or loose


def follow_imports(tree: ModuleTree, scans: dict[str, Source], files: Iterable[str], *, optional: bool) -> set[str]:
    """Return these files and all that they make run by importing them, with or without imports that may fail."""
    waiting = [path for path in files if path in scans]
    found = set(waiting)
    while waiting:
        for imported in scans[waiting.pop()].imports:
            if imported.lazy or (imported.optional and not optional):
                continue
            taken = [f"{imported.module}.{name}" for name in imported.names]
            targets = {tree.files.get(name, "") for name in [*list_prefixes(imported.module), *taken]}
            fresh = [target for target in targets if target in scans and target not in found]
            found.update(fresh)
            waiting += fresh
    return found


def keep_foreign(tree: ModuleTree, found: Import) -> Import | None:
    """Return an import without what the wheel itself has, or None when nothing is left of it."""
    if not tree.holds(found.module):
        return msgspec.structs.replace(found, names=found.names[:_MAX_NAMES_AN_IMPORT])
    names = [name for name in found.names if name != "*" and not tree.holds(f"{found.module}.{name}")]
    return msgspec.structs.replace(found, names=tuple(names[:_MAX_NAMES_AN_IMPORT])) if names else None


class Near:
    """Modules of the wheel that are found because something alters `sys.path`, or because a file runs as a script."""

    def __init__(self, paths: Iterable[str], *, altered: bool) -> None:
        self.altered = altered
        self.children: dict[str, set[str]] = {}
        self.vendored: set[str] = set()
        for path in (path for path in paths if path.count("/") <= MAX_DEPTH):
            folder, _, file = path.rpartition("/")
            parts = [*folder.split("/"), file.partition(".")[0]]
            for depth in range(1, len(parts)):
                self.children.setdefault("/".join(parts[:depth]), set()).add(parts[depth])
            first = next((depth for depth, part in enumerate(parts) if _VENDORED.fullmatch(part)), len(parts))
            self.vendored.update(parts[first + 1 :])

    def has(self, found: Import, *, reached: bool) -> bool:
        """Tell whether the wheel itself may be what a file imports by an absolute name."""
        name = found.module.partition(".")[0]
        if name in self.vendored:
            return True
        *folders, file = found.file.removesuffix(".py").split("/")
        if (reached and not self.altered) or name == file:
            return False
        return any(name in self.children.get("/".join(folders[:depth]), ()) for depth in range(1, len(folders) + 1))
