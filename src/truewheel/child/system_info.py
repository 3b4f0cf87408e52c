"""Let a wheel's libraries tell what they were compiled with, each in a locked-down child."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec

from truewheel import process
from truewheel.child.environment import Environment, InstallError, fresh_environment
from truewheel.wheel.archive import WheelFile

SYSTEM_INFO = "llama_print_system_info"
"""The function by which a library tells what it was compiled with."""

_WALL_SECONDS = 120.0
_CPU_SECONDS = 60
_MEMORY = 8 << 30
_FILE_BYTES = 1 << 20
_MOST = 8


class _Told(msgspec.Struct):
    text: str = ""
    failure: str = ""


class SystemInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a library says of itself when it runs.

    Attributes:
        library: its path in the wheel.
        text: the engine's system info; empty when it could not be had.
        failure: why not; empty when it could.
    """

    library: str
    text: str = ""
    failure: str = ""


def ask_libraries(wheel: WheelFile, able: Sequence[str]) -> tuple[SystemInfo, ...]:
    """Install a wheel into a fresh environment and return what those of its libraries say that can tell.

    Args:
        wheel: a wheel that was accepted.
        able: paths of its libraries that offer `SYSTEM_INFO`.

    Raises:
        CheckError: its METADATA cannot be followed.
        FetchError: a dependency cannot be had.
    """
    if not able:
        return ()
    try:
        with fresh_environment(wheel) as environment:
            return tuple(_ask(environment, path) for path in able[:_MOST])
    except InstallError as error:
        return tuple(SystemInfo(library=path, failure=error.message) for path in able[:_MOST])


def _ask(environment: Environment, path: str) -> SystemInfo:
    events = environment.scratch / "told.json"
    request = {
        "library": str(environment.site / path),
        "events": str(events),
        "cpu-seconds": _CPU_SECONDS,
        "memory-bytes": _MEMORY,
        "file-bytes": _FILE_BYTES,
    }
    driver = Path(__file__).resolve().parent / "programs" / "system_info.py"
    done = process.run(
        [environment.python, "-I", "-S", "-B", driver],
        env={"PATH": "/usr/bin:/bin", "HOME": str(environment.scratch), "LC_ALL": "C.UTF-8"},
        cwd=environment.scratch,
        timeout=_WALL_SECONDS,
        stdin=msgspec.json.encode(request),
    )
    try:
        told = msgspec.json.decode(events.read_bytes() if not events.is_symlink() else b"", type=_Told)
    except (OSError, msgspec.DecodeError):
        told = _Told(failure=_ending(done))
    return SystemInfo(library=path, text=told.text[:4000], failure=told.failure[:400])


def _ending(done: process.Completed) -> str:
    if done.timed_out:
        return f"no answer within {_WALL_SECONDS:.0f} s"
    if done.returncode < 0:
        name = next((known.name for known in signal.Signals if known == -done.returncode), str(-done.returncode))
        return f"the process that loaded it died by {name}"
    return f"the process that loaded it left with {done.returncode} and said nothing"
