"""BuiltWheel to RepairedWheel: guard, modules that wheels carry, licences, provenance, bill of materials, tags."""

from __future__ import annotations

import hashlib
from email.generator import BytesGenerator
from email.parser import BytesParser
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import msgspec

from truewheel.build.evidence import Evidence
from truewheel.build.product import BuiltWheel
from truewheel.config.dialects import own_names
from truewheel.errors import CheckError, RepairError
from truewheel.files import read_file
from truewheel.plan.carried import BUILD_INFO
from truewheel.plan.plan import MaturinPlan, Plan
from truewheel.repair.carried import add_carried
from truewheel.repair.guard import add_guard
from truewheel.repair.sbom import Crate, make_sbom, read_crates
from truewheel.wheel.archive import Member, WheelFile, kind_of, read_all, read_wheel
from truewheel.wheel.name import WheelName
from truewheel.wheel.writer import write_wheel

_CACHE_EXTRACT = (*own_names(), "BUILD_SHARED_LIBS", "CMAKE_BUILD_TYPE", "CMAKE_C_FLAGS_RELEASE")


class RepairedWheel(NamedTuple):
    """A wheel that is ready to be checked.

    Attributes:
        wheel: the wheel, read back from its file.
        plan: the plan that it was built by.
        evidence: what CMake and the compilers were told.
    """

    wheel: WheelFile
    plan: Plan
    evidence: Evidence


def repair_wheel(built: BuiltWheel, folder: Path) -> RepairedWheel:
    """Write the repaired wheel into `folder` and read it back.

    Raises:
        RepairError: the built wheel is damaged or lacks what the recipe promises.
    """
    try:
        wheel, content = read_all(built.path)
    except CheckError as error:
        raise RepairError(f"the backend made a wheel that cannot be read: {error.message}", hint=error.hint) from error
    plan = built.plan
    members = add_carried(add_guard(content, plan, built.cpuid_library), plan)
    members |= _licences(built, wheel.dist_info)
    libraries = {
        path: hashlib.sha256(member.data).hexdigest()
        for path, member in members.items()
        if kind_of(member.data) == "elf"
    }
    members[f"{wheel.dist_info}/{BUILD_INFO}"] = Member(_build_info(built, libraries))
    members[f"{wheel.dist_info}/sboms/truewheel.cdx.json"] = Member(make_sbom(plan, libraries, _crates(built)))
    name = WheelName(
        wheel.name.distribution, wheel.name.version, plan.build_tag, _tags(wheel.name.tags, plan.wheel.platform)
    )
    members[f"{wheel.dist_info}/WHEEL"] = Member(_wheel_metadata(members[f"{wheel.dist_info}/WHEEL"].data, name))
    target = folder / name.filename
    write_wheel(target, members, wheel.dist_info)
    return RepairedWheel(read_wheel(target), plan, built.evidence)


def _tags(tags: str, platform: str) -> str:
    python, abi, _ = tags.split("-")
    return f"{python}-{abi}-{platform}"


def _crates(built: BuiltWheel) -> tuple[Crate, ...]:
    if not isinstance(built.plan.builder, MaturinPlan):
        return ()
    lock = built.source.path / "Cargo.lock"
    if not lock.is_file():
        raise RepairError("the source has no Cargo.lock", hint="the crates of a wheel are named by version and hash")
    return read_crates(lock)


def _licences(built: BuiltWheel, dist_info: str) -> dict[str, Member]:
    licences = {}
    for name in built.plan.wheel.license_files:
        path = built.source.path / name
        if not path.is_file():
            raise RepairError(f"the source has no {name}", hint="package.license-files in the recipe names it")
        licences[f"{dist_info}/licenses/{name}"] = Member(read_file(path))
    if built.base is not None:
        for libraries in built.plan.taken:
            licences |= {
                f"{dist_info}/licenses/{libraries.name}/{name}": Member(read_file(built.base.source.path / name))
                for name in libraries.license_files
            }
    licences |= {f"{dist_info}/licenses/{path}": Member(content) for path, content in built.licences.items()}
    return licences


def _build_info(built: BuiltWheel, libraries: dict[str, str]) -> bytes:
    cache = built.evidence.cmake_cache
    info = {
        "schema": 2,
        "plan": built.plan.to_wheel(),
        "compiler": built.compiler,
        "commit": dict(built.plan.subject.source.commit),
        "cmake-cache": {key: cache[key] for key in sorted(cache) if key.startswith(_CACHE_EXTRACT)},
        "libraries": libraries,
    }
    return msgspec.json.format(msgspec.json.encode(info), indent=1) + b"\n"


def _wheel_metadata(data: bytes, name: WheelName) -> bytes:
    """Write WHEEL anew so that it agrees with the file name."""
    message = BytesParser().parsebytes(data)
    del message["Tag"], message["Build"]
    for tag in sorted(str(tag) for tag in name.tag_set):
        message["Tag"] = tag
    if name.build:
        message["Build"] = name.build
    sink = BytesIO()
    BytesGenerator(sink, maxheaderlen=0).flatten(message)
    return sink.getvalue()
