"""The preset of this machine for a model, which a wheel of truewheel finds by itself."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Constructor = TypeVar("Constructor", bound=Callable[..., None])


def with_preset(construct: Constructor) -> Constructor:
    """Let a constructor take what it is not told from this machine's preset for the model."""
    try:
        from .truewheel import with_preset as follow_preset
    except ImportError:  # it was not built by truewheel
        return construct
    return follow_preset(construct)  # type: ignore[no-any-return]
