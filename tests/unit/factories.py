"""Values for tests: a machine, a compiler, a recipe, a wheel and its facts, none of them from the real host."""

import copy
import hashlib
import json
import tempfile
from pathlib import Path

import msgspec

from truewheel.binary.code import CodeFacts, Kernel
from truewheel.binary.elf import ElfFacts
from truewheel.build.evidence import CompileUnit, Evidence
from truewheel.child.challenge import Question
from truewheel.child.events import Script, read_said
from truewheel.child.registry import EngineEntry
from truewheel.child.smoke import STEPS, judge
from truewheel.config.load import load_profile, load_recipe
from truewheel.config.tables import Profile, Recipe
from truewheel.cpu.features import engine_names
from truewheel.cpu.host import Host
from truewheel.cpu.levels import level_features
from truewheel.examine.facts import Facts
from truewheel.machine.probe import Toolchain
from truewheel.models.models import Model
from truewheel.plan.make import Changes, make_plan, planned_source
from truewheel.plan.plan import PlannedSource, Writer
from truewheel.process import Completed
from truewheel.report import make_report
from truewheel.wheel.archive import Entry, Member, WheelFile
from truewheel.wheel.name import parse_wheel_name
from truewheel.wheel.record import record_line_hash
from truewheel.wheel.sources import SourceFacts
from truewheel.wheel.told import read_texts

LIBRARY = "toy_engine/lib/libtoy-cpu.so"
DIST_INFO = "toy_engine-1.2.3.dist-info"
TEXTS = ("METADATA", "WHEEL", "entry_points.txt", "truewheel.json")
_V3 = tuple(sorted(level_features("x86-64-v3")))

GLIBC = "2.17"
LOADER = "toy_engine/lib/libtoy.so"
BACKENDS = {
    "loader": LOADER,
    "library": "toy_engine/lib/libtoy-cpu*.so",
    "target": "toy-cpu*",
    "single": {"TOY_SEVERAL": False},
    "several": {"TOY_SEVERAL": True, "TOY_NAMES": "{names}"},
    "max-wheel-mib": 3,
    "variant": [
        {"name": "best", "features": ["bmi2", "avx512_vnni"]},
        {"name": "good", "features": ["avx2", "fma", "bmi2"]},
        {"name": "base", "features": ["sse4_2"]},
    ],
}
"""Backends of the engine that does not exist, which are loaded at run time."""
RUSTC = "1.95.0"
CRATE = {"libraries": {"source": "crate", "crate": "toy-sys"}, "build": {"backend": "maturin", "define": {}}}
"""What makes a recipe one of a Rust engine whose C++ is the copy that a crate carries."""


def make_host(**changes):
    """Return a machine of level x86-64-v3."""
    host = Host(
        system="Linux",
        machine="x86_64",
        vendor="GenuineIntel",
        model="Imagined CPU 3000",
        level="x86-64-v3",
        features=_V3,
        physical_cores=2,
        logical_cores=4,
        usable_cores=4,
        memory_bytes=8 << 30,
        libc="glibc 2.36",
    )
    return msgspec.structs.replace(host, **changes)


def make_toolchain(**changes):
    """Return a compiler that passed its trial on the machine of `make_host`."""
    toolchain = Toolchain(
        kind="gcc",
        version="13.2.0",
        cc="/usr/bin/gcc",
        cxx="/usr/bin/g++",
        native_cpu="haswell",
        native_features=_V3,
    )
    return msgspec.structs.replace(toolchain, **changes)


def make_zig(**changes):
    """Return a zig that builds for every machine, and was asked nothing about this one."""
    zig = Toolchain(
        kind="zig",
        version="0.14.1",
        cc="/zig/cc",
        cxx="/zig/c++",
        isa_note="object",
        target=f"x86_64-linux-gnu.{GLIBC}",
    )
    return msgspec.structs.replace(zig, **changes)


def recipe_table(**changes):
    """Return a recipe as the plain tables that TOML gives; each change replaces or adds keys of one table."""
    table = {
        "schema": 1,
        "engine": {"name": "toy-engine", "import-name": "toy_engine", "driver": "llama_cpp"},
        "source": {"type": "package", "name": "toy-engine", "version": "1.2.3", "sha256": "a" * 64},
        "build": {"backend": "scikit-build-core", "isa": "ggml", "define": {"TOY_EXTRAS": False}},
        "package": {},
        "checks": {"max-wheel-mib": 1, "isa-units": ["*/kernels/*"], "isa-library": LIBRARY},
    }
    for key, value in changes.items():
        table[key] = {**table.get(key, {}), **value}
    return table


def make_recipe(**changes):
    """Return the recipe of an engine that does not exist."""
    return msgspec.convert(recipe_table(**changes), Recipe)


def make_engine(**changes):
    """Return how the engine of `make_recipe` is driven."""
    return EngineEntry(**{"name": "toy-engine", "import_name": "toy_engine", "driver": "llama_cpp", **changes})


def make_profile(**changes):
    """Return the profile `native`."""
    profile = Profile(schema=1, label="native", level="native", toolchain=("clang", "gcc"))
    return msgspec.structs.replace(profile, **changes)


def make_portable(**changes):
    """Return a profile for many machines: level x86-64-v3 unless it is changed."""
    profile = Profile(schema=1, label="portable", level="x86-64-v3", glibc=GLIBC, toolchain=("zig",))
    return msgspec.structs.replace(profile, **changes)


def make_source(**changes):
    """Return the planned source of the recipe of `make_recipe`."""
    source = PlannedSource(
        kind="package", name="toy-engine", version="1.2.3", sha256="a" * 64, patches=(), exclude=(), commit={}
    )
    return msgspec.structs.replace(source, **changes)


def make_plan_of(*, code="b" * 64, rust=False, **changes):
    """Return the plan of the values given, and of those of this module for the others.

    Args:
        code: hash of the code that writes the wheel.
        rust: whether there is a rustc.
        changes: what `make_plan` is called with.
    """
    parts = {
        "recipe": make_recipe(),
        "profile": make_profile(),
        "toolchain": make_toolchain(),
        "host": make_host(),
        "source": make_source(),
        "tools": {"cmake": "4.0.0", "ninja": "1.12.0", **({"rustc": RUSTC} if rust else {})},
        "writer": Writer(truewheel="1.0", code=code),
        "prover": "d" * 64,
        "adapter": "e" * 64,
        **changes,
    }
    positional = [parts.pop(name) for name in ("recipe", "profile", "toolchain", "host")]
    return make_plan(*positional, **parts)


def make_crate_plan(**changes):
    """Return the plan of a Rust engine whose C++ a crate carries."""
    return make_plan_of(**{"recipe": make_recipe(**CRATE), "rust": True, **changes})


def change_plan(plan, **changes):
    """Return a plan with fields of its parts changed, each of whichever part has it."""
    for name, value in changes.items():
        parts = ("subject", "compiler", "code", "wheel", "builder", "expect")
        part = next(each for each in parts if name in getattr(plan, each).__struct_fields__)
        plan = msgspec.structs.replace(plan, **{part: msgspec.structs.replace(getattr(plan, part), **{name: value})})
    return plan


def make_backend_plan(**changes):
    """Return the plan of a portable wheel with one backend that is loaded at run time."""
    recipe = make_recipe(backends=BACKENDS, checks={"isa-units": [], "isa-library": ""})
    parts = {"recipe": recipe, "profile": make_portable(), "toolchain": make_zig(), **changes}
    return make_plan_of(**parts)


def make_dispatch_plan(**changes):
    """Return the plan of a portable wheel that chooses among several backends."""
    return make_backend_plan(
        **{"profile": make_portable(label="dispatch", level="x86-64-v2", dispatch=True), **changes}
    )


def make_shipped_plan(profile, **changes):
    """Return the plan of the recipe that comes with the program, for one of its profiles."""
    recipe = load_recipe("llama-cpp-python").recipe
    toolchain = make_toolchain() if profile == "native" else make_zig()
    parts = {"recipe": recipe, "source": planned_source(recipe, Changes({}, {}), ""), "toolchain": toolchain, **changes}
    return make_plan_of(profile=load_profile(profile), **parts)


def wheel_members(**extra):
    """Return the members of a small sound wheel, without RECORD."""
    members = {
        "toy_engine/__init__.py": Member(b'"""A toy."""\n'),
        LIBRARY: Member(b"\x7fELF and no more", executable=True),
        f"{DIST_INFO}/METADATA": Member(b"Metadata-Version: 2.1\nName: toy-engine\nVersion: 1.2.3\n"),
        f"{DIST_INFO}/licenses/LICENSE": Member(b"Do what you like.\n"),
        f"{DIST_INFO}/WHEEL": Member(b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n"),
    }
    return {**members, **extra}


def record_of(members, dist_info=DIST_INFO):
    """Return the lines of the RECORD that fits the members."""
    lines = [f"{path},{record_line_hash(member.data)},{len(member.data)}" for path, member in members.items()]
    return [*lines, f"{dist_info}/RECORD,,"]


def make_wheel(filename="toy_engine-1.2.3-1_native-py3-none-linux_x86_64.whl", *, members=None, size=1000):
    """Return a wheel that was never written."""
    members = wheel_members() if members is None else members
    texts = {
        path: member.data.decode()
        for path, member in members.items()
        if path.startswith(f"{DIST_INFO}/") and path.rpartition("/")[2] in TEXTS
    }
    return WheelFile(
        path=Path(filename),
        name=parse_wheel_name(filename),
        sha256=hashlib.sha256(filename.encode()).hexdigest(),
        size=size,
        entries={path: make_entry(member) for path, member in members.items()},
        dist_info=DIST_INFO,
        texts=texts,
        **read_texts(texts, DIST_INFO),
    )


def make_entry(member):
    """Return what the reader says of a member."""
    kind = "elf" if member.data.startswith(b"\x7fELF") else ""
    digest = hashlib.sha256(member.data).hexdigest()
    return Entry(len(member.data), digest, member.executable, kind, len(member.data))


def make_elf(**changes):
    """Return what a sound library of level x86-64-v3 says of itself."""
    facts = ElfFacts(
        machine="EM_X86_64",
        soname="libtoy-cpu.so",
        needed=("libstdc++.so.6", "libm.so.6", "libc.so.6"),
        runpath=("$ORIGIN",),
        versions={"libc.so.6": ("GLIBC_2.17", "GLIBC_2.2.5")},
        isa_level="x86-64-v3",
        debug_sections=(),
        debug_bytes=0,
        fast_math_startup=False,
        ibt=True,
        shstk=True,
    )
    return msgspec.structs.replace(facts, **changes)


def make_kernel(name="toy_dot", *features, standing="open", address=0x1000, exported=False):
    """Return a function of a library that needs features."""
    return Kernel(name, address, features or ("avx", "avx2", "fma"), standing, exported)


def make_code(**changes):
    """Return what the code of a sound library of level x86-64-v3 needs."""
    facts = CodeFacts(
        functions=100,
        named=100,
        bytes=10_000,
        skipped=0,
        kernels=(make_kernel(),),
        more=0,
        examples=(),
        asks=(),
        maybe_tzcnt=0,
        fast_math="",
        endbr=100,
        canaries=50,
    )
    return msgspec.structs.replace(facts, **changes)


def make_backend_code(backend, **changes):
    """Return what the code of a backend needs when each of its features has a use."""
    kernels = tuple(make_kernel(f"toy_{feature}", feature) for feature in backend.features)
    return make_code(**{"kernels": kernels, **changes})


def make_evidence(plan, *, cache=None, units=None):
    """Return the evidence of a build that did just what the plan says."""
    other = ("-DNDEBUG", *plan.builder.cmake.c_flags)
    kernels = [make_unit(backend, other=other) for backend in plan.code.backends]
    # What asks the CPU is compiled beside each backend, for every CPU.
    kernels += [
        make_unit(backend, beside="-feats", file="src/feats.cpp", other=other) for backend in plan.code.backends
    ]
    whole = (
        *(kernels or [CompileUnit("src/kernels/dot.c", ("native",), (), "dot.c.o", other=other)]),
        CompileUnit("src/api.cpp", (), ("-m64",), "api.cpp.o", other=other, language=".cpp"),
    )
    return Evidence({**plan.builder.cmake.defines, **(cache or {})}, whole if units is None else units)


def make_unit(backend, *, beside="", **changes):
    """Return a compile unit of a backend's target, or of a target beside it, which is given no flags for the CPU."""
    march = tuple(flag.removeprefix("-march=") for flag in backend.flags if flag.startswith("-march="))
    features = tuple(flag for flag in backend.flags if not flag.startswith("-march="))
    unit = CompileUnit(
        "src/kernels/dot.c",
        () if beside else march,
        ("-m64",) if beside else ("-m64", *features),
        f"vendor/CMakeFiles/{backend.target}{beside}.dir/dot.c.o",
    )
    return msgspec.structs.replace(unit, **changes)


def system_info(names):
    """Return ggml's account of what is on."""
    return "CPU : " + " | ".join(f"{name} = 1" for name in names) + " | "


def told_info(plan=None, name=""):
    """Return what an engine tells of itself; with backends, what the one of that name does, or the best."""
    if plan is None or not plan.code.backends:
        return {"text": system_info(sorted(engine_names(plan.code.features if plan else _V3)))}
    chosen = next(backend for backend in plan.code.backends if name in ("", backend.name))
    names = sorted(engine_names(chosen.features))
    return {"text": system_info(names), "backend": chosen.name, "why": "it was chosen", "level": plan.code.level}


QUESTION = Question(
    Model("tiny", Path("/no/model.gguf"), "Once", "", vocabulary_round_trips=True),
    texts=("a b",),
    drawn=("c d", "e f"),
    decode=2,
    few=2,
)
"""What the child of `smoke_events` was asked; nothing is known of the model."""

ANSWERS = {
    "import": {"version": "1.2.3", "path": "/site/toy_engine"},
    "load": {"vocabulary": 320, "context": 512},
    "tokenize": {"texts": [{"tokens": [97, 32, 98], "back": b"a b".hex()}], "prompt": [79, 110]},
    "prefill": {
        "tokens": 128,
        "tokens-per-second": 100.0,
        "logits": {"count": 320, "finite": 320, "least": -3.5, "most": 4.5},
    },
    "decode": {
        "tokens": [1, 2],
        "margins": [0.5, 0.25],
        "text": " there was",
        "tokens-per-second": 10.0,
        "drawn": {"prompt": [99, 32, 100], "tokens": [3, 4], "margins": [1.5, 0.75]},
    },
    "stream": {"whole": " so on", "parts": [" so", " on"], "others": [" and"]},
    "embed": {"vector": [0.5, 0.0, -1.0], "dimensions": 3},
    "state": {"bytes": 7, "first": [1, 2, 3, 4], "second": [2, 3, 4]},
    "alone": {"children": [], "sockets": 0, "peak-bytes": 4096},
}


def smoke_events(plan=None, *, until=None, backend=""):
    """Return the events of a child that passed its first steps, but for those that say that one begins."""
    facts = {"system-info": told_info(plan, backend), **copy.deepcopy(ANSWERS)}
    passed = [{"step": step, "state": "passed", "seconds": 0.5, "facts": facts[step]} for step in STEPS[:until]]
    return [{"step": "lock", "state": "passed", "reason": ""}, *passed]


def with_beginnings(events, single=("lock", "cpu", "canary")):
    """Yield events, and before each that ends a step the one that it began with."""
    before = None
    for event in events:
        ends = event["state"] in ("passed", "absent", "failed") and event["step"] not in single
        if ends and before != (event["step"], "begin"):
            yield {"step": event["step"], "state": "begin"}
        before = event["step"], event["state"]
        yield event


def hear(events, script=None):
    """Return what a child said that wrote these events."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events"
        path.write_text("".join(json.dumps(event) + "\n" for event in with_beginnings(events)))
        return read_said(path, script or Script(STEPS))


def judge_smoke(model, events, done):
    """Return the record of a smoke test whose child wrote these events."""
    question = QUESTION._replace(model=QUESTION.model._replace(name=model))
    return judge(question, hear(events), done)


def ended(returncode=0, output="", *, timed_out=False, seconds=1.0):
    """Return how a child ended."""
    return Completed("python driver.py", returncode, output, timed_out, seconds)


def make_record(plan=None):
    """Return the record of a smoke test that passed."""
    return judge_smoke("tiny", smoke_events(plan), ended())


def make_facts(plan="ours", **changes):
    """Return facts in which no check finds anything; `plan=None` stands for somebody else's wheel."""
    plan = make_plan_of() if plan == "ours" else plan
    backends = plan.code.backends if plan else ()
    paths = [backend.library for backend in backends] + [plan.code.kernels.loader] if backends else [LIBRARY]
    level = "" if plan is None else plan.code.level if backends else "x86-64-v3"
    facts = Facts(
        wheel=make_wheel(),
        libraries={path: make_elf(isa_level=level, soname=path.rpartition("/")[2]) for path in paths},
        damaged={},
        policy=None,
        plan=plan,
        evidence=make_evidence(plan) if plan else None,
        smoke=make_record(plan) if plan else None,
        sources=SourceFacts(),
    )
    facts = facts._replace(**changes)
    if "code" not in changes:
        kernels = () if plan is None or backends else (make_kernel(),)
        code = {path: make_code(kernels=kernels) for path in facts.libraries}
        code |= {backend.library: make_backend_code(backend) for backend in backends}
        facts = facts._replace(code=code)
    files = {path: make_entry(Member(b"\x7fELF" + path.encode(), executable=True)) for path in facts.libraries}
    entries = {**files, **facts.wheel.entries}
    return facts._replace(wheel=msgspec.structs.replace(facts.wheel, entries=entries))


def make_stored_report(findings=(), facts=None):
    """Return the report of a wheel with these findings."""
    return make_report(facts or make_facts(), tuple(findings), {"build": 1.234})
