"""Let `python -m truewheel` do what `truewheel` does."""

from __future__ import annotations

from truewheel.cli import main

if __name__ == "__main__":
    main()
