"""What a build prints, read as it comes: how far it is, and the first real error."""

from __future__ import annotations

import re
from typing import Protocol

_NINJA = re.compile(r"^\[(\d+)/(\d+)\] (?:Building|Linking|Generating|Creating|Re-running)? ?(.*)$")
_ERRORS = (
    re.compile(r"^(?P<text>\S.*?:\d+(?::\d+)?: (?:fatal )?error: .*)$"),
    re.compile(r"^(?P<text>.*: undefined reference to .*)$"),
    re.compile(
        r"^(?P<text>(?:\S*[/-])?(?:ld\.lld|ld|collect2|clang\S*|gcc\S*|g\+\+\S*|zig\S*): "
        r"(?!warning: |note: ).*(?:error:|cannot|not found).*)$"
    ),
    re.compile(r"^(?P<text>error: .*(?:error|cannot|not found).*)$"),
    re.compile(r"^(?P<text>CMake Error.*)$"),
    re.compile(r"^(?P<text>.*(?:internal compiler error|Killed signal terminated).*)$"),
)


_FULL_DISK = "No space left on device"


class Reader(Protocol):
    """Follows a build's output line by line.

    Attributes:
        done: build steps finished.
        total: build steps in all; 0 before the first began.
        detail: the step that finished last.
        error: the first line that says what went wrong, or empty.
    """

    done: int
    total: int
    detail: str
    error: str

    def feed(self, line: str) -> bool:
        """Take one line; return whether it moved the progress."""


class NinjaReader:
    """Follow ninja's counts, and the first error of CMake, a compiler or a linker."""

    def __init__(self) -> None:
        self.done = 0
        self.total = 0
        self.detail = ""
        self.error = ""
        self._cmake_error = False

    def feed(self, line: str) -> bool:
        """Take one line; return whether it moved the progress."""
        if match := _NINJA.match(line):
            self.done, self.total, self.detail = int(match[1]), int(match[2]), match[3].rsplit("/", 1)[-1]
            return True
        if _FULL_DISK in line:
            # Whatever failed because of it says less.
            self.error, self._cmake_error = line.strip(), False
        elif self._cmake_error and line.strip():
            # CMake says where first and what is wrong on the next line.
            self.error = f"{self.error} {line.strip()}"
            self._cmake_error = False
        elif not self.error:
            for pattern in _ERRORS:
                if found := pattern.match(line):
                    self.error = found["text"].strip()
                    self._cmake_error = self.error.startswith("CMake Error") and self.error.endswith(":")
                    break
        return False
