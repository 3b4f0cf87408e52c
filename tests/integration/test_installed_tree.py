"""The tree that we work out is the one that pip makes, and what we refuse is what pip would have done."""

import sys

import pytest
from malformed import DIST_INFO, FILENAME, metadata, sound_archive, sound_files

from truewheel import process
from truewheel.checks.installed import check
from truewheel.examine.facts import facts_of
from truewheel.examine.reading import WheelFacts
from truewheel.wheel.archive import read_unsound
from truewheel.wheel.installed import place_of

DATA = "toy_engine-1.2.3.data"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
MEMBERS = (
    f"{DATA}/purelib/toy_engine/pure.py",
    f"{DATA}/platlib/toy_engine/plat.py",
    f"{DATA}/scripts/toy-tool",
    f"{DATA}/data/share/toy/readme.txt",
    f"{DATA}/data/bin/toy-binary",
    f"{DATA}/data/lib/{PYTHON}/site-packages/toy_late.py",
    "toy_engine/x.data/purelib/inner.py",
)


def make(folder, *members, data=b"1\n", more=None):
    files = {**sound_files(), **dict.fromkeys(members, data), **(more or {})}
    return sound_archive(files).save(folder / FILENAME)


def install(wheel, prefix):
    """Let pip install a wheel, and return its result and what it made."""
    arguments = ["install", "--no-deps", "--no-index", "--no-compile", "--ignore-installed", "--prefix", str(prefix)]
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *arguments, str(wheel)]
    result = process.run(command, env={**process.plain_environment(), "PYTHONPATH": ""}, timeout=300)
    made = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
    return result, made


def where(prefix_path):
    """Return the path below an environment that a place stands for."""
    roots = {"site": f"lib/{PYTHON}/site-packages/", "bin": "bin/", "prefix": ""}
    return roots[prefix_path.root] + prefix_path.path


def codes(wheel):
    read = WheelFacts(wheel=read_unsound(wheel), libraries={}, sources=None, policy=None, locked=True)
    return {finding.code for finding in check(facts_of(read))}


def test_pip_makes_the_tree_that_is_worked_out(tmp_path):
    result, made = install(make(tmp_path, *MEMBERS), tmp_path / "prefix")
    assert result.returncode == 0, result.output
    expected = {where(place_of(member)) for member in (*MEMBERS, *sound_files())}
    site = f"lib/{PYTHON}/site-packages/{DIST_INFO}"
    assert made == expected | {f"{site}/RECORD", f"{site}/INSTALLER", f"{site}/REQUESTED", f"{site}/direct_url.json"}


@pytest.mark.parametrize("member", [f"{DATA}/toy.py", f"{DATA}/stdlib/toy.py", "other.data/elsewhere/toy.py"])
def test_pip_refuses_what_has_no_place(member, tmp_path):
    wheel = make(tmp_path, member)
    result, _ = install(wheel, tmp_path / "prefix")
    assert result.returncode != 0
    assert "INSTALL-STRAY" in codes(wheel)


@pytest.mark.parametrize("scheme", ["purelib", "platlib"])
def test_pip_overwrites_metadata_that_was_checked(scheme, tmp_path):
    other = metadata().replace(b"toy-engine", b"toy_engine") + b"Requires-Dist: evil\n"
    wheel = make(tmp_path, more={f"{DATA}/{scheme}/{DIST_INFO}/METADATA": other})
    result, _ = install(wheel, tmp_path / "prefix")
    assert result.returncode == 0
    told = (tmp_path / "prefix" / "lib" / PYTHON / "site-packages" / DIST_INFO / "METADATA").read_bytes()
    assert b"evil" in told
    assert {"INSTALL-METADATA", "INSTALL-TWICE"} <= codes(wheel)


def test_pip_replaces_an_interpreter(tmp_path):
    wheel = make(tmp_path, f"{DATA}/scripts/python", f"{DATA}/data/pyvenv.cfg", "sitecustomize.py")
    result, made = install(wheel, tmp_path / "prefix")
    assert result.returncode == 0
    assert {"bin/python", "pyvenv.cfg", f"lib/{PYTHON}/site-packages/sitecustomize.py"} <= made
    assert {"INSTALL-INTERPRETER", "INSTALL-STARTUP"} <= codes(wheel)


def test_pip_leaves_out_the_file_that_an_entry_point_is_called_as(tmp_path):
    entry_points = b"[console_scripts]\ntoy = toy_engine.engine:run\n"
    wheel = make(tmp_path, f"{DATA}/scripts/toy", data=b"mine\n", more={f"{DIST_INFO}/entry_points.txt": entry_points})
    result, _ = install(wheel, tmp_path / "prefix")
    assert result.returncode == 0
    assert b"mine" not in (tmp_path / "prefix" / "bin" / "toy").read_bytes()
    assert codes(wheel) == {"INSTALL-WRAPPER"}


def test_pip_takes_a_wheel_that_was_renamed(tmp_path):
    wheel = make(tmp_path).rename(tmp_path / "toy_engine-1.2.3-1-py2.py3-none-any.whl")
    result, _ = install(wheel, tmp_path / "prefix")
    assert result.returncode == 0
    assert [fault.code for fault in read_unsound(wheel).faults] == ["IDENTITY-TAGS"]
