"""Is the file one plain archive, does RECORD hold, and does the wheel say the same of itself everywhere?

A fault that leaves open what the wheel's files are ends the reading: nothing in such a file is looked at. The others
are told, and the wheel is judged all the same: an installer may take it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from truewheel.checks.finding import Finding
from truewheel.examine.facts import Facts
from truewheel.wheel.container import Fault

CODES = {
    "ARCHIVE-UNREADABLE": "It is no ZIP archive, it is cut off, or its directory is damaged.",
    "ARCHIVE-LEADING": "Bytes stand in front of the archive. Some programs run or read them, others do not see them.",
    "ARCHIVE-TRAILING": "Bytes, or a comment, follow the archive's end record.",
    "ARCHIVE-STACKED": "The file holds more than one archive; which one is read depends on the reader.",
    "ARCHIVE-HIDDEN": "The archive holds bytes that belong to no listed file.",
    "ARCHIVE-OVERLAP": "Two files of the archive share bytes, as in an archive that unpacks to far more than it holds.",
    "ARCHIVE-ZIP64": "The archive's 64-bit sizes and offsets contradict the others; readers differ in which they take.",
    "ARCHIVE-HEADER": "A file's own header and the archive's directory say different things of it.",
    "ARCHIVE-METHOD": "A file is encrypted, or compressed in a way that installers do not read.",
    "ARCHIVE-NAME": "A file's name would lead out of the folder that it is unpacked in, or holds characters that "
    "mislead.",
    "ARCHIVE-KIND": "A file is a link, a device, a pipe, or would run with its owner's rights.",
    "ARCHIVE-TWICE": "Two files of the archive have the same name.",
    "ARCHIVE-COLLISION": "Two names differ only in capitals or in how a character is composed; on some file systems "
    "one overwrites the other.",
    "ARCHIVE-LIMIT": "The archive has more files, or unpacks to more bytes, than a wheel of its size can honestly "
    "have.",
    "ARCHIVE-DATA": "A file's data cannot be unpacked, or is not as long as, or does not have the checksum that, it "
    "says.",
    "ARCHIVE-CHANGED": "The file changed while it was read.",
    "RECORD-MISSING": "The wheel has no RECORD, so nothing says what belongs to it.",
    "RECORD-FORMAT": "RECORD, or a line of it, cannot be read.",
    "RECORD-TWICE": "RECORD names a file twice.",
    "RECORD-ABSENT": "RECORD names a file that the wheel does not have.",
    "RECORD-UNLISTED": "The wheel has a file that RECORD does not name.",
    "RECORD-HASH": "A file does not have the hash or the size that RECORD says: it was changed after the wheel was "
    "made.",
    "RECORD-WEAK": "RECORD has no hash, or one that is too weak or misspelled, for a file.",
    "IDENTITY-FILE": "The file's name is no wheel's name, so nothing says for which Python and machine it is.",
    "IDENTITY-FOLDER": "The wheel has no .dist-info folder, more than one, or one of another name or version.",
    "IDENTITY-NAME": "METADATA and the file name have different project names.",
    "IDENTITY-VERSION": "METADATA and the file name have different versions.",
    "IDENTITY-TAGS": "WHEEL and the file name say that it is for different Pythons or machines.",
    "IDENTITY-BUILD": "WHEEL and the file name have different build tags.",
    "IDENTITY-FORMAT": "METADATA or WHEEL is missing or cannot be read.",
    "CHECK-UNLOCKED": "This system does not let a process lock itself down (no seccomp, or another architecture), so "
    "the wheel was read with no more than limits on memory and time.",
}
"""What each code means."""


def check(facts: Facts) -> Iterator[Finding]:
    """Yield what is to be said of an archive that could be read."""
    yield from findings_of(facts.wheel.faults, facts.wheel.path.name)
    if not facts.locked:
        yield Finding(
            code="CHECK-UNLOCKED",
            where=facts.wheel.path.name,
            message="it was read by a process that could not lock itself down",
            hint="check wheels of strangers where the kernel has seccomp",
        )


def findings_of(faults: Iterable[Fault], wheel: str) -> tuple[Finding, ...]:
    """Return the findings of an archive that is not sound.

    Args:
        faults: what the reader said.
        wheel: the file's name, for faults of the archive as a whole.
    """
    return tuple(
        Finding(
            code=fault.code,
            where=fault.where or wheel,
            message=fault.message,
            hint="do not install it; get it again, or tell whoever made it",
        )
        for fault in faults
    )
