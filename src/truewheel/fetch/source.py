"""Fetch a source by name, version and hash, unpack what is needed of it, and patch it."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec

from truewheel.config.load import LoadedRecipe
from truewheel.config.tables import PathSource
from truewheel.errors import FetchError, LoadError
from truewheel.files import hash_file, read_file, remove, replacing_folder
from truewheel.kept.entry import is_kept, keep
from truewheel.kept.record import refuse_kept
from truewheel.locks import locked
from truewheel.machine import index
from truewheel.plan.make import Changes
from truewheel.plan.plan import PlannedSource

_CHUNK = 1 << 20
_MAX_BYTES = 4 << 30
_PRUNED = ("__pycache__", ".git")


class SourceTree(NamedTuple):
    """A patched source tree, ready to be built.

    Attributes:
        path: its folder; the same for the same source, so that compile caches hit.
        source: what it is.
        fresh: whether it was unpacked now, rather than found.
    """

    path: Path
    source: PlannedSource
    fresh: bool


def read_changes(loaded: LoadedRecipe) -> Changes:
    """Return what the recipe changes in its source: the content of its patches and of the files that it adds.

    Raises:
        LoadError: a patch or a folder is not there, or a file would be laid outside the tree.
    """
    patches = {name: _read(loaded.folder / name, "patch") for name in loaded.recipe.source.patches}
    added: dict[str, bytes] = {}
    for folder, place in loaded.recipe.source.add.items():
        root = loaded.folder / folder
        if PurePosixPath(place).is_absolute() or ".." in PurePosixPath(place).parts:
            raise LoadError(
                f"recipe {loaded.recipe.engine.name}: source.add: {place!r} is outside the source tree",
                hint="places are relative to the tree's top folder",
            )
        files = list(_tree_files(root, ()))
        if not files:
            raise LoadError(
                f"{root}: the recipe adds this folder, but there is no file in it",
                hint="folders of source.add are relative to the recipe",
            )
        added |= {(PurePosixPath(place) / name).as_posix(): _read(root / name, "file") for name in files}
    return Changes(patches, added)


def _read(path: Path, what: str) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise LoadError(
            f"{path}: the recipe names this {what}, but it cannot be read",
            hint="paths of patches are relative to the recipe",
        ) from error


def tree_hash(loaded: LoadedRecipe) -> str:
    """Return the hash of a path source's tree, or nothing for a package.

    Raises:
        LoadError: the tree is not there.
    """
    if not isinstance(loaded.recipe.source, PathSource):
        return ""
    root = (loaded.folder / loaded.recipe.source.path).resolve()
    if not root.is_dir():
        raise LoadError(f"{root}: the recipe's source.path is no folder", hint="it is relative to the recipe")
    digest = hashlib.sha256()
    for relative in _tree_files(root, loaded.recipe.source.exclude):
        digest.update(f"{relative}\0".encode())
        digest.update(hashlib.sha256(read_file(root / relative)).digest())
    return digest.hexdigest()


def fetch_source(
    loaded: LoadedRecipe, source: PlannedSource, changes: Changes, cache: Path, search_path: str
) -> SourceTree:
    """Return the patched tree of a source, from the cache when it is there.

    Args:
        loaded: the recipe and its folder.
        source: what is asked for.
        changes: content of its patches and of the files that are added.
        cache: our cache folder.
        search_path: PATH with cmake and ninja, which a build backend may ask for.

    Raises:
        FetchError: the archive cannot be had, has another hash, is unsafe, a patch does not apply, or a file that
            is added is there already.
    """
    folder = cache / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    identity = hashlib.sha256(msgspec.json.encode(source, order="deterministic")).hexdigest()
    tree = folder / f"{source.name}-{source.version}-{identity[:12]}"
    with locked(folder / f".{tree.name}.lock", f"the source of {source.name}"):
        if is_kept(tree, always=True):
            return SourceTree(tree, source, fresh=False)
        with replacing_folder(tree) as scratch:
            if isinstance(loaded.recipe.source, PathSource):
                _copy_tree((loaded.folder / loaded.recipe.source.path).resolve(), scratch, source.exclude)
            else:
                _unpack(_archive(source, folder, search_path), scratch, source)
            for name, data in changes.patches.items():
                _apply(name, data, scratch)
            for name, data in changes.added.items():
                _add(name, data, scratch)
            _refuse_empty(source, scratch)
        keep(tree)
    return SourceTree(tree, source, fresh=True)


def _archive(source: PlannedSource, folder: Path, search_path: str) -> Path:
    """Return the verified archive, downloading it when it is not in the cache."""
    target = folder / f"{source.name}-{source.version}-{source.sha256[:12]}.tar.gz"
    if target.is_file() and hash_file(target) == source.sha256:
        return target
    if os.path.lexists(target):
        refuse_kept(target, "its content is not what was kept")
        remove(target)
    downloaded = index.download_source(source.name, source.version, source.sha256, folder, search_path=search_path)
    actual = hash_file(downloaded)
    if actual != source.sha256:
        downloaded.unlink()
        raise FetchError(
            f"the source of {source.name} {source.version} has sha256 {actual}, the recipe says {source.sha256}",
            hint="if the version was changed on purpose, change sha256 in the recipe with it",
        )
    downloaded.replace(target)
    return target


def _unpack(archive: Path, target: Path, source: PlannedSource) -> None:
    """Unpack plain files alone, without the archive's top folder and what is excluded."""
    total = 0
    head = _commit_reader(source)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                relative = _safe_path(member.name)
                if relative is None or not member.isfile():
                    continue
                head(relative, tar, member)
                if _excluded(relative, source.exclude):
                    continue
                total += member.size
                if total > _MAX_BYTES:
                    raise FetchError(f"{archive.name} unpacks to more than {_MAX_BYTES >> 30} GiB")
                stream = tar.extractfile(member)
                if stream is None:
                    continue
                path = target / relative
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as sink:
                    shutil.copyfileobj(stream, sink, _CHUNK)
                path.chmod(0o755 if member.mode & 0o111 else 0o644)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FetchError(f"{archive.name} is damaged: {error}", hint=f"delete {archive} and try again") from error


def _safe_path(name: str) -> str | None:
    """Return a member's path below the archive's top folder; None for the top folder itself.

    Raises:
        FetchError: the path leaves the archive.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise FetchError(f"the source archive has a member with an unsafe path: {name!r}")
    parts = path.parts[1:]
    return "/".join(parts) if parts else None


def _excluded(relative: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(relative, pattern) for pattern in patterns)


def _commit_reader(source: PlannedSource) -> Callable[[str, tarfile.TarFile, tarfile.TarInfo], None]:
    """Return a function that compares the recipe's commits with the history that the archive carries."""

    def compare(relative: str, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        for name, commit in source.commit.items():
            if relative.startswith(".git/modules/") and relative.endswith(f"/{name}/HEAD") and "/logs/" not in relative:
                stream = tar.extractfile(member)
                text = stream.read(100).decode("ascii", "replace").strip() if stream else ""
                if not text.startswith("ref:") and text != commit:
                    raise FetchError(
                        f"{source.name} {source.version} holds {name} at {text}, the recipe says {commit}",
                        hint="correct build.commit in the recipe",
                    )

    return compare


def _refuse_empty(source: PlannedSource, tree: Path) -> None:
    """Refuse a tree from which a patch or the exclusions took everything."""
    if not any(tree.iterdir()):
        raise FetchError(
            f"nothing is left of the source of {source.name} {source.version}",
            hint="look at source.exclude",
        )


def _apply(name: str, data: bytes, tree: Path) -> None:
    import patch_ng

    patch = patch_ng.fromstring(data)
    if not patch or patch.errors:
        raise FetchError(f"{name} is no unified diff", hint="make it with `diff -u a/FILE b/FILE`")
    if not patch.apply(strip=1, root=os.fspath(tree), fuzz=False):
        raise FetchError(
            f"{name} does not apply to this version of the source", hint="the engine changed there: make the patch anew"
        )


def _add(name: str, data: bytes, tree: Path) -> None:
    path = tree / name
    if path.exists():
        raise FetchError(
            f"the source has a {name} of its own", hint="change it with a patch, or add it under another name"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _tree_files(root: Path, exclude: tuple[str, ...]) -> Iterator[str]:
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root).as_posix()
        pruned = any(part in _PRUNED for part in path.relative_to(root).parts)
        if path.is_file() and not path.is_symlink() and not pruned and not _excluded(relative, exclude):
            yield relative


def _copy_tree(root: Path, target: Path, exclude: tuple[str, ...]) -> None:
    for relative in _tree_files(root, exclude):
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / relative, target / relative)
