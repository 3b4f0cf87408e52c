"""Does a wheel say the same of itself in its file name, its folder, WHEEL and METADATA?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from email.message import Message
from email.parser import BytesHeaderParser

from packaging.tags import Tag, parse_tag
from packaging.utils import canonicalize_name
from packaging.version import Version

from truewheel.wheel.container import Fault, RefusedError
from truewheel.wheel.name import MAX_TAGS, WheelName, expansion

_SUFFIX = ".dist-info"
_LONGEST = 255
"""Characters of a version that is read: a file name has no room for more."""


def find_dist_info(paths: Iterable[str], name: WheelName) -> tuple[str, list[Fault]]:
    """Return the `.dist-info` folder of a wheel, and what is wrong with it.

    Raises:
        RefusedError: there is none, or more than one: nothing says which files the wheel goes by.
    """
    folders = sorted({path.split("/", 1)[0] for path in paths if path.split("/", 1)[0].endswith(_SUFFIX)})
    if not folders:
        raise RefusedError(Fault("IDENTITY-FOLDER", "", "it has no .dist-info folder"))
    if len(folders) > 1:
        raise RefusedError(Fault("IDENTITY-FOLDER", folders[1], f"it has {len(folders)} .dist-info folders"))
    if _fits(folders[0].removesuffix(_SUFFIX), name):
        return folders[0], []
    return folders[0], [Fault("IDENTITY-FOLDER", folders[0], f"the file name says {name.distribution} {name.version}")]


def check_identity(
    paths: Iterable[str], dist_info: str, texts: Mapping[str, bytes], name: WheelName
) -> Iterator[Fault]:
    """Yield every contradiction.

    Args:
        paths: every file of the wheel.
        dist_info: its `.dist-info` folder.
        texts: content of METADATA and WHEEL by path, as far as they are there.
        name: the file name's parts.
    """
    for folder in sorted({path.split("/", 1)[0] for path in paths}):
        if folder.endswith(".data") and "-" in folder and not _fits(folder.removesuffix(".data"), name):
            yield Fault("IDENTITY-FOLDER", folder, f"the file name says {name.distribution} {name.version}")
    messages = {}
    for file in ("METADATA", "WHEEL"):
        path = f"{dist_info}/{file}"
        fault, message = _read(path, texts.get(path))
        if fault is not None:
            yield fault
        elif message is not None:
            messages[file] = message
    if "METADATA" in messages:
        yield from _metadata(f"{dist_info}/METADATA", messages["METADATA"], name)
    if "WHEEL" in messages:
        yield from _wheel(f"{dist_info}/WHEEL", messages["WHEEL"], name)


def _fits(text: str, name: WheelName) -> bool:
    distribution, _, version = text.rpartition("-")
    return canonicalize_name(distribution) == name.project and _same_version(version, name.version)


def _same_version(left: str, right: str) -> bool:
    if max(len(left), len(right)) > _LONGEST:
        return False
    try:
        return Version(left.replace("_", "-")) == Version(right.replace("_", "-"))
    except ValueError:
        return left == right


def _read(path: str, data: bytes | None) -> tuple[Fault | None, Message | None]:
    if data is None:
        return Fault("IDENTITY-FORMAT", path, "it is not there"), None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return Fault("IDENTITY-FORMAT", path, f"it is not UTF-8: {error}"), None
    if b"\0" in data:
        return Fault("IDENTITY-FORMAT", path, "it has a NUL character"), None
    return None, BytesHeaderParser().parsebytes(data)


def _metadata(path: str, message: Message, name: WheelName) -> Iterator[Fault]:
    for key in ("Metadata-Version", "Name", "Version"):
        values = message.get_all(key, [])
        if len(values) != 1 or not str(values[0]).strip():
            yield Fault("IDENTITY-FORMAT", path, f"it has {len(values) or 'no'} {key}")
            return
    told, version = str(message["Name"]).strip(), str(message["Version"]).strip()
    if canonicalize_name(told) != name.project:
        yield Fault("IDENTITY-NAME", path, f"it says {told[:80]!r}, the file name {name.distribution!r}")
    if not _same_version(version, name.version):
        yield Fault("IDENTITY-VERSION", path, f"it says {version[:80]!r}, the file name {name.version!r}")


def _wheel(path: str, message: Message, name: WheelName) -> Iterator[Fault]:
    versions = message.get_all("Wheel-Version", [])
    parts = str(versions[0]).strip().split(".") if len(versions) == 1 else []
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        yield Fault("IDENTITY-FORMAT", path, "it has no readable Wheel-Version")
        return
    if parts[0] != "1":
        yield Fault("IDENTITY-FORMAT", path, f"its format is version {'.'.join(parts)[:20]}; only 1 is known")
        return
    roots = [str(value).strip().lower() for value in message.get_all("Root-Is-Purelib", [])]
    if roots and roots not in (["true"], ["false"]):
        yield Fault("IDENTITY-FORMAT", path, "its Root-Is-Purelib is neither true nor false, or is there twice")
    tags = _read_tags([str(text).strip() for text in message.get_all("Tag", [])[:MAX_TAGS]])
    if tags != name.tag_set:
        odd = sorted(str(tag) for tag in tags ^ name.tag_set)
        yield Fault("IDENTITY-TAGS", path, f"it and the file name differ in {', '.join(odd[:4]) or 'tags'}")
    builds = [str(build).strip() for build in message.get_all("Build", [])]
    if builds and builds != [name.build]:
        yield Fault("IDENTITY-BUILD", path, f"it says build {', '.join(builds)[:80]!r}, the file name {name.build!r}")


def _read_tags(texts: list[str]) -> frozenset[Tag]:
    """Expand tags; nothing for what is no tag, or would expand to more than any wheel has."""
    try:
        if sum(map(expansion, texts)) > MAX_TAGS:
            return frozenset()
        return frozenset(tag for text in texts for tag in parse_tag(text))
    except ValueError:
        return frozenset()
