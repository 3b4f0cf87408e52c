"""Where the preset of this machine for a model lies, so that an engine finds it by itself.

`truewheel tune` writes there, and every wheel has a copy of this very file: standard library only, and quick to import.
"""

from __future__ import annotations

import os
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE = "TRUEWHEEL_PRESET"
OFF = "off"
_PIECE = 1 << 16
_DIGITS = 16
_CPUINFO = 1 << 14


class Wanted(NamedTuple):
    """What a preset that is found must be for.

    Attributes:
        cpu: the CPU's name.
        cores: usable CPUs, hardware threads counted.
        fingerprint: of the model's file.
        engine: project name of the engine.
    """

    cpu: str
    cores: int
    fingerprint: str
    engine: str


def preset_folder(environment: Mapping[str, str] | None = None) -> str:
    """Return the folder of this person's presets: `truewheel/presets` of XDG_CONFIG_HOME; empty where there is none."""
    variables = os.environ if environment is None else environment
    base = variables.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):  # noqa: PTH117 -- pathlib is slow to import
        base = os.path.join(variables.get("HOME", "") or os.path.expanduser("~"), ".config")  # noqa: PTH111, PTH118
    return os.path.join(base, "truewheel", "presets") if os.path.isabs(base) else ""  # noqa: PTH117, PTH118


def fingerprint(model_path: str | os.PathLike[str]) -> str:
    """Return what tells a model's file from others: a hash of its size, its first 64 KiB and its last.

    A whole hash would read the file anew at each load. Size, names and dimensions stand in front, the last of the
    weights behind: what is trained further, or quantized otherwise, differs in one of them.

    Raises:
        OSError: the file cannot be read.
    """
    import hashlib

    with open(model_path, "rb") as file:  # noqa: PTH123 -- pathlib is slow to import
        size = file.seek(0, os.SEEK_END)
        digest = hashlib.sha256(b"%d\0" % size)
        for start in (0, max(0, size - _PIECE)):
            file.seek(start)
            digest.update(file.read(_PIECE))
    return digest.hexdigest()[:_DIGITS]


def cpu_name(proc: str = "/proc") -> str:
    """Return the CPU's marketing name; `unknown` where the kernel says none."""
    try:
        with open(f"{proc}/cpuinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 -- as above
            lines = file.read(_CPUINFO).splitlines()
    except OSError:
        lines = []
    values = [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == "model name"]
    return values[0] if values and values[0] else "unknown"


def machine_words(cpu: str, cores: int) -> str:
    """Return a machine as part of a file's name, e.g. `amd-ryzen-7-5700x-16-core`."""
    import re

    words = re.sub(r"\(r\)|\(tm\)|\bcpu\b|\bprocessor\b|@.*", " ", cpu.lower())
    return "-".join([*re.findall(r"[a-z0-9]+", words)[:12], f"{cores}-core"])


def preset_name(purpose: Wanted) -> str:
    """Return the name of the file: machine, model and engine."""
    return f"{machine_words(purpose.cpu, purpose.cores)}-{purpose.fingerprint}-{purpose.engine}.toml"


def is_off() -> bool:
    """Return whether TRUEWHEEL_PRESET says that no preset is to be looked for."""
    return os.environ.get(VARIABLE, "").strip().lower() == OFF


def find_preset(model_path: object, engine: str, count_cores: Callable[[], int]) -> tuple[str, Wanted] | None:
    """Return the preset of this machine for a model and what it must be for; None where there is none, or it is off.

    Args:
        model_path: a GGUF file.
        engine: project name of the engine.
        count_cores: counts the usable CPUs, hardware threads among them.
    """
    folder = preset_folder()
    if is_off() or not isinstance(model_path, (str, os.PathLike)) or not os.path.isdir(folder):  # noqa: PTH112
        return None
    try:
        purpose = Wanted(cpu_name(), count_cores(), fingerprint(model_path), engine)
    except (OSError, ValueError):
        return None  # the engine says in its own words what is wrong with the file
    path = os.path.join(folder, preset_name(purpose))  # noqa: PTH118 -- as above
    return (path, purpose) if os.path.lexists(path) else None
