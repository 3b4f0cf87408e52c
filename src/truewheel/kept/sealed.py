"""JSON that carries its own hash, as its last key: for reports, which people read, copy and send along with a wheel."""

from __future__ import annotations

import hashlib
import re

KEY = "seal"
_END = b"\n}\n"
_TAIL = re.compile(rb',\n "seal": "([0-9a-f]{64})"\n}\n\Z')
_TAIL_BYTES = 80


def seal_json(text: bytes) -> bytes:
    """Return an indented JSON object with one key more: the hash of the text without it.

    Args:
        text: the object, indented by one, with a line break at its end.
    """
    assert text.endswith(_END)
    return b'%s,\n "%s": "%s"%s' % (text.removesuffix(_END), KEY.encode(), _digest(text), _END)


def is_sealed_json(data: bytes) -> bool:
    """Return whether a text has the hash that it carries; one that carries none has not."""
    found = _TAIL.search(data, max(0, len(data) - len(_END) - _TAIL_BYTES))
    return found is not None and _digest(data[: found.start()] + _END) == found[1]


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()
