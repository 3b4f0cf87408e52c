"""Modules of truewheel's that every wheel carries, the same bytes for every engine and profile."""

from __future__ import annotations

from importlib import resources
from types import MappingProxyType

from truewheel.errors import RepairError
from truewheel.plan.plan import Plan
from truewheel.wheel.archive import Member

MODULES = MappingProxyType(
    {
        "truewheel_cores": "cores.py",
        "truewheel_found": "found.py",
        "truewheel_preset": "preset_template.py",
    }
)
"""The file of each, by its name in the wheel."""


def add_carried(members: dict[str, Member], plan: Plan) -> dict[str, Member]:
    """Return the members with these modules beside the guard.

    Raises:
        RepairError: the package has a module of such a name.
    """
    added = {}
    for name, file in MODULES.items():
        path = f"{plan.subject.import_name}/{name}.py"
        if path in members:
            raise RepairError(f"the wheel has a {path} of its own", hint="truewheel's own module takes that name")
        added[path] = Member(resources.files("truewheel.carried").joinpath(file).read_bytes())
    return {**members, **added}
