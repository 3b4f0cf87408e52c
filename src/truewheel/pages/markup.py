"""Elements of a page or a drawing: the one place where texts become markup, and cannot be anything but text there."""

from __future__ import annotations

from typing import Literal
from xml.etree.ElementTree import Element, SubElement, tostring

from truewheel.text import clean

Child = Element | str | None
"""What stands in an element: another one, a text, or nothing."""


def element(tag: str, *children: Child, **attributes: object) -> Element:
    """Return an element; texts lose what could steer a terminal or turn the order of letters.

    Args:
        tag: its name.
        children: what stands in it.
        attributes: `aria_label` is written `aria-label`, and `class_` is `class`; None is left out.
    """
    words = {
        name.rstrip("_").replace("_", "-"): _word(value) for name, value in attributes.items() if value is not None
    }
    made = Element(tag, {name: clean(word) for name, word in words.items()})
    for child in children:
        if isinstance(child, str):
            _append_text(made, clean(child))
        elif child is not None:
            made.append(child)
    return made


def printed(tag: str, text: str) -> Element:
    """Return an element that keeps the lines of a text."""
    made = element(tag)
    made.text = "".join(f"{clean(line)}\n" for line in text.splitlines())
    return made


def style_sheet(parent: Element, rules: str) -> None:
    """Append a style sheet of our own, which is no stranger's text."""
    SubElement(parent, "style").text = rules


def write(root: Element, *, method: Literal["html", "xml"] = "html") -> str:
    """Return an element as text, everything in it escaped."""
    return tostring(root, encoding="unicode", method=method)


def _append_text(parent: Element, text: str) -> None:
    if len(parent):
        parent[-1].tail = (parent[-1].tail or "") + text
    else:
        parent.text = (parent.text or "") + text


def _word(value: object) -> str:
    """Return a number with no more figures than a drawing needs, and anything else as it is."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
