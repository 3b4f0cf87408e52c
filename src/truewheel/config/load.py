"""TOML to tables, with errors that say file, key, reason and the nearest right key."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from truewheel.config.locations import data_root
from truewheel.config.tables import Backends, Profile, Recipe, RecipeLibraries, TomlTable
from truewheel.decoding import UnreadableError, decode_toml, read_text
from truewheel.errors import LoadError
from truewheel.text import clean

_T = TypeVar("_T", bound=TomlTable)
_SCHEMA = "`truewheel schema`"
_UNKNOWN_KEY = re.compile(r"Object contains unknown field `(?P<key>[^`]+)`(?: - at `(?P<path>[^`]+)`)?")
_MISSING_KEY = re.compile(r"Object missing required field `(?P<key>[^`]+)`(?: - at `(?P<path>[^`]+)`)?")
_AT_PATH = re.compile(r"(?P<reason>.*?) - at (?:`key` in )?`(?P<path>[^`]+)`$")


class LoadedRecipe(NamedTuple):
    """A recipe and the folder that its patches and paths are relative to."""

    recipe: Recipe
    folder: Path


def load_recipe(name: str) -> LoadedRecipe:
    """Load a recipe by engine name, or by the path of a `recipe.toml` or of its folder.

    Raises:
        LoadError: there is none, or it does not follow the format.
    """
    path = find_file(name, "recipes", "recipe.toml")
    return LoadedRecipe(decode_file(path, Recipe), path.parent)


def backends_of(recipe: Recipe) -> Backends | None:
    """Return the backends of an engine, which are another recipe's where its libraries come from there.

    Raises:
        LoadError: there is no such recipe, or it does not follow the format.
    """
    if isinstance(recipe.libraries, RecipeLibraries):
        return load_recipe(recipe.libraries.recipe).recipe.backends
    return recipe.backends


def load_profile(name: str) -> Profile:
    """Load a profile by label, or by the path of a TOML file.

    Raises:
        LoadError: there is none, or it does not follow the format.
    """
    path = find_file(name, "profiles")
    profile = decode_file(path, Profile)
    if profile.label != path.stem:
        raise LoadError(
            f"{path}: label: {profile.label!r} is not the file's name {path.stem!r}",
            hint=f'write label = "{path.stem}", or rename the file',
        )
    return profile


def available(kind: str) -> list[str]:
    """Return the names of the recipes (`kind` is `recipes`), profiles (`profiles`) or presets that are here."""
    root = data_root() / kind
    if kind == "recipes":
        return sorted(path.parent.name for path in root.glob("*/recipe.toml"))
    return sorted(path.stem for path in root.glob("*.toml"))


def find_file(name: str, kind: str, inner: str = "") -> Path:
    """Return the file of a recipe, profile or preset, by its name or path.

    Args:
        name: name, or path of a file or of its folder.
        kind: `recipes`, `profiles` or `presets`.
        inner: the file in a folder of that name; empty where the file itself is called so.

    Raises:
        LoadError: there is none.
    """
    if "/" in name or name.endswith(".toml"):
        path = Path(name)
        path = path / inner if inner and path.is_dir() else path
        if not path.is_file():
            raise LoadError(f"no such file: {path}", hint=f"name one of {', '.join(available(kind))}, or a TOML file")
        return path
    path = data_root() / kind / (f"{name}/{inner}" if inner else f"{name}.toml")
    names = available(kind)
    if name not in names:
        singular = kind.removesuffix("s")
        near = difflib.get_close_matches(name, names, n=1)
        known = f"known are: {', '.join(names)}"
        raise LoadError(
            f"there is no {singular} named {name!r}", hint=f"did you mean {near[0]!r}? {known}" if near else known
        )
    return path


def decode_file(path: Path, kind: type[_T], schema: str = _SCHEMA) -> _T:
    """Read a TOML file into a table.

    Args:
        path: the file.
        kind: which table.
        schema: the command that describes every key.

    Raises:
        LoadError: it cannot be read, or does not follow the format.
    """
    shown = clean(str(path))
    try:
        text = read_text(path)
    except UnreadableError as error:
        hint = "a recipe, profile or preset is a TOML file in UTF-8"
        raise LoadError(f"cannot read {shown}: {error.reason}", hint=hint) from error
    try:
        return decode_toml(text, kind)
    except UnreadableError as error:
        if error.shape:
            raise _explain(shown, kind, text, error.shape, schema) from error
        raise LoadError(f"{shown}: {error.reason}", hint="the place is named in the message") from error


def _explain(path: str, kind: type[msgspec.Struct], text: str, message: str, schema: str) -> LoadError:
    """Turn msgspec's message into file, line, key, reason and a suggestion."""
    if match := _UNKNOWN_KEY.match(message):
        key, parents = match["key"], _keys(match["path"])
        known = _fields_at(kind, text, parents)
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        where = ".".join([*parents, key])
        hint = f"did you mean {near[0]!r}? " if near else ""
        return LoadError(
            f"{path}{_line_of(text, parents, key)}: {where}: unknown key",
            hint=f"{hint}known here are: {', '.join(known)}",
        )
    if missing := _MISSING_KEY.match(message):
        where = ".".join([*_keys(missing["path"]), missing["key"]])
        return LoadError(f"{path}: {where}: required key is missing", hint=f"{schema} describes every key")
    if wrong := _AT_PATH.match(message):
        path_keys = _keys(wrong["path"])
        line = _line_of(text, path_keys[:-1], path_keys[-1] if path_keys else "")
        reason = wrong["reason"]
        return LoadError(f"{path}{line}: {'.'.join(path_keys)}: {reason}", hint=f"{schema} describes every key")
    return LoadError(f"{path}: {message}", hint=f"{schema} describes every key")


def _keys(path: str | None) -> list[str]:
    """Turn msgspec's `$.build.define[...]` and `$.flags[0]` into key names."""
    return [part for part in re.split(r"[.\[\]]+", path or "") if part not in ("", "$", "...") and not part.isdigit()]


def _fields_at(kind: type[msgspec.Struct], text: str, parents: list[str]) -> list[str]:
    """Return the key names that the table at `parents` knows."""
    info: msgspec.inspect.Type = msgspec.inspect.type_info(kind)
    table: Any = decode_toml(text, dict[str, Any])
    for parent in parents:
        if not isinstance(info, msgspec.inspect.StructType):
            return []
        info = next((field.type for field in info.fields if field.encode_name == parent), info)
        table = table.get(parent, {}) if isinstance(table, dict) else {}
        if isinstance(info, msgspec.inspect.VarTupleType):
            info, table = info.item_type, {}
        if isinstance(info, msgspec.inspect.UnionType):
            options = [option for option in info.types if isinstance(option, msgspec.inspect.StructType)]
            tag = table.get("type") if isinstance(table, dict) else None
            info = next((option for option in options if option.tag == tag), options[0] if options else info)
    if not isinstance(info, msgspec.inspect.StructType):
        return []
    return sorted(field.encode_name for field in info.fields)


def _line_of(text: str, parents: list[str], key: str) -> str:
    """Return `:LINE` of a key in its table, or nothing where it cannot be told."""
    table: list[str] = []
    pattern = re.compile(rf"^\s*\"?{re.escape(key)}\"?\s*=")
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"^\s*\[{1,2}([^\[\]]+)\]", line):
            table = [part.strip() for part in header[1].split(".")]
            if [*parents, key] == table:
                return f":{number}"
        elif table == parents and pattern.match(line):
            return f":{number}"
    return ""
