"""Writing a wheel: the same members always give the same bytes."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from truewheel.files import replacing
from truewheel.wheel.archive import Member
from truewheel.wheel.record import record_line_hash

_EPOCH = (1980, 1, 1, 0, 0, 0)
_FILE_MODE = 0o100644
_PROGRAM_MODE = 0o100755


def write_wheel(path: Path, members: Mapping[str, Member], dist_info: str) -> None:
    """Write a wheel atomically, with RECORD made anew, sorted members, one time and two modes.

    Args:
        path: the wheel's path; its folder must exist.
        members: files by path; a RECORD among them is replaced.
        dist_info: name of the `.dist-info` folder; its files come last, as the format advises.

    Raises:
        OSError: the folder cannot be written to.
    """
    record = f"{dist_info}/RECORD"
    ordered = sorted((name for name in members if name != record), key=lambda name: (name.startswith(dist_info), name))
    with replacing(path) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in ordered:
            _add(archive, name, members[name])
        _add(archive, record, Member(_record(members, ordered, record)))


def _add(archive: zipfile.ZipFile, name: str, member: Member) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = 3
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = (_PROGRAM_MODE if member.executable else _FILE_MODE) << 16
    archive.writestr(info, member.data, compresslevel=9)


def _record(members: Mapping[str, Member], ordered: list[str], record: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for name in ordered:
        data = members[name].data
        writer.writerow((name, record_line_hash(data), len(data)))
    writer.writerow((record, "", ""))
    return text.getvalue().encode()
