"""Are names of libraries changed in their place, and nothing else?"""

import ctypes
import io
import shutil
import struct
import subprocess

import pytest
from elf_builder import build_elf
from elftools.elf.elffile import ELFFile

from truewheel.binary.elf import read_elf
from truewheel.binary.rename import rename_library
from truewheel.errors import RepairError


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two libraries, the second of which needs the first."""
    if not shutil.which("cc"):
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("rename")
    (folder / "low.c").write_text("int low(void) { return 7; }\n")
    (folder / "high.c").write_text("int low(void); int high(void) { return low() + 1; }\n")
    for name, more in (("low", []), ("high", ["-L.", "-llow-first"])):
        command = ["cc", "-shared", "-fPIC", f"{name}.c", "-o", f"lib{name}-first.so", *more]
        subprocess.run([*command, f"-Wl,-soname,lib{name}-first.so", "-Wl,-rpath,$ORIGIN"], cwd=folder, check=True)
    return {name: (folder / f"lib{name}-first.so").read_bytes() for name in ("low", "high")}


NAMES = {"liblow-first.so": "liblow-2nd.so", "libhigh-first.so": "libhigh-2nd.so"}


def test_both_names_change_and_the_libraries_still_work(built, tmp_path):
    for name, data in built.items():
        (tmp_path / f"lib{name}-2nd.so").write_bytes(rename_library(data, NAMES))
    facts = read_elf((tmp_path / "libhigh-2nd.so").read_bytes())
    assert (facts.soname, "liblow-2nd.so" in facts.needed) == ("libhigh-2nd.so", True)
    assert ctypes.CDLL(str(tmp_path / "libhigh-2nd.so")).high() == 8


def test_nothing_else_changes(built):
    for data in built.values():
        changed = rename_library(data, NAMES)
        different = [at for at, pair in enumerate(zip(data, changed, strict=True)) if pair[0] != pair[1]]
        assert 0 < len(different) <= 2 * len("first.so")


def test_names_that_are_not_given_stay(built):
    assert rename_library(built["high"], {"libother.so": "x.so"}) == built["high"]


def test_a_longer_name_is_refused(built):
    with pytest.raises(RepairError, match="no room"):
        rename_library(built["low"], {"liblow-first.so": "liblow-longer-than-first.so"})


def test_a_name_that_is_the_end_of_another_is_refused(built):
    # The symbol's name is moved into the library's own.
    data = bytearray(built["low"])
    at = data.index(b"liblow-first.so\0")
    symbol = data.index(b"low\0", data.index(b"\0low\0"))
    strings = min(at, symbol)
    offset = at - strings
    assert offset != 0 or symbol != at
    elf = ELFFile(io.BytesIO(bytes(data)))
    table, names = elf.get_section_by_name(".dynsym"), elf.get_section_by_name(".dynstr")
    entry = table["sh_offset"] + table["sh_entsize"] * (table.num_symbols() - 1)
    data[entry : entry + 4] = (at - names["sh_offset"] + 3).to_bytes(4, "little")
    with pytest.raises(RepairError, match="shares its end"):
        rename_library(bytes(data), NAMES)


@pytest.mark.parametrize("data", [b"", b"no library", b"\x7fELF" + bytes(100)])
def test_what_is_no_library_is_refused(data):
    with pytest.raises(RepairError):
        rename_library(data, NAMES)


def test_a_name_that_lies_behind_the_end_is_refused():
    data = bytearray(build_elf(soname="liblow-first.so"))
    at = data.index(struct.pack("<Q", 14), _section_offset(data, ".dynamic"))
    data[at + 8 : at + 16] = struct.pack("<Q", len(data))
    with pytest.raises(RepairError, match="has no end"):
        rename_library(bytes(data), NAMES)


def test_no_damage_gives_another_error():
    sound = build_elf(soname="liblow-first.so", needed=("libother.so",), runpath="$ORIGIN")
    assert b"liblow-2nd.so" in rename_library(sound, NAMES)
    damaged = [sound[:size] for size in range(0, len(sound), 8)]
    damaged += [sound[:at] + b"\x80" + sound[at + 1 :] for at in range(len(sound))]
    refused = 0
    for data in damaged:
        try:
            rename_library(data, NAMES)
        except RepairError:
            refused += 1
    assert 0 < refused < len(damaged)


def _section_offset(data, name):
    return ELFFile(io.BytesIO(bytes(data))).get_section_by_name(name)["sh_offset"]
