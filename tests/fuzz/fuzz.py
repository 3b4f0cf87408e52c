"""Fuzz the readers of strangers' files by coverage: `python -m tests.fuzz.fuzz TARGET MINUTES FOLDER`.

It needs atheris, which has no wheel for every Python. What it finds is left in FOLDER as a file of the input that did
it; put what the finding is about into a test.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

from tests.fuzz.seeds import SEEDS

with atheris.instrument_imports(include=["truewheel", "packaging", "tests.fuzz.targets"]):
    from tests.fuzz.targets import TARGETS

_SECONDS_AN_INPUT, _MEMORY_MIB, _LONGEST = 20, 1024, 1 << 16


def main() -> None:
    """Fuzz one target for so many minutes."""
    target, minutes, folder = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]) / sys.argv[1]
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[target]()):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = {
        "max_total_time": round(minutes * 60),
        "timeout": _SECONDS_AN_INPUT,
        "rss_limit_mb": _MEMORY_MIB,
        "max_len": _LONGEST,
        "artifact_prefix": f"{folder}/",
        "print_final_stats": 1,
    }
    arguments = [sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(corpus)]
    atheris.Setup(arguments, TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
