"""Where recipes, profiles and presets, caches and the wheelhouse are."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def checkout() -> Path | None:
    """Return the checkout that we run from, or None when installed as a package."""
    root = _PACKAGE.parent.parent
    return root if (root / "recipes").is_dir() and (root / "noxfile.py").is_file() else None


def data_root() -> Path:
    """Return the folder that holds `recipes/`, `profiles/` and `presets/`."""
    return checkout() or _PACKAGE / "shared"


def cache_root() -> Path:
    """Return our cache folder: `TRUEWHEEL_CACHE_DIR`, else the user's cache folder."""
    if chosen := os.environ.get("TRUEWHEEL_CACHE_DIR"):
        return Path(chosen).absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("truewheel")).absolute()


def wheelhouse_root() -> Path:
    """Return the wheelhouse: `TRUEWHEEL_WHEELHOUSE`, the checkout's, else `wheelhouse/` where we are."""
    if chosen := os.environ.get("TRUEWHEEL_WHEELHOUSE"):
        return Path(chosen).absolute()
    return (checkout() or Path.cwd()) / "wheelhouse"
