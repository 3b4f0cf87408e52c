"""The software bill of materials that travels in the wheel (CycloneDX, PEP 770)."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone

from truewheel.plan import Plan


def make_sbom(plan: Plan, libraries: dict[str, str]) -> bytes:
    """Return a CycloneDX 1.6 JSON document that names the engine, its upstreams and each library.

    Args:
        plan: the build's plan.
        libraries: SHA-256 of each library of the wheel by its path.
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
    bom.metadata.tools.tools.add(Tool(name="truewheel", version=plan.truewheel))
    bom.metadata.tools.tools.add(Tool(name=plan.toolchain.kind, version=plan.toolchain.version))
    root = Component(
        name=plan.source.name,
        version=plan.source.version,
        type=ComponentType.LIBRARY,
        bom_ref="engine",
        purl=PackageURL("pypi", name=plan.source.name, version=plan.source.version)
        if plan.source.kind == "package"
        else None,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=plan.source.sha256)],
        properties=[
            Property(name="truewheel:digest", value=digest),
            Property(name="truewheel:profile", value=plan.profile),
        ],
    )
    bom.metadata.component = root
    parts = [
        Component(name=name, version=commit, type=ComponentType.LIBRARY, bom_ref=f"upstream-{name}")
        for name, commit in sorted(plan.source.commit.items())
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
