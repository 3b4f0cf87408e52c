"""Fetch and build what was prepared, or find it where builds are kept."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import NamedTuple

from truewheel.build.builder import BuildJob, carry_out
from truewheel.build.builders import open_builder
from truewheel.build.cache import cache_statistics, find_cache_tool, open_cache
from truewheel.build.kept import find_build, keep_build
from truewheel.build.product import BuildTools, BuiltWheel
from truewheel.console import Console
from truewheel.corridor.prepare import Order, Prepared
from truewheel.errors import BuildError, FetchError
from truewheel.fetch.source import fetch_source
from truewheel.kept.entry import growing
from truewheel.machine.probe import running
from truewheel.machine.tools import find_tool, search_path
from truewheel.stages import stage


class Place(NamedTuple):
    """Where a build happens.

    Attributes:
        cache: our cache folder.
        console: shows the stages.
        seconds: gets what each stage took.
    """

    cache: Path
    console: Console
    seconds: dict[str, float]

    def work(self, ready: Prepared) -> Path:
        """Return the work folder of an engine, always the same, so that compile caches hit."""
        return self.cache / "work" / ready.plan.subject.engine

    @property
    def cargo(self) -> Path:
        """Return where is kept what only helps to build Rust."""
        return self.cache / "cargo"

    def log(self, ready: Prepared) -> Path:
        """Return the log of a plan."""
        plan = ready.plan
        return self.cache / "logs" / f"{plan.subject.engine}-{plan.subject.profile}-{plan.digest[:12]}.log"


def obtain_build(order: Order, ready: Prepared, place: Place) -> BuiltWheel:
    """Return the build of a plan: the one that is kept, or a new one, which is kept then.

    Args:
        order: what was asked for; without its cache nothing that is kept is taken.
        ready: plan, recipe and compilers.
        place: where.

    Raises:
        FetchError: source, tools or crates cannot be had.
        BuildError: it does not build.
    """
    base = _obtain_base(order, ready.base, place) if ready.base else None
    plan, planned, kept = ready.plan, ready.plan.subject.source, place.cache / "built"
    with stage(place.console, place.seconds, FetchError, "fetch", f"{planned.name} {planned.version}"):
        say = place.console.say
        cmake, ninja = find_tool("cmake", say), find_tool("ninja", say)
        source = fetch_source(ready.recipe, planned, ready.changes, place.cache, search_path(cmake, ninja))
        if order.cache and (built := find_build(plan, source, base, kept)):
            say("         it was compiled before")
            return built
        cache_tool = find_cache_tool(ready.toolchain.kind, say) if order.cache else None
        job = BuildJob(
            plan, source, base, place.work(ready), place.log(ready), place.cargo if order.cache else None, say
        )
        job.log.parent.mkdir(parents=True, exist_ok=True)
        job.log.unlink(missing_ok=True)
        builder = open_builder(job)
    what = f"{plan.subject.engine} {plan.subject.profile} with {plan.compiler.kind} {plan.compiler.version}"
    if rustc := plan.builder.tools.get("rustc"):
        what += f" and rustc {rustc}"
    with (
        stage(place.console, place.seconds, BuildError, "build", what),
        contextlib.ExitStack() as stack,
    ):
        stack.enter_context(running(ready.toolchain, say))
        if job.kept is not None and rustc:
            stack.enter_context(growing(job.kept, piecemeal=False))
        compile_cache = None
        if cache_tool is not None:
            cache_log = place.cache / "logs" / "compile-cache.log"
            folder = place.cache / "compile-cache" / cache_tool.name
            compile_cache = stack.enter_context(open_cache(cache_tool, folder, ready.host, cache_log))
        tools = BuildTools(ready.toolchain, cmake, ninja, compile_cache)
        built = carry_out(builder, tools, order.jobs or ready.host.usable_cores, place.console)
        if builder.compile_cache_tells and compile_cache and (statistics := cache_statistics(compile_cache)):
            say(f"         {compile_cache.tool.name}: {statistics}")
    keep_build(built, kept)
    return built


def _obtain_base(order: Order, ready: Prepared, place: Place) -> BuiltWheel:
    """Obtain the build that libraries are taken from; only what is kept of it outlives its work folder."""
    try:
        built = obtain_build(order, ready, place)
        folder = place.cache / "work" / "base"
        if built.path.is_relative_to(place.work(ready)):
            folder.mkdir(parents=True, exist_ok=True)
            built = built._replace(path=Path(shutil.copy2(built.path, folder / built.path.name)))
        return built
    finally:
        if not order.keep_work:
            shutil.rmtree(place.work(ready), ignore_errors=True)
