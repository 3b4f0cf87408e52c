"""What a wheel's Python files import, and which of them run when the wheel is imported."""

from __future__ import annotations

import ast
import re
import sys

# Never used here: the parser imports it for names of characters, and the child that runs this may open no file.
import unicodedata  # noqa: F401
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from truewheel.wheel.modules import (
    MAX_DOTTED,
    Import,
    ModuleTree,
    Near,
    Source,
    find_module_name,
    find_roots,
    follow_imports,
    keep_foreign,
    stands_aside,
)

MAX_FILE_BYTES = 2 << 20
MAX_NAMES = 2_000_000
MAX_LETTERS = 16 << 20
MAX_IMPORTS = 50_000
"""Bounds of a file, of the names in all files together and their letters, and of the imports that are told."""

_MAX_IMPORTS_A_FILE, _MAX_NAMES_A_FILE, _MAX_REASON = 2000, 5000, 200
_CODING = re.compile(rb"\A(?:[ \t\f]*(?:#[^\r\n]*)?(?:\r\n?|\n))?[ \t\f]*#[^\r\n]*?coding[:=][ \t]*[-\w.]+")
_CHAIN = re.compile(r"\b\w+(?:[ \t\f\\\r\n]*\.[ \t\f\\\r\n]*\w+)+")
_OPERATORS = "+-*/%|&^@<>([."
_MAX_CHAIN, _MAX_OPERATORS = 1000, 50_000
_NAMESPACE = ("extend_path(", "declare_namespace(")
_BINDS_UNSEEN = ("globals()", "vars()", "locals()", "sys.modules[__name__]", "exec(")
_ALTERS_PATH = ("sys.path", "addsitedir")
_LOADS = ("ctypes", "cffi", "dlopen", "load_library")
_GUARD = re.compile(r"import|optional|suppress", re.IGNORECASE)
_CATCH_ALL = frozenset(("ImportError", "ModuleNotFoundError", "Exception", "BaseException"))
_TYPE_CHECKING = frozenset(("TYPE_CHECKING", "MYPY_CHECK_RUNNING"))
_CONDITION = re.compile(
    r"PY[23]|PYPY|find_(spec|loader)|hexversion|implementation|os\.name|platform|version_info|TYPE_CHECKING|MYPY\w*"
    r"|_?(has|HAS|have|HAVE|use|USE|with|WITH)_\w+|\w*(available|AVAILABLE|installed|INSTALLED)"
)
_TRIES: tuple[type[ast.Try], ...] = (ast.Try, getattr(ast, "TryStar", ast.Try))
_NOWHERE = "\ud800"
"""A file name that no file can have: after a syntax error the parser would open the file of that name."""


class SourceFacts(msgspec.Struct, frozen=True):
    """What the Python files of a wheel say.

    Attributes:
        imports: imports of what is neither in the wheel nor in the standard library.
        unparsable: files that could not be read, with the reason; they may be for another Python.
        defined: names that each file binds at its top level; "*" when it may bind others.
        reached: files that run when the wheel's packages and modules are imported.
        namespaces: packages with an `__init__.py` that other wheels share nevertheless.
        loads: whether a file has to do with loading libraries by other means than importing them.
    """

    imports: tuple[Import, ...] = ()
    unparsable: dict[str, str] = msgspec.field(default_factory=dict)
    defined: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    reached: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    loads: bool = False


class _Place(NamedTuple):
    """Where a statement stands."""

    optional: bool = False
    lazy: bool = False
    top: bool = True


def scan_sources(files: Iterable[tuple[str, bytes]]) -> SourceFacts:
    """Read the Python files among these.

    Args:
        files: path and content; of extension modules the path is enough, so that they are known to be there.
    """
    scans: dict[str, Source] = {}
    paths: list[str] = []
    names = letters = 0
    for path, data in files:
        paths.append(path)
        if path.endswith((".py", ".pyw")):
            scan = scan_source(path, data)
            names += len(scan.names) + sum(1 + len(found.names) for found in scan.imports)
            letters += sum(map(len, scan.names)) + sum(map(_count_letters, scan.imports))
            if names > MAX_NAMES or letters > MAX_LETTERS:
                scan = Source(reason="the wheel's files hold too many names")
            scans[path] = scan
    declared = (find_module_name(path) for path, scan in scans.items() if scan.namespace)
    tree = ModuleTree(paths, filter(None, declared))
    certain = follow_imports(tree, scans, find_roots(tree, scans), optional=False)
    reached = follow_imports(tree, scans, certain, optional=True)
    near = Near(paths, altered=any(scan.alters_path for path, scan in scans.items() if not stands_aside(path)))
    imports: list[Import] = []
    for path, scan in scans.items():
        for found in scan.imports:
            foreign = keep_foreign(tree, found)
            if foreign is not None and not near.has(foreign, reached=path in reached):
                guarded = path in reached and path not in certain
                optional = foreign.optional or (guarded and not foreign.lazy)
                imports.append(msgspec.structs.replace(foreign, optional=optional, reached=path in reached))
    return SourceFacts(
        imports=tuple(imports[:MAX_IMPORTS]),
        unparsable={path: scan.reason for path, scan in scans.items() if scan.reason},
        defined={path: scan.names for path, scan in scans.items() if not scan.reason and not stands_aside(path)},
        reached=tuple(path for path in scans if path in reached),
        namespaces=tuple(sorted(tree.namespaces)),
        loads=any(scan.loads for scan in scans.values()),
    )


def _count_letters(found: Import) -> int:
    return len(found.file) + len(found.module) + sum(map(len, found.names))


def scan_source(path: str, data: bytes) -> Source:
    """Read one Python file, whatever it holds."""
    if len(data) > MAX_FILE_BYTES:
        return Source(reason="too large")
    try:
        text = _decode(data)
        _refuse_chains(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, filename=_NOWHERE)
        imports, names = _read_statements(tree, path, find_module_name(path))
    except SyntaxError as error:
        return Source(reason=_shorten(f"{error.msg} (line {error.lineno})"))
    except (RecursionError, MemoryError, SystemError):  # the last one is what Python 3.11 says of some deep nesting
        return Source(reason="nested too deeply or too long for the parser")
    except (ValueError, OverflowError) as error:
        return Source(reason=_shorten(str(error)))
    if "__getattr__" in names or _has_any(text, _BINDS_UNSEEN):
        names["*"] = None
    return Source(
        imports=imports,
        names=tuple(sorted(names)) if len(names) <= _MAX_NAMES_A_FILE else ("*",),
        namespace=path.endswith("__init__.py") and _has_any(text, _NAMESPACE),
        alters_path=_has_any(text, _ALTERS_PATH),
        loads=_has_any(text, _LOADS),
    )


def _has_any(text: str, marks: tuple[str, ...]) -> bool:
    return any(mark in text for mark in marks)


def _shorten(reason: str) -> str:
    return " ".join(reason.encode("ascii", "backslashreplace").decode()[:_MAX_REASON].split())


def _refuse_chains(text: str) -> None:
    """Refuse what would bring the parser down instead of making it give up."""
    # For `import a.a.a` and so on it takes memory that grows with the square; most files have fewer dots than that.
    if text.count(".") > _MAX_CHAIN and any(chain[0].count(".") > _MAX_CHAIN for chain in _CHAIN.finditer(text)):
        raise ValueError("holds a dotted name of more than 1000 parts")
    # Python 3.10 goes one call deeper for each operator of `1+1+1` or `f()()()`, and ends when the stack does.
    if sys.version_info < (3, 11) and sum(map(text.count, _OPERATORS)) > _MAX_OPERATORS:
        raise ValueError("has too many operators for the parser of Python 3.10")


def _decode(data: bytes) -> str:
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in data:
        raise ValueError("holds NUL bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        if not _CODING.match(data):
            raise ValueError("not UTF-8, and names no other encoding") from None
        # The codec that it names would be a file to open, and import statements are ASCII in nearly all of them.
        return data.decode("latin-1")


def _read_statements(tree: ast.Module, path: str, module: str) -> tuple[tuple[Import, ...], dict[str, None]]:
    """Return the imports in a file, and the names that it binds at its top level."""
    package = module if path.endswith("__init__.py") else module.rpartition(".")[0]
    imports: dict[tuple[object, ...], Import] = {}
    names: dict[str, None] = {}
    # A stack of our own: a function that called itself for every level would end where the nesting is deep.
    stack = [(statement, _Place()) for statement in tree.body]
    while stack:
        statement, place = stack.pop()
        if place.top or isinstance(statement, ast.Global):
            names.update(dict.fromkeys(_list_bound(statement)))
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            for name, taken in _list_imported(statement, package):
                if len(name) <= MAX_DOTTED and name.partition(".")[0] not in sys.stdlib_module_names:
                    found = Import(path, statement.lineno, name, taken, place.optional, place.lazy)
                    key = (name, taken, place.optional, place.lazy)
                    if key not in imports or found.line < imports[key].line:
                        imports[key] = found
        else:
            stack.extend(_list_inside(statement, place))
    return tuple(sorted(imports.values(), key=lambda found: found.line)[:_MAX_IMPORTS_A_FILE]), names


def _list_imported(statement: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    if isinstance(statement, ast.Import):
        yield from ((alias.name, ()) for alias in statement.names)
        return
    module = statement.module or ""
    if statement.level:
        parts = package.split(".") if package else []
        if statement.level > len(parts):
            return
        module = ".".join([*parts[: len(parts) - statement.level + 1], *filter(None, [module])])
    yield module, tuple(alias.name for alias in statement.names if len(alias.name) <= MAX_DOTTED)


def _list_bound(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement binds, without those of statements inside it."""
    targets: list[ast.expr] = []
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, ast.Global):
        yield from statement.names
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in statement.names)
    elif isinstance(statement, ast.Assign):
        targets = list(statement.targets)
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign, ast.For, ast.AsyncFor)):
        targets = [statement.target]
    elif isinstance(statement, (ast.With, ast.AsyncWith)):
        targets = [item.optional_vars for item in statement.items if item.optional_vars]
    while targets:
        target = targets.pop()
        if isinstance(target, ast.Name):
            yield target.id
        elif isinstance(target, ast.Starred):
            targets.append(target.value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            targets += target.elts


def _list_inside(statement: ast.stmt, place: _Place) -> Iterator[tuple[ast.stmt, _Place]]:
    """Yield the statements inside one, with their place."""
    blocks: list[tuple[list[ast.stmt], _Place]] = []
    optional, lazy = place._replace(optional=True), place._replace(lazy=True)
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        blocks = [(statement.body, lazy._replace(top=False))]
    elif isinstance(statement, ast.ClassDef):
        blocks = [(statement.body, place._replace(top=False))]
    elif isinstance(statement, ast.If):
        blocks = list(zip((statement.body, statement.orelse), _judge_condition(statement.test, place), strict=True))
    elif isinstance(statement, _TRIES):
        tried = optional if any(map(_catches_import_error, statement.handlers)) else place
        blocks = [(statement.body, tried), (statement.orelse, tried), (statement.finalbody, place)]
        blocks += [(handler.body, optional) for handler in statement.handlers]
    elif isinstance(statement, (ast.With, ast.AsyncWith)):
        guarded = any(_GUARD.search(name) for item in statement.items for name in _list_names(item.context_expr))
        blocks = [(statement.body, optional if guarded else place)]
    elif isinstance(statement, (ast.For, ast.AsyncFor, ast.While)):
        blocks = [(statement.body, place), (statement.orelse, place)]
    elif isinstance(statement, ast.Match):
        blocks = [(case.body, lazy) for case in statement.cases]
    for body, inner in blocks:
        yield from ((child, inner) for child in body)


def _judge_condition(test: ast.expr, place: _Place) -> tuple[_Place, _Place]:
    """Return the places of what stands below an `if` and below its `else`."""
    if place.optional:
        return place, place
    optional = place._replace(optional=True)
    negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    plain = test.operand if isinstance(test, ast.UnaryOp) and negated else test
    names = _list_names(plain)
    if isinstance(plain, (ast.Name, ast.Attribute)) and not _TYPE_CHECKING.isdisjoint(names):
        return (place, optional) if negated else (optional, place)
    if isinstance(plain, ast.Constant) or any(map(_CONDITION.fullmatch, names)):
        return optional, optional
    # Nobody knows whether it runs: not enough to refuse a wheel, too much to keep silent.
    return place._replace(lazy=True), place._replace(lazy=True)


def _catches_import_error(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or not _CATCH_ALL.isdisjoint(_list_names(handler.type))


def _list_names(expression: ast.expr) -> list[str]:
    """Return the names and attributes in an expression, attributes of names also dotted."""
    names = []
    for node in ast.walk(expression):
        if isinstance(node, ast.Name):
            names.append(node.id)
        elif isinstance(node, ast.Attribute):
            names.append(node.attr)
            if isinstance(node.value, ast.Name):
                names.append(f"{node.value.id}.{node.attr}")
    return names
