"""The check of metadata: what a wheel says of itself, against what is in it."""

import msgspec
import pytest
from factories import DIST_INFO, LIBRARY, make_elf, make_facts
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from planted_metadata import planted, with_wheel

from truewheel.checks import metadata
from truewheel.checks.metadata import CODES, check

PLANTED = planted(make_facts)
INIT = "toy_engine/__init__.py"


def facts_of(**how):
    return with_wheel(make_facts(plan=None), **how)


def codes(facts):
    return [finding.code for finding in check(facts)]


def found(**how):
    return codes(facts_of(**how))


def importing(text, *requirements, **files):
    """Return the findings about a package that imports, as code and message."""
    lines = "".join(f"Requires-Dist: {requirement}\n" for requirement in requirements)
    paths = {f"toy_engine/{name}.py": content for name, content in files.items()}
    return [
        (finding.code, finding.where, finding.message)
        for finding in check(facts_of(files={INIT: text, **paths}, metadata=lines))
    ]


def test_a_sound_wheel_gives_nothing():
    assert codes(make_facts()) == []
    assert codes(make_facts(plan=None)) == []
    assert found() == []
    assert codes(make_facts(sources=None)) == []


@pytest.mark.parametrize("code", CODES)
def test_a_planted_violation_is_found_and_nothing_else(code):
    (finding,) = check(PLANTED[code]())
    assert finding.code == code
    assert finding.where
    assert finding.message
    assert finding.hint
    assert "\n" not in finding.message


def test_a_violation_is_planted_for_every_code():
    assert set(PLANTED) == set(CODES)
    assert all(CODES.values())


# Dependencies


def test_the_first_place_is_told_and_a_project_only_once():
    text = "from . import other\nimport yaml\nimport yaml.loader\nfrom yaml import x\n"
    assert importing(text, other="import yaml") == [
        ("META-DEPENDENCY", f"{INIT}:2", "imports yaml, and METADATA requires PyYAML nowhere")
    ]


def test_each_missing_project_is_told():
    told = importing("import yaml, numpy, PIL\n", "numpy")
    assert [message for _, _, message in told] == [
        "imports yaml, and METADATA requires PyYAML nowhere",
        "imports PIL, and METADATA requires pillow nowhere",
    ]


def test_what_certainly_fails_is_told_rather_than_what_may():
    (told,) = importing("def f():\n    import yaml\nfrom . import other\n", other="import yaml")
    assert told[:2] == ("META-DEPENDENCY", "toy_engine/other.py:1")


@pytest.mark.parametrize(
    ("module", "requirement"),
    [
        ("numpy", "numpy"),
        ("numpy.linalg", "NumPy>=1.26,<3"),
        ("yaml", "pyyaml"),
        ("yaml", 'PyYAML (>=5) ; python_version >= "3.8"'),
        ("tomli", 'tomli>=2; python_version < "3.11"'),
        ("attr", "attrs"),
        ("attrs", "attrs"),
        ("bs4", "beautifulsoup4[lxml]"),
        ("cv2", "opencv-python-headless"),
        ("cv2", "opencv-contrib-python"),
        ("cv2", "opencv-python-rolling"),
        ("onnxruntime", "onnxruntime-gpu"),
        ("psycopg2", "psycopg2-binary"),
        ("sklearn", "scikit-learn"),
        ("typing_extensions", "typing-extensions"),
        ("zope.interface", "zope.interface"),
        ("zope.interface.verify", "zope-interface"),
        ("ruamel.yaml", "ruamel.yaml"),
        ("backports.tarfile", "backports.tarfile"),
        ("azure.core.credentials", "azure-core"),
        ("google.protobuf.message", "protobuf"),
        ("google.auth.transport", "google-auth"),
        ("elftools.elf.elffile", "pyelftools"),
        ("slugify", "python-slugify"),
        ("github3", "github3.py"),
        ("cyclonedx.model", "cyclonedx-python-lib"),
        ("packageurl", "packageurl-python"),
        ("pkg_resources", "setuptools"),
        ("Crypto.Cipher", "pycryptodome"),
        ("mpl_toolkits.mplot3d", "matplotlib"),
        ("markdown_it", "markdown-it-py"),
        ("llama_cpp", "llama-cpp-python"),
        ("unknown_thing", "unknown.thing @ https://example.org/x.whl"),
        ("_pytest.pathlib", "pytest"),
    ],
)
def test_a_requirement_by_whatever_name_it_goes(module, requirement):
    assert importing(f"import {module}\n", requirement) == []
    assert [code for code, *_ in importing(f"import {module}\n")] == ["META-DEPENDENCY"]


@pytest.mark.parametrize(
    "text",
    [
        "from google import protobuf",
        "from google.protobuf import message",
        "from google.protobuf.internal import builder as _builder",
    ],
)
def test_part_of_a_namespace_that_a_from_import_takes(text):
    assert importing(text, "protobuf") == []
    ((code, _, message),) = importing(text)
    assert code == "META-DEPENDENCY"
    assert message.endswith("METADATA requires protobuf nowhere")


@pytest.mark.parametrize(
    "text",
    [
        "import os, sys, typing, importlib.metadata",
        "from __future__ import annotations",
        "import tomllib, distutils.core, imp, urllib2, StringIO, telnetlib",
        "import google, zope, backports",
        "import js, pyodide, gdb, java.lang",
        "import toy_engine.missing, toy_engine",
        "from . import missing\nfrom .missing import x",
        "try:\n    import numpy\nexcept ImportError:\n    numpy = None",
        "if sys.platform == 'win32':\n    import win32api",
        "if TYPE_CHECKING:\n    from numpy.typing import ArrayLike",
        "if HAVE_TORCH:\n    import torch",
        "def f():\n    try:\n        import torch\n    except ImportError as e:\n        raise RuntimeError from e",
        "import 3d",
    ],
)
def test_imports_that_need_no_requirement(text):
    assert importing(text) == []


def test_a_project_need_not_require_itself():
    assert importing("import toy_engine.extra\nimport toy.engine\n") == []
    facts = facts_of(files={"toy_engine_plugin/__init__.py": "import toy_engine"}, without=[INIT, LIBRARY])
    assert codes(facts) == []


@pytest.mark.parametrize(
    "path",
    [
        "toy_engine/tests/test_x.py",
        "toy_engine/testing/helpers.py",
        "toy_engine/conftest.py",
        "tests/__init__.py",
        "examples/show.py",
        "toy_engine/benchmarks/run.py",
        "docs/conf.py",
        "setup.py",
        "toy_engine/_vendor/six/moves.py",
        "toy_engine/templates/some-script.py",
        "toy_engine-1.2.3.data/scripts/tool.py",
    ],
)
def test_files_beside_the_project_need_what_they_need(path):
    assert found(files={INIT: "", path: "import pytest"}) == []


def test_a_test_helper_that_runs_at_every_import_is_no_file_beside_the_project():
    text = "from toy_engine.testing import helpers"
    assert found(files={INIT: text, "toy_engine/testing/helpers.py": "import pytest"}) == ["META-DEPENDENCY"]


def test_late_imports_are_told_as_late():
    ((code, where, _),) = importing("", late="import torch")
    assert (code, where) == ("META-DEPENDENCY-LAZY", "toy_engine/late.py:1")
    ((code, *_),) = importing("if __name__ == '__main__':\n    import torch\n")
    assert code == "META-DEPENDENCY-LAZY"


def test_an_extra_is_enough_for_what_runs_late_and_not_for_what_runs_always():
    assert importing("def f():\n    import torch", "torch; extra == 'gpu'") == []
    assert [code for code, *_ in importing("import torch", "torch; extra == 'gpu'")] == ["META-DEPENDENCY-EXTRA"]
    assert importing("import torch", "torch; extra == 'gpu'", "torch>=2; python_version < '3.13'") == []
    assert importing("import torch", "torch; sys_platform == 'extra'") == []


def test_a_requirement_that_cannot_be_read_still_counts():
    assert [code for code, *_ in importing("import numpy", "numpy => 1")] == ["META-REQUIREMENT"]


def test_a_plug_in_is_loaded_by_its_host():
    files = {INIT: "", "toy_engine/plugin.py": "import pytest"}
    assert found(files=files) == ["META-DEPENDENCY-LAZY"]
    assert found(files=files, entry_points="[pytest11]\ntoy = toy_engine.plugin\n") == []
    assert found(files={INIT: "import pytest"}, entry_points="[pytest11]\ntoy = toy_engine\n") == []
    assert found(files=files, entry_points="[sphinx.builders]\ntoy = toy_engine.plugin\n") == ["META-DEPENDENCY-LAZY"]


def test_extension_modules_are_the_wheels_own():
    files = {"ns/part/__init__.py": "import _top\nfrom ns._core import x\n", "_top.abi3.so": "", "ns/_core/x.so": ""}
    facts = facts_of(files=files)
    assert codes(facts) == []
    # Even where whoever scanned the sources did not know of them.
    alone = facts_of(files={path: text for path, text in files.items() if path.endswith(".py")})
    assert codes(facts._replace(sources=alone.sources)) == []


def test_other_parts_of_a_namespace_are_other_projects():
    files = {"zope/event/__init__.py": "import zope.event.x\nfrom zope import interface\n"}
    ((code, message),) = [(finding.code, finding.message) for finding in check(facts_of(files=files))]
    assert (code, message) == (
        "META-DEPENDENCY",
        "imports zope.interface, and METADATA requires zope-interface nowhere",
    )
    assert found(files=files, metadata="Requires-Dist: zope.interface\n") == []


def cffi(**how):
    facts = facts_of(**how)
    return facts._replace(libraries={LIBRARY: make_elf(python_modules=("_cffi_backend",))})


def test_compiled_code_may_need_cffi():
    (finding,) = check(cffi())
    assert (finding.code, finding.where) == ("META-DEPENDENCY", LIBRARY)
    assert "cffi" in finding.message
    assert codes(cffi(metadata='Requires-Dist: cffi>=1.12; platform_python_implementation != "PyPy"\n')) == []
    assert codes(cffi()._replace(sources=None)) == ["META-DEPENDENCY"]


def test_cffi_itself_and_pypy_have_its_back_end():
    assert codes(cffi(files=["_cffi_backend.cpython-311-x86_64-linux-gnu.so"], tags="cp311-cp311-linux_x86_64")) == []
    assert codes(cffi(tags="pp310-pypy310_pp73-linux_x86_64")) == []
    assert codes(cffi(tags="cp311.pp310-none-linux_x86_64")) == ["META-DEPENDENCY"]


def test_the_table_of_names_is_sound():
    names = metadata._names()
    assert len(names.projects) >= 100
    assert not set(names.projects) & names.nobody
    for module, projects in names.projects.items():
        assert projects
        covered = "." in module or any(canonicalize_name(project) != canonicalize_name(module) for project in projects)
        assert covered, f"{module} is called as its project is"
        assert len({canonicalize_name(project) for project in projects}) == len(projects)


# Requirements and Pythons


@pytest.mark.parametrize(
    "line",
    [
        "Requires-Dist: numpy => 1",
        "Requires-Dist: numpy >= ",
        "Requires-Dist: numpy; python_version > ",
        "Requires-Dist: numpy; " + "(" * 400 + "os_name == 'x'" + ")" * 400,
        "Requires-Dist: numpy==" + "1" * 5000,
        "Requires-Dist: ",
        "Requires-Dist: -numpy",
        "Requires-Dist: numpy 1.0",
        "Requires-Python: three",
        "Requires-Python: >=3.8.*",
        "Requires-Python: >3.6, <4 (ish)",
        "Requires-Python: " + ">=3," * 1000,
    ],
)
def test_what_cannot_be_read(line):
    (finding,) = check(facts_of(metadata=f"{line}\n"))
    assert finding.code == "META-REQUIREMENT"
    assert len(finding.message) < 300
    assert finding.message.isascii()


@pytest.mark.parametrize(
    "line",
    [
        "Requires-Dist: numpy",
        "Requires-Dist: numpy (>=1.26)",
        "Requires-Dist: numpy[all,extra]~=1.26 ; extra == 'x' and (os_name == 'y' or python_version < '3')",
        "Requires-Dist: zope.interface",
        "Requires-Dist: thing @ git+https://example.org/thing@main",
        "Requires-Dist: foo===1.0-whatever",
        "Requires-Python: >=3.8",
        "Requires-Python: !=3.0.*,!=3.1.*,>=2.7",
        "Requires-Python: ~=3.9",
        "Requires-Python: ",
    ],
)
def test_what_can_be_read(line):
    assert found(metadata=f"{line}\n") == []


def test_not_every_fault_of_many_is_told():
    assert len(found(metadata="Requires-Dist: a => 1\n" * 5000)) == 20


PYTHONS = [
    ("cp39-cp39", ">=3.10", "META-PYTHON"),
    ("py2-none", ">=3", "META-PYTHON"),
    ("py27-none", ">=3.6", "META-PYTHON"),
    ("cp38-abi3", "<3.8", "META-PYTHON"),
    ("cp27-cp27mu", ">=3.6", "META-PYTHON"),
    ("cp36-cp36m", ">=3.7", "META-PYTHON"),
    ("pp39-pypy39_pp73", ">=3.10", "META-PYTHON"),
    ("cp313-cp313t", "<3.13", "META-PYTHON"),
    ("py3-none", "<3", "META-PYTHON"),
    ("cp39.cp310-none", ">=3.11", "META-PYTHON"),
    ("cp37-abi3", ">=3.9", "META-PYTHON-OLDER"),
    ("py2.py3-none", ">=3", "META-PYTHON-OLDER"),
    ("py2.py3-none", ">=3.8", "META-PYTHON-OLDER"),
    ("py36-none", ">=3.8", "META-PYTHON-OLDER"),
    ("cp38.cp39.cp310-cp38.cp39.cp310", ">=3.9", "META-PYTHON-OLDER"),
    ("cp36.cp37.cp38.pp38-none", ">=3.7", "META-PYTHON-OLDER"),
    ("py3-none", ">=3.10", ""),
    ("py3-none", "", ""),
    ("py2.py3-none", ">=2.7, !=3.0.*", ""),
    ("py2-none", "", ""),
    ("cp311-cp311", ">=3.8", ""),
    ("cp311-cp311", ">=3.11", ""),
    ("cp311-cp311", ">=3.11.4", ""),
    ("cp311-cp311", "==3.11.5", ""),
    ("cp311-cp311", ">=3.8,<3.12", ""),
    ("cp311-cp311", "<=3.11", ""),
    ("cp311-cp311", "!=3.11.0", ""),
    ("cp37-abi3", ">=3.7", ""),
    ("cp310-abi3", ">=3.8", ""),
    ("cp310-abi3", ">=3.8,<3.13", ""),
    ("cp314-cp314t", ">=3.14", ""),
    ("py310-none", ">=3.10", ""),
    ("pp3-none", ">=3.9", ""),
    ("graalpy311-graalpy242_311_native", ">=3.11", ""),
    ("cp3-none", ">=3.11", ""),
    ("cp399-cp399", ">=3.11", ""),
    ("cp10-none", ">=3.11", ""),
    ("whatever-none", ">=3.11", ""),
    ("cp310.cp311-cp310.cp311", ">=3.10", ""),
]


@pytest.mark.parametrize(("tags", "requires", "code"), PYTHONS)
def test_tags_and_required_pythons(tags, requires, code):
    line = f"Requires-Python: {requires}\n" if requires else ""
    assert found(tags=f"{tags}-linux_x86_64", metadata=line) == [code] * bool(code)


def test_what_is_refused_is_named():
    (finding,) = check(facts_of(tags="py2.py3-none-any", metadata="Requires-Python: >=3.8\n", without=[LIBRARY]))
    assert finding.message == "Requires-Python: '>=3.8' refuses py2, which the tags name"


# ABI

LINUX = "x86_64-linux-gnu.so"
ABIS = [
    ("cp312-cp312", [f"_x.cpython-311-{LINUX}"], True),
    ("cp312-cp312", [f"_x.cpython-312-{LINUX}"], False),
    ("cp312-cp312", ["_x.cpython-312-darwin.so"], False),
    ("cp312-cp312", ["_x.cpython-311-darwin.so"], True),
    ("cp311-cp311", ["_x.cp311-win_amd64.pyd"], False),
    ("cp311-cp311", ["_x.cp310-win_amd64.pyd"], True),
    ("cp311-cp311", ["_x.pyd", "_y.so", "libz.so", "libz.so.1"], False),
    ("cp311-cp311", ["_x.abi3.so"], False),
    ("cp311-cp311", [f"_x.cpython-310-{LINUX}", f"_x.cpython-311-{LINUX}"], False),
    ("cp311-cp311", [f"_x.cpython-310-{LINUX}", f"_y.cpython-311-{LINUX}"], True),
    ("cp311-cp311", [f"_x.pypy310-pp73-{LINUX}"], True),
    ("cp36-cp36m", [f"_x.cpython-36m-{LINUX}"], False),
    ("cp36-cp36m", ["_x.cp36-win_amd64.pyd"], False),
    ("cp27-cp27mu", ["_x.so"], False),
    ("cp311-cp311d", [f"_x.cpython-311d-{LINUX}"], False),
    ("cp311-cp311", [f"_x.cpython-311d-{LINUX}"], True),
    ("cp313-cp313t", [f"_x.cpython-313t-{LINUX}"], False),
    ("cp313-cp313t", ["_x.cp313t-win_amd64.pyd"], False),
    ("cp313-cp313t", [f"_x.cpython-313-{LINUX}"], True),
    ("cp313-cp313", [f"_x.cpython-313t-{LINUX}"], True),
    ("cp313-cp313t", ["_x.abi3.so"], True),
    ("cp315-abi3.abi3t", ["_x.abi3t.so"], False),
    ("cp315-abi3t", ["_x.abi3.so"], True),
    ("cp38-abi3", ["_x.abi3.so"], False),
    ("cp38-abi3", ["_x.pyd"], False),
    ("cp38-abi3", [f"_x.cpython-38-{LINUX}"], True),
    ("cp38.cp39-abi3", ["_x.abi3.so"], False),
    ("py3-none", ["_x.abi3.so"], False),
    ("py3-none", ["_x.so"], False),
    ("py3-none", [f"_x.cpython-311-{LINUX}"], True),
    ("py3-none", ["_x.cp311-win_amd64.pyd"], True),
    ("py311-none", [f"_x.cpython-311-{LINUX}"], True),
    ("cp311-none", [f"_x.cpython-311-{LINUX}"], False),
    ("cp311-none", [f"_x.cpython-310-{LINUX}"], True),
    ("cp310.cp311-cp310.cp311", [f"_x.cpython-310-{LINUX}", f"_x.cpython-311-{LINUX}"], False),
    ("cp310.cp311-cp310.cp311", [f"_x.cpython-310-{LINUX}"], True),
    ("pp39-pypy39_pp73", [f"_x.pypy39-pp73-{LINUX}"], False),
    ("pp39-pypy39_pp73", [f"_x.pypy38-pp73-{LINUX}"], True),
    ("pp39-pypy39_pp73", [f"_x.cpython-39-{LINUX}"], True),
    ("pp39-pypy39_pp73", ["_x.abi3.so"], True),
    ("graalpy311-graalpy242_311_native", ["_x.graalpy242-311-native-x86_64-linux.so"], False),
    ("cp311-cp311", ["not-a-module.cpython-310-x.so"], False),
    ("cp311-cp311", [f"_x.cpython-311abcdef-{LINUX}"], True),
    ("nonsense-none", [f"_x.cpython-311-{LINUX}"], False),
]


@pytest.mark.parametrize(("tags", "names", "wrong"), ABIS)
def test_suffixes_of_extension_modules(tags, names, wrong):
    files = [f"toy_engine/{name}" for name in names]
    assert found(tags=f"{tags}-linux_x86_64", files=files) == ["META-ABI"] * wrong


def test_a_narrow_requires_python_makes_up_for_a_wide_tag():
    files = [f"toy_engine/_x.cpython-3{minor}-{LINUX}" for minor in (11, 12)]
    tags = "py3-none-linux_x86_64"
    assert found(tags=tags, files=files, metadata="Requires-Python: >=3.11,<3.13\n") == []
    assert found(tags=tags, files=files, metadata="Requires-Python: >=3.11\n") == ["META-ABI"]


def test_many_wrong_modules_are_one_finding():
    files = [f"toy_engine/_{name}.cpython-311-{LINUX}" for name in "cab"]
    (finding,) = check(facts_of(tags="cp312-cp312-linux_x86_64", files=files))
    assert finding.where == f"toy_engine/_a.cpython-311-{LINUX}"
    assert finding.message == "is for cp311, the tags say cp312-cp312-linux_x86_64 (and 2 more modules)"


def test_modules_that_are_only_data_are_nobodys_business():
    files = [f"toy_engine-1.2.3.data/data/x/_x.cpython-39-{LINUX}"]
    assert found(tags="cp312-cp312-linux_x86_64", files=files) == []


# Pure or not

PURE = "Root-Is-Purelib: true\n"
IMPURE = "Root-Is-Purelib: false\n"
PURITY = [
    ("linux_x86_64", PURE, ["toy_engine/x.so"], True),
    ("linux_x86_64", PURE, ["toy_engine/libx.so.1.2"], False),  # the stand-in gives it no kind
    ("win_amd64", PURE, ["toy_engine/x.dll"], True),
    ("macosx_11_0_arm64", "root-is-purelib: TRUE\n", ["toy_engine/x.dylib"], True),
    ("linux_x86_64", IMPURE, ["toy_engine/x.so"], False),
    ("linux_x86_64", "", ["toy_engine/x.so"], False),
    ("linux_x86_64", PURE, ["toy_engine-1.2.3.data/platlib/toy_engine/x.so"], False),
    ("linux_x86_64", PURE, ["toy_engine/tests/data/x.so"], False),
    ("linux_x86_64", PURE, ["toy_engine/tool.exe", "toy_engine/x.py"], False),
    ("any", PURE, ["toy_engine/x.so"], True),
    ("any", PURE, ["toy_engine/x.pyd"], True),
    ("any", PURE, ["toy_engine-1.2.3.data/platlib/toy_engine/x.so"], True),
    ("any", IMPURE, ["toy_engine/x.so"], True),
    ("any", PURE, ["toy_engine/dotnet.dll"], False),
    ("any", PURE, ["toy_engine/x.so", "toy_engine/x.dll", "toy_engine/x.dylib"], False),
    ("any", PURE, ["toy_engine/x.so", "toy_engine/x.dll"], False),
    ("any", PURE, ["toy_engine/gui-32.exe"], False),
    ("any", PURE, ["toy_engine/tests/x.so"], False),
    ("any", PURE, [], False),
    ("any.linux_x86_64", IMPURE, ["toy_engine/x.so"], False),
]


@pytest.mark.parametrize(("platform", "wheel", "files", "wrong"), PURITY)
def test_pure_wheels_hold_no_compiled_libraries(platform, wheel, files, wrong):
    facts = facts_of(tags=f"py3-none-{platform}", wheel=f"Wheel-Version: 1.0\n{wheel}", files=files, without=[LIBRARY])
    assert codes(facts) == ["META-PURE"] * wrong


def test_a_file_that_is_only_called_a_library_is_none():
    facts = facts_of(tags="py3-none-any", files=["toy_engine/x.so"], without=[LIBRARY])
    entries = {path: msgspec.structs.replace(entry, kind="") for path, entry in facts.wheel.entries.items()}
    assert codes(facts._replace(wheel=msgspec.structs.replace(facts.wheel, entries=entries))) == []


# Licences

LICENSE = f"{DIST_INFO}/licenses/LICENSE"


@pytest.mark.parametrize(
    ("named", "path"),
    [
        ("LICENSE", f"{DIST_INFO}/licenses/LICENSE"),
        ("LICENSE", f"{DIST_INFO}/LICENSE"),
        ("LICENSE", f"{DIST_INFO}/license_files/LICENSE"),
        ("LICENSES/MIT.txt", f"{DIST_INFO}/licenses/LICENSES/MIT.txt"),
        ("LICENSES/MIT.txt", f"{DIST_INFO}/MIT.txt"),
        ("LICENSES\\MIT.txt", f"{DIST_INFO}/licenses/LICENSES/MIT.txt"),
        ("AUTHORS.rst", f"{DIST_INFO}/licenses/AUTHORS.rst"),
    ],
)
def test_places_of_a_licence_file(named, path):
    assert found(metadata=f"License-File: {named}\n", files=[path]) == []
    assert found(metadata=f"License-File: {named}\n", without=[LICENSE]) == ["META-LICENSE-MISSING"]


def test_missing_licence_files_are_one_finding():
    (finding,) = check(facts_of(metadata="License-File: A\nLicense-File: LICENSE\nLicense-File: B\n"))
    assert finding.message == "License-File: 'A' is not in the wheel (and 1 more)"


@pytest.mark.parametrize(
    "path",
    [
        f"{DIST_INFO}/LICENSE",
        f"{DIST_INFO}/LICENCE.md",
        f"{DIST_INFO}/COPYING",
        f"{DIST_INFO}/NOTICE.txt",
        f"{DIST_INFO}/licenses/MIT.txt",
        "toy_engine/LICENSE.txt",
        "toy_engine/UNLICENSE",
        "toy_engine/MIT-LICENSE",
        "toy_engine/LICENSES/Apache-2.0.txt",
        "toy_engine-1.2.3.data/data/share/doc/copyright",
    ],
)
def test_what_looks_like_a_licence(path):
    assert found(without=[LICENSE], files=[path]) == []


@pytest.mark.parametrize("path", ["toy_engine/license.py", "toy_engine/licenses/spdx.py", "README.md", "a/license.so"])
def test_what_does_not_look_like_a_licence(path):
    assert found(without=[LICENSE], files=[path]) == ["META-LICENSE"]


# Entry points

SOURCES = {
    INIT: "from .core import run\nfrom . import cli\n",
    "toy_engine/cli.py": "def main(): ...\nclass App:\n    def go(self): ...\nhandler = App()\n",
    "toy_engine/core.py": "run = 1\n",
    "toy_engine/dynamic.py": "from .core import *\n",
    "toy_engine/lazy.py": "def __getattr__(name): ...\n",
    "toy_engine/_fast.abi3.so": "",
    "toy_engine/inner/mod.py": "x = 1\n",
    "toy_engine/broken.py": "print 'x'\n",
    "toy_engine/lib/pkgconfig/toy.pc": "",
    "toy_engine/plug/__init__.py": "__path__ = []\n",
    "ns/part/__init__.py": "def go(): ...\n",
}


@pytest.mark.parametrize(
    "value",
    [
        "toy_engine.cli:main",
        "toy_engine.cli : main",
        "toy_engine.cli:main [extra]",
        "toy_engine.cli:main[extra,other]",
        "toy_engine.cli:App.go",
        "toy_engine.cli:handler.go",
        "toy_engine.cli",
        "toy_engine",
        "toy_engine:run",
        "toy_engine:cli",
        "toy_engine:core",
        "toy_engine.dynamic:anything",
        "toy_engine.lazy:anything",
        "toy_engine._fast:anything",
        "toy_engine.inner.mod:x",
        "toy_engine.inner",
        "toy_engine.broken:main",
        "toy_engine.lib.pkgconfig",
        "toy_engine.plug.made.later:x",
        "ns.part:go",
        "ns.other:go",
        "other_project.cli:main",
        "toy_engineering:main",
    ],
)
def test_entry_points_that_lead_somewhere(value):
    for group in ("console_scripts", "gui_scripts", "some.group"):
        assert found(files=SOURCES, entry_points=f"[{group}]\nname = {value}\n") == []


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("toy_engine.client:main", "leads to a module that is not in the wheel"),
        ("toy_engine.cli.deeper:main", "leads to a module that is not in the wheel"),
        ("toy_engine._fast.deeper:main", "leads to a module that is not in the wheel"),
        ("toy_engine.inner.missing:x", "leads to a module that is not in the wheel"),
        ("toy_engine.cli:mian", "leads to mian, which its module does not define"),
        ("toy_engine.cli:go", "leads to go, which its module does not define"),
        ("toy_engine:absent", "leads to absent, which its module does not define"),
        ("ns.part:gone", "leads to gone, which its module does not define"),
        ("toy_engine/cli.py", "is no reference to an object"),
        ("toy_engine.cli:main()", "is no reference to an object"),
        ("toy_engine.cli:main arg", "is no reference to an object"),
        ("", "is no reference to an object"),
        ("x" * 5000, "is no reference to an object"),
    ],
)
def test_entry_points_that_lead_nowhere(value, fault):
    (finding,) = check(facts_of(files=SOURCES, entry_points=f"[console_scripts]\ntoy = {value}\n"))
    assert finding.code == "META-ENTRY"
    assert finding.where == f"{DIST_INFO}/entry_points.txt"
    assert finding.message.startswith("[console_scripts] toy = ")
    assert finding.message.endswith(fault)
    assert len(finding.message) < 300


@pytest.mark.parametrize(
    "text",
    ["toy = toy_engine.cli:main\n", "[console_scripts]\ntoy\n", "[console_scripts\ntoy = x\n", "\ufeff[a]\nb = c\n"],
)
def test_entry_points_that_cannot_be_read(text):
    (finding,) = check(facts_of(files=SOURCES, entry_points=text))
    assert finding.code == "META-ENTRY"
    assert finding.message.startswith("cannot be read")
    assert "\n" not in finding.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[console_scripts]\n",
        "\n# a comment\n[console_scripts]\n\n    toy = toy_engine.cli:main\n        two = toy_engine.cli:main\n",
        "[console_scripts]\nToy = toy_engine.cli:main\ntoy = toy_engine.cli:main\n",
        "[console_scripts]\ntoy = toy_engine.cli:main\ntoy = toy_engine.cli:main\n",
        "[a:b]\nx:y = toy_engine.cli:main\n100% = toy_engine.cli:main\n",
        "[DEFAULT]\ntoy = toy_engine.cli:main\n",
        "[console_scripts]\r\ntoy=toy_engine.cli:main\r\n",
    ],
)
def test_odd_entry_points_that_can_be_read(text):
    assert found(files=SOURCES, entry_points=text) == []


def test_without_sources_only_modules_are_looked_for():
    text = "[console_scripts]\na = toy_engine.cli:mian\nb = toy_engine.gone:main\n"
    facts = facts_of(files=SOURCES, entry_points=text)._replace(sources=None)
    assert codes(facts) == ["META-ENTRY"]


def test_not_every_lost_entry_point_of_many_is_told():
    text = "[x]\n" + "".join(f"n{number} = toy_engine.gone:x\n" for number in range(1000))
    assert codes(facts_of(files=SOURCES, entry_points=text)) == ["META-ENTRY"] * 20


# Hostile texts


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=100))
def test_no_text_does_any_harm(lines, entries, value):
    keys = ("Requires-Dist", "Requires-Python", "License-File", "Provides-Extra")
    text = lines + "".join(f"\n{key}: {value}" for key in keys)
    for finding in check(facts_of(metadata=text, wheel=lines, entry_points=entries)):
        assert finding.code in CODES
        assert finding.message.isascii()
        assert finding.message.isprintable()


@given(st.lists(st.from_regex(r"[a-z]{1,5}\.(cpython-|cp|pypy|abi)?[0-9a-z]{0,5}(-[a-z0-9]{1,4})?\.(so|pyd)")))
def test_no_file_name_does_any_harm(names):
    for tags in ("cp311-cp311", "py3-none", "cp38-abi3", "pp39-pypy39_pp73"):
        files = [f"toy_engine/{name}" for name in names if name.isprintable()]
        assert set(found(tags=f"{tags}-linux_x86_64", files=files)) <= {"META-ABI"}
