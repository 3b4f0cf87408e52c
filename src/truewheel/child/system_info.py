"""Let a wheel's libraries tell what they were compiled with, each in a locked-down child."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from truewheel.child import ending
from truewheel.child.confinement import STRANGERS, Required
from truewheel.child.ending import signal_name
from truewheel.child.environment import InstallError, fresh_environment
from truewheel.child.events import Script, read_said
from truewheel.child.installed import Environment
from truewheel.child.limits import TELL
from truewheel.child.request import TellRequest, place
from truewheel.child.start import Confined, scratch_in
from truewheel.wheel.archive import WheelFile

SYSTEM_INFO = "llama_print_system_info"
"""The function by which a library tells what it was compiled with."""

_MOST = 8
_STEPS = ("tell",)


class _Told(msgspec.Struct):
    text: str


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


def ask_libraries(wheel: WheelFile, able: Sequence[str], required: Required = STRANGERS) -> tuple[SystemInfo, ...]:
    """Install a wheel into a fresh environment and return what those of its libraries say that can tell.

    Args:
        wheel: a wheel that was accepted.
        able: paths of its libraries that offer `SYSTEM_INFO`.
        required: what a child may not be without; see `confinement.py`.

    Raises:
        CheckError: its METADATA cannot be followed.
        FetchError: a dependency cannot be had.
    """
    if not able:
        return ()
    try:
        with fresh_environment(wheel, required=required) as environment:
            return tuple(_ask(environment, path) for path in able[:_MOST])
    except InstallError as error:
        return tuple(SystemInfo(library=path, failure=error.message) for path in able[:_MOST])


def _ask(environment: Environment, path: str) -> SystemInfo:
    with scratch_in(environment) as scratch:
        confined = Confined(environment, scratch, TELL)
        request = TellRequest(program="tell", **place(environment, scratch, TELL), library=str(environment.site / path))
        done = confined.run(request)
        said = read_said(Path(request.events), Script(_STEPS))
        (step,), code, words, *_ = ending.judge(_STEPS, said, done, {"tell": _Told})
    if not code:
        return SystemInfo(library=path, text=step.facts["text"][:4000])
    # A signal's name says more to whoever made the library than what it means for a wheel.
    failure = step.reason or (f"died by {signal_name(-done.returncode)}" if done.returncode < 0 else words)
    return SystemInfo(library=path, failure=failure[:400])
