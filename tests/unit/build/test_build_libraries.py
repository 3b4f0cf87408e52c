"""Libraries taken out of another wheel, under names of this one."""

import shutil
import subprocess

import pytest
from factories import wheel_members

from truewheel.binary.elf import read_elf
from truewheel.build.libraries import take_libraries
from truewheel.errors import BuildError
from truewheel.wheel.archive import Member
from truewheel.wheel.writer import write_wheel

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
TAKE = {"toy/lib/libbase-toy_one.so": "other/lib/libbase-two.so", "toy/lib/libkernel*.so": "other/lib/libkernel*.so"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "a.c").write_text("int a(void) { return 1; }\n")
    (folder / "k.c").write_text("int a(void); int k(void) { return a(); }\n")
    soname = "-Wl,-soname,libbase-toy_one.so"
    subprocess.run(["cc", "-shared", "-fPIC", "a.c", soname, "-o", "libbase-toy_one.so"], cwd=folder, check=True)
    command = ["cc", "-shared", "-fPIC", "k.c", "-L.", "-lbase-toy_one", "-o", "libkernel-fast.so"]
    subprocess.run(command, cwd=folder, check=True)
    members = wheel_members()
    for name in ("libbase-toy_one.so", "libkernel-fast.so"):
        members[f"toy/lib/{name}"] = Member((folder / name).read_bytes(), executable=True)
    path = folder / "toy_engine-1.2.3-py3-none-linux_x86_64.whl"
    write_wheel(path, members, "toy_engine-1.2.3.dist-info")
    return path


def test_they_are_written_under_new_names_and_need_each_other(wheel, tmp_path):
    digest = take_libraries(wheel, TAKE, tmp_path)
    kernel = read_elf((tmp_path / "other/lib/libkernel-fast.so").read_bytes())
    assert "libbase-two.so" in kernel.needed
    assert read_elf((tmp_path / "other/lib/libbase-two.so").read_bytes()).soname == "libbase-two.so"
    assert digest == take_libraries(wheel, TAKE, tmp_path / "again")


def test_nothing_else_is_taken(wheel, tmp_path):
    take_libraries(wheel, TAKE, tmp_path)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2


def test_one_that_is_not_there_is_named(wheel, tmp_path):
    with pytest.raises(BuildError, match=r"has no toy/lib/libmissing\*\.so"):
        take_libraries(wheel, {**TAKE, "toy/lib/libmissing*.so": "x/lib*.so"}, tmp_path)


def test_a_wheel_that_cannot_be_read(tmp_path):
    path = tmp_path / "toy_engine-1.2.3-py3-none-linux_x86_64.whl"
    path.write_bytes(b"no wheel")
    with pytest.raises(BuildError, match="cannot be read"):
        take_libraries(path, TAKE, tmp_path)


def test_one_whose_new_name_is_longer_is_refused(wheel, tmp_path):
    with pytest.raises(BuildError, match="longer name"):
        take_libraries(wheel, {"toy/lib/libbase-toy_one.so": "x/libbase-much-longer-name.so"}, tmp_path)
