"""The engines that are known, and how each is driven: as data, and by an adapter."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

import msgspec

from truewheel.config.load import LoadedRecipe, available, load_recipe
from truewheel.decoding import load_table
from truewheel.errors import LoadError

_ADAPTERS = Path(__file__).resolve().parent / "engines"


class EngineEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """How a project's packages are run.

    Attributes:
        import_name: the package that it installs.
        driver: its adapter, a file without `.py`.
        shape: whether it has llama_cpp's calls.
        extra: requirements that are installed with it because its metadata forgets them.
        mends: what that means, for its row.
        lends: how it gets its model: as a `copy` where it opens it to write, as a `link` in a folder of its own where
            it lists the folder; as it is by itself.
        listening: it starts a server in any case: let it, in a network of its own where nobody else is.
        chat: it puts a template of its own around every prompt.
        name: of the project, normalized.
        folder: where its adapter lies, if that is a recipe's folder; empty for `child/engines/`.
    """

    import_name: str
    driver: str
    shape: Literal["llama.cpp", "other"] = "other"
    extra: tuple[str, ...] = ()
    mends: str = ""
    lends: Literal["", "link", "copy"] = ""
    listening: bool = False
    chat: bool = False
    name: str = ""
    folder: str = ""

    @property
    def adapter(self) -> Path:
        """Return the file that drives it."""
        return (Path(self.folder) if self.folder else _ADAPTERS) / f"{self.driver}.py"


@functools.cache
def _table() -> dict[str, EngineEntry]:
    table = load_table("truewheel.child", "engines.toml", dict[str, EngineEntry])
    return {name: msgspec.structs.replace(entry, name=name) for name, entry in table.items()}


def engine_of(loaded: LoadedRecipe) -> EngineEntry:
    """Return how a recipe's engine is driven: by the adapter beside the recipe, or by one of ours.

    Raises:
        LoadError: there is no such adapter.
    """
    engine = loaded.recipe.engine
    entry = _table().get(engine.name, EngineEntry(import_name=engine.import_name, driver=engine.driver))
    own = (loaded.folder / f"{engine.driver}.py").is_file()
    folder = str(loaded.folder.absolute()) if own else ""
    told = {"name": engine.name, "import_name": engine.import_name, "driver": engine.driver}
    entry = msgspec.structs.replace(entry, **told, folder=folder)
    if not entry.adapter.is_file():
        known = ", ".join(sorted({each.driver for each in _table().values()}))
        raise LoadError(
            f"recipe {engine.name}: engine.driver: there is no adapter {engine.driver!r}",
            hint=f"put {engine.driver}.py beside the recipe, or name one of {known}",
        )
    return entry


def engine_for(project: str) -> EngineEntry:
    """Return how the wheels of a project are driven, as the recipe says that builds them.

    Raises:
        LoadError: no recipe builds this project.
    """
    for name in available("recipes"):
        loaded = load_recipe(name)
        if loaded.recipe.engine.name == project:
            return engine_of(loaded)
    raise LoadError(
        f"no smoke driver knows the project {project!r}", hint=f"known projects are: {', '.join(available('recipes'))}"
    )


def known_engines() -> dict[str, EngineEntry]:
    """Return the engines that can be measured, by normalized project name: those of the table, and of recipes.

    Raises:
        LoadError: a recipe does not follow the format.
    """
    built = {loaded.recipe.engine.name: engine_of(loaded) for loaded in map(load_recipe, available("recipes"))}
    return {**_table(), **built}
