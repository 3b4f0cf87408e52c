"""What a child may use, by what it does."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class ChildLimits(NamedTuple):
    """Bounds of one child.

    Attributes:
        wall_seconds: after which its whole process group is ended; of one that takes orders, for each turn.
        cpu_seconds: CPU time, over all threads.
        memory_bytes: address space, besides what the model takes.
        per_model: how often the size of the model's file may be taken besides.
        file_bytes: size of a written file.
        folder_bytes: of all that it wrote.
        files: that it made.
    """

    wall_seconds: float
    cpu_seconds: int
    memory_bytes: int
    per_model: int
    file_bytes: int
    folder_bytes: int = 512 << 20
    files: int = 5000

    def memory(self, model: Path | None) -> int:
        """Return the bytes of address space for a run with this model."""
        return self.memory_bytes + (self.per_model * model.stat().st_size if model else 0)


ANSWER = ChildLimits(wall_seconds=300, cpu_seconds=900, memory_bytes=4 << 30, per_model=3, file_bytes=64 << 20)
"""Of a smoke test, and of the logits of a text."""
INSTALL = ChildLimits(
    wall_seconds=600,
    cpu_seconds=600,
    memory_bytes=4 << 30,
    per_model=0,
    file_bytes=8 << 30,
    folder_bytes=32 << 30,
    files=500_000,
)
"""Of pip, which unpacks a wheel and what it depends on."""
TELL = ChildLimits(wall_seconds=120, cpu_seconds=60, memory_bytes=8 << 30, per_model=0, file_bytes=1 << 20)
MEASURE = ChildLimits(wall_seconds=1800, cpu_seconds=7200, memory_bytes=16 << 30, per_model=4, file_bytes=256 << 20)
BESIDE_EMULATOR = ANSWER._replace(wall_seconds=3600)
EMULATED = ChildLimits(wall_seconds=3600, cpu_seconds=3600, memory_bytes=5 << 30, per_model=3, file_bytes=64 << 20)
"""With what the emulator itself takes."""
