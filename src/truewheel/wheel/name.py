"""Wheel file names: parse and compose them."""

from __future__ import annotations

import msgspec
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from truewheel.errors import CheckError


class WheelName(msgspec.Struct, frozen=True):
    """The parts of a wheel's file name.

    Attributes:
        distribution: project name as the file name spells it, e.g. `llama_cpp_python`.
        version: version text.
        build: build tag, or empty; begins with a digit.
        tags: compatibility tag set as written, e.g. `py3-none-linux_x86_64`.
    """

    distribution: str
    version: str
    build: str
    tags: str

    @property
    def project(self) -> str:
        """Return the normalized project name, e.g. `llama-cpp-python`."""
        return canonicalize_name(self.distribution)

    @property
    def filename(self) -> str:
        """Return the file name that these parts make."""
        parts = [self.distribution, self.version, self.build, self.tags]
        return "-".join(part for part in parts if part) + ".whl"

    @property
    def platforms(self) -> tuple[str, ...]:
        """Return the platform tags, sorted."""
        return tuple(sorted({tag.platform for tag in self.tag_set}))

    @property
    def tag_set(self) -> frozenset[Tag]:
        """Return the single tags that the compressed tag set stands for."""
        return parse_wheel_filename(self.filename)[3]


def parse_wheel_name(filename: str) -> WheelName:
    """Split a wheel's file name into its parts.

    Raises:
        CheckError: the name does not follow the binary distribution format.
    """
    try:
        parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise CheckError(
            f"{filename!r} is not a wheel's file name: {error}",
            hint="a wheel is called NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl",
        ) from error
    distribution, version, *build, python, abi, platform = filename.removesuffix(".whl").split("-")
    return WheelName(distribution, version, "".join(build), f"{python}-{abi}-{platform}")
