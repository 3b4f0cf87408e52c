"""One planted violation for every code that a check can yield."""

import signal

import msgspec
from factories import (
    LIBRARY,
    change_plan,
    ended,
    judge_smoke,
    make_crate_plan,
    make_elf,
    make_evidence,
    make_facts,
    make_plan_of,
    make_portable,
    make_recipe,
    make_wheel,
    make_zig,
    smoke_events,
    system_info,
    wheel_members,
)
from planted_emulation import PLANTED_EMULATION
from planted_installed import planted as planted_installed
from planted_isa import PLANTED_ISA
from planted_linkage import PLANTED_LINKAGE
from planted_metadata import planted as planted_metadata

from truewheel.binary.loads import LoadFacts
from truewheel.build.evidence import CompileUnit, CrateUnit, Evidence
from truewheel.child.smoke import SmokeRecord, unproven
from truewheel.child.system_info import SystemInfo
from truewheel.cpu.features import engine_names
from truewheel.models.models import find_model
from truewheel.wheel.archive import Member
from truewheel.wheel.sources import SourceFacts


def _library(**changes):
    return make_facts(libraries={LIBRARY: make_elf(**changes)})


def _for_another():
    other = make_elf(loads=LoadFacts(machine=3, bits=32), soname="libtoy-i386.so")
    return make_facts(libraries={LIBRARY: make_elf(), "toy_engine/lib/libtoy-i386.so": other})


def _unit(*march, features=(), file="src/kernels/dot.c"):
    plan = make_plan_of()
    return make_facts(
        plan,
        evidence=make_evidence(
            plan,
            units=(CompileUnit(file, march, features, "dot.c.o", other=("-DNDEBUG", *plan.builder.cmake.c_flags)),),
        ),
    )


def _system_info(change):
    plan = make_plan_of()
    events = smoke_events(plan)
    event = next(event for event in events if event["step"] == "system-info")
    event["facts"] = {"text": system_info(change(sorted(engine_names(plan.code.features))))}
    return make_facts(plan, smoke=judge_smoke("tiny", events, ended()))


def _crates(*codegen, crates=1):
    """Return the facts of a wheel whose crates were compiled so."""
    plan = make_crate_plan(profile=make_portable(), toolchain=make_zig())
    given = codegen or rust_codegen(plan)
    units = tuple(CrateUnit(f"crate{number}", given) for number in range(crates))
    return make_facts(plan, evidence=make_evidence(plan)._replace(crates=units))


def rust_codegen(plan):
    """Return what rustc is told when nothing is lost."""
    isa = [flag.removeprefix("-C") for flag in plan.builder.flags if flag.startswith("-Ctarget-")]
    return ("opt-level=3", "codegen-units=1", "lto=fat", *isa)


def _other_codegen(change):
    plan = make_crate_plan(profile=make_portable(), toolchain=make_zig())
    return _crates(*change(rust_codegen(plan)))


def _ending(until=3, **how):
    return make_facts(smoke=judge_smoke("tiny", smoke_events(until=until), ended(**how)))


def _absent(name, reason):
    told = {"state": "absent", "reason": reason}
    events = [{**event, **told} if event["step"] == name else event for event in smoke_events()]
    return make_facts(smoke=judge_smoke("tiny", events, ended()))


def _doubled():
    copy = Member(b"toy" + bytes(5000))
    return make_facts(wheel=make_wheel(members=wheel_members(**{LIBRARY: copy, f"{LIBRARY}.0": copy})))


def _stray():
    return make_facts(wheel=make_wheel(members=wheel_members(**{"include/toy.h": Member(b"int toy;")})))


def _failed_step(reason):
    events = [*smoke_events(until=2), {"step": "load", "state": "failed", "seconds": 0.1, "reason": reason}]
    return make_facts(smoke=judge_smoke("tiny", events, ended(98)))


def _not_locked():
    events = [{"step": "lock", "state": "failed", "reason": "seccomp: Function not implemented"}]
    return make_facts(smoke=judge_smoke("tiny", events, ended(97)))


def _not_installed():
    record = SmokeRecord(model="tiny", steps=(), ending="pip cannot install it", code="SMOKE-INSTALL", locked=False)
    return make_facts(smoke=record)


def _option(optimization=("-O3",), other=("-DNDEBUG",)):
    plan = make_plan_of()
    units = make_evidence(plan).units
    changed = msgspec.structs.replace(units[1], optimization=optimization, other=(*other, *plan.builder.cmake.c_flags))
    return make_facts(plan, evidence=make_evidence(plan, units=(units[0], changed)))


def _lacking_flag():
    plan = make_plan_of()
    return make_facts(
        change_plan(plan, cmake=msgspec.structs.replace(plan.builder.cmake, c_flags=("-fno-plt",))),
        evidence=make_evidence(plan),
    )


def _told(**told):
    return make_facts(told=(SystemInfo(library=LIBRARY, **told),))


def _without_evidence():
    plan = make_plan_of(recipe=make_recipe(checks={"isa-units": []}))
    return make_facts(plan, evidence=Evidence({}, ()))


PLANTED = {
    **PLANTED_EMULATION,
    **PLANTED_ISA,
    **PLANTED_LINKAGE,
    **planted_metadata(make_facts),
    **planted_installed(make_facts),
    "LOAD-KIND": lambda: _library(loads=LoadFacts(kind="object")),
    "LOAD-MACHINE": lambda: _library(loads=LoadFacts(machine=183)),
    "LOAD-MACHINE-OTHER": _for_another,
    "LOAD-SEGMENTS": lambda: _library(loads=LoadFacts(faults=("load command 1 is not page-aligned",))),
    "LOAD-INIT-PLAIN": lambda: make_facts(
        libraries={"toy_engine/ext.abi3.so": make_elf()}, sources=SourceFacts(loads=True)
    ),
    "LOAD-INIT": lambda: make_facts(libraries={"toy_engine/ext.abi3.so": make_elf(init=("PyInit_other",))}),
    "CHECK-UNLOCKED": lambda: make_facts(locked=False),
    "SIZE-DOUBLED": _doubled,
    "SIZE-DEBUG": lambda: _library(debug_sections=(".symtab", ".debug_info"), debug_bytes=1 << 20),
    "SIZE-LIMIT": lambda: make_facts(wheel=make_wheel(size=2 << 20)),
    "SIZE-STRAY": _stray,
    "FLAGS-CACHE": lambda: make_facts(evidence=make_evidence(make_plan_of(), cache={"GGML_AVX2": "OFF"})),
    "FLAGS-LOST": _unit,
    "FLAGS-OVERRULED": lambda: _unit("native", "x86-64"),
    "FLAGS-LEAKED": lambda: _unit(features=("-mavx2",), file="src/api.cpp"),
    "FLAGS-LOADED": lambda: _system_info(lambda names: [name for name in names if name != "AVX2"]),
    "FLAGS-BEYOND": lambda: _system_info(lambda names: [*names, "AVX512"]),
    "FLAGS-SLOW": lambda: _option(optimization=("-O0",)),
    "FLAGS-MISSING": _lacking_flag,
    "FLAGS-FAST-MATH": lambda: _option(other=("-DNDEBUG", "-ffast-math")),
    "FLAGS-RUN": lambda: _told(text="CPU : AVX2 = 1 | FMA = 1 | "),
    "FLAGS-RUN-FAILED": lambda: _told(failure="OSError: libgomp.so.1: cannot open shared object file"),
    "FLAGS-RUN-DIFFERS": lambda: _told(text="CPU : AVX512 = 1 | "),
    "FLAGS-NO-EVIDENCE": _without_evidence,
    "RUST-LOST": lambda: _crates("opt-level=3", "codegen-units=1", "lto=fat"),
    "RUST-OVERRULED": lambda: _other_codegen(lambda codegen: (*codegen, "target-cpu=native")),
    "RUST-SLOW": lambda: _other_codegen(lambda codegen: codegen[2:]),
    "RUST-NO-EVIDENCE": lambda: _crates(crates=0),
    "SMOKE-FAILED": lambda: _failed_step("ValueError: no tokenizer"),
    "SMOKE-ILLEGAL": lambda: _ending(returncode=-signal.SIGILL),
    "SMOKE-SEGFAULT": lambda: _ending(returncode=-signal.SIGSEGV),
    "SMOKE-ABORT": lambda: _ending(returncode=-signal.SIGABRT),
    "SMOKE-MEMORY": lambda: _ending(returncode=-signal.SIGKILL),
    "SMOKE-TIMEOUT": lambda: _ending(returncode=-signal.SIGTERM, timed_out=True, seconds=300.0),
    "SMOKE-ESCAPE": lambda: _ending(returncode=-signal.SIGSYS),
    "SMOKE-DIED": lambda: _ending(returncode=-signal.SIGUSR1),
    "SMOKE-UNLOCKED": _not_locked,
    "SMOKE-INSTALL": _not_installed,
    "SMOKE-ABSENT": lambda: _absent("embed", "its Python API gives no embeddings"),
    "SMOKE-NOT-RUN": lambda: make_facts(smoke=None),
    "SMOKE-UNPROVEN": lambda: make_facts(smoke=unproven(find_model("tiny"), "this CPU lacks avx512f")),
}
"""Facts by the code that they must give."""
