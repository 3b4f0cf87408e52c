"""Builds that are kept: found again whole, or not at all."""

import pytest
from factories import make_plan_of

from truewheel.build import kept
from truewheel.build.evidence import CompileUnit, CrateUnit, Evidence
from truewheel.build.kept import find_build, keep_build
from truewheel.build.product import BuiltWheel
from truewheel.fetch.source import SourceTree

EVIDENCE = Evidence({"A": "1"}, (CompileUnit("a.c", ("native",), ("-mavx2",), "a.o"),), (CrateUnit("b", ("lto=fat",)),))


@pytest.fixture
def built(tmp_path):
    wheel = tmp_path / "work" / "toy-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"a wheel")
    plan = make_plan_of()
    return BuiltWheel(wheel, plan, SourceTree(tmp_path, plan.subject.source, fresh=True), EVIDENCE, b"cpuid", "cc 1.0")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "built"


def kept_of(folder):
    return next(path for path in folder.iterdir() if path.is_dir())


def test_a_build_is_found_again_when_its_work_folder_is_gone(built, folder):
    keep_build(built, folder)
    built.path.unlink()
    found = find_build(built.plan, built.source, None, folder)
    assert found.path.read_bytes() == b"a wheel"
    assert found._replace(path=built.path) == built


def test_another_plan_is_not_found(built, folder):
    keep_build(built, folder)
    assert find_build(make_plan_of(code="c" * 64), built.source, None, folder) is None


@pytest.mark.parametrize("lost", ["build.json", "cpuid.so", "toy-1.0-py3-none-any.whl"])
def test_what_is_not_whole_is_not_found(built, folder, lost):
    keep_build(built, folder)
    (kept_of(folder) / lost).unlink()
    assert find_build(built.plan, built.source, None, folder) is None


def test_a_damaged_record_is_not_found(built, folder):
    keep_build(built, folder)
    (kept_of(folder) / "build.json").write_text("{}")
    assert find_build(built.plan, built.source, None, folder) is None


@pytest.mark.parametrize("name", ["cpuid.so", "toy-1.0-py3-none-any.whl"])
@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-1] + b"?", lambda data: data * 2])
def test_what_is_not_what_was_kept_is_not_found(built, folder, name, damage):
    keep_build(built, folder)
    path = kept_of(folder) / name
    path.write_bytes(damage(path.read_bytes()))
    assert find_build(built.plan, built.source, None, folder) is None
    keep_build(built, folder)
    assert find_build(built.plan, built.source, None, folder).path.read_bytes() == b"a wheel"


def test_what_was_kept_without_a_seal_is_not_found(built, folder):
    keep_build(built, folder)
    next(folder.glob("*.seal")).unlink()
    assert find_build(built.plan, built.source, None, folder) is None


def test_a_build_that_is_another_plans_is_not_found(built, folder):
    other = make_plan_of(code="c" * 64)
    keep_build(built, folder)
    for path in (*folder.glob("*.seal"), kept_of(folder)):
        path.rename(path.with_name(other.digest[:24] + path.suffix))
    assert find_build(other, built.source, None, folder) is None


def test_the_oldest_is_forgotten(built, folder, monkeypatch):
    monkeypatch.setattr(kept, "_MOST", 2)
    plans = [make_plan_of(code=letter * 64) for letter in "cde"]
    for plan in plans:
        keep_build(built._replace(plan=plan), folder)
    found = [find_build(plan, built.source, None, folder) is not None for plan in plans]
    assert found == [False, True, True]
    assert len(list(folder.iterdir())) == 2 * 2


def test_where_nothing_can_be_kept_the_build_goes_on(built, tmp_path):
    (tmp_path / "file").write_text("")
    keep_build(built, tmp_path / "file" / "built")
    assert find_build(built.plan, built.source, None, tmp_path / "file" / "built") is None
