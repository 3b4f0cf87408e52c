"""What is fuzzed: each target takes any bytes, and raises nothing but what its reader promises.

The readers are imported here, so that whoever fuzzes can have them instrumented while this module is.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from truewheel.config.load import decode_file
from truewheel.config.tables import Profile, Recipe
from truewheel.errors import TruewheelError
from truewheel.examine.child import read_library
from truewheel.models.gguf_header import read_gguf_contents
from truewheel.wheel.archive import read_wheel
from truewheel.wheel.container import RefusedError, content, read_members
from truewheel.wheel.told import read_texts

_NAME = "toy_engine-1.2.3-py3-none-any.whl"
_UNPACKED = 1 << 20


def fuzz_elf(data: bytes) -> None:
    """Read a library."""
    read_library(data, {"rule": ("OPENSSL_ia32cap",)})


def fuzz_zip(data: bytes) -> None:
    """Read an archive: first its structure and its members, then as a wheel."""
    stream = io.BytesIO(data)
    with contextlib.suppress(RefusedError):
        for member in read_members(stream, len(data)):
            if member.size <= _UNPACKED:
                for _ in content(stream, member):
                    pass
    with _file_of(data) as path, path.open("rb") as opened, contextlib.suppress(TruewheelError):
        read_wheel(Path(_NAME), stream=opened)


def fuzz_texts(data: bytes) -> None:
    """Read METADATA, WHEEL and entry points, which bytes of zero part."""
    parts = data.decode("utf-8", "replace").split("\0", 2)
    names = ("x.dist-info/METADATA", "x.dist-info/WHEEL", "x.dist-info/entry_points.txt")
    read_texts(dict(zip(names, parts, strict=False)), "x.dist-info")


def fuzz_gguf(data: bytes) -> None:
    """Read the header of a model."""
    with _file_of(data) as path, contextlib.suppress(TruewheelError):
        read_gguf_contents(path)


def fuzz_toml(data: bytes) -> None:
    """Read a recipe and a profile."""
    with _file_of(data) as path:
        for kind in (Recipe, Profile):
            with contextlib.suppress(TruewheelError):
                decode_file(path, kind)


@contextlib.contextmanager
def _file_of(data: bytes) -> Iterator[Path]:
    descriptor = os.memfd_create("fuzzed")
    try:
        os.write(descriptor, data)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "elf": fuzz_elf,
    "zip": fuzz_zip,
    "texts": fuzz_texts,
    "gguf": fuzz_gguf,
    "toml": fuzz_toml,
}
"""Every target by its name."""
