"""The models by name: `tiny` and `SHAPE:QUANTIZATION`, made on the spot; `smollm2`, from a package; any GGUF file."""

from __future__ import annotations

import functools
import shutil
import zipfile
from pathlib import Path
from typing import NamedTuple

import msgspec

from truewheel.config.locations import cache_root
from truewheel.decoding import load_table
from truewheel.errors import FetchError
from truewheel.files import replacing
from truewheel.kept.entry import is_kept, keep
from truewheel.locks import locked
from truewheel.machine import index
from truewheel.models.gguf_header import read_gguf_header
from truewheel.models.reading import read_model
from truewheel.models.shapes import SyntheticName, is_synthetic_name, parse_synthetic_name
from truewheel.models.synthetic import Progress, file_name, write_synthetic
from truewheel.stages import refusals_told

DEFAULT_PROMPT = "Once upon a time"


class Model(NamedTuple):
    """A model that was checked and may be loaded in a locked-down child.

    Attributes:
        name: `tiny`, `smollm2`, `SHAPE:QUANTIZATION`, or the file's name.
        path: the GGUF file.
        prompt: what the smoke test asks it.
        expect: what its greedy continuation must contain; empty for anything.
        vocabulary_round_trips: whether every text must survive tokenizing and back, byte for byte.
        synthetic: whether its weights are random, so that its text means nothing.
        known: whether it was made here, or is pinned by its hash: what it answers can be computed here too.
    """

    name: str
    path: Path
    prompt: str
    expect: str
    vocabulary_round_trips: bool
    synthetic: bool = False
    known: bool = False


class PackagedModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """What `models.toml` says of a model."""

    package: str
    version: str
    sha256: str
    member: str
    member_sha256: str
    prompt: str
    expect: str


@functools.cache
def packaged_models() -> dict[str, PackagedModel]:
    """Return the models that packages carry, by name."""
    return load_table("truewheel.models", "models.toml", dict[str, PackagedModel])


def find_model(name: str, on_progress: Progress | None = None) -> Model:
    """Return a model by name or path, made or fetched when it is not in the cache.

    Args:
        name: `tiny`, `smollm2`, a synthetic model such as `qwen2.5-1.5b:q4_k_m`, or a path.
        on_progress: is told the bytes done and their sum while a synthetic model is written.

    Raises:
        LoadError: the file is no sound GGUF, there is no such shape or quantization, or no room for it.
        FetchError: the package cannot be had, or the cache folder cannot be used.
    """
    with refusals_told(FetchError, "the model"):
        return _find_model(name, on_progress)


def _find_model(name: str, on_progress: Progress | None) -> Model:
    folder = cache_root() / "models"
    if name == "tiny":
        return Model(
            "tiny", _make_tiny(folder), DEFAULT_PROMPT, "", vocabulary_round_trips=True, synthetic=True, known=True
        )
    if name in packaged_models():
        packaged = packaged_models()[name]
        path = _fetch(name, packaged, folder)
        return Model(name, path, packaged.prompt, packaged.expect, vocabulary_round_trips=False, known=True)
    if is_synthetic_name(name):
        parsed = parse_synthetic_name(name)
        path = _make_synthetic(parsed, folder, on_progress)
        return Model(str(parsed), path, DEFAULT_PROMPT, "", vocabulary_round_trips=True, synthetic=True, known=True)
    path = Path(name).absolute()
    read_model(path)
    return Model(path.name, path, DEFAULT_PROMPT, "", vocabulary_round_trips=False)


def _make_synthetic(name: SyntheticName, folder: Path, on_progress: Progress | None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(name)
    with locked(folder / ".lock", "a model"):
        if not is_kept(path):
            write_synthetic(path, name, on_progress)
            keep(path)
    read_gguf_header(path)
    return path


def _make_tiny(folder: Path) -> Path:
    from truewheel.models.tiny import REVISION, write_tiny_model

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"tiny-{REVISION}.gguf"
    with locked(folder / ".lock", "a model"):
        if not is_kept(path):
            write_tiny_model(path)
            keep(path)
    read_gguf_header(path)
    return path


def _fetch(name: str, packaged: PackagedModel, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{packaged.version}-{packaged.sha256[:12]}.gguf"
    with locked(folder / ".lock", "a model"):
        if not is_kept(path, sha256=packaged.member_sha256):
            wheel = index.download_wheel(packaged.package, packaged.version, packaged.sha256, folder)
            try:
                with (
                    replacing(path) as beside,
                    zipfile.ZipFile(wheel) as archive,
                    archive.open(packaged.member) as stream,
                    beside.open("wb") as sink,
                ):
                    shutil.copyfileobj(stream, sink, 1 << 20)
            except KeyError as error:
                raise FetchError(f"{packaged.package} {packaged.version} holds no {packaged.member}") from error
            finally:
                wheel.unlink()
            keep(path)
    read_gguf_header(path)
    return path
