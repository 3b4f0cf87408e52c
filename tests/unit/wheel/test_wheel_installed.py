"""Where an installer puts the files of a wheel."""

import pytest

from truewheel.wheel.installed import Destination, InstalledTree, is_pth, path_in_site, place_of

DATA = "toy_engine-1.2.3.data"


@pytest.mark.parametrize(
    ("member", "root", "path"),
    [
        ("toy_engine/__init__.py", "site", "toy_engine/__init__.py"),
        ("toy.py", "site", "toy.py"),
        ("toy_engine/x.data/purelib/a.py", "site", "toy_engine/x.data/purelib/a.py"),
        (f"{DATA}/purelib/toy.py", "site", "toy.py"),
        (f"{DATA}/platlib/toy/x.so", "site", "toy/x.so"),
        (f"{DATA}/scripts/toy", "bin", "toy"),
        (f"{DATA}/headers/toy.h", "include", "toy.h"),
        (f"{DATA}/data/share/toy", "prefix", "share/toy"),
        (f"{DATA}/data/bin/toy", "bin", "toy"),
        (f"{DATA}/data/Scripts/toy.exe", "bin", "toy.exe"),
        (f"{DATA}/data/lib/libtoy.so", "prefix", "lib/libtoy.so"),
        (f"{DATA}/data/lib/python3.11/site-packages/toy.py", "site", "toy.py"),
        (f"{DATA}/data/lib64/python3.13t/site-packages/toy.py", "site", "toy.py"),
        (f"{DATA}/data/lib/python3/dist-packages/toy.py", "site", "toy.py"),
        (f"{DATA}/data/Lib/site-packages/toy.py", "site", "toy.py"),
        (f"{DATA}/data/lib/python3.11/os.py", "prefix", "lib/python3.11/os.py"),
        ("other.data/purelib/toy.py", "site", "toy.py"),
        (f"{DATA}/toy.py", "nowhere", "toy.py"),
        (f"{DATA}/stdlib/toy.py", "nowhere", "stdlib/toy.py"),
        (f"{DATA}/PURELIB/toy.py", "nowhere", "PURELIB/toy.py"),
        (DATA, "site", DATA),
    ],
)
def test_each_member_has_its_place(member, root, path):
    assert place_of(member) == Destination(root, path)
    assert path_in_site(member) == (path if root == "site" else "")


def test_places_are_shown_as_paths():
    shown = [place_of(f"{DATA}/{path}").shown for path in ("purelib/a", "scripts/a", "headers/a", "data/a", "odd/a")]
    assert shown == ["site-packages/a", "bin/a", "include/a", "a", "nowhere: odd/a"]


@pytest.mark.parametrize(
    ("member", "read"),
    [
        ("toy.pth", True),
        ("Toy.PTH", True),
        (f"{DATA}/platlib/toy.pth", True),
        (f"{DATA}/data/lib/python3.12/site-packages/toy.pth", True),
        ("toy/toy.pth", False),
        (f"{DATA}/data/toy.pth", False),
        ("toy.pth.py", False),
    ],
)
def test_a_pth_file_is_one_directly_in_site_packages(member, read):
    assert is_pth(member) is read


@pytest.mark.parametrize(
    "members",
    [
        ("toy/a.py", f"{DATA}/purelib/toy/a.py"),
        (f"{DATA}/platlib/toy/a.py", f"{DATA}/purelib/toy/a.py"),
        (f"{DATA}/purelib/toy/a.py", f"{DATA}/data/lib/python3.11/site-packages/toy/a.py"),
        (f"{DATA}/scripts/toy", f"{DATA}/data/bin/toy"),
        ("toy/a.py", f"{DATA}/purelib/toy/A.py"),
        ("toy/caf\u00e9.py", f"{DATA}/purelib/toy/cafe\u0301.py"),
    ],
)
def test_two_members_of_one_place_are_found(members):
    ((place, found),) = InstalledTree(["toy/b.py", *members]).list_written_twice()
    assert place == place_of(members[0])
    assert found == list(members)


def test_a_place_that_is_a_file_and_a_folder_is_found():
    tree = InstalledTree(["toy/a/b.py", f"{DATA}/purelib/toy/A", "toy/c.py"])
    assert tree.list_files_as_folders() == [(f"{DATA}/purelib/toy/A", "toy/a/b.py")]


def test_an_ordinary_tree_has_neither():
    tree = InstalledTree(["toy/a.py", "toy/b.py", f"{DATA}/scripts/toy", f"{DATA}/data/toy/a.py", f"{DATA}/toy/a.py"])
    assert tree.list_written_twice() == []
    assert tree.list_files_as_folders() == []
