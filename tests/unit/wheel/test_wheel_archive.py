"""Reading wheels that are sound, and files that are no wheels; what is malformed stands in test_malformed.py."""

import base64
import hashlib
import os
import threading
import zipfile

import malformed
import pytest
from factories import DIST_INFO, LIBRARY, record_of, wheel_members
from hypothesis import given
from hypothesis import strategies as st

from truewheel.errors import CheckError
from truewheel.wheel import archive
from truewheel.wheel.archive import MalformedWheelError, Member, WheelReader, kind_of, open_wheel, read_all, read_wheel
from truewheel.wheel.record import record_line_hash
from truewheel.wheel.writer import write_wheel

FILENAME = "toy_engine-1.2.3-py3-none-linux_x86_64.whl"
RECORD = f"{DIST_INFO}/RECORD"


def entry(name, data=b"", *, mode=0o100644, method=zipfile.ZIP_DEFLATED):
    """Return an archive's entry; the name is taken as it is."""
    info = zipfile.ZipInfo("x", (1980, 1, 1, 0, 0, 0))
    info.filename = name
    info.external_attr = mode << 16
    info.create_system = 3
    info.compress_type = method
    return info, data


def write_entries(path, entries):
    with zipfile.ZipFile(path, "w") as target:
        for info, data in entries:
            target.writestr(info, data)
    return path


def sound_entries(members=None):
    """Return the entries of a wheel whose RECORD is right."""
    members = wheel_members() if members is None else members
    record = "".join(f"{line}\n" for line in record_of(members)).encode()
    return [entry(name, member.data) for name, member in members.items()] + [entry(RECORD, record)]


@pytest.fixture
def path(tmp_path):
    return write_entries(tmp_path / FILENAME, sound_entries())


def test_a_sound_wheel_is_read_whole(path):
    wheel = read_wheel(path)
    assert wheel.path == path
    assert wheel.name.project == "toy-engine"
    assert wheel.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert wheel.size == path.stat().st_size
    assert wheel.dist_info == DIST_INFO
    assert wheel.metadata["Name"] == "toy-engine"
    assert wheel.shared_objects() == [LIBRARY]
    assert wheel.installed_size == sum(entry.size for entry in wheel.entries.values())


def test_folders_and_modes_are_understood(tmp_path):
    members = wheel_members()
    entries = [entry("toy_engine/", mode=0o040755), *sound_entries(members)]
    entries[2] = entry(LIBRARY, members[LIBRARY].data, mode=0o100755)
    wheel = read_wheel(write_entries(tmp_path / FILENAME, entries))
    assert "toy_engine/" not in wheel.entries
    assert wheel.entries[LIBRARY].executable
    assert not wheel.entries["toy_engine/__init__.py"].executable


@pytest.mark.parametrize(
    ("mode", "executable"),
    [(0o100755, True), (0o100744, True), (0o100654, True), (0o100645, True), (0o100666, False), (0, False)],
)
def test_who_may_run_a_member(tmp_path, mode, executable):
    members = wheel_members()
    entries = sound_entries(members)
    entries[1] = entry(LIBRARY, members[LIBRARY].data, mode=mode)
    assert read_wheel(write_entries(tmp_path / FILENAME, entries)).entries[LIBRARY].executable is executable


def test_members_are_held_in_the_archives_order(tmp_path):
    members = dict(sorted(wheel_members(**{"toy_engine/a.py": Member(b"")}).items(), reverse=True))
    path = write_entries(tmp_path / FILENAME, sound_entries(members))
    assert list(read_wheel(path).entries) == [*members, RECORD]


@pytest.mark.parametrize(("magic", "kind"), [(b"MZ\x90", "pe"), (b"\xcf\xfa\xed\xfe", "macho"), (b"\x7fELF", "elf")])
def test_compiled_files_are_known_by_their_first_bytes(tmp_path, magic, kind):
    members = wheel_members(**{"toy_engine/a.bin": Member(magic + bytes(20))})
    wheel = read_wheel(write_entries(tmp_path / FILENAME, sound_entries(members)))
    assert wheel.entries["toy_engine/a.bin"].kind == kind


def test_all_of_a_wheel_can_be_held(path):
    _, members = read_all(path)
    assert {name: member.data for name, member in members.items() if name != RECORD} == {
        name: member.data for name, member in wheel_members().items()
    }


def test_a_wheel_that_is_not_there(tmp_path):
    with pytest.raises(CheckError, match="No such file or directory"):
        read_wheel(tmp_path / FILENAME)


def test_a_folder_is_no_wheel(tmp_path):
    (tmp_path / FILENAME).mkdir()
    with pytest.raises(CheckError, match=r"Is a directory|no regular file"):
        read_wheel(tmp_path / FILENAME)


def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / FILENAME)
    with pytest.raises(CheckError, match="no regular file") as caught:
        read_wheel(tmp_path / FILENAME)
    assert "save it first" in caught.value.hint


def test_single_files_are_read_after_all_was_accepted(path):
    wheel = read_wheel(path)
    with open_wheel(path) as stream:
        reader = WheelReader(stream, wheel)
        assert reader.read("toy_engine/__init__.py") == b'"""A toy."""\n'
        with pytest.raises(KeyError):
            reader.read("toy_engine/absent.py")


def test_a_file_that_changed_since_is_not_read(path):
    wheel = read_wheel(path)
    members = wheel_members(**{"toy_engine/__init__.py": Member(b'"""A toz."""\n')})
    write_entries(path, sound_entries(members))
    with open_wheel(path) as stream, pytest.raises(MalformedWheelError) as caught:
        WheelReader(stream, wheel).read("toy_engine/__init__.py")
    assert [fault.code for fault in caught.value.faults] == ["ARCHIVE-CHANGED"]


def test_a_file_that_changes_while_it_is_read(path, monkeypatch):
    whole = archive.read_members

    def meanwhile(stream, size):
        with path.open("r+b") as other:
            other.seek(0, 2)
            other.write(b"more")
        return whole(stream, size)

    monkeypatch.setattr(archive, "read_members", meanwhile)
    with pytest.raises(MalformedWheelError) as caught:
        read_wheel(path)
    assert [fault.code for fault in caught.value.faults] == ["ARCHIVE-CHANGED"]


def test_reading_does_not_depend_on_who_else_reads(path):
    """Every reader has its own place in the file."""
    wheel = read_wheel(path)
    found = []

    def read():
        with open_wheel(path) as stream:
            found.append(WheelReader(stream, wheel).read(LIBRARY))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wheel_members()[LIBRARY].data] * 4


@given(st.binary(max_size=200))
def test_no_bytes_after_a_zip_signature_give_anything_but_a_refusal(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / FILENAME
    path.write_bytes(b"PK\x03\x04" + data)
    with pytest.raises(MalformedWheelError):
        read_wheel(path)


def test_what_we_write_ourselves_is_accepted(tmp_path):
    path = tmp_path / FILENAME
    write_wheel(path, wheel_members(), DIST_INFO)
    assert read_wheel(path).dist_info == DIST_INFO


def test_record_line_hash_is_what_the_format_says():
    expected = base64.urlsafe_b64encode(hashlib.sha256(b"abc").digest()).decode().rstrip("=")
    assert record_line_hash(b"abc") == f"sha256={expected}"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x7fELF\x02\x01", "elf"),
        (b"MZ\x90\x00", "pe"),
        (b"\xcf\xfa\xed\xfe", "macho"),
        (b"\x7fEL", ""),
        (b"", ""),
        (b"# text", ""),
    ],
)
def test_a_files_first_bytes_say_what_kind_of_library_it_is(data, kind):
    assert kind_of(data) == kind


def test_what_python_reads_at_its_start_is_kept_as_far_as_it_is_short(tmp_path):
    data = "toy_engine-1.2.3.data/purelib"
    texts = {"toy.pth": b"import toy\n", f"{data}/other.pth": b"toy\n", "toy_engine/inner.pth": b"toy\n"}
    large = {"large.pth": bytes(70_000)}
    path = malformed.sound_archive({**malformed.sound_files(), **texts, **large}).save(tmp_path / malformed.FILENAME)
    read = read_wheel(path).texts
    assert {name for name in read if name.endswith(".pth")} == {"toy.pth", f"{data}/other.pth"}
    many = {f"toy{number}.pth": b"import toy\n" for number in range(150)}
    path = malformed.sound_archive({**malformed.sound_files(), **many}).save(tmp_path / malformed.FILENAME)
    assert sum(name.endswith(".pth") for name in read_wheel(path).texts) == 100
