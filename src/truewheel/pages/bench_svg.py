"""Drawings by matplotlib, made fit to stand inside a page: small, without addresses, in the page's own colours."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from matplotlib.figure import Figure

WIDTH = 3.8
"""Inches: on a phone of 360 pixels the letters are then about as large as the page's small print."""

TEXT, QUIET, LINE, BAND = "#1b1c1d", "#63666b", "#c6c6c2", "#7b90a6"
SUBJECTS = ("#0b62a8", "#b34a00", "#00765a", "#8a3b80", "#7a6200", "#a3123f", "#3f6f7f", "#4e4e52")
"""Colours of subjects; those of more than eight come again, with another marker."""

_COLOURS = {
    TEXT: "currentColor",
    QUIET: f"var(--quiet, {QUIET})",
    LINE: f"var(--line, {LINE})",
    BAND: f"var(--band, {BAND})",
    **{colour: f"var(--subject-{number}, {colour})" for number, colour in enumerate(SUBJECTS, 1)},
}
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "truewheel",
    # A dollar sign in a stranger's name begins no formula.
    "text.parse_math": False,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.titlecolor": TEXT,
    "axes.edgecolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_SIZE = re.compile(r"([0-9.]+)px")
_NOT_SHOWN = ("metadata", "style", "title", "desc")


def draw(name: str, title: str, words: str, height: float, paint: Callable[[Figure], None]) -> str:
    """Return a drawing as the text of an `svg` element, the same for the same data.

    Args:
        name: begins every identifier of the drawing, so that several can stand in one page.
        title: what a screen reader says first.
        words: what it says next.
        height: inches.
        paint: draws on the empty figure.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    with mpl.rc_context(), warnings.catch_warnings():
        # Letters that matplotlib's own font lacks are written by the reader's.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(WIDTH, height))
        paint(figure)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return clean_svg(buffer.getvalue(), name, title, words)


def clean_svg(data: bytes, name: str, title: str, words: str) -> str:
    """Return the element that is left of matplotlib's file: without namespaces, metadata, sizes and fixed colours."""
    from xml.etree import ElementTree as ET

    root = ET.fromstring(data)  # noqa: S314 - matplotlib wrote it a moment ago
    _drop(root)
    used = {match for element in root.iter() for match in _references(element)}
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = dict(_attributes(element, used, name))
        if element.tag != "text":
            element.text = None
        element.tail = None
    box = root.get("viewBox", "")
    root.attrib = {
        "class": "plot",
        "viewBox": box,
        "role": "img",
        "aria-labelledby": f"{name}-title {name}-words",
        "stroke-linejoin": "round",
    }
    for place, (tag, text) in enumerate((("title", title), ("desc", words))):
        element = ET.Element(tag, {"id": f"{name}-{'title' if tag == 'title' else 'words'}"})
        element.text = text
        root.insert(place, element)
    return ET.tostring(root, encoding="unicode")


def _drop(element: Element) -> None:
    """Take out what is not drawn."""
    for child in list(element):
        if _local(child.tag) in _NOT_SHOWN:
            element.remove(child)
        else:
            _drop(child)


def _references(element: Element) -> Iterator[str]:
    for key, value in element.attrib.items():
        if _local(key) == "href":
            yield value.removeprefix("#")
        yield from _REFERENCE.findall(value)


def _attributes(element: Element, used: set[str], name: str) -> Iterator[tuple[str, str]]:
    """Yield attributes: identifiers only where something refers to them, colours and letters by the page's style."""
    for key, value in element.attrib.items():
        local = _local(key)
        if local == "id":
            if value in used:
                yield "id", f"{name}-{value}"
        elif local == "href":
            yield "href", f"#{name}-{value.removeprefix('#')}"
        elif local == "style":
            yield "style", _style(value)
        elif local == "d":
            yield "d", " ".join(value.split())
        elif not (local == "transform" and value.startswith("rotate(-0 ")):
            yield local, _REFERENCE.sub(rf"url(#{name}-\1)", value)


def _style(text: str) -> str:
    """Return a style with the page's letters and colours."""
    kept = []
    for declaration in text.split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key in ("font", "font-size"):
            size = _SIZE.search(value)
            kept.append(f"font-size: {size[1] if size else '9'}px")
            kept += ["font-weight: 600"] if "bold" in value else []
        elif key not in ("font-family", ""):
            kept.append(f"{key}: {_COLOUR.sub(lambda match: _COLOURS.get(match[0].lower(), match[0]), value)}")
    # What has no fill of its own is text, or a mark that is a line.
    if any(part.startswith("font-size") for part in kept) and not any(part.startswith("fill:") for part in kept):
        kept.append("fill: currentColor")
    return "; ".join(kept)


def _local(name: str) -> str:
    """Return a name without its namespace."""
    return name.rpartition("}")[2]
