"""One planted violation, and more, for every code of the check of what is installed."""

from planted_metadata import with_wheel

DATA = "toy_engine-1.2.3.data"
DIST_INFO = "toy_engine-1.2.3.dist-info"
SITE = f"{DATA}/data/lib/python3.11/site-packages"

MEMBERS = {
    "INSTALL-STRAY": [
        f"{DATA}/toy.py",
        f"{DATA}/stdlib/toy.py",
        f"{DATA}/Purelib/toy.py",
        f"{DATA}/lib/x/y.py",
        "other.data/purelib/toy.py",
        "TOY_ENGINE-1.2.3.data/platlib/toy.py",
    ],
    "INSTALL-TWICE": [
        f"{DATA}/purelib/toy_engine/lib/libtoy-cpu.so",
        f"{DATA}/platlib/toy_engine/__init__.py",
        f"{DATA}/platlib/toy_engine",
        f"{DATA}/purelib/toy_engine/lib/libtoy-cpu.so/x.py",
    ],
    "INSTALL-COLLISION": [f"{DATA}/purelib/toy_engine/__INIT__.py", f"{DATA}/platlib/TOY_ENGINE/__init__.py"],
    "INSTALL-METADATA": [
        f"{DATA}/purelib/{DIST_INFO}/METADATA",
        f"{DATA}/platlib/{DIST_INFO}/RECORD",
        f"{DATA}/purelib/Toy_Engine-1.2.3.dist-info/METADATA",
        f"{DATA}/platlib/other-1.0.dist-info/METADATA",
        f"{DATA}/purelib/other-1.0.DIST-INFO/METADATA",
        f"{DATA}/purelib/other.egg-info",
        "other.egg-info/PKG-INFO",
    ],
    "INSTALL-WRITTEN": [f"{DIST_INFO}/INSTALLER", f"{DIST_INFO}/REQUESTED", f"{DIST_INFO}/direct_url.json"],
    "INSTALL-INTERPRETER": [
        f"{DATA}/scripts/python",
        f"{DATA}/scripts/python3",
        f"{DATA}/scripts/python3.11",
        f"{DATA}/scripts/python3.13t",
        f"{DATA}/scripts/PYTHON.EXE",
        f"{DATA}/scripts/pythonw.exe",
        f"{DATA}/scripts/pypy3",
        f"{DATA}/scripts/activate",
        f"{DATA}/scripts/activate.ps1",
        f"{DATA}/scripts/pyvenv.cfg",
        f"{DATA}/data/bin/python",
        f"{DATA}/data/bin/python3.12",
        f"{DATA}/data/Scripts/python.exe",
        f"{DATA}/data/pyvenv.cfg",
        f"{DATA}/data/python.exe",
        f"{DATA}/data/python311.dll",
        f"{DATA}/data/python311._pth",
        f"{DATA}/data/lib/libpython3.11.so.1.0",
        f"{DATA}/data/lib/python311.zip",
        "pyvenv.cfg",
    ],
    "INSTALL-LIBRARY": [
        f"{DATA}/data/lib/python3.11/os.py",
        f"{DATA}/data/lib64/python3.13t/lib-dynload/_ssl.so",
        f"{DATA}/data/Lib/site.py",
        f"{SITE}/toy_engine/late.py",
        f"{DATA}/data/Lib/site-packages/toy_engine/late.py",
        f"{DATA}/data/lib/python3/dist-packages/toy_engine/late.py",
    ],
    "INSTALL-STARTUP": [
        "sitecustomize.py",
        "usercustomize.py",
        "sitecustomize/__init__.py",
        "sitecustomize.cpython-311-x86_64-linux-gnu.so",
        "usercustomize.pyc",
        f"{DATA}/purelib/sitecustomize.py",
        f"{DATA}/platlib/usercustomize/__init__.py",
        "os.py",
        "json/__init__.py",
        "encodings/__init__.py",
    ],
    "INSTALL-OWNED": [
        "pip/__init__.py",
        f"{DATA}/purelib/pip/_internal/cli/main.py",
        "setuptools/__init__.py",
        "pkg_resources/__init__.py",
        "_distutils_hack/__init__.py",
        f"{DATA}/scripts/pip",
        f"{DATA}/scripts/pip3.11",
        f"{DATA}/scripts/uv",
    ],
    "INSTALL-STDLIB": ["typing.py", "enum/__init__.py", f"{DATA}/purelib/dataclasses.py"],
    "INSTALL-COMMAND": [
        f"{DATA}/scripts/sh",
        f"{DATA}/scripts/LS.exe",
        f"{DATA}/data/bin/env",
        f"{DATA}/scripts/su.py",
    ],
    "INSTALL-COMMAND-COMMON": [f"{DATA}/scripts/git", f"{DATA}/scripts/gcc", f"{DATA}/data/bin/curl"],
}
"""Members that must give a code."""

PTH = {
    "INSTALL-PTH": [
        "import toy_engine.hook\n",
        "toy_engine/vendored\n",
        "/opt/toy\n",
        "../../elsewhere\n",
        "# only a comment\n",
        "import\tos; os.environ.setdefault('A', 'b')\n",
        "import os; enabled = os.environ.get('A', 'b') == 'b'; enabled and __import__('_distutils_hack').add_shim();\n",
    ],
    "INSTALL-PTH-HIDDEN": [
        "import base64; exec(base64.b64decode('cHJpbnQoMSk='))\n",
        "toy\nimport os; os.system('id')\n",
        "\ufeffimport subprocess; subprocess.Popen(['id'])\n",
        "a\x0bimport urllib.request\n",
        "a\rimport socket\n",
        "import zlib, marshal\n",
        "import os, sys; exec(bytes.fromhex('70'))\n",
        "x\n" * 300,
    ],
}
"""Texts of a .pth file that must give a code."""

ENTRIES = {
    "INSTALL-ENTRY": ["../evil", "a/b", "a\\b", ".hidden", "-rf", "a.", "..", "a\x00b"],
    "INSTALL-INTERPRETER": ["python", "python3", "Python", "activate"],
    "INSTALL-OWNED": ["pip", "pip3"],
    "INSTALL-COMMAND": ["sh", "ls", "sudo"],
    "INSTALL-COMMAND-COMMON": ["git"],
}
"""Names of entry points that must give a code."""


def planted(make_facts):
    """Return, by code, functions that make the facts that must give it."""

    def plant(member):
        return lambda: with_wheel(make_facts(), files=[member])

    def plant_pth(text):
        return lambda: with_pth(make_facts(), text)

    return {
        **{code: plant(members[0]) for code, members in MEMBERS.items()},
        **{code: plant_pth(texts[0]) for code, texts in PTH.items()},
        "INSTALL-ENTRY": lambda: with_program(make_facts(), "../evil"),
        "INSTALL-WRAPPER": lambda: with_program(make_facts(), "toy", f"{DATA}/scripts/toy"),
    }


def with_pth(facts, text):
    """Return facts of a wheel with a .pth file."""
    changed = with_wheel(facts, files={"toy_engine.pth": text})
    changed.wheel.texts["toy_engine.pth"] = text
    return changed


def with_program(facts, name, *files, group="console_scripts"):
    """Return facts of a wheel with an entry point that makes a program."""
    text = f"[{group}]\n{name} = toy_engine:main\n"
    return with_wheel(
        facts,
        files={"toy_engine/__init__.py": "def main():\n    pass\n", **dict.fromkeys(files, "")},
        entry_points=text,
    )
