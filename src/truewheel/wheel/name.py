"""Wheel file names: parse and compose them."""

from __future__ import annotations

import math
import re

import msgspec
from packaging.tags import Tag, parse_tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from truewheel.errors import CheckError

_WITH_LABEL = 6
_PYTHON = re.compile(r"(?:py|cp|pp|ip|jy|graalpy)\d")
_LABEL = re.compile(r"[a-z0-9_.]{1,16}")
MAX_TAGS = 10_000
"""More single tags than any wheel's compressed tag set stands for."""


class WheelName(msgspec.Struct, frozen=True):
    """The parts of a wheel's file name.

    Attributes:
        distribution: project name as the file name spells it, e.g. `llama_cpp_python`.
        version: version text.
        build: build tag, or empty; begins with a digit.
        tags: compatibility tag set as written, e.g. `py3-none-linux_x86_64`.
        variant: variant label (PEP 825), or empty.
    """

    distribution: str
    version: str
    build: str
    tags: str
    variant: str = ""

    @property
    def project(self) -> str:
        """Return the normalized project name, e.g. `llama-cpp-python`."""
        return canonicalize_name(self.distribution)

    @property
    def filename(self) -> str:
        """Return the file name that these parts make."""
        parts = [self.distribution, self.version, self.build, self.tags, self.variant]
        return "-".join(part for part in parts if part) + ".whl"

    @property
    def platforms(self) -> tuple[str, ...]:
        """Return the platform tags, sorted."""
        return tuple(sorted(self.tags.rsplit("-", 1)[1].split(".")))

    @property
    def tag_set(self) -> frozenset[Tag]:
        """Return the single tags that the compressed tag set stands for."""
        return parse_tag(self.tags)


def parse_wheel_name(filename: str) -> WheelName:
    """Split a wheel's file name into its parts.

    Raises:
        CheckError: the name does not follow the binary distribution format.
    """
    parts = filename.removesuffix(".whl").split("-")
    # A variant label (PEP 825) comes last: then the Python tag is the fourth from the end.
    labelled = len(parts) >= _WITH_LABEL and _PYTHON.match(parts[-4]) and _LABEL.fullmatch(parts[-1])
    variant = parts.pop() if labelled else ""
    plain = "-".join(parts) + filename[len(filename.removesuffix(".whl")) :]
    try:
        if expansion("-".join(parts[-3:])) > MAX_TAGS:
            raise InvalidWheelFilename("its tags stand for too many single ones")
        parse_wheel_filename(plain)
    except ValueError as error:
        raise CheckError(
            f"{filename[:300]!r} is not a wheel's file name: {str(error)[:300]}",
            hint="a wheel is called NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM[-VARIANT].whl",
        ) from error
    distribution, version, *build, python, abi, platform = parts
    return WheelName(distribution, version, "".join(build), f"{python}-{abi}-{platform}", variant)


def expansion(tags: str) -> int:
    """Return how many single tags a compressed tag set stands for."""
    return math.prod(part.count(".") + 1 for part in tags.split("-"))
