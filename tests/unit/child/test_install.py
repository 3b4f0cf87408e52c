"""What is installed lies in a tree; nothing of it is ever started, and pip is locked down while it reads wheels."""

import ast
import os
import sys
from pathlib import Path

import pytest

import truewheel
from tests.hostile import DATA, write_wheel
from truewheel.child.environment import InstallError, open_environment
from truewheel.child.installed import own_interpreter, site_of
from truewheel.errors import CheckError, LoadError
from truewheel.measure.install import take_environment

SOURCE = Path(truewheel.__file__).parent
SCRIPT = "#!/bin/sh\necho mine > /tmp/truewheel-was-here\n"
REPLACING = {
    f"{DATA}/scripts/python": SCRIPT,
    f"{DATA}/scripts/python3": SCRIPT,
    f"{DATA}/data/bin/python": SCRIPT,
    f"{DATA}/data/pyvenv.cfg": "home = /nowhere\n",
    "sitecustomize.py": "raise SystemExit(3)\n",
    "usercustomize.py": "raise SystemExit(3)\n",
    "hook.pth": "import os; os._exit(3)\n",
    "json.py": "raise SystemExit(3)\n",
    "toy/__init__.py": "",
}


def test_what_a_wheel_puts_in_place_of_an_interpreter_lies_in_the_tree_and_is_not_ours(tmp_path):
    wheel = write_wheel(tmp_path, REPLACING)
    with open_environment([str(wheel)], tmp_path, "it") as environment:
        assert environment.python == own_interpreter()
        assert not environment.python.is_relative_to(environment.tree)
        assert environment.site == site_of(environment.tree)
        for name in ("hook.pth", "json.py", "toy/__init__.py"):
            assert (environment.site / name).is_file(), name
        for name in ("bin/python", "bin/python3", "pyvenv.cfg"):
            assert (environment.tree / name).is_file(), name
        assert not list(environment.scratch.iterdir())
        tree = environment.tree
    assert not tree.exists()
    assert not Path("/tmp/truewheel-was-here").exists()


def test_a_dependency_is_found_in_the_folder_beside_and_nowhere_else(tmp_path):
    wheel = write_wheel(tmp_path, {"toy.py": ""}, requires=["other==1"])
    links = tmp_path / "links"
    links.mkdir()
    with (
        pytest.raises(InstallError, match="pip cannot install it: No matching distribution"),
        open_environment([str(wheel)], links, "it"),
    ):
        pass
    write_wheel(links, {"other.py": ""}, project="other", version="1")
    with open_environment([str(wheel)], links, "it") as environment:
        assert (environment.site / "other.py").is_file()


def test_packages_beside_pip_are_not_taken_for_installed(tmp_path):
    # pytest lies beside pip here.
    wheel = write_wheel(tmp_path, {"toy.py": ""}, requires=["pytest"])
    with pytest.raises(InstallError), open_environment([str(wheel)], tmp_path, "it"):
        pass


def test_a_python_without_pip_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(CheckError, match="has no pip"), open_environment([], tmp_path, "it"):
        pass


def make_venv(folder, version, python):
    site = folder / "lib" / f"python{version}" / "site-packages"
    site.mkdir(parents=True)
    (folder / "bin").mkdir()
    python(folder / "bin" / "python")
    return site


def test_an_environment_of_our_python_is_run_by_our_interpreter(tmp_path):
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    site = make_venv(tmp_path / "env", version, lambda path: path.write_text(SCRIPT))
    found = take_environment(tmp_path / "env", tmp_path)
    assert (found.python, found.site) == (own_interpreter(), site)


def test_an_environment_of_another_python_is_run_by_the_one_outside_of_it(tmp_path):
    make_venv(tmp_path / "env", "3.99", lambda path: path.symlink_to(sys.executable))
    assert take_environment(tmp_path / "env", tmp_path).python == Path(os.path.realpath(sys.executable))


def test_another_python_inside_of_an_environment_is_refused(tmp_path):
    make_venv(tmp_path / "env", "3.99", lambda path: path.write_text(SCRIPT))
    with pytest.raises(LoadError, match="where any package can replace it"):
        take_environment(tmp_path / "env", tmp_path)


def starters(text):
    """Return what in a module could start something from an installed tree."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Attribute)
            and node.attr == "python"
            and ast.unparse(node.value).endswith("environment")
        ):
            found.append(ast.unparse(node))
        if isinstance(node, ast.Constant) and node.value in ("venv", "--python", "ensurepip", "virtualenv"):
            found.append(str(node.value))
    return found


def test_nothing_but_the_one_start_uses_an_environments_interpreter():
    found = {
        path.relative_to(SOURCE).as_posix(): starters(path.read_text())
        for path in SOURCE.rglob("*.py")
        if starters(path.read_text())
    }
    assert found == {"child/start.py": ["self.environment.python"], "cli/pick_.py": ["--python", "--python"]}


@pytest.mark.parametrize("line", ["run([environment.python, '-m', 'x'])", "run([sys.executable, '-m', 'venv', x])"])
def test_another_start_would_be_seen(line):
    assert starters(line)
