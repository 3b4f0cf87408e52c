"""What a child tells of each step of the smoke test: numbers and texts within bounds, and no verdict."""

from __future__ import annotations

from typing import Annotated

import msgspec

_MOST_NUMBERS = 1 << 16
_Token = Annotated[int, msgspec.Meta(ge=0, lt=1 << 24)]
_Tokens = Annotated[list[_Token], msgspec.Meta(max_length=4096)]
_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
_Rate = Annotated[float, msgspec.Meta(gt=0, lt=1e12)]
_Margins = Annotated[list[Annotated[float, msgspec.Meta(ge=0)]], msgspec.Meta(max_length=4096)]
_Words = Annotated[str, msgspec.Meta(max_length=4000)]
_Text = Annotated[str, msgspec.Meta(max_length=20_000)]


class Imported(msgspec.Struct):
    """Which package was imported, and from where."""

    version: _Words
    path: _Words


class Info(msgspec.Struct, omit_defaults=True):
    """What the engine says that it was compiled with, and its guard of its choice."""

    text: _Text
    backend: _Words = ""
    why: _Words = ""
    level: _Words = ""


class Loaded(msgspec.Struct):
    """How large the model is that was loaded."""

    vocabulary: Annotated[int, msgspec.Meta(ge=2, lt=1 << 24)]
    context: _Count = 0


class Returned(msgspec.Struct):
    """The tokens of a text, and the bytes that they were turned back into, as hexadecimal digits."""

    tokens: _Tokens
    back: _Text


class Tokenized(msgspec.Struct):
    """What became of the texts, and the tokens of the prompt."""

    texts: Annotated[list[Returned], msgspec.Meta(max_length=64)]
    prompt: _Tokens


class Spread(msgspec.Struct):
    """How the logits of a position lie: how many there are, how many are finite, the least and the largest."""

    count: _Count
    finite: _Count
    least: float | None
    most: float | None


class Prefilled(msgspec.Struct, rename={"rate": "tokens-per-second"}):
    """How fast a prompt was evaluated, and what came of it."""

    tokens: _Count
    rate: _Rate
    logits: Spread


class Continued(msgspec.Struct):
    """A prompt's tokens, and those that follow."""

    prompt: _Tokens
    tokens: _Tokens
    margins: _Margins


class Decoded(msgspec.Struct, rename={"rate": "tokens-per-second"}):
    """The continuation of the prompt that everybody knows, and of the first that was drawn."""

    tokens: _Tokens
    margins: _Margins
    text: _Text
    rate: _Rate
    drawn: Continued


class Streamed(msgspec.Struct):
    """The continuation of the first prompt that was drawn, at once and in pieces, and of the others."""

    whole: _Text
    parts: Annotated[list[_Text], msgspec.Meta(max_length=1024)]
    others: Annotated[list[_Text], msgspec.Meta(max_length=64)]


class Embedded(msgspec.Struct):
    """The embedding of the prompt; what is not finite is None."""

    vector: Annotated[list[float | None], msgspec.Meta(max_length=_MOST_NUMBERS)]
    dimensions: _Count


class Saved(msgspec.Struct):
    """What followed a prompt, and what followed when the state behind its first token was restored."""

    bytes: _Count
    first: _Tokens
    second: _Tokens


class Alone(msgspec.Struct, rename="kebab"):
    """What else was in the process at its end."""

    children: Annotated[list[_Words], msgspec.Meta(max_length=1024)]
    sockets: _Count
    peak_bytes: _Count


FACTS: dict[str, type[msgspec.Struct]] = {
    "import": Imported,
    "system-info": Info,
    "load": Loaded,
    "tokenize": Tokenized,
    "prefill": Prefilled,
    "decode": Decoded,
    "stream": Streamed,
    "embed": Embedded,
    "state": Saved,
    "alone": Alone,
}
"""What each step tells."""
