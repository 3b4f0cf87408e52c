"""From what the backend made to a wheel that may leave the house."""

import hashlib
import json
from email.parser import BytesParser

import pytest
from elf_builder import build_elf, isa_note
from factories import (
    DIST_INFO,
    LIBRARY,
    LOADER,
    make_backend_plan,
    make_dispatch_plan,
    make_evidence,
    make_plan_of,
    make_recipe,
    make_source,
    wheel_members,
)

from truewheel.binary.elf import read_elf
from truewheel.build.product import BuiltWheel
from truewheel.errors import RepairError
from truewheel.fetch.source import SourceTree
from truewheel.repair.repair import repair_wheel
from truewheel.repair.sbom import make_sbom
from truewheel.wheel.archive import Member, read_all
from truewheel.wheel.writer import write_wheel

PLAN = make_plan_of(
    recipe=make_recipe(package={"license-files": ["LICENSE", "vendor/LICENSE"]}),
    source=make_source(commit={"llama.cpp": "c" * 40}),
)
WHEEL = b"Wheel-Version: 1.0\nGenerator: toy\nRoot-Is-Purelib: false\nTag: cp311-cp311-manylinux_2_36_x86_64\n\n"


HELPER = "toy_engine/_truewheel_cpuid.so"


@pytest.fixture
def built(tmp_path):
    """What the backend left: a wheel, and the source with its licences."""
    return built_by(PLAN, tmp_path, LIBRARY)


def built_by(plan, tmp_path, *libraries):
    """Return what the backend left of a plan."""
    source = tmp_path / "source"
    (source / "vendor").mkdir(parents=True)
    for name in ("LICENSE", "vendor/LICENSE"):
        (source / name).write_text(f"licence {name}")
    (tmp_path / "repaired").mkdir()
    elves = {
        path: Member(build_elf(soname=path.rpartition("/")[2], note=isa_note(0b111)), executable=True)
        for path in libraries
    }
    members = wheel_members(**{f"{DIST_INFO}/WHEEL": Member(WHEEL)})
    del members[LIBRARY]
    members |= elves
    path = tmp_path / "toy_engine-1.2.3-cp311-cp311-manylinux_2_36_x86_64.whl"
    write_wheel(path, members, DIST_INFO)
    evidence = make_evidence(plan, cache={"LLAMA_CURL": "OFF", "HOME_PATH": "/home/somebody"})
    return BuiltWheel(
        path, plan, SourceTree(source, plan.subject.source, fresh=True), evidence, build_elf(), "toycc 1.0"
    )


@pytest.fixture
def wheel(built, tmp_path):
    return repair_wheel(built, tmp_path / "repaired").wheel


@pytest.fixture
def members(wheel):
    return read_all(wheel.path)[1]


def test_the_name_has_build_tag_and_platform_of_the_plan(wheel):
    assert wheel.path.name == f"toy_engine-1.2.3-{PLAN.build_tag}-cp311-cp311-linux_x86_64.whl"


def test_wheel_metadata_agrees_with_the_name(members):
    message = BytesParser().parsebytes(members[f"{DIST_INFO}/WHEEL"].data)
    assert message.get_all("Tag") == ["cp311-cp311-linux_x86_64"]
    assert message.get_all("Build") == [PLAN.build_tag]
    assert message["Generator"] == "toy"


def test_the_guard_stands_in_front(members):
    assert members["toy_engine/__init__.py"].data.endswith(b"from . import truewheel as _truewheel_guard\n")
    assert b"def backend():" in members["toy_engine/truewheel.py"].data
    assert b"def fit_threads(" in members["toy_engine/truewheel_cores.py"].data
    assert b"def load(" in members["toy_engine/truewheel_preset.py"].data
    assert members[HELPER].executable


def test_libraries_are_what_was_built_and_the_guards_helper_is_loaded_on_every_cpu(members):
    assert members[LIBRARY] == Member(build_elf(soname="libtoy-cpu.so", note=isa_note(0b111)), executable=True)
    assert read_elf(members[LIBRARY].data).isa_level == PLAN.code.level
    assert members[HELPER].data == build_elf()
    assert read_elf(members[HELPER].data).isa_level == ""


def test_the_guard_knows_each_backend_as_it_is_in_the_wheel(tmp_path):
    plan = make_dispatch_plan()
    paths = [backend.library for backend in plan.code.backends]
    members = read_all(repair_wheel(built_by(plan, tmp_path, LOADER, *paths), tmp_path / "repaired").wheel.path)[1]
    guard = members["toy_engine/truewheel.py"].data.decode()
    info = json.loads(members[f"{DIST_INFO}/truewheel.json"].data)
    for path in paths:
        digest = hashlib.sha256(members[path].data).hexdigest()
        assert guard.count(digest) == 1
        assert info["libraries"][path] == digest
    assert [backend["name"] for backend in info["plan"]["code"]["kernels"]["backends"]] == ["best", "good", "base"]


def test_a_portable_wheel_has_both_platform_tags(tmp_path):
    plan = make_backend_plan()
    wheel = repair_wheel(built_by(plan, tmp_path, LIBRARY, LOADER), tmp_path / "repaired").wheel
    platform = "manylinux2014_x86_64.manylinux_2_17_x86_64"
    assert wheel.path.name == f"toy_engine-1.2.3-{plan.build_tag}-cp311-cp311-{platform}.whl"
    message = BytesParser().parsebytes(wheel.texts[f"{DIST_INFO}/WHEEL"].encode())
    assert message.get_all("Tag") == ["cp311-cp311-manylinux2014_x86_64", "cp311-cp311-manylinux_2_17_x86_64"]


def test_a_wheel_that_lacks_a_backend_of_its_plan_is_refused(tmp_path):
    plan = make_dispatch_plan()
    built = built_by(plan, tmp_path, LOADER, *(backend.library for backend in plan.code.backends[1:]))
    with pytest.raises(RepairError, match=r"the wheel has no toy_engine/lib/libtoy-cpu-best\.so") as caught:
        repair_wheel(built, tmp_path / "repaired")
    assert caught.value.exit_code == 6
    assert not list((tmp_path / "repaired").iterdir())


def test_licences_keep_their_folders(members):
    assert members[f"{DIST_INFO}/licenses/LICENSE"].data == b"licence LICENSE"
    assert members[f"{DIST_INFO}/licenses/vendor/LICENSE"].data == b"licence vendor/LICENSE"


def test_the_wheel_tells_of_its_own_build(wheel):
    info = json.loads(wheel.texts[f"{DIST_INFO}/truewheel.json"])
    assert info["plan"]["digest"] == PLAN.digest
    assert info["compiler"] == "toycc 1.0"
    assert info["commit"] == {"llama.cpp": "c" * 40}
    assert info["cmake-cache"]["LLAMA_CURL"] == "OFF"
    assert "HOME_PATH" not in info["cmake-cache"]
    assert set(info["libraries"]) == {LIBRARY, "toy_engine/_truewheel_cpuid.so"}


def test_repairing_twice_gives_the_same_bytes(built, wheel, tmp_path):
    (tmp_path / "again").mkdir()
    assert repair_wheel(built, tmp_path / "again").wheel.sha256 == wheel.sha256


def test_no_folder_of_the_builder_is_in_the_wheel(members, tmp_path):
    assert not [path for path, member in members.items() if str(tmp_path).encode() in member.data]


def test_a_licence_that_is_not_there(built, tmp_path):
    (built.source.path / "vendor/LICENSE").unlink()
    with pytest.raises(RepairError, match="the source has no vendor/LICENSE") as caught:
        repair_wheel(built, tmp_path / "repaired")
    assert caught.value.exit_code == 6
    assert "license-files" in caught.value.hint


def test_a_wheel_that_cannot_be_read(built, tmp_path):
    built.path.write_bytes(b"nonsense")
    with pytest.raises(RepairError, match="the backend made a wheel that cannot be read"):
        repair_wheel(built, tmp_path / "repaired")
    assert not list((tmp_path / "repaired").iterdir())


def test_the_bill_of_materials_names_engine_upstreams_and_libraries(members):
    bill = json.loads(members[f"{DIST_INFO}/sboms/truewheel.cdx.json"].data)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["purl"] == "pkg:pypi/toy-engine@1.2.3"
    assert {part["name"]: part.get("version") for part in bill["components"]} == {
        "llama.cpp": "c" * 40,
        LIBRARY: None,
        "toy_engine/_truewheel_cpuid.so": None,
    }


def test_the_bill_of_materials_is_the_same_on_every_run():
    libraries = {"a.so": "1" * 64, "b.so": "2" * 64}
    assert make_sbom(PLAN, libraries) == make_sbom(PLAN, dict(reversed(libraries.items())))
    assert make_sbom(PLAN, libraries) != make_sbom(make_plan_of(), libraries)


def test_a_path_source_has_no_address_in_the_bill():
    plan = make_plan_of(source=make_source(kind="path"))
    assert "purl" not in json.loads(make_sbom(plan, {}))["metadata"]["component"]
