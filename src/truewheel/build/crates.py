"""The licences of the crates that a wheel is built with: they travel with it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from truewheel import process
from truewheel.build.product import process_reason
from truewheel.errors import BuildError

_NAME = re.compile(r"(?:un)?licen[cs]e|copying|notice", re.IGNORECASE)
_MOST_BYTES = 1 << 20
_RULE = "-" * 80


class _Package(msgspec.Struct):
    name: str
    version: str
    manifest_path: str
    source: str | None = None


class _Metadata(msgspec.Struct):
    packages: tuple[_Package, ...]


def read_licences(
    cargo: Path, tree: Path, target: str, compiled: Collection[str], environment: Mapping[str, str], log: Path
) -> bytes:
    """Return the licences of every crate that was compiled for the wheel, each text once, below those that have it.

    Args:
        cargo: the program.
        tree: the workspace, with its lock file.
        target: the target triple.
        compiled: names of the crates that were compiled for it, as rustc has them.
        environment: the build's.
        log: gets what is printed.

    Raises:
        BuildError: cargo does not tell where the crates are.
    """
    command: list[str | Path] = [cargo, "metadata", "--format-version", "1", "--locked", "--offline", "--quiet"]
    command += ["--filter-platform", target]
    done = process.run(command, env=environment, cwd=tree, log=log, merge_stderr=False, keep_lines=1_000_000)
    try:
        packages = msgspec.json.decode(done.output, type=_Metadata).packages
    except msgspec.DecodeError as error:
        raise BuildError(
            f"cargo does not tell where the crates are: {process_reason(done.output)}", hint=f"the full log is {log}"
        ) from error
    names = set(compiled)
    texts: dict[str, list[str]] = {}
    for package in sorted(packages, key=lambda package: (package.name, package.version)):
        if package.source is None or package.name.replace("-", "_") not in names:
            continue
        folder = Path(package.manifest_path).parent
        for path in _licence_files(folder):
            text = path.read_text(encoding="utf-8", errors="replace").strip()
            where = f"{package.name} {package.version}: {path.relative_to(folder).as_posix()}"
            texts.setdefault(text, []).append(where)
    parts = ["\n".join([*places, _RULE, text, ""]) for text, places in texts.items()]
    return "\n".join(parts).encode()


def _licence_files(folder: Path) -> list[Path]:
    """Return the licence files of a crate, and of a project that lies in it."""
    found = [path for pattern in ("*", "*/*") for path in folder.glob(pattern) if _NAME.match(path.name)]
    return sorted(path for path in found if path.is_file() and path.stat().st_size <= _MOST_BYTES)
