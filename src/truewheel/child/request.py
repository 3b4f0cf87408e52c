"""What a child is asked for, as one value a program; it goes to the child as one line of JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from truewheel.child.confinement import STRANGERS, apply_insistence
from truewheel.child.installed import Environment
from truewheel.child.limits import ChildLimits
from truewheel.child.registry import EngineEntry
from truewheel.child.work import Work
from truewheel.config.presets import Settings

EVENTS = "events.jsonl"
"""The file of a scratch folder to which a child writes what it did."""


class Emulation(msgspec.Struct, frozen=True, kw_only=True):
    """On which CPU a program runs.

    Attributes:
        command: what the confined process becomes: the emulator, Python, and the same program.
        features: where CPUID shows each feature: leaf, subleaf, register, bit, and the bits of XCR0 that it needs.
        canary: an instruction that the CPU lacks, in hexadecimal digits.
    """

    command: tuple[str, ...]
    features: dict[str, tuple[int, int, int, int, int]]
    canary: str


class Request(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What each program must know; `place` fills in all but what the program is for.

    Attributes:
        program: its name in `programs/`.
        site: the folder of packages in which the engine is installed.
        events: file to which it writes.
        cpu_seconds: limit.
        memory_bytes: limit.
        file_bytes: limit.
        adapter: the engine's adapter; empty where no engine is driven.
        import_name: the engine's package.
        settings: what the engine is run with.
        required: leave where one of these cannot be had; see `confinement.py`.
        readable: what it may read besides the system's libraries, Python's, its adapter and its model.
        writable: where it may write.
        start_hooks: follow .pth files, once it is locked down.
        listening: let it start a server in a network of its own.
        emulated: the CPU; None for this machine's.
    """

    program: str
    site: str
    events: str
    cpu_seconds: int
    memory_bytes: int
    file_bytes: int
    adapter: str = ""
    import_name: str = ""
    settings: Settings = {}
    required: tuple[str, ...] = STRANGERS
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    start_hooks: bool = False
    listening: bool = False
    emulated: Emulation | None = None


class InstallRequest(Request, frozen=True, kw_only=True, rename="kebab"):
    """Let pip unpack wheels.

    Attributes:
        tree: the folder that they are installed into.
        links: a folder with what they depend on.
        requirements: paths of wheels, or names and versions.
        pip: the folder that is pip.
    """

    tree: str
    links: str
    requirements: tuple[str, ...]
    pip: str


class TellRequest(Request, frozen=True, kw_only=True, rename="kebab"):
    """Load a library and let it say what it was compiled with."""

    library: str


class SmokeRequest(Request, frozen=True, kw_only=True, rename="kebab"):
    """Take an engine through one inference; what it should answer is not in here.

    Attributes:
        steps: in this order.
        model: a GGUF file.
        prompt: what is continued.
        texts: to be turned into tokens and back.
        drawn: prompts that were drawn for this run; each is continued by a few tokens.
        decode: tokens to generate after `prompt`.
        few: tokens to generate after each that was drawn.
        prefill: tokens to evaluate at once.
        threads: of the engine.
    """

    steps: tuple[str, ...]
    model: str
    prompt: str
    texts: tuple[str, ...]
    drawn: tuple[str, ...]
    decode: int
    few: int
    threads: int
    prefill: int


class LogitsRequest(Request, frozen=True, kw_only=True, rename="kebab"):
    """Write the logits of a text, and continue a prompt.

    Attributes:
        steps: in this order.
        model: a GGUF file.
        text: whose logits are written.
        prompt: what is continued.
        positions: tokens of the text, at most.
        greedy: tokens to generate.
        logits: file for the logits.
        logits_bytes: its largest size.
        preset: whether the settings are more than the number of threads.
    """

    steps: tuple[str, ...]
    model: str
    text: str
    prompt: str
    positions: int
    greedy: int
    logits: str
    logits_bytes: int
    preset: bool


class CutRequest(msgspec.Struct, frozen=True):
    """A text that is to be cut to so many of the engine's tokens."""

    text: str
    tokens: int


class MeasureRequest(Request, frozen=True, kw_only=True, rename="kebab"):
    """Measure pieces of work.

    Attributes:
        model: a GGUF file.
        context: tokens for which the context must have room.
        prompt: text of `answer`.
        work: the pieces.
        cut: a text to be cut; None for none.
        orders: an open file on which each order is answered; 0 where all is measured at once.
    """

    model: str
    context: int
    prompt: str
    work: tuple[Work, ...]
    cut: CutRequest | None = None
    orders: int = 0


def place(environment: Environment, scratch: Path, limits: ChildLimits, model: Path | None = None) -> dict[str, Any]:
    """Return the fields of a request that say where a child runs and what it may use."""
    return {
        "site": str(environment.site),
        "required": apply_insistence(environment.required),
        "readable": tuple(map(str, environment.readable())),
        "writable": (str(scratch),),
        "events": str(scratch / EVENTS),
        "cpu_seconds": limits.cpu_seconds,
        "memory_bytes": limits.memory(model),
        "file_bytes": limits.file_bytes,
    }


def drive(engine: EngineEntry) -> dict[str, Any]:
    """Return the fields of a request that say which engine is driven."""
    return {"adapter": str(engine.adapter), "import_name": engine.import_name}
