"""The loader of presets: one module that runs a package's engine as a preset says."""

from __future__ import annotations

from importlib import resources

from truewheel.errors import RepairError
from truewheel.plan import Plan
from truewheel.wheel.archive import Member

MODULE = "truewheel_preset"
TEMPLATE = "preset_template.py"


def add_preset_loader(members: dict[str, Member], plan: Plan) -> dict[str, Member]:
    """Return the members with the loader beside the guard: the same file for every engine and profile.

    Raises:
        RepairError: the package has a module of that name.
    """
    path = f"{plan.import_name}/{MODULE}.py"
    if path in members:
        raise RepairError(f"the wheel has a {path} of its own", hint="the loader of presets takes that name")
    source = resources.files("truewheel.repair").joinpath(TEMPLATE).read_bytes()
    return {**members, path: Member(source)}
