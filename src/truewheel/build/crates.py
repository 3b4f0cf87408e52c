"""The crates that a wheel is built with: they are fetched first, and their licences travel with it."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from truewheel import process
from truewheel.build.product import process_reason
from truewheel.decoding import UnreadableError, decode_json
from truewheel.errors import BuildError, FetchError
from truewheel.files import read_file
from truewheel.machine.rust import cargo_home, rust_environment
from truewheel.machine.tools import Say
from truewheel.plan.placeholders import CRATES_PLACEHOLDER
from truewheel.scratch import SCRATCH

_NAME = re.compile(r"(?:un)?licen[cs]e|copying|notice", re.IGNORECASE)
_MOST_BYTES = 1 << 20
_RULE = "-" * 80
_FETCH_SECONDS = 1800.0
_NETWORK = re.compile(r"CARGO_(?:HTTP|NET)_\w+|(?:HTTPS?|ALL|NO)_PROXY|(?:https?|all|no)_proxy")
"""Variables that say how the network is reached, and nothing of what is fetched."""


class _Package(msgspec.Struct):
    name: str
    version: str
    manifest_path: str
    source: str | None = None


class _Metadata(msgspec.Struct):
    packages: tuple[_Package, ...]


def fetch_crates(cargo: Path, tree: Path, target: str, log: Path, say: Say) -> None:
    """Let cargo fetch and unpack every crate that a workspace's lock file names; the workspace is not changed.

    Args:
        cargo: the program.
        tree: the workspace, with its lock file.
        target: the target triple.
        log: gets what is printed.
        say: is told when something is downloaded.

    Raises:
        FetchError: a crate cannot be had, or the lock file does not fit.
    """
    network = {name: value for name, value in os.environ.items() if _NETWORK.fullmatch(name)}
    told = False

    def follow(line: str) -> None:
        nonlocal told
        if not told and line.strip().startswith("Downloading "):
            told = True
            say("         fetching crates from cargo's registry")

    # Cargo writes down what it learnt of rustc where it would compile; the tree is shared with other builds.
    with SCRATCH.folder("truewheel-cargo") as scratch:
        environment = {**process.plain_environment(), **network, **rust_environment()}
        environment["PATH"] = os.pathsep.join([str(cargo.parent), environment["PATH"]])
        environment |= {"CARGO_TARGET_DIR": str(scratch), "CARGO_TERM_COLOR": "never"}
        command: list[str | Path] = [cargo, "fetch", "--locked", "--target", target]
        done = process.run(command, env=environment, cwd=tree, log=log, timeout=_FETCH_SECONDS, on_line=follow)
    if done.returncode != 0:
        reason = f"no end after {_FETCH_SECONDS:.0f} s" if done.timed_out else _fetch_reason(done.output)
        raise FetchError(
            f"the crates cannot be fetched: {reason}",
            hint=f"cargo needs the registry once, or a mirror that its configuration names; the full log is {log}",
        )


def _fetch_reason(output: str) -> str:
    """Return cargo's first error, and behind it the last of the causes that it names."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    error = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), "")
    if not error:
        return process_reason(output)
    return f"{error}: {lines[-1]}"[:300] if "Caused by:" in lines else error[:300]


def crate_folders() -> list[Path]:
    """Return the folders in which cargo keeps the sources of crates, sorted; each has its registry's name."""
    try:
        return sorted(path for path in (cargo_home() / "registry" / "src").iterdir() if path.is_dir())
    except OSError:
        return []


def for_each_folder(flags: Iterable[str], folders: Sequence[Path]) -> list[str]:
    """Return the flags, with one for each folder of crates in the place of each that speaks of crates."""
    expanded = []
    for flag in flags:
        if CRATES_PLACEHOLDER in flag:
            expanded += [flag.replace(CRATES_PLACEHOLDER, str(folder)) for folder in folders]
        else:
            expanded.append(flag)
    return expanded


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
        packages = decode_json(done.output, _Metadata).packages
    except UnreadableError as error:
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
            text = read_file(path).decode("utf-8", "replace").strip()
            where = f"{package.name} {package.version}: {path.relative_to(folder).as_posix()}"
            texts.setdefault(text, []).append(where)
    parts = ["\n".join([*places, _RULE, text, ""]) for text, places in texts.items()]
    return "\n".join(parts).encode()


def _licence_files(folder: Path) -> list[Path]:
    """Return the licence files of a crate, and of a project that lies in it."""
    found = [path for pattern in ("*", "*/*") for path in folder.glob(pattern) if _NAME.match(path.name)]
    return sorted(path for path in found if path.is_file() and path.stat().st_size <= _MOST_BYTES)
