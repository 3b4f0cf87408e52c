"""How subjects and files are named on the command line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from factories import make_stored_report

from truewheel.child.registry import known_engines
from truewheel.cli.bench_ import refuse_unwritable
from truewheel.errors import LoadError, StoreError
from truewheel.files import hash_file
from truewheel.measure.subjects import find_project, label_subjects, parse_subject
from truewheel.report import to_json

OURS = "llama_cpp_python-0.3.36-1_native_zen3_0123abcd-py3-none-linux_x86_64.whl"
OTHER = "llama_cpp_python-0.3.36-1_native_zen3_deadbeef-py3-none-linux_x86_64.whl"


@pytest.fixture
def wheels(tmp_path):
    for name in (OURS, OTHER):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def make_environment(folder, *projects):
    site = folder / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").write_text("")
    for project in projects:
        (site / f"{project}-1.0.dist-info").mkdir()
    return folder


def test_a_wheel_gets_as_many_threads_as_cores_where_nothing_is_said(wheels):
    found = parse_subject(str(wheels / OURS))
    assert (found.kind, found.project, found.version) == ("wheel", "llama-cpp-python", "0.3.36")
    assert (found.preset, found.settings) == ("cores", None)
    assert found.engine.driver == "llama_cpp"


def test_a_wheel_that_was_changed_since_its_report_was_made_is_refused(wheels):
    report = msgspec.structs.replace(make_stored_report(), sha256=hash_file(wheels / OURS))
    (wheels / f"{OURS}.report.json").write_bytes(to_json(report))
    assert parse_subject(str(wheels / OURS)).kind == "wheel"
    (wheels / OURS).write_bytes(b"changed")
    with pytest.raises(LoadError, match="is not the wheel that the report beside it is about"):
        parse_subject(str(wheels / OURS))


def test_a_report_that_was_changed_too_says_nothing(wheels):
    text = to_json(make_stored_report())
    (wheels / f"{OURS}.report.json").write_bytes(text.replace(b"passed", b"basted", 1))
    assert parse_subject(str(wheels / OURS)).kind == "wheel"


def test_defaults_leave_everything_to_the_engine(wheels):
    assert parse_subject(f"{wheels / OURS}@defaults").settings == {}


def test_a_preset_is_a_path_or_a_name(wheels):
    preset = wheels / "mine.toml"
    preset.write_text("schema = 1\n[for]\n[settings]\nn_threads = 3\n")
    assert parse_subject(f"{wheels / OURS}@{preset}").settings == {"n_threads": 3}
    assert parse_subject(f"{wheels / OURS}@i3-6100-16gb").settings["n_ubatch"] == 256


def test_a_published_package_has_a_version():
    found = parse_subject("pypi:Xllamacpp==2026.10.1@defaults")
    assert (found.kind, found.project, found.version, found.settings) == ("index", "xllamacpp", "2026.10.1", {})


def test_an_environment_holds_one_engine(tmp_path):
    folder = make_environment(tmp_path / "one", "llama_rs", "numpy")
    found = parse_subject(str(folder))
    assert (found.kind, found.project) == ("environment", "llama-rs")
    with pytest.raises(LoadError, match="holds llama-cpp-python, llama-rs"):
        find_project(make_environment(tmp_path / "two", "llama_rs", "llama_cpp_python"))
    with pytest.raises(LoadError, match="no engine"):
        find_project(make_environment(tmp_path / "none", "numpy"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("missing.whl", "there is no wheel"),
        ("nothing-at-all", "is no wheel, no environment and no package"),
        ("pypi:xllamacpp", "names no version"),
        ("pypi:xllamacpp==latest", "'latest' is no version"),
        ("pypi:xllamacp==1.0", "no driver knows"),
        ("pypi:xllamacpp==1.0@", "ends with @"),
        ("pypi:xllamacpp==1.0@no-such-preset", "no-such-preset"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(text, words):
    with pytest.raises(LoadError, match=words) as error:
        parse_subject(text)
    assert error.value.hint


def test_the_nearest_project_is_named():
    with pytest.raises(LoadError) as error:
        parse_subject("pypi:xllamacp==1.0")
    assert "xllamacpp" in error.value.hint


def test_a_folder_that_is_no_environment_is_refused(tmp_path):
    with pytest.raises(LoadError, match="is no environment"):
        parse_subject(str(tmp_path))


def test_a_path_may_hold_an_at_sign(tmp_path):
    folder = make_environment(tmp_path / "me@home", "llama_rs")
    assert parse_subject(str(folder)).preset == "cores"


def test_labels_are_short_where_they_can_be_and_unique_always(wheels):
    ours, other = parse_subject(str(wheels / OURS)), parse_subject(str(wheels / OTHER))
    tuned = parse_subject(f"{wheels / OURS}@i3-6100-16gb")
    peer = parse_subject("pypi:xllamacpp==2026.10.1")
    short = "llama-cpp-python native_zen3"
    assert label_subjects([ours, tuned, peer]) == [short, f"{short} @i3-6100-16gb", "xllamacpp 2026.10.1"]
    assert label_subjects([ours, other]) == [f"{short}_0123abcd", f"{short}_deadbeef"]
    assert label_subjects([ours, ours]) == [f"{short}_0123abcd #1", f"{short}_0123abcd #2"]


def test_every_engine_of_ours_is_known():
    assert {"llama-cpp-python", "llama-rs"} <= set(known_engines())
    assert all(entry.shape == "llama.cpp" for name, entry in known_engines().items() if name.startswith("llama-rs"))


def test_what_could_not_be_written_afterwards_is_refused_before(tmp_path):
    kept = tmp_path / "kept.json"
    kept.write_text("old")
    refuse_unwritable((None, tmp_path / "page.html", kept))
    assert kept.read_text() == "old"
    assert list(tmp_path.iterdir()) == [kept]
    for path in (tmp_path / "absent" / "page.html", kept / "page.html", tmp_path, Path("/proc/page.html")):
        with pytest.raises(StoreError, match="cannot write"):
            refuse_unwritable((path,))
