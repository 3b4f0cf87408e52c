"""Take the C++ libraries of a built wheel, under names of our own, so that both engines fit into one process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from truewheel.binary.rename import rename_library
from truewheel.errors import BuildError, CheckError, RepairError
from truewheel.plan.cargo import renamed
from truewheel.wheel.archive import read_all


def take_libraries(wheel: Path, take: Mapping[str, str], target: Path) -> str:
    """Write the libraries of a wheel into a folder and return a hash of all of them.

    Args:
        wheel: the wheel that has them.
        take: patterns of paths in it, and paths below `target`.
        target: the folder.

    Raises:
        BuildError: a library is not there, or cannot be renamed.
    """
    try:
        _, members = read_all(wheel)
    except CheckError as error:
        raise BuildError(f"the wheel with the libraries cannot be read: {error.message}", hint=error.hint) from error
    taken = {path: new for path in sorted(members) if (new := renamed(path, take))}
    if missing := [old for old in take if not any(renamed(path, {old: take[old]}) for path in taken)]:
        raise BuildError(
            f"{wheel.name} has no {missing[0]}", hint="libraries.take in the recipe names what that wheel installs"
        )
    names = {old.rpartition("/")[2]: new.rpartition("/")[2] for old, new in taken.items()}
    digest = hashlib.sha256()
    for old, new in taken.items():
        try:
            data = rename_library(members[old].data, names)
        except RepairError as error:
            raise BuildError(f"{old} cannot become {new}: {error.message}", hint=error.hint) from error
        path = target / new
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755)
        digest.update(f"{new}\0".encode() + hashlib.sha256(data).digest())
    return digest.hexdigest()
