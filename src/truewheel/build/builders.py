"""Which builder carries out which kind of plan."""

from __future__ import annotations

from truewheel.build.builder import Builder, BuildJob
from truewheel.build.maturin import CargoBuilder
from truewheel.build.scikit_build import CMakeBuilder
from truewheel.plan.plan import MaturinPlan


def open_builder(job: BuildJob) -> Builder:
    """Return the builder of a plan, with what it needs fetched.

    Raises:
        FetchError: what it needs cannot be had.
    """
    settings = job.plan.builder
    if isinstance(settings, MaturinPlan):
        return CargoBuilder(job, settings)
    return CMakeBuilder(job, settings)
