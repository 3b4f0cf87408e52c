"""The packages that `pip install truewheel` leaves out, and the verbs that need them."""

from __future__ import annotations

from importlib.util import find_spec

from truewheel.errors import FetchError

EXTRAS: dict[str, tuple[str, ...]] = {
    "build": ("build", "cyclonedx", "gguf", "numpy", "packageurl", "patch_ng", "pip", "scikit_build_core"),
    "bench": ("gguf", "numpy", "pip"),
}
"""The modules of each extra of pyproject.toml."""

INFERENCE = ("gguf", "numpy", "pip")
"""Those that make a model and an environment to run it in; either extra brings them."""


def require(extra: str, what: str, modules: tuple[str, ...] = ()) -> None:
    """Refuse a verb whose packages are not installed, before it starts any work.

    Args:
        extra: the extra that brings them.
        what: the command that needs them.
        modules: those that it needs; empty for all of the extra.

    Raises:
        FetchError: one is not installed.
    """
    if missing := _missing(modules or EXTRAS[extra]):
        raise FetchError(f"`truewheel {what}` needs what is not installed: {missing}", hint=_command(extra))


def describe_missing() -> list[str]:
    """Return a sentence for each extra of which a package is not installed."""
    found = {extra: _missing(modules) for extra, modules in EXTRAS.items()}
    return [f"the extra {extra!r} lacks {lacks}: {_command(extra)}" for extra, lacks in found.items() if lacks]


def _command(extra: str) -> str:
    return f"python3 -m pip install 'truewheel[{extra}]'"


def _missing(modules: tuple[str, ...]) -> str:
    return ", ".join(name for name in modules if not _is_installed(name))


def _is_installed(module: str) -> bool:
    """Return whether a module can be imported; a folder of that name without a package in it cannot."""
    spec = find_spec(module)
    return spec is not None and spec.origin is not None
