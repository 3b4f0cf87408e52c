"""One file a check; each reads facts and yields findings, and never prints, exits or repairs.

`check_wheel` checks any wheel as `truewheel check` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from truewheel.corridor.verify import check_wheel

__all__ = ["check_wheel"]


def __getattr__(name: str) -> Any:
    # The checks know nothing of reports and children; whoever asks for the whole gets it from where it is put together.
    if name == "check_wheel":
        from truewheel.corridor.verify import check_wheel

        return check_wheel
    raise AttributeError(name)
