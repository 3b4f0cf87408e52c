"""The committed reference pages are what the code says today."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.reference import reference_pages
from truewheel.checks.run import CODES

FOLDER = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.parametrize("name", sorted(reference_pages()))
def test_page_is_up_to_date(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == reference_pages()[name], "run `nox -s docs`"


def test_every_code_is_explained():
    page = reference_pages()["checks.md"]
    assert all(f"| {code} | " in page and f" | {text} |" in page for code, text in CODES.items())


def test_every_key_of_a_table_has_a_meaning():
    for name in ("recipe.md", "profile.md", "report.md"):
        rows = [line for line in reference_pages()[name].splitlines() if line.startswith("| `")]
        assert rows
        assert all(row.rsplit("|", 2)[1].strip() for row in rows)
