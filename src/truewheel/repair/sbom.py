"""The software bill of materials that travels in the wheel (CycloneDX, PEP 770)."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import msgspec

from truewheel.decoding import UnreadableError, read_toml
from truewheel.errors import RepairError
from truewheel.plan.plan import Plan


class _LockedCrate(msgspec.Struct):
    name: str
    version: str
    checksum: str = ""


class _Lock(msgspec.Struct):
    package: tuple[_LockedCrate, ...]


class Crate(NamedTuple):
    """One crate of a lock file.

    Attributes:
        name: its name.
        version: its version.
        sha256: its hash; empty for a crate of the source tree.
    """

    name: str
    version: str
    sha256: str


def read_crates(lock: Path) -> tuple[Crate, ...]:
    """Return the crates that a Cargo.lock names, those that only help to build among them.

    Raises:
        RepairError: it is no lock file.
    """
    try:
        return tuple(Crate(each.name, each.version, each.checksum) for each in read_toml(lock, _Lock).package)
    except UnreadableError as error:
        raise RepairError(f"Cargo.lock cannot be read: {error}") from error


def make_sbom(plan: Plan, libraries: dict[str, str], crates: tuple[Crate, ...] = ()) -> bytes:
    """Return a CycloneDX 1.6 JSON document that names the engine, its upstreams and each library.

    Args:
        plan: the build's plan.
        libraries: SHA-256 of each library of the wheel by its path.
        crates: crates that the engine's Rust was built with.
    """
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.tool import Tool
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    digest = plan.digest
    # A serial number and a time that come from the plan, so that the same build gives the same bytes.
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_OID, digest))
    bom.metadata.timestamp = _epoch()
    bom.metadata.tools.tools.add(Tool(name="truewheel", version=plan.writer.truewheel))
    bom.metadata.tools.tools.add(Tool(name=plan.compiler.kind, version=plan.compiler.version))
    source = plan.subject.source
    root = Component(
        name=source.name,
        version=source.version,
        type=ComponentType.LIBRARY,
        bom_ref="engine",
        purl=PackageURL("pypi", name=source.name, version=source.version) if source.kind == "package" else None,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=source.sha256)],
        properties=[
            Property(name="truewheel:digest", value=digest),
            Property(name="truewheel:profile", value=plan.subject.profile),
        ],
    )
    bom.metadata.component = root
    upstreams = dict(source.commit)
    for origin in plan.taken:
        upstreams |= origin.commit
    if rustc := plan.builder.tools.get("rustc"):
        bom.metadata.tools.tools.add(Tool(name="rustc", version=rustc))
    parts = [
        Component(name=name, version=commit, type=ComponentType.LIBRARY, bom_ref=f"upstream-{name}")
        for name, commit in sorted(upstreams.items())
    ]
    parts += [
        Component(
            name=origin.name,
            version=origin.version,
            type=ComponentType.LIBRARY,
            bom_ref="libraries",
            purl=PackageURL("pypi", name=origin.name, version=origin.version),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=origin.sha256)],
        )
        for origin in plan.taken
    ]
    parts += [
        Component(
            name=crate.name,
            version=crate.version,
            type=ComponentType.LIBRARY,
            bom_ref=f"crate-{crate.name}-{crate.version}",
            purl=PackageURL("cargo", name=crate.name, version=crate.version) if crate.sha256 else None,
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=crate.sha256)] if crate.sha256 else [],
        )
        for crate in crates
    ]
    parts += [
        Component(
            name=path,
            type=ComponentType.FILE,
            bom_ref=f"file-{path}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
        )
        for path, sha256 in sorted(libraries.items())
    ]
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(root, parts)
    return JsonV1Dot6(bom).output_as_string(indent=1).encode() + b"\n"


def _epoch() -> datetime:
    return datetime(1980, 1, 1, tzinfo=timezone.utc)
