"""The wheelhouse: what is stored is found again, and nothing half-made is."""

import hashlib
import json
import os

import msgspec
import pytest
from factories import DIST_INFO, make_facts, make_stored_report, wheel_members
from filelock import FileLock

from truewheel import files
from truewheel.checks.finding import Finding
from truewheel.errors import StoreError
from truewheel.kept import parts
from truewheel.report import Report
from truewheel.store import wheelhouse as store
from truewheel.store.wheelhouse import Wheelhouse
from truewheel.wheel.writer import write_wheel

NAME = "toy_engine-1.2.3-1_native-py3-none-linux_x86_64.whl"
UNPROVEN = Finding(code="SMOKE-UNPROVEN", severity="warning", where="model tiny", message="this CPU lacks avx512f")
BAD = Finding(code="SIZE-LIMIT", severity="error", where="x", message="too large")


@pytest.fixture
def house(tmp_path):
    return Wheelhouse(tmp_path / "house")


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / NAME
    write_wheel(path, wheel_members(), DIST_INFO)
    return path


def report_of(wheel, *findings, **changes):
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return msgspec.structs.replace(make_stored_report(findings), wheel=wheel.name, sha256=digest, **changes)


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_a_proven_wheel_is_stored_with_its_reports(house, wheel):
    stored = house.add(wheel, report_of(wheel))
    assert stored.path == house.root / NAME
    assert stored.path.read_bytes() == wheel.read_bytes()
    assert names(house.root) == [".lock", NAME, f"{NAME}.report.json", f"{NAME}.report.md"]
    report = msgspec.json.decode((house.root / f"{NAME}.report.json").read_bytes(), type=Report)
    assert report == stored.report == report_of(wheel, created=report.created)
    assert (house.root / f"{NAME}.report.md").read_text().startswith(f"# {NAME}")


def test_a_refused_wheel_is_stored_among_the_rejected(house, wheel):
    stored = house.add(wheel, report_of(wheel, BAD))
    assert stored.path == house.root / "rejected" / NAME
    assert [found.path for found in house.list(rejected=True)] == [stored.path]
    assert house.list() == []


def test_a_proven_wheel_is_found_by_its_digest(house, wheel):
    report = report_of(wheel)
    stored = house.add(wheel, report)
    assert house.find(report.digest, report.proof, "tiny") == stored
    assert house.find("0" * 64, report.proof, "tiny") is None


def test_a_wheel_that_was_proven_of_something_else_is_not_found(house, wheel):
    report = report_of(wheel)
    house.add(wheel, report)
    assert house.find(report.digest, "0" * 64, "tiny") is None


def test_a_new_proof_takes_the_place_of_the_old_one(house, wheel):
    old, new = report_of(wheel, proof="1" * 64), report_of(wheel, proof="2" * 64)
    house.add(wheel, old)
    stored = house.add(wheel, new)
    assert house.list() == [stored]
    assert house.find(new.digest, new.proof, "tiny") == stored


def test_a_wheel_that_a_new_proof_refuses_is_no_longer_among_the_proven(house, wheel):
    house.add(wheel, report_of(wheel, proof="1" * 64))
    house.add(wheel, report_of(wheel, BAD, proof="2" * 64))
    assert names(house.root) == [".lock"]
    assert len(house.list(rejected=True)) == 1


def test_a_wheel_that_fails_in_the_same_proof_stays_among_the_proven(house, wheel):
    """With another model, say, that is too large for this machine."""
    house.add(wheel, report_of(wheel))
    house.add(wheel, report_of(wheel, BAD))
    assert (len(house.list()), len(house.list(rejected=True))) == (1, 1)


def test_a_wheel_that_is_proven_at_last_is_no_longer_among_the_rejected(house, wheel):
    house.add(wheel, report_of(wheel, BAD))
    house.add(wheel, report_of(wheel, proof="2" * 64))
    assert names(house.rejected) == []
    assert len(house.list()) == 1


def test_a_refused_wheel_is_not_found(house, wheel):
    report = report_of(wheel, BAD)
    house.add(wheel, report)
    assert house.find(report.digest, report.proof, "tiny") is None


def test_an_unproven_wheel_is_stored_among_the_sound_and_found_again(house, wheel):
    report = report_of(wheel, UNPROVEN)
    stored = house.add(wheel, report)
    assert (report.verdict, stored.path) == ("unproven", house.root / NAME)
    assert house.list(rejected=True) == []
    assert house.find(report.digest, report.proof, "tiny", provable=False) == stored
    assert house.find(report.digest, report.proof, "smollm2", provable=False) == stored


def test_where_it_can_be_run_an_unproven_wheel_is_not_enough(house, wheel):
    report = msgspec.structs.replace(report_of(wheel, UNPROVEN), smoke=None)
    house.add(wheel, report)
    assert house.find(report.digest, report.proof, "tiny") is None


def test_an_unproven_wheel_with_an_error_is_stored_among_the_rejected(house, wheel):
    report = report_of(wheel, UNPROVEN, BAD)
    assert house.add(wheel, report).path == house.root / "rejected" / NAME
    assert house.find(report.digest, report.proof, "tiny") is None


def test_an_unproven_wheel_that_was_changed_is_not_found(house, wheel):
    report = report_of(wheel, UNPROVEN)
    stored = house.add(wheel, report)
    stored.path.write_bytes(stored.path.read_bytes() + b"x")
    assert house.find(report.digest, report.proof, "tiny") is None


def test_a_proof_replaces_an_unproven_wheel(house, wheel):
    house.add(wheel, report_of(wheel, UNPROVEN))
    stored = house.add(wheel, report_of(wheel))
    assert [found.report.verdict for found in house.list()] == ["passed"]
    assert house.find(stored.report.digest, stored.report.proof, "tiny").report.passed


def test_a_refused_report_among_the_proven_is_not_found(house, wheel):
    report = report_of(wheel)
    house.add(wheel, report)
    refused = msgspec.structs.replace(report, verdict="refused")
    (house.root / f"{NAME}.report.json").write_bytes(msgspec.json.encode(refused))
    assert house.find(report.digest, report.proof, "tiny") is None


def test_a_wheel_that_was_changed_is_not_found(house, wheel):
    report = report_of(wheel)
    stored = house.add(wheel, report)
    stored.path.write_bytes(stored.path.read_bytes() + b"x")
    assert house.find(report.digest, report.proof, "tiny") is None
    assert len(house.list()) == 1


def test_a_wheel_that_answered_with_tiny_is_not_found_for_another_model(house, wheel):
    report = report_of(wheel)
    house.add(wheel, report)
    assert report.smoke.model == "tiny"
    assert house.find(report.digest, report.proof, "smollm2") is None


@pytest.mark.parametrize(
    ("name", "compared", "found"), [("tiny", 0, True), ("smollm2", 8, True), ("smollm2", 0, False)]
)
def test_a_wheel_whose_answers_were_compared_is_found_for_tiny_too(house, wheel, name, compared, found):
    report = report_of(wheel)
    steps = tuple(
        msgspec.structs.replace(step, facts={**step.facts, "compared": compared}) if step.name == "decode" else step
        for step in report.smoke.steps
    )
    report = msgspec.structs.replace(report, smoke=msgspec.structs.replace(report.smoke, model=name, steps=steps))
    house.add(wheel, report)
    assert house.find(report.digest, report.proof, name)
    assert bool(house.find(report.digest, report.proof, "tiny")) == found
    assert house.find(report.digest, report.proof, "other") is None


def test_a_wheel_that_was_never_run_is_not_found(house, wheel):
    report = report_of(wheel, smoke=None)
    house.add(wheel, report)
    assert house.find(report.digest, report.proof, "tiny") is None


def test_the_newest_comes_first(house, wheel, tmp_path):
    for day, version in ((2, "1.0"), (3, "1.1"), (1, "1.2")):
        other = tmp_path / f"toy_engine-{version}-py3-none-any.whl"
        other.write_bytes(wheel.read_bytes())
        house.add(other, report_of(other, created=f"2026-01-0{day}T00:00:00+00:00"))
    assert [stored.path.name.split("-")[1] for stored in house.list()] == ["1.1", "1.0", "1.2"]


def test_the_same_wheel_replaces_the_former(house, wheel):
    house.add(wheel, report_of(wheel, created="2026-01-01T00:00:00+00:00"))
    house.add(wheel, report_of(wheel, created="2026-01-02T00:00:00+00:00"))
    assert [stored.report.created for stored in house.list()] == ["2026-01-02T00:00:00+00:00"]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"schema": 1}', b'{"schema": 2}', b"\xff"])
def test_a_report_that_cannot_be_read_is_passed_over(house, wheel, data):
    house.add(wheel, report_of(wheel))
    (house.root / f"{NAME}.report.json").write_bytes(data)
    assert house.list() == []
    assert house.find(report_of(wheel).digest, report_of(wheel).proof, "tiny") is None


def test_a_report_that_was_made_before_is_listed_as_unsealed_and_is_no_proof(house, wheel):
    report = report_of(wheel)
    house.add(wheel, report)
    path = house.root / f"{NAME}.report.json"
    table = json.loads(path.read_bytes())
    del table["proof"], table["seal"]
    path.write_text(json.dumps({**table, "schema": 2, "plan": {"engine": "toy-engine", "level": "x86-64-v3"}}))
    ((found, outline),) = house.outlines()
    assert (found.name, outline.verdict, outline.digest) == (NAME, "unsealed", report.digest)
    assert house.list() == []
    assert house.find(report.digest, report.proof, "tiny") is None


def test_a_report_without_its_wheel_is_passed_over(house, wheel):
    house.add(wheel, report_of(wheel)).path.unlink()
    assert house.list() == []


def verdicts(house):
    return [outline.verdict for _, outline in house.outlines()]


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"?" + data[1:], lambda data: data + b"x"])
def test_a_damaged_wheel_is_listed_as_damaged(house, wheel, damage):
    stored = house.add(wheel, report_of(wheel))
    assert verdicts(house) == ["passed"]
    status = stored.path.stat()
    stored.path.write_bytes(damage(stored.path.read_bytes()))
    os.utime(stored.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert verdicts(house) == ["damaged"]


def test_a_report_that_was_changed_is_listed_as_damaged_and_is_no_proof(house, wheel):
    report = report_of(wheel)
    path = house.add(wheel, report).path.with_name(f"{NAME}.report.json")
    path.write_bytes(path.read_bytes().replace(b'"2026', b'"2025', 1))
    assert verdicts(house) == ["damaged"]
    assert house.find(report.digest, report.proof, "tiny") is None


def test_a_wheel_without_a_report_and_a_report_without_a_wheel_are_listed_as_such(house, wheel):
    stored = house.add(wheel, report_of(wheel))
    (house.root / "other-1.0-py3-none-any.whl").write_bytes(b"x")
    stored.path.unlink()
    assert sorted(verdicts(house)) == ["lost", "unknown"]


def test_hashes_of_wheels_are_remembered_and_not_believed_when_the_file_changes(house, wheel, monkeypatch):
    stored = house.add(wheel, report_of(wheel))
    hashed = []
    real = parts._hash
    monkeypatch.setattr(parts, "_hash", lambda path, size: hashed.append(path) or real(path, size))
    monkeypatch.setattr(parts, "_MOMENT", -1)
    assert [*verdicts(house), *verdicts(house)] == ["passed", "passed"]
    assert hashed == [stored.path]
    stored.path.touch()
    assert verdicts(house) == ["passed"]
    assert len(hashed) == 2


def test_a_folder_that_is_called_like_a_report_is_passed_over(house, wheel):
    house.add(wheel, report_of(wheel))
    (house.root / "x.whl.report.json").mkdir()
    assert len(house.list()) == 1


def test_an_empty_or_absent_wheelhouse_has_nothing(house):
    assert house.list() == house.list(rejected=True) == []
    assert house.find("0" * 64, "0" * 64, "tiny") is None
    assert not house.root.exists()


def test_preparing_makes_the_folder_and_leaves_nothing_in_it(house):
    house.prepare()
    assert set(names(house.root)) <= {".lock"}


@pytest.mark.parametrize(
    "act", [lambda house, _wheel: house.prepare(), lambda house, wheel: house.add(wheel, report_of(wheel))]
)
def test_a_file_where_the_folder_should_be(house, wheel, act):
    house.root.write_text("I am a file")
    with pytest.raises(StoreError, match="cannot write to the wheelhouse") as caught:
        act(house, wheel)
    assert caught.value.exit_code == 8
    assert "--wheelhouse" in caught.value.hint
    assert house.root.read_text() == "I am a file"
    assert house.list() == []


def test_a_file_where_the_rejected_should_go(house, wheel):
    house.root.mkdir()
    (house.root / "rejected").write_text("I am a file")
    with pytest.raises(StoreError):
        house.add(wheel, report_of(wheel, BAD))


def test_a_wheel_that_is_gone_leaves_nothing_half_made(house, wheel):
    report = report_of(wheel)
    wheel.unlink()
    with pytest.raises(StoreError, match="No such file"):
        house.add(wheel, report)
    assert not [path for path in house.root.rglob("*") if path.name.endswith((".part", ".whl"))]
    assert house.list() == []


def test_a_full_disk_leaves_no_part_files_and_the_former_wheel(house, wheel, monkeypatch):
    report = report_of(wheel)
    stored = house.add(wheel, report)
    before = stored.path.read_bytes()

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        house.add(wheel, report_of(wheel, created="2030-01-01T00:00:00+00:00"))
    assert not [path for path in house.root.rglob("*") if path.name.endswith(".part")]
    assert stored.path.read_bytes() == before
    assert house.find(report.digest, report.proof, "tiny")


def test_the_wheel_comes_after_its_reports(house, wheel, monkeypatch):
    def fail(_source, _path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(store.shutil, "copyfile", fail)
    with pytest.raises(StoreError):
        house.add(wheel, report_of(wheel))
    assert names(house.root) == [".lock", f"{NAME}.report.json", f"{NAME}.report.md"]
    assert house.list() == []


def test_a_locked_wheelhouse(house, wheel, monkeypatch):
    monkeypatch.setattr(store, "_LOCK_SECONDS", 0.05)
    house.prepare()
    with FileLock(house.root / ".lock"), pytest.raises(StoreError, match="is locked by another program") as caught:
        house.add(wheel, report_of(wheel))
    assert caught.value.exit_code == 8
    assert house.add(wheel, report_of(wheel)).path.is_file()


def test_a_facts_factory_that_passes_is_what_these_tests_stand_on():
    assert make_stored_report(facts=make_facts()).passed
