"""What a check says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from truewheel.examine.facts import Facts

Severity = Literal["error", "warning", "info"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a check has to say.

    Attributes:
        code: stable name, explained by the check that yields it.
        severity: `error` refuses the wheel, `warning` and `info` do not; the policy decides, not the check.
        where: the file, library or step that it is about.
        message: what was found, in one sentence.
        hint: what to do about it; may be empty.
    """

    code: str
    severity: Severity = "error"
    where: str
    message: str
    hint: str = ""


Check = Callable[[Facts], Iterator[Finding]]
