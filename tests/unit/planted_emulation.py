"""One planted violation for every code of the emulation check, and runs to make more of them."""

import json

import msgspec
from factories import DIST_INFO, make_facts, make_wheel, wheel_members

from truewheel.child.emulated_run import EmulatedRun
from truewheel.cpu.levels import level_features
from truewheel.wheel.archive import Member

BACKENDS = [
    {"name": "wide", "library": "toy_engine/lib/libtoy-wide.so", "features": sorted(level_features("x86-64-v4"))},
    {"name": "middle", "library": "toy_engine/lib/libtoy-middle.so", "features": sorted(level_features("x86-64-v3"))},
    {"name": "small", "library": "toy_engine/lib/libtoy-small.so", "features": sorted(level_features("x86-64-v2"))},
]
HASWELL = EmulatedRun(
    cpu="Haswell",
    family="Haswell",
    level="x86-64-v3",
    expected="middle",
    outcome="passed",
    ending="passed",
    backend="middle",
    tokens=(1, 2, 3),
    margins=(0.5, 0.25, 0.125),
    canary="died",
    seconds=12.34,
    emulator="qemu-x86_64 7.2.22",
)
NEHALEM = msgspec.structs.replace(
    HASWELL, cpu="Nehalem", family="Nehalem", level="x86-64-v2", expected="small", backend="small"
)
PENRYN = msgspec.structs.replace(
    NEHALEM,
    cpu="Penryn",
    family="Penryn",
    level="x86-64",
    lacks=("popcnt", "sse4_2"),
    expected="",
    outcome="refused",
    ending="this wheel was built for x86-64-v2 CPUs; this CPU is x86-64 and lacks popcnt, sse4_2",
    backend="",
    tokens=(),
    margins=(),
)
HERE = msgspec.structs.replace(
    HASWELL,
    cpu="this machine",
    family="",
    level="x86-64-v4",
    expected="wide",
    backend="wide",
    canary="not needed",
    emulator="",
)
SOUND = (HERE, PENRYN, NEHALEM, HASWELL)
"""Runs of a wheel with three backends that did as it promises everywhere."""


def make_dispatch_wheel(backends=BACKENDS, level="x86-64-v2"):
    """Return a wheel whose truewheel.json tells of these backends."""
    plan = {"level": level, "profile": "dispatch", "features": sorted(level_features(level)), "backends": backends}
    info = json.dumps({"plan": plan}).encode()
    return make_wheel(members=wheel_members(**{f"{DIST_INFO}/truewheel.json": Member(info)}))


def emulated(*runs, backends=BACKENDS, level="x86-64-v2"):
    """Return the facts of such a wheel with these runs."""
    return make_facts(plan=None, wheel=make_dispatch_wheel(backends, level), emulation=runs)


def change(run, **changes):
    """Return a run with other values."""
    return msgspec.structs.replace(run, **changes)


def with_haswell(**changes):
    """Return the facts of sound runs, but for the one on Haswell."""
    return emulated(HERE, PENRYN, NEHALEM, change(HASWELL, **changes))


PLANTED_EMULATION = {
    "EMULATE-ILLEGAL": lambda: with_haswell(outcome="illegal", ending="at prefill: illegal instruction"),
    "EMULATE-FAILED": lambda: with_haswell(outcome="failed", ending="at load: ValueError: no"),
    "EMULATE-SILENT": lambda: emulated(
        HERE, change(PENRYN, outcome="illegal", ending="at load: illegal"), NEHALEM, HASWELL
    ),
    "EMULATE-BACKEND": lambda: with_haswell(backend="small"),
    "EMULATE-TEXT": lambda: with_haswell(tokens=(1, 7, 3)),
    "EMULATE-CANARY": lambda: with_haswell(canary="survived"),
    "EMULATE-UNPROVEN": lambda: emulated(PENRYN, NEHALEM, HASWELL),
    "EMULATE-PASSED": lambda: emulated(*SOUND),
}
"""Facts by the code that they must give."""
