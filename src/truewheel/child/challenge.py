"""What a child is asked, drawn at random for each run, and what the parent alone knows of the answers.

The child gets texts and prompts. What must come back stays here: nothing in the process that runs the wheel says it.
"""

from __future__ import annotations

import functools
import secrets
import string
from pathlib import Path
from typing import NamedTuple

from truewheel.errors import LoadError
from truewheel.models.models import Model
from truewheel.models.reference import MOST_BYTES, Reference

_TEXTS = ("{} upon a {}", "naïve café, {} Zürich {}", "日本語 {} and 🦙 {}", "tabs\t{}\nlines {}")
"""Words are put into these: plain letters, letters of two and of more bytes, and blanks of other kinds."""
_WORDS = 9
_LETTERS = 6
_ENOUGH = 1000
"""Words in a vocabulary from which nine are more than anybody can guess."""
DRAWN = 6


class Question(NamedTuple):
    """What a child is asked, and what is known of the answers.

    Attributes:
        model: what is run.
        texts: to be turned into tokens and back.
        drawn: prompts that nobody could know before.
        chat: whether the engine puts more around a prompt, so that the answer is to something else.
        decode: tokens to generate behind the model's own prompt.
        few: tokens to generate behind each that was drawn.
        prefill: tokens to evaluate at once.
    """

    model: Model
    texts: tuple[str, ...]
    drawn: tuple[str, ...]
    chat: bool = False
    decode: int = 24
    few: int = 8
    prefill: int = 128

    @property
    def reference(self) -> Reference | None:
        """Return the model as it is computed here; None where it is not."""
        return open_reference(self.model.path) if self.model.known else None


def draw_question(model: Model, *, chat: bool = False, prompts: int = DRAWN) -> Question:
    """Draw what a child is asked.

    Args:
        model: what is run.
        chat: whether the engine puts more around a prompt.
        prompts: how many are drawn.
    """
    reference = open_reference(model.path) if model.known else None
    words = reference.words() if reference else []
    texts = tuple(text.format(*(_make_word() for _ in range(2))) for text in _TEXTS)
    return Question(model, texts, tuple(_draw_prompt(words) for _ in range(prompts)), chat)


def _draw_prompt(words: list[str]) -> str:
    """Return words out of a vocabulary, or made of letters where it has too few."""
    if len(words) < _ENOUGH:
        return " ".join(_make_word() for _ in range(_LETTERS))
    return " ".join(secrets.choice(words) for _ in range(_WORDS))


def _make_word() -> str:
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(_LETTERS))


@functools.lru_cache(maxsize=2)
def open_reference(path: Path) -> Reference | None:
    """Return a model as it is computed here; None where it is too large or of another shape."""
    try:
        return Reference(path) if path.stat().st_size <= MOST_BYTES else None
    except (OSError, LoadError, KeyError, ImportError):
        return None
