"""The locked-down reader: once it can open no files, it must not want to import anything, whatever it reads."""

import contextlib
import csv
import json
import struct
import subprocess
import sys
from pathlib import Path

from elf_builder import build_elf, isa_note
from malformed import KINDS, SOUND, metadata, sound_archive, sound_files, wheel_text

from truewheel.examine import child

SOURCE = Path(child.__file__).parents[2]

_READ = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from truewheel.examine import child, reading
for name in sys.argv[2:]:
    __import__(name)
opened = [(os.open(path, os.O_RDONLY), path) for path in json.load(sys.stdin)]
wanted, now = [], [""]

def hook(event, arguments):
    if now[0] and event in ("import", "open", "os.listdir", "os.scandir"):
        wanted.append((event, str(arguments[0]), now[0]))

def read(request, stream):
    for answer in child.work(request, stream):
        reading.encode(answer)
        if answer.wheel is not None:
            yield answer.wheel

child.prepare()
sys.addaudithook(hook)
for number, path in opened:
    stream = os.fdopen(number, "rb")
    now[0] = path
    for wheel in read(child.ReadRequest(descriptor=0, path=child.Path(path)), stream):
        libraries = tuple(wheel.shared_objects())
        again = child.ReadRequest(descriptor=0, path=child.Path(path), wheel=wheel, libraries=libraries, sources=True,
                                  needles={"a": ("b",)})
        list(read(again, stream))
    now[0] = ""
print(json.dumps(wanted))
"""

LETTERS = {
    "no-break space": "\u00a0",
    "zero-width space": "\u200b",
    "bidi": "\u202e",
    "line separator": "\u2028",
    "mark of bytes": "\ufeff",
    "private": "\ue000",
    "beyond the plane": "\U000e0001",
    "composed": "e\u0301\u1100\u1161",
    "\u00df and \u0130": "\u00df\u0130\ufb01",
}
CODINGS = (
    "utf-8",
    "latin-1",
    "idna",
    "punycode",
    "utf-7",
    "utf-16",
    "mbcs",
    "rot13",
    "zlib_codec",
    "cp1252",
    "shift_jis",
)
SOURCES = {
    "broken": "def f(:\n",
    "escape": 's = "\\d"\nassert (1, 2)\nx is 1\n',
    "deep": "x = " + "(" * 300 + ")" * 300,
    "long number": "x = " + "9" * 5000,
    "odd name": "\ufb01x = \u00aa\n",
    "named letter": 's = "\\N{DIGIT ONE}"\n',
    "unknown letter": 's = "\\N{NO SUCH}"\n',
    "odd letter": "x = \u00a01\n",
    "f-string": 'f"{a!z}"\n',
    "null": "x\0y",
    "tabs": "if a:\n\tb\n        c\n",
    "bytes": 'b"\u00e9"\n',
    "imports": "import a.b.c\nfrom .. import x\nimport importlib\nimportlib.import_module('z')\n__import__('q')\n",
}
METADATA = {
    "words that are encoded": "Author: =?utf-8?q?J=C3=BCrgen?=\nSummary: =?iso-8859-5?b?4OHi?=\n",
    "an address": "Author-email: \u00e9 <a@b\u00e9.example>\n",
    "parts": "Content-Type: multipart/mixed; boundary=x\n\n--x\n\nname\n",
    "a charset": "Content-Type: text/plain; charset*=koi8-r''x\nContent-Transfer-Encoding: quoted-printable\n",
    "requirements": "Requires-Dist: a>=1; python_version<'4'\nRequires-Dist: \u00e9\nRequires-Python: \u00a0\n",
    "surrogates": "Summary: \\udcff\n",
}
ENTRIES = (
    b"[console_scripts]\na\xc2\xa0 = b:c\n",
    b"\xff\xfe",
    b"[x\n",
    b"a = b\n",
    b"[a]\n[a]\nb = c\nb = d\n%(x)s = %\n",
)


def _wheel(folder, name, files):
    path = folder / name
    path.mkdir()
    target = path / "toy_engine-1.2.3-py3-none-any.whl"
    target.write_bytes(sound_archive(files).build().data)
    return target


def _sound(folder):
    """Yield wheels that reach what a reader does with odd letters, sources, texts and libraries."""
    dist_info = "toy_engine-1.2.3.dist-info"
    odd = {f"toy_engine/a{letter}b{name}.py": b"x = 1\n" for name, letter in LETTERS.items() if name != "bidi"}
    odd |= {f"toy_engine/{name}.py": text.encode("utf-8", "surrogatepass") for name, text in SOURCES.items()}
    odd |= {f"toy_engine/coded_{name}.py": f"# coding: {name}\nx = '\u00e9'\n".encode() for name in CODINGS}
    odd |= {
        f"toy_engine/coded_{name}_bytes.py": f"# coding: {name}\nx = '".encode() + b"\xe9\xff'\n" for name in CODINGS
    }
    yield _wheel(folder, "sources", {**sound_files(), **odd})
    for number, text in enumerate(METADATA.values()):
        more = metadata() + text.encode("utf-8", "surrogatepass")
        yield _wheel(folder, f"metadata{number}", sound_files(metadata=more))
        yield _wheel(folder, f"wheel{number}", sound_files(wheel=wheel_text(more=text)))
    for number, data in enumerate(ENTRIES):
        yield _wheel(folder, f"entries{number}", {**sound_files(), f"{dist_info}/entry_points.txt": data})
    for number, letter in enumerate(LETTERS.values()):
        yield _wheel(folder, f"letter{number}", {**sound_files(), f"toy_engine/{letter}.so": _library(letter)})
    yield _wheel(folder, "libraries", {**sound_files(), **_libraries()})


def _library(letter):
    name = f"lib{letter}.so"
    return build_elf(
        soname=name,
        needed=[name, "libc.so.6"],
        runpath=letter,
        symbols=(letter, "PyInit_x"),
        versions={"libc.so.6": (letter,)},
        note=isa_note(7),
    )


def _libraries():
    whole = build_elf(needed=["libc.so.6"], versions={"libc.so.6": ("GLIBC_2.17",)}, debug=b"x", note=isa_note(3))
    flipped = {}
    for place in range(0, len(whole), 3):
        flipped[f"toy_engine/flip{place}.so"] = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
    cut = {f"toy_engine/cut{size}.so": whole[:size] for size in range(20, len(whole), 97)}
    machines = {f"toy_engine/machine{number}.so": build_elf(machine=number) for number in (3, 8, 40, 183, 243, 9999)}
    notes = {
        f"toy_engine/note{number}.so": build_elf(note=struct.pack("<III", 4, number, 5) + b"GNU\0")
        for number in (0, 4, 99)
    }
    return {**flipped, **cut, **machines, **notes, "toy_engine/a.so": whole}


def _malformed(folder):
    for number, (name, kind) in enumerate({**KINDS, **SOUND}.items()):
        if not any(word in name for word in ("bomb", "many", "million", "deep")):
            (folder / f"kind{number}").mkdir()
            # Some Pythons write no null into CSV.
            with contextlib.suppress(csv.Error):
                yield getattr(kind, "build", kind)(folder / f"kind{number}")


def wanted(paths, *imported):
    """Return what the reader would have imported or opened after the lock, with the wheel that made it."""
    command = [sys.executable, "-I", "-B", "-c", _READ, str(SOURCE), *imported]
    done = subprocess.run(
        command,
        input=json.dumps([str(path) for path in paths]),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nothing_is_imported_or_opened_after_the_lock(tmp_path):
    assert wanted([*_sound(tmp_path), *_malformed(tmp_path)]) == []


def test_an_import_after_the_lock_would_be_seen(tmp_path):
    (path,) = [_wheel(tmp_path, "plain", sound_files())]
    planted = _READ.replace(
        "child.prepare()",
        "child.prepare()\nwork = child.work\nchild.work = lambda *a: ('x'.encode('cp037'), work(*a))[1]",
    )
    command = [sys.executable, "-I", "-B", "-c", planted, str(SOURCE)]
    done = subprocess.run(
        command, input=json.dumps([str(path)]), capture_output=True, text=True, check=True, timeout=60
    )
    assert ["import", "encodings.cp037", str(path)] in json.loads(done.stdout)
