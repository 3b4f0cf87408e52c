"""One planted violation for every code of the check of CPU features."""

from collections.abc import Callable

import msgspec
from factories import DIST_INFO, LIBRARY, make_code, make_elf, make_facts, make_kernel, make_wheel, wheel_members

from truewheel.examine.facts import Facts
from truewheel.wheel.archive import Member

ASKS = ("cpu_detect",)


def of_code(plan=None, **changes):
    """Return facts of one library, of somebody else's wheel when no plan is given."""
    return make_facts(plan, libraries={LIBRARY: make_elf(isa_level="")}, code={LIBRARY: make_code(**changes)})


def embedded(level="x86-64-v3", features=(), profile="portable"):
    """Return the truewheel.json of a wheel that was built for a level."""
    plan = {"plan": {"level": level, "features": list(features), "profile": profile, "more": "left out"}}
    return {f"{DIST_INFO}/truewheel.json": Member(msgspec.json.encode(plan))}


def claiming(*, name="toy_engine-1.2.3-py3-none-linux_x86_64.whl", text=None, kernels=(), note=""):
    """Return facts of a wheel that claims something by its name or its truewheel.json, and has kernels."""
    wheel = make_wheel(name, members=wheel_members(**(text or {})))
    code = {LIBRARY: make_code(kernels=tuple(kernels))}
    return make_facts(None, wheel=wheel, libraries={LIBRARY: make_elf(isa_level=note)}, code=code)


def _two_claims():
    return claiming(name="toy_engine-1.2.3-py3-none-linux_x86_64-x86_64_v2.whl", text=embedded("x86-64-v3"))


def _flag_lost():
    return make_facts(code={LIBRARY: make_code(kernels=())})


def _unread():
    return make_facts(None, code={}, damaged={LIBRARY: "IndexError: list index out of range"})


def _small_note():
    label = "toy_engine-1.2.3-py3-none-linux_x86_64-x86_64_v3.whl"
    return claiming(name=label, kernels=[make_kernel("toy_dot", "avx2")], note="x86-64-v2")


def _other_machine():
    return make_facts(None, libraries={LIBRARY: make_elf(machine="EM_AARCH64", isa_level="")}, code={})


PLANTED_ISA: dict[str, Callable[[], Facts]] = {
    "ISA-BEYOND": lambda: of_code(kernels=(make_kernel("toy_dot", "avx2"),)),
    "ISA-CLAIM": _two_claims,
    "ISA-UNUSED": _flag_lost,
    "ISA-DAMAGED": _unread,
    "ISA-NOTE": _small_note,
    "ISA-UNDECIDED": lambda: of_code(asks=ASKS, kernels=(make_kernel("toy_dot", "avx2", standing="unreached"),)),
    "ISA-ALLOWED": lambda: of_code(asks=ASKS, kernels=(make_kernel("toy_dot", "avx2", standing="guarded"),)),
    "ISA-TZCNT": lambda: of_code(kernels=(), maybe_tzcnt=3),
    "ISA-OTHER": _other_machine,
}
"""Facts by the code that they must give."""
