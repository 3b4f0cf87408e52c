"""Let `python -m truewheel` do what `truewheel` does."""

from __future__ import annotations

from truewheel import signals


def main() -> None:
    """Run the command line; a signal is heard from the first line on, also while modules are imported."""
    with signals.raised():
        try:
            from truewheel.cli import main as run

            run()
        except signals.EndedError as ended:
            from truewheel.ends import end_by

            end_by(ended.number)


if __name__ == "__main__":
    main()
