"""Reading wheels that are damaged, hostile, or not wheels at all."""

import base64
import hashlib
import io
import struct
import zipfile

import pytest
from factories import DIST_INFO, LIBRARY, record_of, wheel_members
from hypothesis import given
from hypothesis import strategies as st

from truewheel.errors import CheckError
from truewheel.wheel import archive
from truewheel.wheel.archive import Member, read_wheel, record_line_hash
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


def sound_entries(members=None, lines=None):
    """Return the entries of a wheel whose RECORD is right, or has the lines given."""
    members = wheel_members() if members is None else members
    lines = record_of(members) if lines is None else lines
    record = "".join(f"{line}\n" for line in lines).encode()
    return [entry(name, member.data) for name, member in members.items()] + [entry(RECORD, record)]


@pytest.fixture
def refusal(tmp_path):
    """Write entries as a wheel and return the error that reading it raises."""

    def read(entries):
        with pytest.raises(CheckError) as caught:
            read_wheel(write_entries(tmp_path / FILENAME, entries))
        assert caught.value.exit_code == 7
        return caught.value.message

    return read


@pytest.fixture
def record_refusal(refusal):
    """Change the lines of a sound RECORD and return the error."""

    def read(change):
        return refusal(sound_entries(lines=change(record_of(wheel_members()))))

    return read


def test_a_sound_wheel_is_read_whole(tmp_path):
    path = write_entries(tmp_path / FILENAME, sound_entries())
    wheel = read_wheel(path)
    assert wheel.path == path
    assert wheel.name.project == "toy-engine"
    assert wheel.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert wheel.size == path.stat().st_size
    assert wheel.dist_info == DIST_INFO
    assert wheel.metadata["Name"] == "toy-engine"
    assert list(wheel.shared_objects()) == [LIBRARY]


def test_folders_and_modes_are_understood(tmp_path):
    members = wheel_members()
    entries = [entry("toy_engine/", mode=0o040755), *sound_entries(members)]
    entries[2] = entry(LIBRARY, members[LIBRARY].data, mode=0o100755)
    wheel = read_wheel(write_entries(tmp_path / FILENAME, entries))
    assert "toy_engine/" not in wheel.members
    assert wheel.members[LIBRARY].executable
    assert not wheel.members["toy_engine/__init__.py"].executable


@pytest.mark.parametrize(
    ("mode", "executable"),
    [(0o100755, True), (0o100744, True), (0o100654, True), (0o100645, True), (0o100666, False), (0, False)],
)
def test_who_may_run_a_member(tmp_path, mode, executable):
    members = wheel_members()
    entries = sound_entries(members)
    entries[1] = entry(LIBRARY, members[LIBRARY].data, mode=mode)
    assert read_wheel(write_entries(tmp_path / FILENAME, entries)).members[LIBRARY].executable is executable


def test_a_text_file_is_no_wheel(tmp_path):
    path = tmp_path / FILENAME
    path.write_text("404: not found\n")
    with pytest.raises(CheckError, match="not a readable wheel"):
        read_wheel(path)


def test_an_empty_file_is_no_wheel(tmp_path):
    path = tmp_path / FILENAME
    path.write_bytes(b"")
    with pytest.raises(CheckError, match="not a readable wheel"):
        read_wheel(path)


def test_a_wheel_that_is_not_there(tmp_path):
    with pytest.raises(CheckError, match="No such file or directory"):
        read_wheel(tmp_path / FILENAME)


def test_a_folder_is_no_wheel(tmp_path):
    (tmp_path / FILENAME).mkdir()
    with pytest.raises(CheckError, match="Is a directory"):
        read_wheel(tmp_path / FILENAME)


def test_another_name_is_refused_before_the_file_is_opened(tmp_path):
    with pytest.raises(CheckError, match="not a wheel's file name"):
        read_wheel(tmp_path / "toy.zip")


def test_a_cut_off_wheel_is_refused_wherever_it_is_cut(tmp_path):
    whole = write_entries(tmp_path / FILENAME, sound_entries()).read_bytes()
    for length in [*range(0, len(whole), 37), len(whole) - 1]:
        (tmp_path / FILENAME).write_bytes(whole[:length])
        with pytest.raises(CheckError):
            read_wheel(tmp_path / FILENAME)


def test_wrong_checksum_of_a_member(tmp_path):
    path = write_entries(tmp_path / FILENAME, [entry("a", b"x" * 50, method=zipfile.ZIP_STORED)])
    path.write_bytes(path.read_bytes().replace(b"x" * 50, b"y" * 50))
    with pytest.raises(CheckError, match="Bad CRC-32"):
        read_wheel(path)


def test_encrypted_member(tmp_path):
    data = bytearray(write_entries(tmp_path / FILENAME, sound_entries()).read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    (tmp_path / FILENAME).write_bytes(data)
    with pytest.raises(CheckError, match="encrypted"):
        read_wheel(tmp_path / FILENAME)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_than_wheels_have(refusal, method):
    message = refusal([*sound_entries(), entry("toy_engine/x", b"x", method=method)])
    assert f"'toy_engine/x' is compressed by method {method}" in message


def test_unknown_compression(tmp_path):
    data = bytearray(write_entries(tmp_path / FILENAME, sound_entries()).read_bytes())
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = data.index(signature) + offset
        data[at : at + 2] = struct.pack("<H", 99)
    (tmp_path / FILENAME).write_bytes(data)
    with pytest.raises(CheckError, match="compressed by method 99"):
        read_wheel(tmp_path / FILENAME)


def test_a_name_that_is_no_utf_8(tmp_path):
    path = write_entries(tmp_path / FILENAME, [*sound_entries(), entry("toy_engine/ä", b"x")])
    path.write_bytes(path.read_bytes().replace("ä".encode(), b"\xff\xff"))
    with pytest.raises(CheckError, match="not a readable wheel"):
        read_wheel(path)


@pytest.mark.parametrize("lost", ["METADATA", "WHEEL", "RECORD"])
def test_each_required_file_must_be_there(refusal, lost):
    entries = [(info, data) for info, data in sound_entries() if info.filename != f"{DIST_INFO}/{lost}"]
    assert f"has no {DIST_INFO}/{lost}" in refusal(entries)


def test_a_renamed_wheel_is_refused(tmp_path):
    path = write_entries(tmp_path / "toy_engine-9.9-py3-none-any.whl", sound_entries())
    with pytest.raises(CheckError, match=r"has no toy_engine-9\.9\.dist-info/METADATA"):
        read_wheel(path)


@pytest.mark.parametrize(
    "name",
    [
        "../outside.py",
        "toy_engine/../../outside.py",
        "toy_engine/..",
        "/etc/passwd",
        "//server/share",
        "toy_engine\\outside.py",
        "..\\outside.py",
        "C:/outside.py",
        "c:outside.py",
        "toy_engine/a\nb.py",
        "toy_engine/\x1b[31m.py",
        "toy_engine/a\tb",
        "./toy_engine/a.py",
        "toy_engine/./a.py",
        "toy_engine//a.py",
        ".",
        "..",
    ],
)
def test_unsafe_names_are_refused(refusal, name):
    assert "unsafe name" in refusal([*sound_entries(), entry(name, b"x")])


def test_a_folder_with_an_unsafe_name_is_refused(refusal):
    assert "unsafe name" in refusal([*sound_entries(), entry("../outside/", mode=0o040755)])


def test_a_name_with_a_null_is_refused(tmp_path):
    path = write_entries(tmp_path / FILENAME, [*sound_entries(), entry("toy_engine/evilXpy", b"x")])
    path.write_bytes(path.read_bytes().replace(b"evilXpy", b"evil\0py"))
    with pytest.raises(CheckError):
        read_wheel(path)


@pytest.mark.parametrize("mode", [0o120777, 0o020644, 0o060644, 0o010644, 0o140644])
def test_links_devices_pipes_and_sockets_are_refused(refusal, mode):
    assert "no plain file" in refusal([*sound_entries(), entry("toy_engine/x.so", b"/etc/passwd", mode=mode)])


def test_two_members_of_one_name(refusal):
    with pytest.warns(UserWarning, match="Duplicate name"):
        message = refusal([*sound_entries(), entry("toy_engine/__init__.py", b"import os\n")])
    assert "two members named 'toy_engine/__init__.py'" in message


def test_a_compression_bomb_is_refused(refusal):
    assert "unpacks to more than its compressed size" in refusal([entry("toy_engine/zeros", bytes(64 << 20))])


def test_a_compression_bomb_is_not_unpacked_whole(refusal, monkeypatch):
    read = []
    original = zipfile.ZipExtFile.read

    def counted(stream, size=-1):
        data = original(stream, size)
        read.append(len(data))
        return data

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
    monkeypatch.setattr(archive, "MAX_RATIO", 100)
    refusal([entry("toy_engine/zeros", bytes(16 << 20))])
    assert sum(read) <= 4 << 20


def test_a_wheel_that_unpacks_to_too_much(refusal, monkeypatch):
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 3000)
    blocks = [entry(f"toy_engine/{number}", bytes(1000)) for number in range(4)]
    assert "unpacks to more than" in refusal([*blocks, *sound_entries()])


def test_a_wheel_with_too_many_members(refusal, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 4)
    assert "has 5 members" in refusal(sound_entries())


def test_record_with_a_wrong_hash(record_refusal):
    wrong = record_line_hash(b"something else")
    message = record_refusal(lambda lines: [f"toy_engine/__init__.py,{wrong},13", *lines[1:]])
    assert "'toy_engine/__init__.py' does not have the hash that RECORD says" in message


@pytest.mark.parametrize("digest", ["", "md5=abc", "sha256=", "sha1=AAAA", "abc", "shake_128=AAAA"])
def test_record_with_a_weak_or_absent_hash(record_refusal, digest):
    assert "does not have the hash" in record_refusal(lambda lines: [f"toy_engine/__init__.py,{digest},", *lines[1:]])


def test_record_with_a_wrong_size(record_refusal):
    message = record_refusal(lambda lines: [lines[0].rsplit(",", 1)[0] + ",12", *lines[1:]])
    assert "has 13 bytes, RECORD says 12" in message


def test_record_that_leaves_a_member_out(record_refusal):
    assert "is in the archive but not in RECORD" in record_refusal(lambda lines: lines[1:])


def test_record_that_names_what_is_not_there(record_refusal):
    message = record_refusal(lambda lines: [f"toy_engine/gone.py,{record_line_hash(b'')},0", *lines])
    assert "names 'toy_engine/gone.py', which the archive does not have" in message


def test_record_that_names_a_member_twice(record_refusal):
    assert "names 'toy_engine/__init__.py' twice" in record_refusal(lambda lines: [*lines, lines[0]])


@pytest.mark.parametrize("line", ["toy_engine/__init__.py", "a,b", "a,b,c,d", '"toy_engine'])
def test_record_with_a_broken_line(record_refusal, line):
    assert "RECORD" in record_refusal(lambda lines: [*lines, line])


def test_record_in_another_encoding(refusal):
    entries = [(info, data) for info, data in sound_entries() if info.filename != RECORD]
    assert "RECORD cannot be read" in refusal([*entries, entry(RECORD, "é,,\n".encode("latin-1"))])


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_record_with_a_stronger_hash_is_accepted(tmp_path, algorithm):
    lines = record_of(wheel_members())
    digest = base64.urlsafe_b64encode(hashlib.new(algorithm, b'"""A toy."""\n').digest()).rstrip(b"=").decode()
    lines[0] = f"toy_engine/__init__.py,{algorithm}={digest},13"
    assert read_wheel(write_entries(tmp_path / FILENAME, sound_entries(lines=lines)))


def test_signatures_of_record_need_no_line(tmp_path):
    entries = [*sound_entries(), entry(f"{RECORD}.jws", b"{}"), entry(f"{RECORD}.p7s", b"x")]
    assert f"{RECORD}.jws" in read_wheel(write_entries(tmp_path / FILENAME, entries)).members


@given(data=st.data())
def test_no_damage_gives_anything_but_a_wheel_or_a_refusal(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / FILENAME
    write_wheel(path, wheel_members(), DIST_INFO)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    try:
        wheel = read_wheel(path)
    except CheckError:
        return
    assert {name: member.data for name, member in wheel.members.items() if name != RECORD} == {
        name: member.data for name, member in wheel_members().items()
    }


@given(st.binary(max_size=200))
def test_no_bytes_after_a_zip_signature_give_anything_but_a_refusal(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / FILENAME
    path.write_bytes(b"PK\x03\x04" + data)
    with pytest.raises(CheckError):
        read_wheel(path)


def test_record_line_hash_is_what_the_format_says():
    expected = base64.urlsafe_b64encode(hashlib.sha256(b"abc").digest()).decode().rstrip("=")
    assert record_line_hash(b"abc") == f"sha256={expected}"


def test_members_are_held_in_the_archives_order(tmp_path):
    buffer = io.BytesIO()
    members = dict(sorted(wheel_members(**{"toy_engine/a.py": Member(b"")}).items(), reverse=True))
    write_entries(buffer, sound_entries(members))
    (tmp_path / FILENAME).write_bytes(buffer.getvalue())
    assert list(read_wheel(tmp_path / FILENAME).members) == [*members, RECORD]
