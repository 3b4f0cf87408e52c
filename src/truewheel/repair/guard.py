"""The import guard: a module that looks at the CPU first and loads its backend, and the line that calls it."""

from __future__ import annotations

import ast
import hashlib
import io
import pprint
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from truewheel.cpu.features import feature_table
from truewheel.cpu.levels import level_features
from truewheel.errors import RepairError
from truewheel.plan.plan import LoadedKernels, Plan
from truewheel.targets.targets import target_named
from truewheel.wheel.archive import Member, kind_of

_REGISTERS = ("eax", "ebx", "ecx", "edx")
MODULE = "truewheel"
LIBRARY = "_truewheel_cpuid.so"
_IMPORT = f"from . import {MODULE} as _truewheel_guard"
_BLANK = "TABLE = {}  # truewheel fills this in"
_START = "_BACKEND = _start()\n"


def add_guard(members: dict[str, Member], plan: Plan, cpuid_library: bytes) -> dict[str, Member]:
    """Return the members with the guard in front of the package's own first import.

    Raises:
        RepairError: the package has no `__init__.py` that can be parsed, or a backend is not there.
    """
    init = f"{plan.subject.import_name}/__init__.py"
    if init not in members:
        raise RepairError(f"the wheel has no {init}", hint="engine.import-name in the recipe must name its package")
    try:
        text = insert_import(members[init].data.decode("utf-8-sig"))
    except (SyntaxError, ValueError) as error:
        raise RepairError(f"{init} cannot be parsed: {error}") from error
    module = f"{plan.subject.import_name}/{MODULE}.py"
    if module in members:
        raise RepairError(f"the wheel has a {module} of its own", hint="the import guard takes that name")
    kernels = plan.code.kernels
    loaders = [kernels.loader] if isinstance(kernels, LoadedKernels) else []
    for path in [*(backend.library for backend in plan.code.backends), *loaders]:
        if path not in members:
            raise RepairError(f"the wheel has no {path}", hint="the recipe names it in [backends]")
    libraries = {path: member.data for path, member in members.items() if kind_of(member.data) == "elf"}
    helper = f"{plan.subject.import_name}/{LIBRARY}"
    libraries[helper] = cpuid_library
    return {
        **members,
        helper: Member(cpuid_library, executable=True),
        init: Member(text.encode()),
        module: Member(guard_source(plan, libraries).encode()),
    }


def guard_source(plan: Plan, libraries: Mapping[str, bytes]) -> str:
    """Return the guard module for a plan.

    Args:
        plan: the plan.
        libraries: the wheel's libraries by their paths, the guard's own among them.
    """
    # Not quoted from a template engine: one assignment is replaced, and checked to stand there once.
    source = resources.files("truewheel.carried").joinpath("guard_template.py").read_text()
    if source.count(_BLANK) != 1 or not source.endswith(_START):
        raise RepairError(f"the guard template lacks the line {_BLANK!r} or {_START!r}")
    return source.replace(
        _BLANK, f"TABLE = {pprint.pformat(guard_table(plan, libraries), width=110, sort_dicts=False)}"
    )


def guard_table(plan: Plan, libraries: Mapping[str, bytes]) -> dict[str, Any]:
    """Return what the guard of a plan compares the CPU with."""
    levels = [(level, tuple(sorted(level_features(level)))) for level in target_named(plan.code.target).levels[1:]]
    code = plan.code
    named = {*code.features, *(name for backend in code.backends for name in backend.features)}
    named |= {name for _, names in levels for name in names}
    beyond = sorted(set(code.features) - level_features(code.level))
    made_for = f"{code.level} with {', '.join(beyond)} CPUs" if beyond else f"{code.level} CPUs"
    if code.native:
        made_for = f"the CPU of the machine that built it ({code.family or code.level}, {code.level})"
    return {
        "engine": plan.subject.engine,
        "profile": plan.subject.profile,
        "made_for": made_for,
        "features": {
            name: (feature.leaf, feature.subleaf, _REGISTERS.index(feature.register), feature.bit, feature.state)
            for name, feature in feature_table().items()
            if name in named
        },
        "levels": tuple(levels),
        "required": code.features,
        "backends": tuple((backend.name, backend.library, backend.features) for backend in code.backends),
        "loader": code.kernels.loader if isinstance(code.kernels, LoadedKernels) else "",
        "helper": f"{plan.subject.import_name}/{LIBRARY}",
        "files": tuple(_files(plan, libraries)),
        "advice": _advice(plan),
    }


def _files(plan: Plan, libraries: Mapping[str, bytes]) -> Iterator[tuple[str, int, str]]:
    """Yield size and SHA-256 of each library of the package; of what the guard does not load itself, the size alone."""
    kernels = plan.code.kernels
    package = plan.subject.import_name
    loaded = {f"{package}/{LIBRARY}", *(backend.library for backend in plan.code.backends)}
    loaded |= {kernels.loader} if isinstance(kernels, LoadedKernels) else set()
    for path, data in sorted(libraries.items()):
        if path.startswith(f"{package}/"):
            yield path, len(data), hashlib.sha256(data).hexdigest() if path in loaded else ""


def _advice(plan: Plan) -> dict[str, str]:
    """Return what to do instead, by the level of the CPU that is refused."""
    engine, source = plan.subject.engine, plan.subject.source
    least, second, *more = target_named(plan.code.target).levels
    what = f"{source.name} {source.version}"
    if plan.code.native:
        here = f"install a build of {engine} for this machine instead, made here with `truewheel build {engine}`"
        return dict.fromkeys((least, second, *more), here)
    portable = {
        level: f"install the wheel {level.replace('-', '_')} or dispatch of {what} instead" for level in (second, *more)
    }
    return {least: f"no portable wheel of {what} runs on less than {second}", **portable}


def insert_import(source: str) -> str:
    """Return a package's `__init__` with the guard imported after docstring and `__future__` imports.

    Raises:
        SyntaxError: it cannot be parsed.
    """
    after, following = 0, None
    for position, node in enumerate(ast.parse(source).body):
        docstring = position == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if not (docstring or future):
            following = node
            break
        after = node.end_lineno or node.lineno
    # Not str.splitlines, which ends lines where Python does not: at a form feed in a docstring, say.
    lines = io.StringIO(source, newline="").readlines()
    if following is not None and following.lineno == after:
        line = lines[after - 1].encode()
        lines[after - 1] = f"{line[: following.col_offset].decode()}{_IMPORT}; {line[following.col_offset :].decode()}"
        return "".join(lines)
    if after and not lines[after - 1].endswith("\n"):
        lines[after - 1] += "\n"
    return "".join([*lines[:after], f"{_IMPORT}\n", *lines[after:]])
