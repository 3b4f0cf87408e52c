"""The reference pages, made from the code: `python -m tools.reference FOLDER`."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import msgspec

from truewheel.checks.finding import Finding
from truewheel.checks.run import CODES, MODULES, explain
from truewheel.checks.size import Space
from truewheel.child.emulated_run import EmulatedRun
from truewheel.child.ending import SmokeStep
from truewheel.child.smoke import SmokeRecord
from truewheel.child.system_info import SystemInfo
from truewheel.cli import VERBS, cli
from truewheel.config.presets import (
    Measured,
    Preset,
    PresetEvidence,
    PresetFigures,
    PresetMachine,
    PresetModel,
    Purpose,
    RunnerUp,
    RunSettings,
)
from truewheel.config.tables import (
    Build,
    Checks,
    CrateLibraries,
    Package,
    PackageSource,
    PathSource,
    Profile,
    Recipe,
    RecipeEngine,
    RecipeLibraries,
    Rust,
    TomlTable,
)
from truewheel.errors import FAMILIES
from truewheel.examine.isa_account import Allowed, Claim, IsaAccount, LibraryNeeds
from truewheel.examine.isa_rules import RULE_TEXTS, isa_rules
from truewheel.report import Library, Report

_NOTE = "<!-- Made from the code by `nox -s docs`; a test compares. -->\n"
_RECIPE_TABLES: tuple[tuple[str, type[TomlTable]], ...] = (
    ("top level", Recipe),
    ("[engine]", RecipeEngine),
    ('[source] with type = "package"', PackageSource),
    ('[source] with type = "path"', PathSource),
    ("[build]", Build),
    ('[libraries] with source = "recipe"', RecipeLibraries),
    ('[libraries] with source = "crate"', CrateLibraries),
    ("[package]", Package),
    ("[checks]", Checks),
)
_PRESET_TABLES: tuple[tuple[str, type[TomlTable]], ...] = (
    ("top level", Preset),
    ("[for]", Purpose),
    ("[for] machine", PresetMachine),
    ("[for] model", PresetModel),
    ("[settings]", RunSettings),
    ("[figures]", PresetFigures),
    ("each of [figures]", Measured),
    ("[runner-up]", RunnerUp),
    ("[evidence]", PresetEvidence),
)
_REPORT_TABLES: tuple[type[msgspec.Struct], ...] = (
    Report,
    Finding,
    IsaAccount,
    Claim,
    LibraryNeeds,
    Allowed,
    Library,
    Space,
    SystemInfo,
    EmulatedRun,
    SmokeRecord,
    SmokeStep,
)


def reference_pages() -> dict[str, str]:
    """Return every reference page by file name."""
    return {
        "command-line.md": _command_line(),
        "recipe.md": _tables("recipe.toml", "WHAT can be built.", _RECIPE_TABLES),
        "profile.md": _tables("profiles/LABEL.toml", "HOW it is built.", (("top level", Profile), ("[rust]", Rust))),
        "preset.md": _tables("presets/NAME.toml", "HOW it is run.", _PRESET_TABLES, "schema preset"),
        "checks.md": _checks(),
        "report.md": _report(),
        "exit-codes.md": _exit_codes(),
        "sessions.md": _sessions(),
    }


def _command_line() -> str:
    import click

    context = click.Context(cli, info_name="truewheel", terminal_width=100, **cli.context_settings)
    parts = [_NOTE, "# Command line\n", _block(cli.get_help(context))]
    for verb in VERBS:
        command = cli.get_command(context, verb)
        if command is None:
            continue
        with click.Context(command, info_name=verb, parent=context, terminal_width=100) as inner:
            parts += [f"\n## truewheel {verb}\n", _block(command.get_help(inner))]
    return "\n".join(parts)


def _block(text: str) -> str:
    lines = [line.rstrip() for line in text.splitlines()]
    return "```text\n" + "\n".join(lines) + "\n```\n"


def _tables(title: str, what: str, tables: tuple[tuple[str, type[TomlTable]], ...], verb: str = "schema") -> str:
    what = f"{what} Unknown keys are errors. `truewheel {verb}` gives the JSON Schema."
    return "\n".join([_NOTE, f"# {title}", "", what, *_rows(tables)]) + "\n"


def _report() -> str:
    what = (
        "What `truewheel check --json` and `truewheel smoke --json` print, and what lies beside each wheel of the "
        "wheelhouse. There its last key is `seal`, the SHA-256 of the text without that key: a report that was changed "
        "is not believed. `truewheel schema report` gives the JSON Schema."
    )
    tables = tuple((kind.__name__, kind) for kind in _REPORT_TABLES)
    return "\n".join([_NOTE, "# Report", "", what, *_rows(tables)]) + "\n"


def _rows(tables: tuple[tuple[str, type[msgspec.Struct]], ...]) -> list[str]:
    lines: list[str] = []
    for heading, table in tables:
        texts = _attribute_texts(table.__doc__ or "")
        lines += ["", f"## {heading}", "", "| key | type | default | meaning |", "| --- | --- | --- | --- |"]
        for field in msgspec.structs.fields(table):
            default, kind = "required" if field.required else _default(field), _type(field.type)
            if issubclass(table, TomlTable) and default == "`null`":
                # TOML knows no null: such a key is left out.
                default, kind = "left out", kind.removesuffix(" or nothing")
            lines.append(f"| `{field.encode_name}` | {kind} | {default} | {texts.get(field.name, '').rstrip('.')} |")
    return lines


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is msgspec.UNSET:
        return "left out"
    if isinstance(value, TomlTable):
        return "empty table"
    return f"`{msgspec.json.encode(value).decode()}`"


def _type(annotation: Any) -> str:
    kind = msgspec.inspect.type_info(annotation)
    return _type_name(kind)


def _type_name(kind: Any) -> str:  # noqa: PLR0911 - one return a kind of type
    inspect = msgspec.inspect
    if isinstance(kind, inspect.Metadata):
        extra = kind.extra_json_schema or {}
        inner = _type_name(kind.type)
        return str(extra.get("description", inner))
    if isinstance(kind, inspect.LiteralType):
        return " or ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, inspect.VarTupleType):
        return f"list of {_type_name(kind.item_type)}"
    if isinstance(kind, inspect.DictType):
        return f"table of {_type_name(kind.value_type)}"
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_type_name(option) for option in kind.types)
    if isinstance(kind, inspect.StructType):
        return "table"
    names = {
        "StrType": "text",
        "IntType": "whole number",
        "FloatType": "number",
        "BoolType": "true or false",
        "NoneType": "nothing",
    }
    return names.get(type(kind).__name__, type(kind).__name__)


def _attribute_texts(docstring: str) -> dict[str, str]:
    """Read the Attributes section of a docstring."""
    texts: dict[str, str] = {}
    _, _, section = docstring.partition("Attributes:\n")
    name = ""
    for line in section.splitlines():
        if line.startswith(" " * 8) and not line.startswith(" " * 9) and ":" in line:
            name, _, text = line.strip().partition(":")
            texts[name] = text.strip()
        elif name and line.strip():
            texts[name] += " " + line.strip()
    return texts


def _checks() -> str:
    intro = (
        "A finding with severity `error` refuses the wheel. Two severities are those of wheels that truewheel built "
        "and of others; `truewheel check --policy FILE` changes them. `truewheel explain CODE` prints what stands here."
    )
    lines = [_NOTE, "# Checks and their codes", "", intro, ""]
    for name, module in MODULES.items():
        lines += [f"## {name}", "", str(module.__doc__).strip(), ""]
        lines += ["| code | severity | meaning |", "| --- | --- | --- |"]
        for code in module.CODES:
            found = explain(code)
            severity = found.own if found.own == found.foreign else f"{found.own}, {found.foreign}"
            lines.append(f"| {code} | {severity} | {CODES[code]} |")
        lines.append("")
    lines += ["## Rules for code that is chosen at run time", "", _RULES_TEXT, "", "| rule | why |", "| --- | --- |"]
    lines += [f"| {name} | {text} |" for name, text in RULE_TEXTS.items()]
    lines += [f"| {rule.name} | {rule.what} |" for rule in isa_rules()]
    return "\n".join(lines) + "\n"


_RULES_TEXT = (
    "Code beyond what a wheel claims is let through by a named rule alone, and the report says which. The last ones "
    "stand in `examine/isa_rules.toml`: each is for one library, known by texts in it, and for a share of its "
    "functions at most."
)


def _sessions() -> str:
    """Read the docstrings of the noxfile: to import it needs nox, which is not here when only the pages are made."""
    tree = ast.parse((Path(__file__).parents[1] / "noxfile.py").read_text(encoding="utf-8"))
    intro = (
        "Each session makes an environment, installs a lock file of `ci/` into it, and calls truewheel, pytest or a "
        "program of `tools/`. `python3 -m nox -s NAME` runs one; arguments after `--` are passed on where it says so."
    )
    lines = [_NOTE, "# nox sessions", "", intro, "", "| session | what it does |", "| --- | --- |"]
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list]
    lines += [f"| `{each.name}` | {(ast.get_docstring(each) or '').rstrip('.')} |" for each in functions]
    return "\n".join(lines) + "\n"


def _exit_codes() -> str:
    lines = [_NOTE, "# Exit codes", "", "| code | stage | meaning |", "| --- | --- | --- |", "| 0 | | success |"]
    lines.append("| 1 | | a fault of truewheel itself, with a traceback |")
    lines += [
        f"| {family.exit_code} | {family.stage} | {str(family.__doc__).strip().rstrip('.')} |" for family in FAMILIES
    ]
    ends = {129: "SIGHUP", 130: "SIGINT (Ctrl-C)", 131: "SIGQUIT", 143: "SIGTERM"}
    lines += [f"| {code} | | died of {name}, after ending what it had started |" for code, name in ends.items()]
    lines += ["", "An error says what happened and where. After `hint:` it says what to do next."]
    lines += [
        "",
        "The last four are what a shell shows; the process dies of the signal, which `waitpid` tells as such.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the pages into the folder that the command line names."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in reference_pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
