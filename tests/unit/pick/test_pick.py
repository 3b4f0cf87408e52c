"""Picking a wheel: who fits which machine, who is better, what is said, and the command that does it."""

import json
import os
import shlex
from pathlib import Path

import msgspec
import pytest
from code_builder import RET, build_library, call, function
from elf_builder import build_elf
from factories import LIBRARY, make_code, make_elf, make_host, make_kernel, make_stored_report
from hypothesis import given
from hypothesis import strategies as st
from malformed import KINDS
from packaging.tags import sys_tags

from truewheel.cli import run
from truewheel.cpu.features import with_implied
from truewheel.cpu.levels import LEVELS, level_features
from truewheel.errors import CheckError, LoadError, PlanError
from truewheel.examine.examine import examine
from truewheel.examine.facts import facts_of
from truewheel.examine.reading import LibraryFacts, WheelFacts
from truewheel.pick import judge, target
from truewheel.pick.candidate import Candidate
from truewheel.pick.choose import choose, find_nearest
from truewheel.pick.run import find_wheels, pick_wheels
from truewheel.pick.target import find_target, make_target
from truewheel.report import to_json
from truewheel.wheel.archive import Member, open_wheel, read_wheel
from truewheel.wheel.container import hash_stream
from truewheel.wheel.writer import write_wheel

PLATFORMS = ("linux_x86_64", *(f"manylinux_2_{minor}_x86_64" for minor in range(36, 4, -1)), "manylinux2014_x86_64")
V2, V3, V4 = (tuple(sorted(level_features(level))) for level in LEVELS[1:])
NATIVE = tuple(sorted({*V4, "avx512_vnni", "amx_int8", "amx_tile"}))
BACKENDS = (("sapphirerapids", NATIVE), ("haswell", V3), ("nehalem", V2))
TAGS = "py3-none-linux_x86_64"


def target_of(features=V3, python="3.11.7"):
    """Return a made-up machine with these features."""
    level = next(level for level in reversed(LEVELS) if level_features(level) <= set(features))
    return make_target(make_host(features=tuple(features), level=level), python, PLATFORMS)


HASWELL, NEHALEM, SKYLAKE_X, SAPPHIRE = (target_of(features) for features in (V3, V2, V4, NATIVE))


def plan_of(profile, features, *, level="x86-64", march="", backends=None):
    """Return what truewheel.json says of a plan, as far as it matters here."""
    backends = [(profile, features)] if backends is None else backends
    rows = [{"name": name, "library": f"lib{name}.so", "features": list(wanted)} for name, wanted in backends]
    return {"level": level, "profile": profile, "features": list(features), "march": march, "backends": rows}


def plant(folder, plan=None, *, version="1.2.3", build="", tags=TAGS, metadata="", padding=0, project="toy_engine"):
    """Write a sound wheel, of ours when it has a plan."""
    path = folder / f"{'-'.join(filter(None, (project, version, build, tags)))}.whl"
    info = f"{project}-{version}.dist-info"
    texts = {
        "METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n{metadata}",
        "WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tags}\n",
    }
    if plan is not None:
        texts["truewheel.json"] = plan if isinstance(plan, str) else json.dumps({"schema": 1, "plan": plan})
    members = {f"{info}/{name}": Member(text.encode()) for name, text in texts.items()}
    members[LIBRARY] = Member(b"\x7fELF and no more" + os.urandom(padding), executable=True)
    folder.mkdir(exist_ok=True)
    write_wheel(path, members, info)
    return path


def plant_levels(folder):
    """Write one wheel for each level."""
    for level, features in zip(LEVELS[1:], (V2, V3, V4), strict=True):
        label = level.replace("-", "_")
        plant(folder, plan_of(label, features, level=level), build=f"1_{label}")


def prove(wheel, verdict="passed", **changes):
    """Write a report beside a wheel."""
    with open_wheel(wheel) as stream:
        sha256, _ = hash_stream(stream)
    report = msgspec.structs.replace(make_stored_report(), **{"sha256": sha256, "verdict": verdict, **changes})
    path = wheel.with_name(f"{wheel.name}.report.json")
    path.write_bytes(to_json(report))
    return path


@pytest.fixture
def code():
    """What the libraries of planted wheels are said to need; a test may change it."""
    return {LIBRARY: LibraryFacts(elf=make_elf(), code=make_code(kernels=()))}


@pytest.fixture(autouse=True)
def reading(monkeypatch, code):
    """Read archives here, and believe `code`: no child is started and nothing is disassembled."""

    def look(path):
        read = WheelFacts(wheel=read_wheel(path), libraries=code, sources=None, policy=None, locked=True)
        return facts_of(read)

    monkeypatch.setattr(judge, "examine", look)


@pytest.fixture
def house(tmp_path):
    return tmp_path / "house"


def pick_from(*paths, target=HASWELL, engine=""):
    return pick_wheels(paths, target, engine=engine, tell=lambda *_: None)


def pick_one(*paths, target=HASWELL):
    (choice,) = pick_from(*paths, target=target)
    return choice


def refusal_of(path, target=HASWELL):
    """Return why a wheel is not taken."""
    choice = pick_one(path, target=target)
    assert choice.best is None
    (other,) = choice.others
    assert choice.why == f"{path.name}: {other.reason}"
    return other.reason


# What it is picked for


def test_a_version_of_python_is_a_target():
    target = make_target(make_host(), "3.9", ["linux_x86_64"])
    assert (target.python, target.versions[:2]) == ("CPython 3.9", ("3.9.0", "3.9.1"))
    assert {"cp39-cp39-linux_x86_64", "cp38-abi3-linux_x86_64", "cp39-none-any", "py3-none-any"} <= set(
        map(str, target.tags)
    )
    assert make_target(make_host(), "3.9.2", ["any"]).versions == ("3.9.2",)
    assert "cp37-cp37m-any" in map(str, make_target(make_host(), "3.7", ["any"]).tags)


@pytest.mark.parametrize("text", ["3", "2.7", "three", "3.9rc1", "3.999", "cp39", "3.1.2.3", "3.9\n"])
def test_what_is_no_version_of_python(text):
    with pytest.raises(LoadError, match="is no version of CPython 3"):
        find_target(text)


def test_without_a_version_it_is_the_python_that_runs(monkeypatch):
    monkeypatch.setattr(target, "detect_host", make_host)
    assert find_target().tags == frozenset(sys_tags())
    assert find_target("3.10").python == "CPython 3.10"


# Where it looks


def test_folders_give_their_wheels_and_files_themselves(house, tmp_path, monkeypatch):
    inside, single = plant(house), plant(tmp_path / "elsewhere")
    (house / "README.md").touch()
    plant(house / "deeper")
    assert find_wheels([house, single]) == [inside, single]
    monkeypatch.chdir(tmp_path)
    assert find_wheels([house.relative_to(tmp_path), inside, tmp_path / "elsewhere" / ".." / "house"]) == [inside]


def test_the_rejected_are_never_looked_into(house, monkeypatch):
    good = plant(house, build="1")
    bad = plant(house / "rejected", build="2")
    assert find_wheels([house]) == [good]
    for path in (house / "rejected", bad):
        assert refusal_of(path) == "it lies among what checks refused"
    monkeypatch.chdir(house / "rejected")
    assert pick_one(Path()).best is None


@pytest.mark.parametrize("kind", ["missing", "empty", "unreadable"])
def test_a_folder_without_wheels_is_wrong_usage(house, kind, monkeypatch):
    if kind != "missing":
        house.mkdir()
    if kind == "unreadable":

        def refuse(_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(LoadError) as caught:
        find_wheels([house])
    assert "truewheel build" in caught.value.hint
    assert "\n" not in caught.value.message


def test_one_pick_a_project_and_what_is_no_wheel_apart(house):
    plant(house)
    plant(house, project="other")
    (house / "notes.txt").touch()
    found = pick_from(house, house / "notes.txt")
    assert [(choice.project, choice.best is not None) for choice in found] == [
        ("", False),
        ("other", True),
        ("toy-engine", True),
    ]
    assert found[0].others[0].reason == "it is no wheel: its name does not end in .whl"
    (only,) = pick_from(house, engine="Toy_Engine")
    assert only.project == "toy-engine"
    with pytest.raises(LoadError, match="no wheel of nobody") as caught:
        pick_from(house, engine="nobody")
    assert "other, toy-engine" in caught.value.hint


def test_a_file_that_is_given_twice_is_one_candidate(house):
    wheel = plant(house)
    assert pick_one(wheel, house, wheel).others == ()


def test_it_reads_on_linux_alone(house, monkeypatch):
    plant(house)
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(PlanError, match="this is win32"):
        pick_from(house)


def test_what_is_read_is_told(house):
    plant_levels(house)
    told = []
    pick_wheels([house], HASWELL, tell=lambda *progress: told.append(progress))
    assert [(done, total) for done, total, _ in told] == [(0, 3), (1, 3), (2, 3)]


# Names and tags


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ("py3-none-any", ""),
        ("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", ""),
        ("cp38-abi3-linux_x86_64", ""),
        ("cp312-cp312-linux_x86_64", "it is for CPython 3.12, and this is CPython 3.11.7"),
        ("cp312-abi3-linux_x86_64", "it is for CPython 3.12 or newer, and this is CPython 3.11.7"),
        ("cp311-cp311d-linux_x86_64", "it is for CPython 3.11 with the ABI cp311d, and this is CPython 3.11.7"),
        ("pp310-pypy310_pp73-linux_x86_64", "it is for PyPy 3.10, and this is CPython 3.11.7"),
        ("py2-none-any", "it is for Python 2, and this is CPython 3.11.7"),
        ("cp36.cp37-none-any", "it is for CPython 3.6, CPython 3.7, and this is CPython 3.11.7"),
        ("odd-none-any", "it is for odd, and this is CPython 3.11.7"),
        ("cp38-abi3-any", "its tags cp38-abi3-any do not go together with CPython 3.11.7 on this machine"),
        (
            "py3-none-manylinux_2_39_x86_64",
            "it needs glibc 2.39 or newer, and this system has glibc 2.36",
        ),
        ("py3-none-musllinux_1_2_x86_64", "it is for systems with musl, and this one has glibc 2.36"),
        ("py3-none-manylinux2014_aarch64", "it is for aarch64 CPUs, and this machine is x86_64"),
        ("py3-none-macosx_11_0_arm64", "it is for macOS, and this is Linux"),
        ("py3-none-win_amd64", "it is for Windows, and this is Linux"),
        ("py3-none-vax_vms", "it is for vax_vms, and this is Linux"),
        (
            "py3-none-win_amd64.musllinux_1_2_x86_64.manylinux_2_28_aarch64",
            "it is for systems with musl, and this one has glibc 2.36",
        ),
    ],
)
def test_tags_that_do_not_fit_are_told_in_words(house, tags, reason):
    wheel = plant(house, tags=tags)
    assert reason == (refusal_of(wheel) if reason else "" if pick_one(wheel).best else None)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ("py3-none-manylinux_2_17_x86_64", "it is for systems with glibc, and this one has musl 1.2"),
        ("py3-none-musllinux_1_3_x86_64", "it needs musl 1.3 or newer, and this system has musl 1.2"),
    ],
)
def test_a_system_with_musl(house, tags, reason):
    target = make_target(make_host(libc="musl 1.2"), "3.11", ["musllinux_1_2_x86_64", "linux_x86_64"])
    assert refusal_of(plant(house, tags=tags), target) == reason


def test_a_variant_label_is_nothing_that_pip_installs(house):
    wheel = plant(house)
    assert "x86_64_v3, with which pip" in refusal_of(wheel.rename(wheel.with_name(f"{wheel.stem}-x86_64_v3.whl")))


@pytest.mark.parametrize("name", [".whl", "toy.whl", "toy-1-py3-none.whl", "toy-one-py3-none-any.whl"])
def test_a_name_that_is_no_wheels(house, name):
    house.mkdir()
    (house / name).touch()
    choice = pick_one(house / name)
    assert (choice.project, choice.best) == ("", None)


def test_a_path_that_is_not_utf8(house):
    wheel = plant(house)
    odd = house.with_name(os.fsdecode(b"\xff"))
    house.rename(odd)
    assert refusal_of(odd / wheel.name) == "its path is not UTF-8"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (">=3.9", ""),
        (">=3.12", "it requires Python >=3.12, and this is CPython 3.11.7"),
        ("!=3.11.*,>=3", "it requires Python !=3.11.*,>=3, and this is CPython 3.11.7"),
        ("three", "its Requires-Python: 'three' cannot be read"),
        (">=3," * 1000, "cannot be read"),
    ],
)
def test_requires_python_is_kept(house, value, reason):
    wheel = plant(house, metadata=f"Requires-Python: {value}\n")
    assert reason in (refusal_of(wheel) if reason else "" if pick_one(wheel).best else "refused")


def test_a_patch_release_counts_where_it_is_known(house):
    wheel = plant(house, metadata="Requires-Python: >=3.11.9\n")
    assert "requires" in refusal_of(wheel)
    assert pick_one(wheel, target=target_of(python="3.11")).best


# Archives and reports


@pytest.mark.parametrize("code", ["RECORD-HASH", "ARCHIVE-UNREADABLE"])
def test_a_malformed_wheel_is_not_taken(tmp_path, code):
    wheel = next(kind for kind in KINDS.values() if kind.code == code).build(tmp_path)
    target = make_target(make_host(), "3.11", ["any", *PLATFORMS])
    assert refusal_of(wheel, target).startswith(f"it is malformed: {code}: ")


def test_what_cannot_be_opened_is_not_taken(house):
    house.mkdir()
    link, folder, pipe = (house / f"toy_engine-{version}-{TAGS}.whl" for version in range(3))
    link.symlink_to("nowhere")
    folder.mkdir()
    os.mkfifo(pipe)
    choice = pick_one(house)
    assert choice.best is None
    assert [other.reason for other in choice.others] == [
        f"{pipe} is no regular file",
        f"cannot read {folder}: Is a directory",
        f"cannot read {link}: No such file or directory",
    ]


def test_a_report_that_passed_proves_the_wheel(house):
    wheel = plant(house, plan_of("native", V3))
    assert pick_one(house).best.doubts == ("unproven: no report lies beside it",)
    prove(wheel)
    best = pick_one(house).best
    assert (best.proven, best.doubts) == ("passed", ())


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({"verdict": "unproven"}, "unproven: so says its report"),
        ({"smoke": 1}, "unproven: its report was written by another version of truewheel"),
    ],
)
def test_what_a_report_leaves_open_is_said(house, changes, doubt):
    prove(plant(house), **changes)
    best = pick_one(house).best
    assert (best.proven, best.doubts) == ("unproven", (doubt,))


def test_a_report_that_was_changed_proves_nothing(house):
    report = prove(plant(house))
    report.write_bytes(report.read_bytes().replace(b"toy", b"boy", 1))
    doubt = "unproven: its report was changed, or another version of truewheel wrote it"
    assert pick_one(house).best.doubts == (doubt,)


@pytest.mark.parametrize("data", [b"", b"[" * 100_000, b"{}", b"\xff", b'{"sha256": 1, "verdict": "passed"}'])
def test_a_report_that_cannot_be_read_proves_nothing(house, data):
    wheel = plant(house)
    wheel.with_name(f"{wheel.name}.report.json").write_bytes(data)
    assert pick_one(house).best.doubts == ("unproven: its report cannot be read",)


@pytest.mark.parametrize("verdict", ["refused", "malformed", "splendid\x1b[2J"])
def test_a_wheel_that_was_refused_is_not_taken(house, verdict):
    wheel = plant(house)
    prove(wheel, verdict)
    assert refusal_of(wheel) == f"its report says {verdict}".replace("\x1b", "\\x1b")


def test_a_refusal_by_another_version_counts(house):
    wheel = plant(house)
    prove(wheel, "refused", smoke=1)
    assert refusal_of(wheel) == "its report says refused"


def test_a_wheel_that_was_changed_after_its_proof_is_not_taken(house):
    wheel = plant(house)
    prove(wheel, sha256="0" * 64)
    assert refusal_of(wheel) == "it is not the file that was proven: its report is about another one"


# The CPU


@pytest.mark.parametrize(
    ("target", "profile"),
    [(NEHALEM, "x86_64_v2"), (HASWELL, "x86_64_v3"), (SKYLAKE_X, "x86_64_v4"), (SAPPHIRE, "x86_64_v4")],
)
def test_the_highest_level_that_the_cpu_has_is_taken(house, target, profile):
    plant_levels(house)
    assert pick_one(house, target=target).best.profile == profile


def test_the_reason_names_what_the_cpu_lacks(house):
    plant_levels(house)
    choice = pick_one(house)
    assert choice.why == (
        "x86_64_v3 uses avx2, f16c, avx and 12 more, the most of what this CPU has; "
        "x86_64_v4 needs avx512f, avx512dq, avx512cd and 2 more, which this CPU lacks"
    )
    assert [(other.profile, other.reason) for other in choice.others] == [
        ("x86_64_v2", "it fits, but uses less of this CPU"),
        (
            "x86_64_v4",
            "it is for x86-64-v4 and needs avx512f, avx512dq, avx512cd and 2 more, which this CPU (x86-64-v3) lacks",
        ),
    ]
    assert choice.others[1].lacks == ("avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl")


def test_a_native_wheel_of_another_cpu_does_not_run(house):
    wheel = plant(house, plan_of("native", NATIVE, level="x86-64-v4", march="native"))
    assert "amx_tile, amx_int8" in refusal_of(wheel, SKYLAKE_X)
    best = pick_one(house, target=SAPPHIRE).best
    assert best.native
    assert not pick_one(house, target=target_of((*NATIVE, "gfni"))).best.native


@pytest.mark.parametrize(
    ("target", "backend"), [(SAPPHIRE, "sapphirerapids"), (SKYLAKE_X, "haswell"), (NEHALEM, "nehalem")]
)
def test_a_dispatch_wheel_loads_the_first_backend_that_runs(house, target, backend):
    plant(house, plan_of("safe", (), backends=BACKENDS))
    choice = pick_one(house, target=target)
    assert (choice.best.backend, choice.best.dispatched) == (backend, True)
    assert set(choice.best.uses) == set(dict(BACKENDS)[backend])
    assert choice.why.startswith(f"backend {backend} of safe uses ")


def test_kernels_count_and_not_what_a_level_brings_along(house):
    """The backend has AMX and fewer features in all: a level's LZCNT, MOVBE and so on make no kernel faster."""
    amx = with_implied(("bmi2", "avx512cd", "avx512vl", "avx512dq", "avx512bw", "avx512_vnni", "amx_int8"))
    level = (*V4, "avx512_vnni")
    assert len(amx) < len(level)
    plant(house, plan_of("safe", V2, level="x86-64-v2", backends=(("sapphirerapids", sorted(amx)), ("sse42", V2))))
    plant(house, plan_of("x86_64_v4_vnni", level, level="x86-64-v4"), build="1_vnni")
    assert pick_one(house, target=SAPPHIRE).best.profile == "safe"


def test_a_dispatch_wheel_may_have_nothing_to_load(house):
    wheel = plant(house, plan_of("safe", (), backends=BACKENDS))
    assert refusal_of(wheel, target_of(())) == (
        "it is for x86-64, and even its nearest backend, nehalem, needs sse3, ssse3, cx16 and 4 more, "
        "which this CPU (x86-64) lacks"
    )


def test_code_outside_of_the_backends_counts_too(house):
    wheel = plant(house, plan_of("safe", V3, level="x86-64-v3", backends=BACKENDS))
    assert "needs fma, movbe, avx" in refusal_of(wheel, NEHALEM)


def test_code_that_needs_more_than_the_plan_says_counts(house, code):
    wheel = plant(house, plan_of("modest", V2, level="x86-64-v2"))
    code[LIBRARY] = LibraryFacts(elf=make_elf(), code=make_code(kernels=(make_kernel("dot", "avx512f"),)))
    assert refusal_of(wheel) == "it is for x86-64-v2 and needs avx512f, which this CPU (x86-64-v3) lacks"


def test_a_plan_without_backends_is_its_features(house):
    plant(house, {"level": "x86-64-v3", "profile": "old", "features": list(V3)})
    best = pick_one(house).best
    assert (best.profile, best.backend, best.dispatched, set(best.uses)) == ("old", "", False, set(V3))


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"plan": 1}', json.dumps({"plan": plan_of("x\x1b", ())}), '{"plan":' + "[" * 100_000]
)
def test_a_plan_that_cannot_be_read_makes_a_wheel_a_foreign_one(house, text):
    plant(house, text)
    assert pick_one(house).best.profile == ""


def test_a_feature_that_nobody_knows_is_lacking(house):
    assert "needs avx99, which" in refusal_of(plant(house, plan_of("next", ("avx99",))))


def test_a_foreign_wheel_is_judged_by_its_code(house, code):
    wheel = plant(house)
    code[LIBRARY] = LibraryFacts(elf=make_elf(), code=make_code(kernels=(make_kernel("dot", "avx512f", "fma"),)))
    assert refusal_of(wheel) == "it is for x86-64-v4 and needs avx512f, which this CPU (x86-64-v3) lacks"
    best = pick_one(wheel, target=SKYLAKE_X).best
    assert (best.uses, best.level) == (("avx512f", "fma"), "x86-64-v4")


def test_what_is_not_known_of_foreign_code_is_said(house, code):
    plant(house)
    kernels = (make_kernel("dot", "avx2", standing="dead"), make_kernel("roll", "rdrand", "fma"))
    code[LIBRARY] = LibraryFacts(elf=make_elf(), code=make_code(kernels=kernels))
    code["toy_engine/odd.so"] = LibraryFacts(elf=None, code=None, damage="it is cut off")
    best = pick_one(house).best
    assert best.doubts[1:] == (
        "what it needs is not known: 1 library file could not be read",
        "it needs rdrand, and whether this CPU has that is not known",
        "nothing shows when its code for avx2 runs",
    )
    assert best.uses == ("fma",)


def test_a_wheel_without_code_needs_nothing(house):
    plant(house, tags="py3-none-any")
    choice = pick_one(house)
    assert choice.why.endswith("needs nothing that only newer CPUs have, and is the only one there is")


def test_real_code_is_read_in_a_child(house, monkeypatch, tmp_path):
    monkeypatch.setenv("TRUEWHEEL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(judge, "examine", examine)
    kernel = function("kernel", bytes.fromhex("c5f5fec2"), RET)
    library = build_library(function("entry", call("kernel"), RET, exported=True), kernel).data
    for version, data in (("1.0", build_elf(needed=("libc.so.6",))), ("2.0", library)):
        info = f"toy-{version}.dist-info"
        texts = {"METADATA": f"Metadata-Version: 2.1\nName: toy\nVersion: {version}\n"}
        texts["WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {TAGS}\n"
        members = {f"{info}/{name}": Member(text.encode()) for name, text in texts.items()}
        house.mkdir(exist_ok=True)
        write_wheel(house / f"toy-{version}-{TAGS}.whl", {**members, "toy.so": Member(data)}, info)
    assert pick_one(house).best.version == "2.0"
    choice = pick_one(house, target=NEHALEM)
    assert (choice.best.version, choice.others[0].lacks) == ("1.0", ("avx2",))


# Who is better


def candidate(name="a", **changes):
    """Return a wheel that fits."""
    return Candidate(**{"path": f"/house/{name}", "name": name, "version": "1.0", "fit": True, **changes})


@pytest.mark.parametrize(
    ("better", "worse", "lost"),
    [
        ({"version": "1.0"}, {"version": "2.0rc1", "proven": "passed"}, "is a pre-release"),
        ({"version": "1.10"}, {"version": "1.9", "proven": "passed"}, "is an older version"),
        ({"proven": "passed"}, {"proven": "unproven", "uses": ("avx",)}, "is not proven"),
        ({"uses": ("avx", "fma")}, {"uses": ("avx2",), "native": True}, "uses less of this CPU"),
        ({"native": True, "dispatched": True}, {}, "was not built for this very CPU"),
        ({"size": 9}, {"dispatched": True, "size": 1}, "has several backends to choose from"),
        ({"size": 1}, {"size": 2, "build": "9"}, "is larger"),
        ({"build": "10_a"}, {"build": "9_b"}, "has a lower build tag"),
        ({"build": "1_b"}, {"build": "1_a"}, "has a lower build tag"),
        ({"build": "0"}, {}, "has a lower build tag"),
    ],
)
def test_each_criterion_outweighs_those_below_it(better, worse, lost):
    choice = choose("toy", [candidate("a", **worse), candidate("z", **better)])
    assert choice.best.name == "z"
    assert [other.reason for other in choice.others] == [f"it fits, but {lost}"]
    assert choice.best.reason == choice.why


def test_at_last_the_name_decides_and_then_the_folder():
    choice = choose("toy", [candidate("b"), candidate("a", path="/y/a"), candidate("a", path="/x/a")])
    assert choice.best.path == "/x/a"
    assert [other.path for other in choice.others] == ["/y/a", "/house/b"]
    assert choice.why == "a needs nothing that only newer CPUs have, and comes first by name"


def test_an_older_wheel_that_does_not_fit_is_not_mentioned():
    old = candidate("old", version="0.9", fit=False, failed="cpu", lacks=("amx_int8",), reason="it needs amx_int8")
    choice = choose("toy", [candidate("new"), old])
    assert choice.why == "new needs nothing that only newer CPUs have, and is the only one that fits"


def test_the_nearest_miss_failed_last_and_lacks_least():
    rows = [("name", 0), ("tags", 0), ("cpu", 5), ("cpu", 2), ("python", 0)]
    missed = [
        candidate(f"{number}", fit=False, failed=failed, lacks=("x",) * lacks, reason="why")
        for number, (failed, lacks) in enumerate(rows)
    ]
    choice = choose("toy", missed)
    assert [other.name for other in choice.others] == ["3", "2", "4", "1", "0"]
    assert find_nearest([choose("", missed[:1]), choice]).name == "3"


names = st.text("ab", min_size=1, max_size=3)
wheels = st.builds(
    Candidate,
    path=names,
    name=names,
    version=st.sampled_from(["1.0", "1.0.0", "1.1", "2.0rc1"]),
    build=st.sampled_from(["", "1", "1_a", "01", "10"]),
    profile=st.sampled_from(["", "native"]),
    fit=st.booleans(),
    failed=st.sampled_from(["tags", "cpu"]),
    reason=st.just("why"),
    uses=st.sampled_from([(), ("avx",), ("fma",)]),
    lacks=st.sampled_from([(), ("avx2",)]),
    proven=st.sampled_from(["", "passed", "unproven"]),
    native=st.booleans(),
    dispatched=st.booleans(),
    size=st.integers(0, 1),
)


@given(st.data())
def test_the_order_of_the_candidates_never_changes_the_choice(data):
    group = data.draw(st.lists(wheels, min_size=1, max_size=6, unique_by=lambda each: (each.name, each.path)))
    choice = choose("toy", group)
    assert choose("toy", data.draw(st.permutations(group))) == choice
    chosen = [*([choice.best] if choice.best else []), *choice.others]
    assert sorted((each.name, each.path) for each in chosen) == sorted((each.name, each.path) for each in group)
    assert (choice.best is not None) == any(each.fit for each in group)


# The command


@pytest.fixture
def command(monkeypatch, capsys):
    monkeypatch.setattr(target, "find_target", lambda python: target_of(python=python or "3.11.7"))

    def call(*arguments):
        code = run(["pick", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_the_command_prints_the_path_and_talks_aside(command, house):
    plant_levels(house)
    code, out, err = command(house)
    best = house / f"toy_engine-1.2.3-1_x86_64_v3-{TAGS}.whl"
    assert (code, out) == (0, f"{best}\n")
    assert f"python3 -m pip install --only-binary :all: {best}" in err
    assert f"uv pip install --no-build {best}" in err
    assert "For CPython 3.11.7 on Imagined CPU 3000, x86-64-v3, glibc 2.36" in err
    assert "  not   1.2.3    x86-64-v2  it fits, but uses less of this CPU\n" in err
    assert "\n      toy_engine-1.2.3-1_x86_64_v2-py3-none-linux_x86_64.whl\n" in err
    assert "  doubt: unproven: no report lies beside it" in err


def test_the_commands_work_from_anywhere_and_for_the_python_asked_for(command, tmp_path, monkeypatch):
    wheel = plant(tmp_path / "my wheels")
    monkeypatch.chdir(tmp_path)
    _, out, err = command("my wheels", "--python", "3.9.2")
    assert out == f"{wheel}\n"
    assert f"python3.9 -m pip install --only-binary :all: {shlex.quote(str(wheel))}\n" in err
    assert f"uv pip install --python 3.9.2 --no-build {shlex.quote(str(wheel))}\n" in err


def test_the_command_looks_into_the_wheelhouse(command, house, monkeypatch):
    monkeypatch.setenv("TRUEWHEEL_WHEELHOUSE", str(house))
    code, out, err = command()
    assert (code, out) == (2, "")
    assert "cannot read" in err
    assert "hint: `truewheel build` makes a wheel" in err
    wheel = plant(house)
    assert command()[:2] == (0, f"{wheel}\n")


def test_the_command_prints_data(command, house):
    plant_levels(house)
    plant(house, project="other", tags="py3-none-win_amd64")
    code, out, _ = command(house, "--json")
    other, toy = json.loads(out)
    assert code == 0
    assert (other["project"], other["best"], other["pip"], other["uv"]) == ("other", None, "", "")
    assert toy["best"]["path"] == str(house / toy["best"]["name"])
    assert toy["pip"].endswith(toy["best"]["path"])
    assert [row["failed"] for row in toy["others"]] == ["", "cpu"]
    assert toy["best"]["reason"] == toy["why"]


def test_when_nothing_fits_the_nearest_miss_is_named(command, house):
    wheel = plant(house, plan_of("x86_64_v4", V4, level="x86-64-v4"), build="1")
    plant(house, tags="py3-none-win_amd64")
    code, out, err = command(house)
    assert (code, out) == (CheckError.exit_code, "")
    assert (
        f"error: no wheel fits this machine; nearest comes {wheel.name}: it is for x86-64-v4 and needs avx512f" in err
    )
    assert "hint: `truewheel build` makes one for this machine" in err
    assert "it is for Windows" in err
    code, out, _ = command(house, "--json")
    assert (code, json.loads(out)[0]["best"]) == (CheckError.exit_code, None)


def test_a_file_that_is_no_wheel_is_told_in_one_line(command, house):
    house.mkdir()
    odd = house / os.fsdecode(b"odd\xff\n.tar.gz")
    odd.touch()
    code, out, err = command(odd, "--json")
    told = "odd\\udcff .tar.gz: it is no wheel: its name does not end in .whl"
    assert (code, json.loads(out)[0]["project"]) == (CheckError.exit_code, "")
    lines = err.splitlines()
    headings, row, name, error = lines[lines.index("No wheels") + 1 :][:4]
    assert headings.split() == ["version", "level", "why"]
    assert " ".join(row.split()) == "not - - it is no wheel: its name does not end in .whl"
    assert (name.strip(), error) == ("odd\\udcff .tar.gz", f"error: there is no wheel to pick: {told}")


def test_a_python_that_is_none(command, house):
    code, out, err = command(house, "--python", "3")
    assert (code, out) == (2, "")
    assert "'3' is no version of CPython 3" in err
