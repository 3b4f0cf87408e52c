"""Packages by name, version and hash, through pip, so that the user's own index settings decide where from."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from truewheel import process
from truewheel.errors import FetchError
from truewheel.files import replacing_folder
from truewheel.scratch import SCRATCH

_NETWORK_SIGNS = (
    "NewConnectionError",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "ConnectTimeout",
)
_PASSED = re.compile(
    r"(PIP|KEYRING|PYTHON_KEYRING)_[A-Z_]+|NETRC|XDG_[A-Z]+_(HOME|DIRS)|DBUS_SESSION_BUS_ADDRESS"
    r"|(https?|all|no)_proxy|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE",
    re.IGNORECASE,
)
_MEANING = {"TARGET", "PREFIX", "USER", "ROOT", "REQUIREMENT", "CONSTRAINT", "NO_DEPS", "PYTHON", "REQUIRE_VIRTUALENV"}
_TIMEOUT_SECONDS = 1800.0
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")


def pip_environment() -> dict[str, str]:
    """Return the plain environment with what tells pip where packages are and how to get there.

    What would change pip's meaning of a requirement is left out, as is whatever else we were given: the loader's and
    Python's own variables decide what code runs, and secrets are nobody's business but the index's.
    """
    passed = {
        name: value
        for name, value in os.environ.items()
        if _PASSED.fullmatch(name) and name.upper().removeprefix("PIP_") not in _MEANING
    }
    return {**process.plain_environment(), **passed}


def run_pip(arguments: Sequence[str], *, what: str, search_path: str = "") -> str:
    """Run this interpreter's pip and return its output.

    Args:
        arguments: pip's arguments.
        what: what is fetched, for the message.
        search_path: PATH for the build backends that pip calls; empty for our own.

    Raises:
        FetchError: pip failed; the message says why in one line.
    """
    environment = {**pip_environment(), **({"PATH": search_path} if search_path else {})}
    done = process.run([sys.executable, *PIP, *arguments], env=environment, timeout=_TIMEOUT_SECONDS)
    if done.returncode != 0:
        raise _explain(done.output, what)
    return done.output


def _explain(output: str, what: str) -> FetchError:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if "No module named pip" in output:
        return FetchError(f"cannot fetch {what}: this Python has no pip", hint="python3 -m ensurepip")
    if "THESE PACKAGES DO NOT MATCH THE HASHES" in output:
        got = next((line for line in lines if line.startswith("Got")), "").split()
        return FetchError(
            f"{what} does not have the hash it should: got {got[-1] if got else 'another one'}",
            hint="if you changed the version, change sha256 with it; otherwise the index served something else",
        )
    if any(sign in output for sign in _NETWORK_SIGNS):
        return FetchError(
            f"cannot fetch {what}: the package index cannot be reached",
            hint="connect once; what was fetched before is in the cache and needs no network",
        )
    if "No space left on device" in output:
        return FetchError(f"cannot fetch {what}: the disk is full", hint="`truewheel doctor` shows where caches are")
    # A traceback of pip says in its last line what happened.
    errors = [line for line in lines if line.startswith("ERROR: ") and line != "ERROR: Exception:"] or lines[-1:]
    reason = errors[-1] if errors else "pip said nothing"
    return FetchError(f"cannot fetch {what}: {reason[:300]}", hint="try `python3 -m pip download` with that name")


def download_source(name: str, version: str, sha256: str, folder: Path, *, search_path: str) -> Path:
    """Download a source distribution whose hash is known and return its path in `folder`.

    pip asks the package's build backend for its name, and scikit-build-core answers only where cmake is found.

    Args:
        name: project name.
        version: exact version.
        sha256: hash of the archive, hexadecimal.
        folder: where it is put.
        search_path: PATH with cmake and ninja.

    Raises:
        FetchError: it cannot be had, or has another hash.
    """
    with SCRATCH.folder(".download", folder) as scratch:
        requirements = scratch / "requirements.txt"
        requirements.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
        # Build isolation would install the engine's build requirements only to read its name.
        arguments = ["download", "--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--require-hashes"]
        run_pip(
            [*arguments, "-d", str(scratch), "-r", str(requirements)],
            what=f"the source of {name} {version}",
            search_path=search_path,
        )
        found = [path for path in scratch.iterdir() if path.name.endswith((".tar.gz", ".zip"))]
        if len(found) != 1:
            raise FetchError(f"pip left {len(found)} archives for {name} {version} instead of one")
        target = folder / found[0].name
        found[0].replace(target)
    return target


def download_wheel(name: str, version: str, sha256: str, folder: Path) -> Path:
    """Download a wheel whose hash is known and return its path in `folder`.

    Raises:
        FetchError: it cannot be had, or has another hash.
    """
    with SCRATCH.folder(".download", folder) as scratch:
        requirements = scratch / "requirements.txt"
        requirements.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
        arguments = ["download", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        run_pip([*arguments, "-d", str(scratch), "-r", str(requirements)], what=f"{name} {version}")
        found = next(scratch.glob("*.whl"))
        target = folder / found.name
        found.replace(target)
    return target


def install_tool(name: str, version: str, sha256: str, folder: Path) -> None:
    """Install one tool from its wheel into `folder`, whole or not at all; nobody else may do so now.

    Raises:
        FetchError: it cannot be had, or has another hash.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with SCRATCH.folder("truewheel-pip") as scratch, replacing_folder(folder) as target:
        requirements = scratch / "requirements.txt"
        requirements.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
        arguments = ["install", "--no-deps", "--no-compile", "--only-binary", ":all:", "--require-hashes"]
        run_pip([*arguments, "--target", str(target), "-r", str(requirements)], what=f"{name} {version}")
