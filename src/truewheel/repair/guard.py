"""The import guard: a module that checks the CPU first, and the line that calls it."""

from __future__ import annotations

import ast
import io
from importlib import resources

from truewheel.cpu.features import feature_table
from truewheel.errors import RepairError
from truewheel.plan import Plan
from truewheel.wheel.archive import Member

_REGISTERS = ("eax", "ebx", "ecx", "edx")
MODULE = "_truewheel"
LIBRARY = "_truewheel_cpuid.so"
_IMPORT = f"from . import {MODULE} as _truewheel_guard"


def add_guard(members: dict[str, Member], plan: Plan, cpuid_library: bytes) -> dict[str, Member]:
    """Return the members with the guard in front of the package's own first import.

    Raises:
        RepairError: the package has no `__init__.py` that can be parsed.
    """
    init = f"{plan.import_name}/__init__.py"
    if init not in members:
        raise RepairError(f"the wheel has no {init}", hint="engine.import-name in the recipe must name its package")
    try:
        text = insert_import(members[init].data.decode("utf-8-sig"))
    except (SyntaxError, ValueError) as error:
        raise RepairError(f"{init} cannot be parsed: {error}") from error
    return {
        **members,
        init: Member(text.encode()),
        f"{plan.import_name}/{MODULE}.py": Member(guard_source(plan).encode()),
        f"{plan.import_name}/{LIBRARY}": Member(cpuid_library, executable=True),
    }


def guard_source(plan: Plan) -> str:
    """Return the guard module for a plan."""
    table = feature_table()
    rows = [
        (
            name,
            table[name].leaf,
            table[name].subleaf,
            _REGISTERS.index(table[name].register),
            table[name].bit,
            table[name].state,
        )
        for name in plan.features
        if name in table
    ]
    native = plan.march == "native"
    cpu = plan.toolchain.native_cpu or plan.level
    made_for = f"the CPU of the machine that built it ({cpu}, {plan.level})" if native else f"{plan.level} CPUs"
    # Not quoted from a template engine: three assignments are replaced, each checked to stand there once.
    source = resources.files("truewheel.repair").joinpath("guard_template.py").read_text()
    for old, new in (
        (
            "REQUIREMENTS = ()  # truewheel fills this in: (name, leaf, subleaf, register, bit, state)",
            f"REQUIREMENTS = {_tuple(rows)}",
        ),
        ('MADE_FOR = ""', f"MADE_FOR = {made_for!r}"),
        ('ADVICE = ""', f"ADVICE = {_advice(plan)!r}"),
    ):
        if source.count(old) != 1:
            raise RepairError(f"the guard template lacks the line {old!r}")
        source = source.replace(old, new)
    return source


def _advice(plan: Plan) -> str:
    return f"install a build of {plan.engine} for this machine instead, made here with `truewheel build {plan.engine}`"


def _tuple(rows: list[tuple[str, int, int, int, int, int]]) -> str:
    return "(\n" + "".join(f"    {row!r},\n" for row in rows) + ")"


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
