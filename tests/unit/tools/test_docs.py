"""The pages outside the reference: their links lead somewhere, and the site has a place for each page."""

import re
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).parents[3]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def broken_links(page, text):
    """Return the links of a page, pictures aside, to files and headings that are not there."""
    broken = []
    for link in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", text):
        place, _, heading = link.partition("#")
        target = page.parent / place if place else page
        if place.startswith(("https:", "http:")):
            continue
        if not target.exists() or (heading and heading not in headings(target)):
            broken.append(link)
    return broken


def headings(page):
    """Return what links call the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("link", ["docs/guides/none.md", "CONTRIBUTING.md#none", "#none"])
def test_a_broken_link_is_seen(link):
    assert broken_links(ROOT / "README.md", f"See [this]({link}).") == [link]


def test_the_site_has_a_place_for_each_page():
    nav = msgspec.toml.decode((ROOT / "zensical.toml").read_bytes())["project"]["nav"]
    listed = [
        page for part in nav for pages in part.values() for page in ([pages] if isinstance(pages, str) else pages)
    ]
    assert sorted(listed) == sorted(str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md"))
