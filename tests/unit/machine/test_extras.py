"""The light package: what checks wheels needs few packages, and a verb that needs more says which extra brings them."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import msgspec
import pytest
from elf_builder import build_elf
from factories import DIST_INFO, LIBRARY, wheel_members
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from truewheel.errors import CheckError, FetchError
from truewheel.machine.extras import EXTRAS, INFERENCE, describe_missing, require
from truewheel.wheel.archive import Member
from truewheel.wheel.writer import write_wheel

ROOT = Path(__file__).parents[3]
PROJECT = msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes())["project"]
MOST = 40 << 20


def needed(requirements):
    """Return the installed distributions that some requirements bring, with all that these need."""
    found, waiting = {}, [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and name not in found:
            found[name] = distribution(name)
            waiting += [Requirement(text) for text in found[name].requires or ()]
    return found


def installed_size(distributions):
    """Return the bytes of their files, with what Python compiles of them."""
    files = (path.locate() for each in distributions for path in each.files or ())
    return sum(Path(path).stat().st_size for path in files if Path(path).is_file())


class Light:
    """A Python with the packages that checking needs, and no others."""

    SCRIPT = """
import contextlib, io, json, sys
from truewheel.cli import run
answers = []
for arguments in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = run(arguments.split())
    answers.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(answers))
"""

    def __init__(self, place):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
        site = next((place / "lib").glob("python*/site-packages"))
        for each in needed(PROJECT["dependencies"]).values():
            for name in {path.parts[0] for path in each.files or ()} - {"..", "__pycache__"}:
                (site / name).symlink_to(Path(each.locate_file(name)))
        (site / "truewheel.pth").write_text(f"{ROOT / 'src'}\n")
        places = {"TRUEWHEEL_CACHE_DIR": str(place / "cache"), "TRUEWHEEL_WHEELHOUSE": str(place / "house")}
        self._python, self._environment = place / "bin" / "python", {**os.environ, **places, "PYTHONPATH": ""}

    def __call__(self, *arguments):
        """Run the Python once."""
        command, options = [self._python, *arguments], {"env": self._environment, "timeout": 60}
        return subprocess.run(command, capture_output=True, text=True, check=False, **options)

    def run(self, *commands):
        """Run several commands of truewheel in one process; return code, data and messages of each."""
        done = self("-c", self.SCRIPT, *commands)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    return Light(tmp_path_factory.mktemp("light"))


@pytest.fixture
def wheel(tmp_path):
    members = wheel_members(**{LIBRARY: Member(build_elf(needed=("libc.so.6",)), executable=True)})
    path = tmp_path / "toy_engine-1.2.3-py3-none-linux_x86_64.whl"
    write_wheel(path, members, DIST_INFO)
    return path


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_modules_of_an_extra_are_those_of_the_project(extra):
    names = {canonicalize_name(Requirement(text).name) for text in PROJECT["optional-dependencies"][extra]}
    owners = packages_distributions()
    assert {canonicalize_name(owners[module][0]) for module in EXTRAS[extra]} == names


@pytest.mark.parametrize("extra", EXTRAS)
def test_either_extra_brings_what_inference_needs(extra):
    assert set(INFERENCE) <= set(EXTRAS[extra])


def test_what_checks_wheels_is_small():
    distributions = needed(PROJECT["dependencies"]).values()
    own = sum(path.stat().st_size for path in (ROOT / "src").rglob("*") if path.is_file())
    assert installed_size(distributions) + own < MOST
    assert installed_size(needed([*PROJECT["dependencies"], "numpy"]).values()) > MOST, "numpy is let through"


def test_the_environment_has_nothing_else(light):
    modules = {*EXTRAS["build"], *EXTRAS["bench"]}
    done = light("-c", f"from importlib.util import find_spec; print([name for name in {modules} if find_spec(name)])")
    assert done.stdout == "[]\n", done.stderr
    assert light("-c", "import numpy").stderr.endswith("No module named 'numpy'\n")


def test_a_wheel_is_checked(light, wheel):
    done = light("-m", "truewheel", "check", wheel)
    assert done.stdout.startswith(f"refused: {wheel.name}\n  because of LOAD-SEGMENTS and HARD-STACK; "), done.stderr
    assert done.returncode == CheckError.exit_code
    done = light("-c", f"from truewheel.checks import check_wheel; print(check_wheel({str(wheel)!r}).verdict)")
    assert done.stdout == "refused\n", done.stderr


def test_what_needs_no_extra_works(light, wheel, tmp_path):
    page = tmp_path / "page.html"
    accounts = [f"check {wheel} --json", f"check {wheel} --markdown --html {page}"]
    for code, out, _ in light.run(*accounts):
        assert ("HARD-STACK" in out, code) == (True, CheckError.exit_code)
    assert "HARD-STACK" in page.read_text(encoding="utf-8")
    others = ["explain", "explain ISA-BEYOND", "list", "matrix", "schema", "schema report", "--help"]
    assert [code for code, *_ in light.run(*others)] == [0] * len(others)
    assert light.run(f"pick {wheel}")[0][:2] == [0, f"{wheel}\n"]


def test_doctor_reports_what_is_missing(light):
    done = light("-m", "truewheel", "doctor")
    assert done.returncode == 0, done.stderr
    assert "\n  the extra 'build' lacks build, cyclonedx, gguf, " in done.stdout
    assert done.stdout.endswith("python3 -m pip install 'truewheel[bench]'\n")
    assert describe_missing() == []


def test_a_verb_without_its_extra_says_the_line_to_type(light, wheel):
    needs = {"build": "build", "plan": "build", "bench": "bench", "tune": "bench", f"smoke {wheel}": "bench"}
    needs |= {f"compare {wheel}": "bench", f"check --run {wheel}": "bench", f"check --emulate {wheel}": "bench"}
    for (command, extra), (code, out, err) in zip(needs.items(), light.run(*needs), strict=True):
        assert (code, out) == (FetchError.exit_code, "")
        assert re.fullmatch(
            rf"error: `truewheel {command.removesuffix(f' {wheel}')}` needs what is not installed: [a-z_, ]+\n\n"
            rf"hint: python3 -m pip install 'truewheel\[{extra}\]'\n",
            err,
        )


def test_a_folder_of_that_name_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "build").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "build", raising=False)
    with pytest.raises(FetchError, match=r"not installed: build$"):
        require("build", "build", ("build",))
