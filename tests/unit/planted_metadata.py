"""One planted violation for every code of the check of metadata."""

import hashlib

import msgspec

from truewheel.wheel.archive import Entry
from truewheel.wheel.sources import scan_sources
from truewheel.wheel.told import read_texts

_KINDS = {".so": "elf", ".pyd": "pe", ".dll": "pe", ".dylib": "macho"}
_IMPORTABLE = (".py", ".so", ".pyd")


def with_wheel(facts, *, tags="", files=(), without=(), metadata="", first="", wheel="", entry_points=None):
    """Return facts of a wheel with other tags, files and texts; Python files are scanned.

    Args:
        facts: what to begin with.
        tags: compatibility tags of the file name.
        files: paths, or a table of paths and texts.
        without: paths to take out.
        metadata: lines to add to METADATA.
        first: lines to put in front of it.
        wheel: lines that replace WHEEL's.
        entry_points: the text of entry_points.txt.
    """
    files = dict.fromkeys(files, "") if not isinstance(files, dict) else files
    dist_info, old = facts.wheel.dist_info, facts.wheel
    texts = dict(old.texts)
    texts[f"{dist_info}/METADATA"] = first + texts[f"{dist_info}/METADATA"] + metadata
    texts[f"{dist_info}/WHEEL"] = wheel or texts[f"{dist_info}/WHEEL"]
    if entry_points is not None:
        texts[f"{dist_info}/entry_points.txt"] = entry_points
    kept = {path: entry for path, entry in old.entries.items() if path not in without}
    entries = kept | {path: _entry(path, text) for path, text in {**texts, **files}.items()}
    name = msgspec.structs.replace(old.name, tags=tags or old.name.tags)
    told = read_texts(texts, dist_info)
    changed = msgspec.structs.replace(old, name=name, entries=entries, texts=texts, **told)
    sources = scan_sources((path, text.encode()) for path, text in files.items() if path.endswith(_IMPORTABLE))
    return facts._replace(wheel=changed, sources=sources)


def _entry(path, text):
    suffix = "." + path.rpartition("/")[2].rpartition(".")[2]
    digest = hashlib.sha256(f"{path} {text}".encode()).hexdigest()
    return Entry(len(text), digest, executable=False, kind=_KINDS.get(suffix, ""), compressed=len(text))


def planted(make_facts):
    """Return, by code, functions that make the facts that must give it."""

    def plant(**how):
        return lambda: with_wheel(make_facts(), **how)

    def importing(text, metadata=""):
        return plant(files={"toy_engine/__init__.py": text}, metadata=metadata)

    return {
        "META-DEPENDENCY": importing("import os\nimport yaml\n"),
        "META-DEPENDENCY-EXTRA": importing("import yaml\n", 'Requires-Dist: PyYAML>=6; extra == "all"\n'),
        "META-DEPENDENCY-LAZY": importing("def load():\n    import yaml\n"),
        "META-REQUIREMENT": plant(metadata="Requires-Dist: numpy => 1.26\n"),
        "META-VERSION": plant(first="Metadata-Version: 9.0\n"),
        "META-PYTHON": plant(tags="cp39-cp39-linux_x86_64", metadata="Requires-Python: >=3.10\n"),
        "META-PYTHON-OLDER": plant(tags="cp37-abi3-linux_x86_64", metadata="Requires-Python: >=3.9\n"),
        "META-ABI": plant(tags="cp312-cp312-linux_x86_64", files=["toy_engine/_fast.cpython-311-x86_64-linux-gnu.so"]),
        "META-PURE": plant(wheel="Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-linux_x86_64\n"),
        "META-LICENSE-MISSING": plant(metadata="License-File: COPYING.txt\n"),
        "META-LICENSE": plant(without=[f"{make_facts().wheel.dist_info}/licenses/LICENSE"]),
        "META-ENTRY": plant(
            files={"toy_engine/__init__.py": ""}, entry_points="[console_scripts]\ntoy = toy_engine.cli:main\n"
        ),
    }
