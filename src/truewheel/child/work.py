"""The work that a measuring child is given."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Work(msgspec.Struct, frozen=True):
    """One piece of work for a child.

    Attributes:
        id: `pp512`, `tg64`, `tg64@2048` or `answer`.
        kind: `prefill` and `decode` are low level, without sampling; `answer` is end to end.
        tokens: how many are evaluated or generated.
        depth: how many are in the context before.
        repeat: how often.
    """

    id: str
    kind: str
    tokens: int
    depth: int = 0
    repeat: int = 2


class Workload(NamedTuple):
    """All that every child of a benchmark does.

    Attributes:
        work: in this order.
        prompt: tokens of the prompt of `answer`.
    """

    work: tuple[Work, ...]
    prompt: int

    @property
    def context(self) -> int:
        """Return how many tokens the context must have room for."""
        low = max((item.tokens + item.depth for item in self.work if item.kind != "answer"), default=0)
        # An engine that wraps the prompt, or counts it otherwise, needs more room.
        whole = max((item.tokens + 2 * self.prompt + 64 for item in self.work if item.kind == "answer"), default=0)
        return max(low + 16, whole, 512)
