"""How much work a stranger's file may ask for: as much as its size allows, whatever its own counts claim."""

from __future__ import annotations

_FREE, _A_BYTE = 8_000_000, 64
"""Units of work for any file, and for each byte of it; a unit is about a byte that is looked at or kept."""


class OverworkedError(ValueError):
    """A file asks for more work than its size allows."""


class Allowance:
    """The work that a file may still ask for.

    What is counted in a file can be counted without holding it: a table that many headers name, a name that many rows
    share. So each reader says what it does, one time for each thing that it does, and ends when that is too much.

    Args:
        size: bytes of the file.
    """

    def __init__(self, size: int) -> None:
        self._left = _FREE + _A_BYTE * size

    def spend(self, units: int) -> None:
        """Take units of work for something that is about to be done.

        Raises:
            OverworkedError: there are not as many left.
        """
        self._left -= units
        if self._left < 0:
            raise OverworkedError("it asks for more work than its size allows")
