"""No malformed wheel is accepted, none is refused by another error, and odd ones that are sound are read."""

import dataclasses
import itertools
import zlib

import malformed
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from malformed import (
    ALL_ONES,
    DEFLATED,
    DESCRIPTOR_FIELDS,
    DESCRIPTOR_FLAG,
    END_FIELDS,
    FILENAME,
    INIT,
    KINDS,
    METADATA,
    RECORD,
    SOUND,
    STORED,
    UTF8_FLAG,
    WHEEL,
    Entry,
    make_entry,
    plus,
    sound_archive,
    sound_files,
    widen_local,
)

from truewheel.errors import CheckError
from truewheel.wheel.archive import MalformedWheelError, WheelFile, read_unsound, read_wheel

CODES = {kind.code for kind in KINDS.values()}


def many(examples):
    return settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return the path of a wheel to write; made once, since every example writes it anew."""
    return tmp_path_factory.mktemp("malformed") / FILENAME


def outcome(path):
    """Return the wheel that was read and its faults, one of them empty; any other error goes on."""
    try:
        return read_wheel(path), ()
    except MalformedWheelError as error:
        return None, error.faults


def refusal(path):
    """Return the faults of a wheel that must be refused."""
    wheel, faults = outcome(path)
    assert wheel is None, f"{path.name} was accepted"
    return faults


def refused(path, data):
    # Where a file is written over, ext4 waits for the disk when it is closed.
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    faults = refusal(path)
    assert faults
    assert faults[0].code in CODES
    return faults


# The kinds, one by one.


def test_there_are_many_kinds_of_every_code():
    assert len(KINDS) >= 300
    assert len(SOUND) >= 40
    assert len(CODES) == 29


@pytest.mark.parametrize("title", KINDS)
def test_a_malformed_wheel_is_refused_with_its_code(title, tmp_path):
    kind = KINDS[title]
    faults = refusal(kind.build(tmp_path))
    assert faults[0].code == kind.code
    assert all(fault.code in CODES and fault.message for fault in faults)
    if kind.code.startswith("ARCHIVE-"):
        assert len(faults) == 1


PASSED_OVER = ("RECORD-", "IDENTITY-", "ARCHIVE-COLLISION")
DECISIVE = {
    "no dist-info folder",
    "two dist-info folders",
    "two dist-info folders, one of them empty",
    "file of a dist-info folder's name",
    "archive without members",
    "set-user-id program",
    "set-group-id program",
}
"""Kinds that are not as the others of their code: those of which it cannot be told what their files are, or can."""


@pytest.mark.parametrize("title", KINDS)
def test_what_an_installer_passes_over_is_told_with_the_wheel(title, tmp_path):
    kind = KINDS[title]
    passed_over = kind.code.startswith(PASSED_OVER) and kind.code != "IDENTITY-FILE"
    path = kind.build(tmp_path)
    if passed_over == (title in DECISIVE):
        with pytest.raises(MalformedWheelError):
            read_unsound(path)
        return
    wheel = read_unsound(path)
    assert wheel.faults[0].code == kind.code
    assert wheel.entries
    assert wheel.metadata is not None


def test_a_refusal_is_told_as_a_failed_check(tmp_path):
    path = KINDS["name twice"].build(tmp_path)
    with pytest.raises(CheckError, match="ARCHIVE-TWICE") as caught:
        read_wheel(path)
    assert caught.value.exit_code == 7
    assert path.name in caught.value.message
    assert caught.value.hint


def test_faults_of_content_are_told_together(tmp_path):
    files = sound_files(metadata=malformed.metadata("other-engine", "2"), wheel=malformed.wheel_text("py2-none-any"))
    rows = malformed.sound_rows(files)[1:]
    rows.append(malformed.record_row("toy_engine/gone.py", b""))
    archive = sound_archive(files, malformed.csv_text(rows).encode())
    codes = {fault.code for fault in refusal(archive.save(tmp_path / FILENAME))}
    assert codes == {"RECORD-UNLISTED", "RECORD-ABSENT", "IDENTITY-NAME", "IDENTITY-VERSION", "IDENTITY-TAGS"}


@pytest.mark.parametrize("title", SOUND)
def test_an_odd_but_sound_wheel_is_read(title, tmp_path):
    wheel = read_wheel(SOUND[title](tmp_path))
    assert isinstance(wheel, WheelFile)
    assert wheel.metadata["Metadata-Version"] == "2.1"


@pytest.mark.parametrize(
    "nested",
    [
        b"Content-Type: message/rfc822\n\n" * 3000,
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (depth, depth) for depth in range(2000)),
    ],
    ids=["messages", "parts"],
)
def test_messages_within_messages_do_not_exhaust_the_reader(nested, tmp_path):
    path = sound_archive(sound_files(metadata=malformed.metadata() + nested)).save(tmp_path / FILENAME)
    wheel, faults = outcome(path)
    assert faults[0].code == "IDENTITY-FORMAT" if faults else wheel.metadata["Name"] == "toy-engine"


# Bytes changed at random, in a wheel that has a bit of everything.


def mixed_archive():
    """Return an archive with stored and deflated members, descriptors, ZIP64 fields, a folder and a foreign name."""
    archive = sound_archive({"toy_engine/stra\u00dfe.txt": b"here\n" * 9, **sound_files()})
    archive.entries.insert(0, make_entry("toy_engine/", b""))
    archive["toy_engine/engine.py"].descriptor = "signed"
    archive["toy_engine/table.bin"].descriptor = "bare"
    widen_local(archive[WHEEL])
    widen_local(archive[METADATA], extra=malformed.extra64(0, 0))
    archive[METADATA].descriptor = "signed64"
    archive.end64, archive.locator = {}, {}
    return archive


ARCHIVE = mixed_archive()
GOOD = ARCHIVE.build()

FREE_FIELDS = (
    "local.version",  # the version of the format needed to extract: what is needed shows in flags and method
    "central.version",
    "end64.version",
    "central.made_by",  # the system that wrote it; tells how to read the attributes
    "end64.made_by",
    "central.internal",  # whether it is thought to be text
    "central.external",  # modes; those that no wheel may have are among the kinds
)
"""Fields that change nothing a reader must care about; every byte of all other fields counts."""

FREE = {at for field, span in GOOD.spans.items() if field.lstrip("0123456789.") in FREE_FIELDS for at in span}


def same_stream(entry, stream):
    """Say whether a changed deflate stream still spells the same content, as it can in many ways."""
    inflater = zlib.decompressobj(-15)
    try:
        data = inflater.decompress(stream) + inflater.flush()
    except zlib.error:
        return False
    return inflater.eof and not inflater.unused_data and data == entry.data


def other_truths():
    """Yield places where other bytes are as true: 32-bit fields whose value stands, or may stand, in a ZIP64 field."""
    for field in set(END_FIELDS) - {"signature", "comment_length"}:
        span = GOOD.spans[f"end.{field}"]
        yield span, b"\xff" * len(span)
    for number, entry in enumerate(ARCHIVE.entries):
        if entry.local.get("extra"):
            extra = entry.local["extra"]
            yield GOOD.spans[f"{number}.local.size"], extra[4:8]
            yield GOOD.spans[f"{number}.local.packed"], extra[12:16]


def harmless(data):
    """Return whether bytes mean the same as the good wheel's, by what the format says and not by what a reader does."""
    if len(data) != len(GOOD.data):
        return False
    changed = {at for at, (old, new) in enumerate(zip(GOOD.data, data, strict=True)) if old != new} - FREE
    for number, entry in enumerate(ARCHIVE.entries):
        span = GOOD.spans[f"{number}.data"]
        if entry.method == DEFLATED and changed.intersection(span) and same_stream(entry, data[span.start : span.stop]):
            changed.difference_update(span)
        for field in ("flags", "time", "date"):
            # The same new value in both headers is no lie.
            local, central = GOOD.spans[f"{number}.local.{field}"], GOOD.spans[f"{number}.central.{field}"]
            if data[local.start : local.stop] == data[central.start : central.stop]:
                changed -= {*local, *central}
    for span, truth in other_truths():
        if data[span.start : span.stop] == truth:
            changed.difference_update(span)
    return not changed


def test_the_good_wheel_of_the_mutations_is_good(place):
    place.write_bytes(GOOD.data)
    assert len(read_wheel(place).entries) == len(ARCHIVE.entries) - 1
    assert harmless(GOOD.data)


def test_free_bytes_are_few_and_change_nothing(place):
    assert len(FREE) <= len(GOOD.data) // 10
    fields = [span for field, span in GOOD.spans.items() if field.endswith((".version", ".internal"))]
    data = bytearray(GOOD.data)
    for at in itertools.chain(*fields):
        data[at] ^= 0x01
    place.write_bytes(data)
    read_wheel(place)


def test_every_beginning_of_a_wheel_is_cut_off(place):
    for length in range(len(GOOD.data)):
        assert refused(place, GOOD.data[:length])[0].code == "ARCHIVE-UNREADABLE"


def test_every_end_of_a_wheel_lacks_its_beginning(place):
    for start in range(1, len(GOOD.data)):
        refused(place, GOOD.data[start:])


def test_every_single_bit_counts(place):
    for at in range(len(GOOD.data)):
        data = bytearray(GOOD.data)
        data[at] ^= 1 << at % 8
        if not harmless(data):
            refused(place, bytes(data))


OFFSETS = st.integers(0, len(GOOD.data) - 1)
BYTES = st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, *b"PK/.\\"]) | st.integers(0, 255)


@many(1500)
@given(st.dictionaries(OFFSETS, BYTES, min_size=1, max_size=4))
def test_changed_bytes_are_noticed(place, changes):
    data = bytearray(GOOD.data)
    for at, value in changes.items():
        data[at] = value
    assume(not harmless(data))
    refused(place, bytes(data))


@many(500)
@given(OFFSETS, st.binary(min_size=2, max_size=4))
def test_overwritten_runs_are_noticed(place, at, run):
    data = GOOD.data[:at] + run[: len(GOOD.data) - at] + GOOD.data[at + len(run) :]
    assume(not harmless(data))
    refused(place, data)


# Slices cut, put in, doubled and exchanged.

EDGES = sorted({edge for span in GOOD.spans.values() for edge in (span.start, span.stop)})
PLACES = st.sampled_from(EDGES) | st.integers(0, len(GOOD.data))
"""Where records and fields meet, which is where a slice would fit best, and anywhere."""

PIECES = st.binary(min_size=1, max_size=40) | st.sampled_from(
    [
        b"PK\3\4",
        b"PK\1\2",
        malformed.EMPTY_ARCHIVE,
        Entry(b"toy_engine/evil.py", b"import os\n", method=STORED).header() + b"import os\n",
        GOOD.data,
    ]
)


@many(400)
@given(PLACES, PLACES)
def test_cut_slices_are_missed(place, start, stop):
    start, stop = sorted((start, stop))
    assume(start < stop)
    refused(place, GOOD.data[:start] + GOOD.data[stop:])


@many(400)
@given(PLACES, PIECES)
def test_added_slices_are_found(place, at, piece):
    refused(place, GOOD.data[:at] + piece + GOOD.data[at:])


@many(400)
@given(PLACES, PLACES, PLACES)
def test_doubled_slices_are_found(place, start, stop, at):
    start, stop = sorted((start, stop))
    assume(start < stop)
    refused(place, GOOD.data[:at] + GOOD.data[start:stop] + GOOD.data[at:])


@many(400)
@given(st.lists(PLACES, min_size=4, max_size=4))
def test_exchanged_slices_are_found(place, edges):
    first, second, third, fourth = sorted(edges)
    parts = (GOOD.data[:first], GOOD.data[third:fourth], GOOD.data[second:third], GOOD.data[first:second])
    data = b"".join((*parts, GOOD.data[fourth:]))
    assume(not harmless(data) and not exchanged_entries(first, second, third, fourth))
    refused(place, data)


def exchanged_entries(*edges):
    """Say whether whole entries of the directory changed places, whose order means nothing."""
    starts = {GOOD.spans[f"{number}.central.signature"].start for number in range(len(ARCHIVE.entries))}
    return starts.union([GOOD.spans["behind_directory"].start]).issuperset(edges)


# Fields told wrongly, by the writer.

HEADER_FIELDS = ("signature", "flags", "method", "time", "date", "crc", "packed", "size", "name_length", "extra_length")
CENTRAL_FIELDS = (*HEADER_FIELDS, "comment_length", "disk", "offset")
END64_FIELDS = tuple(field for field in malformed.END64_FIELDS if field not in ("made_by", "version"))
WIDTHS = {"H": 16, "I": 32, "Q": 64}


def wrong_value(draw, code, never=()):
    """Draw an override that never gives the true value: a number near it, a single bit of it, or any other.

    Some fields can tell the truth in a second way, which is then what they must never get.
    """
    limit = 1 << WIDTHS[code]
    difference = draw(
        st.integers(1, 64)
        | st.integers(1, 64).map(lambda near: limit - near)
        | st.integers(0, WIDTHS[code] - 1).map(lambda bit: 1 << bit)
        | st.integers(1, limit - 1)
    )
    return lambda value: next(new for new in ((value + difference) % limit, value ^ 1, value ^ 2) if new not in never)


def lie_locally(draw, archive):
    field = draw(st.sampled_from(HEADER_FIELDS))
    entry = draw(st.sampled_from(archive.entries))
    # A field of all ones may as well tell what its ZIP64 field tells.
    never = (0, len(entry.data), len(entry.packed)) if entry.local.get(field) == ALL_ONES else ()
    tell(entry.local, field, wrong_value(draw, malformed.LOCAL_FIELDS[field], never))


def lie_centrally(draw, archive):
    field = draw(st.sampled_from(CENTRAL_FIELDS))
    entry = draw(st.sampled_from(archive.entries))
    entry.central[field] = wrong_value(draw, malformed.CENTRAL_FIELDS[field])


def lie_about_content(draw, archive):
    """Tell the same wrong size or checksum in both headers and in the data descriptor."""
    field = draw(st.sampled_from(["crc", "size"]))
    entry = draw(st.sampled_from([entry for entry in archive.entries if not entry.local.get("extra")]))
    value = wrong_value(draw, "I")(entry.values()[field])
    entry.central[field] = entry.trailer[field] = value
    if not entry.descriptor:
        entry.local[field] = value


def lie_about_reading(draw, archive):
    """Ask in both headers for a method or a flag that no wheel may have."""
    entry = draw(st.sampled_from(archive.entries))
    allowed = 0b110 | DESCRIPTOR_FLAG | UTF8_FLAG
    bits = [bit for bit in range(16) if not allowed >> bit & 1]
    if draw(st.booleans()):
        entry.both["method"] = draw(st.integers(1, 0xFFFF).filter(lambda method: method != DEFLATED))
    else:
        entry.both["flags"] = plus(1 << draw(st.sampled_from(bits)))


def lie_behind_data(draw, archive):
    entry = draw(st.sampled_from([entry for entry in archive.entries if entry.descriptor]))
    fields = DESCRIPTOR_FIELDS[entry.descriptor]
    field = draw(st.sampled_from(sorted(fields)))
    entry.trailer[field] = wrong_value(draw, fields[field])


def lie_at_the_end(draw, archive):
    field = draw(st.sampled_from(sorted(END_FIELDS)))
    # All ones only point to the ZIP64 end record.
    archive.end[field] = wrong_value(draw, END_FIELDS[field], (0xFFFF, ALL_ONES))


def lie_in_zip64(draw, archive):
    if draw(st.booleans()):
        field = draw(st.sampled_from(END64_FIELDS))
        archive.end64[field] = wrong_value(draw, malformed.END64_FIELDS[field])
    else:
        field = draw(st.sampled_from(["signature", "disk", "offset"]))
        archive.locator[field] = wrong_value(draw, malformed.LOCATOR_FIELDS[field])


def hide_bytes(draw, archive):
    where = draw(st.sampled_from(["lead", "gap", "behind_directory", "tail", "before"]))
    hidden = draw(PIECES)
    if where == "before":
        vars(draw(st.sampled_from(archive.entries))).update(before=hidden)
    else:
        setattr(archive, where, hidden)


def hide_members(draw, archive):
    number = draw(st.integers(0, len(archive.entries) - 1))
    listed, written = draw(st.sampled_from([(False, True), (True, False)]))
    entry = dataclasses.replace(
        archive.entries[number], name=b"toy_engine/evil.py", central={}, local={}, descriptor=""
    )
    archive.entries.insert(number, dataclasses.replace(entry, in_directory=listed, in_body=written))


def rename(draw, archive):
    """Give a file a bad name in one of its headers or in both, or one that RECORD does not know."""
    bad = st.sampled_from(
        [b"", b"/", b"../a", b"a/../b", b"a\0b", b"a\\b", b"c:a", b"a//b", b"a.", b"\xff", INIT.encode()]
    )
    name = draw(bad | st.binary(max_size=30))
    entry = draw(st.sampled_from(archive.entries[1:]))
    assume(name != entry.name)
    getattr(entry, draw(st.sampled_from(["both", "local", "central"])))["name"] = name


def change_mode(draw, archive):
    entry = draw(st.sampled_from(archive.entries[1:]))
    kinds = [kind << 12 for kind in range(1, 16) if kind != 0o10]
    entry.mode = draw(st.sampled_from(kinds) | st.sampled_from([0o104000, 0o102000])) | draw(st.integers(0, 0o777))


def change_data(draw, archive):
    """Change a file's content and keep headers and checksums right: RECORD alone can tell."""
    entry = draw(st.sampled_from([entry for entry in archive.entries[1:] if entry.name != RECORD.encode()]))
    data = draw(st.binary(max_size=40) | st.just(entry.data + b"\n") | st.just(entry.data[:-1]))
    assume(data != entry.data)
    entry.data = data


def change_record(draw, archive):
    """Change RECORD in one place; where lines end is not told by what is added."""
    entry = archive[RECORD]
    lines = entry.data.split(b"\n")
    number = draw(st.integers(0, len(lines) - 3))
    path, digest, size = lines[number].split(b",")
    text = draw(st.text('0123456789abcXYZ=-_,./+ "\0', min_size=1, max_size=8)).encode()
    at = draw(st.integers(0, len(digest)))
    lines[number] = draw(
        st.sampled_from(
            [
                b"",
                path,
                b",".join((path, digest)),
                b",".join((path, b"", size)),
                b",".join((path, digest, b"1" + size)),
                b",".join((path, digest[:at] + text + digest[at:], size)),
                b",".join((path[:-1], digest, size)),
                b",".join((path + text, digest, size)),
                b",".join((path, digest[:at], size)),
                b",".join((path, digest, size, text)),
                b",".join((text + path, digest, size)),
                lines[number] + b"\n" + lines[number],
            ]
        )
    )
    changed = b"\n".join(lines)
    assume(changed != entry.data)
    entry.data = changed


def tell(overrides, field, change):
    """Add a wrong value to overrides in which there can be another value already."""
    old = overrides.get(field)
    overrides[field] = change if old is None else change(old)


LIES = (
    lie_locally,
    lie_centrally,
    lie_about_content,
    lie_about_reading,
    lie_behind_data,
    lie_at_the_end,
    lie_in_zip64,
    hide_bytes,
    hide_members,
    rename,
    change_mode,
    change_data,
    change_record,
)


@pytest.mark.parametrize("lie", LIES)
def test_one_lie_is_found(place, lie):
    @many(100)
    @given(st.data())
    def run(data):
        archive = mixed_archive()
        lie(data.draw, archive)
        refused(place, archive.build().data)

    run()


@many(700)
@given(st.data(), st.lists(st.sampled_from(LIES), min_size=2, max_size=4, unique=True))
def test_several_lies_are_found(place, data, lies):
    archive = mixed_archive()
    for lie in lies:
        lie(data.draw, archive)
    built = archive.build().data
    assume(built != GOOD.data)
    refused(place, built)


# Texts of a wheel, of which nothing but a refusal or a wheel may come.

LINES = st.sampled_from(
    [
        "Name: toy-engine",
        "Version: 1.2.3",
        "Metadata-Version: 2.1",
        "Wheel-Version: 1.0",
        "Tag: py3-none-any",
        "Build: 1",
        "",
    ]
)


@many(300)
@given(st.sampled_from([METADATA, WHEEL]), st.lists(LINES | st.text(max_size=30), max_size=8).map("\n".join))
def test_other_texts_are_refused_or_read(place, name, text):
    files = {**sound_files(), name: text.encode("utf-8", "surrogatepass")}
    path = sound_archive(files).save(place)
    wheel, faults = outcome(path)
    assert faults[0].code.startswith("IDENTITY-") if faults else wheel.dist_info == malformed.DIST_INFO


@many(300)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_other_records_are_refused(place, data):
    path = sound_archive(record=data).save(place)
    assert refusal(path)[0].code.startswith("RECORD-")


@many(200)
@given(st.binary(max_size=300))
def test_bytes_are_no_wheel(place, data):
    refused(place, data)


@many(200)
@given(st.binary(max_size=60))
def test_no_stream_spells_a_content_by_chance(place, stream):
    archive = sound_archive()
    entry = archive[INIT]
    assume(not same_stream(entry, stream))
    entry.stream = stream
    assert refused(place, archive.build().data)[0].code == "ARCHIVE-DATA"


@pytest.mark.parametrize("field", ["packed", "size", "offset"])
def test_all_ones_are_never_taken_for_a_value(field, place):
    archive = sound_archive()
    archive.entries[0].central[field] = ALL_ONES
    assert refused(place, archive.build().data)[0].code == "ARCHIVE-ZIP64"
