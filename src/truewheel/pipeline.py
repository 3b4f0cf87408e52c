"""The one way through the house: load, plan, fetch, build, repair, check, store."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from truewheel import __version__
from truewheel.account.terminal import to_lines
from truewheel.build.cache import cache_statistics, find_cache_tool, open_cache
from truewheel.build.environment import ignored_variables
from truewheel.build.scikit_build import BuildTools, BuiltWheel, build_wheel
from truewheel.checks.isa_rules import needles
from truewheel.checks.policy import default_policy
from truewheel.checks.run import gather, rate, run_checks
from truewheel.config.load import LoadedRecipe, load_profile, load_recipe
from truewheel.config.locations import cache_root
from truewheel.config.tables import Engine, Profile
from truewheel.console import Console
from truewheel.cpu.host import Host, detect_host
from truewheel.errors import BuildError, CheckError, FetchError, PlanError, RepairError, StoreError, TruewheelError
from truewheel.identity import builder_hash
from truewheel.inference.models import Model, find_model
from truewheel.inference.smoke import SmokeRecord, engine_for, run_smoke, unproven
from truewheel.inspection.run import inspect_wheel
from truewheel.plan import Plan, make_plan, planned_source
from truewheel.repair.repair import RepairedWheel, repair_wheel
from truewheel.report import Report, make_report
from truewheel.source import fetch_source, read_patches, tree_hash
from truewheel.toolchain.probe import Toolchain, find_toolchain
from truewheel.toolchain.targets import target_of
from truewheel.toolchain.tools import find_tool, planned_versions, search_path
from truewheel.verify import emulate_wheel
from truewheel.wheel.archive import WheelFile
from truewheel.wheelhouse.store import Stored, Wheelhouse


class Order(NamedTuple):
    """What a person asked for.

    Attributes:
        engine: recipe name or path.
        profile: profile label or path.
        toolchain: `clang`, `gcc` or `zig` to use no other; empty for the profile's list.
        jobs: compilers at once; 0 for as many as there are usable cores.
        cache: use the compile cache, and what the wheelhouse has.
        keep_work: leave the work folder where it is.
        model: model of the smoke test.
        emulate: also run it on emulated CPUs.
    """

    engine: str = "llama-cpp-python"
    profile: str = "native"
    toolchain: str = ""
    jobs: int = 0
    cache: bool = True
    keep_work: bool = False
    model: str = "tiny"
    emulate: bool = False


class Prepared(NamedTuple):
    """A plan with what it was made from.

    Attributes:
        plan: the plan.
        recipe: the recipe and its folder.
        patches: content of the recipe's patches by name.
        toolchain: the compiler that was chosen.
        passed_over: compilers that were tried before it and refused.
        host: this machine.
    """

    plan: Plan
    recipe: LoadedRecipe
    patches: dict[str, bytes]
    toolchain: Toolchain
    passed_over: list[Toolchain]
    host: Host


class Outcome(NamedTuple):
    """What a build came to.

    Attributes:
        stored: the wheel and its report.
        fresh: whether it was built now, rather than found.
    """

    stored: Stored
    fresh: bool


def prepare(order: Order, console: Console) -> Prepared:
    """Load recipe and profile, choose a compiler and make the plan; nothing is built.

    Raises:
        LoadError: recipe or profile are wrong.
        PlanError: no compiler is fit, or the platform is not supported.
        FetchError: zig was needed and cannot be had.
    """
    loaded, profile = load_recipe(order.engine), load_profile(order.profile)
    host = detect_host()
    target_of(host)
    toolchain, passed = _choose(order, profile, host, console)
    patches = read_patches(loaded)
    source = planned_source(loaded.recipe, patches, tree_hash(loaded))
    plan = make_plan(
        loaded.recipe,
        profile,
        toolchain,
        host,
        source=source,
        tools=planned_versions(),
        version=__version__,
        builder=builder_hash(),
    )
    return Prepared(plan, loaded, patches, toolchain, passed, host)


def _choose(order: Order, profile: Profile, host: Host, console: Console) -> tuple[Toolchain, list[Toolchain]]:
    kinds: tuple[str, ...] = (order.toolchain,) if order.toolchain else profile.toolchain
    toolchain, passed = find_toolchain(kinds, host, console.say, native=profile.level == "native")
    if toolchain is None:
        reasons = "; ".join(f"{tried.kind} {tried.version}: {tried.refusal}" for tried in passed)
        raise PlanError(
            f"no fit compiler among {', '.join(kinds)}: {reasons or 'none is on this machine'}",
            hint="`truewheel doctor` shows what was tried; --toolchain zig needs nothing on the machine",
        )
    return toolchain, passed


def build(order: Order, house: Wheelhouse, console: Console) -> Outcome:
    """Carry an order through the whole house.

    Raises:
        TruewheelError: of the family of the stage that failed; a refused wheel is a CheckError, and lies
            in the wheelhouse's `rejected` folder with its report.
    """
    seconds: dict[str, float] = {}
    with _timed(seconds, "plan"):
        ready = prepare(order, console)
    if order.cache and (found := _find(order, ready, house)):
        return Outcome(found, fresh=False)
    house.prepare()
    _announce(ready, console)
    with _exclusive(console):
        # Whoever held the lock may have built just this.
        if order.cache and (found := _find(order, ready, house)):
            return Outcome(found, fresh=False)
        return _build(order, ready, house, console, seconds)


def _build(order: Order, ready: Prepared, house: Wheelhouse, console: Console, seconds: dict[str, float]) -> Outcome:
    cache, plan = cache_root(), ready.plan
    work = cache / "work" / plan.engine
    log = cache / "logs" / f"{plan.engine}-{plan.profile}-{plan.digest[:12]}.log"
    try:
        with _stage(console, seconds, FetchError, "fetch", f"{plan.source.name} {plan.source.version}"):
            cmake, ninja = find_tool("cmake", console.say), find_tool("ninja", console.say)
            path = search_path(cmake, ninja)
            source = fetch_source(ready.recipe, plan.source, ready.patches, cache, path)
            cache_tool = find_cache_tool(ready.toolchain.kind, console.say) if order.cache else None
            model = find_model(order.model)
        what = f"{plan.engine} {plan.profile} with {plan.toolchain.kind} {plan.toolchain.version}"
        with _stage(console, seconds, BuildError, "build", what), contextlib.ExitStack() as stack:
            cache_log = cache / "logs" / "compile-cache.log"
            cache_log.parent.mkdir(parents=True, exist_ok=True)
            compile_cache = None
            if cache_tool is not None:
                opened = open_cache(cache_tool, cache / "compile-cache" / cache_tool.name, ready.host, cache_log)
                compile_cache = stack.enter_context(opened)
            tools = BuildTools(ready.toolchain, cmake, ninja, compile_cache)
            jobs = order.jobs or ready.host.usable_cores
            built = build_wheel(plan, source, tools, work=work, log=log, jobs=jobs, console=console)
            if compile_cache is not None and (statistics := cache_statistics(compile_cache)):
                console.say(f"         {compile_cache.tool.name}: {statistics}")
        with _stage(console, seconds, RepairError, "repair", built.path.name):
            repaired = _repair(built, work)
        with _stage(console, seconds, CheckError, "check", f"smoke on {order.model}, then every check"):
            engine = ready.recipe.recipe.engine
            if lacks := _lacking(plan, ready.host):
                record = unproven(model, f"not provable here: this CPU lacks {', '.join(lacks)}")
                console.say(f"         {record.ending}")
            else:
                record = _smoke(repaired.wheel, model, engine, ready.host, console, log, in_process=plan.in_process)
            read = inspect_wheel(repaired.wheel.path, needles=needles(), cache=False)
            facts = gather(read, plan=plan, evidence=repaired.evidence, record=record)
            if order.emulate:
                facts = facts._replace(emulation=emulate_wheel(facts, order.model, console))
            findings = run_checks(facts)
        report = make_report(facts, findings, seconds)
        with _stage(console, {}, StoreError, "store", str(house.root)):
            stored = house.add(repaired.wheel.path, report)
    finally:
        if order.keep_work:
            console.say(f"         the work folder is {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    if not report.sound:
        for line in to_lines(report):
            console.say(line)
        raise refusal(report, stored.path)
    return Outcome(stored, fresh=True)


def _find(order: Order, ready: Prepared, house: Wheelhouse) -> Stored | None:
    provable = not _lacking(ready.plan, ready.host)
    return house.find(ready.plan.digest, order.model, emulated=order.emulate, provable=provable)


def _lacking(plan: Plan, host: Host) -> list[str]:
    """Return the features that a wheel demands and this CPU lacks; Linux does not tell of all that a native one has."""
    return [] if plan.march == "native" else [name for name in plan.features if name not in host.features]


def _repair(built: BuiltWheel, work: Path) -> RepairedWheel:
    folder = work / "repaired"
    folder.mkdir()
    return repair_wheel(built, folder)


def _smoke(
    wheel: WheelFile, model: Model, engine: Engine, host: Host, console: Console, log: Path | None, *, in_process: bool
) -> SmokeRecord:
    return run_smoke(wheel, model, engine, threads=host.usable_cores, console=console, in_process=in_process, log=log)


def smoke_wheel(path: Path, model: str, console: Console) -> Report:
    """Run the smoke test on any wheel and report what it showed.

    Raises:
        LoadError: no driver knows it, or the model is no sound GGUF.
        CheckError: it cannot be installed here.
        FetchError: a dependency or the model cannot be had.
    """
    from truewheel.checks import smoke as smoke_check

    seconds: dict[str, float] = {}
    with _stage(console, seconds, CheckError, "check", f"{path.name} on {model}"):
        read = inspect_wheel(path, needles=needles())
        wheel = read.wheel
        engine = engine_for(wheel.name.project)
        record = _smoke(wheel, find_model(model), engine, detect_host(), console, None, in_process=True)
    facts = gather(read, record=record)
    return make_report(facts, rate(smoke_check.check(facts), default_policy(), own=False), seconds)


def refusal(report: Report, path: Path) -> CheckError:
    """Return the error for a wheel that a check refused."""
    first = report.errors[0]
    more = f" (and {len(report.errors) - 1} more)" if len(report.errors) > 1 else ""
    return CheckError(
        f"the wheel was refused: {first.code}: {first.where}: {first.message}{more}",
        hint=f"{first.hint + '; ' if first.hint else ''}the report is {path}.report.md",
    )


def _announce(ready: Prepared, console: Console) -> None:
    for tried in ready.passed_over:
        console.say(f"         passed over {tried.kind} {tried.version}: {tried.refusal}")
    ignored = ignored_variables(os.environ)
    if ignored:
        console.warn(f"{', '.join(ignored)}: set in your environment, kept out of the build; use a profile instead")


@contextlib.contextmanager
def _exclusive(console: Console) -> Iterator[None]:
    """Let one build at a time use the work folder; say so when another one has it."""
    folder = cache_root()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".build.lock")
        try:
            lock.acquire(timeout=0.1)
        except Timeout:
            console.say("         another build is running; waiting for it")
            lock.acquire()
    except OSError as error:
        raise BuildError(
            f"cannot use the cache folder {folder}: {error.strerror or error}",
            hint="set TRUEWHEEL_CACHE_DIR to a folder that can be written to",
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    seconds[name] = time.monotonic() - start


@contextlib.contextmanager
def _stage(
    console: Console, seconds: dict[str, float], family: type[TruewheelError], name: str, what: str
) -> Iterator[None]:
    """Frame a stage and give what the system refuses (a full disk, say) the stage's own exit code."""
    with console.stage(name, what), _timed(seconds, name):
        try:
            yield
        except OSError as error:
            hints = {
                errno.ENOSPC: "free disk space; `truewheel doctor` shows where caches are",
                errno.EACCES: "check the permissions, or set TRUEWHEEL_CACHE_DIR",
                errno.EROFS: "set TRUEWHEEL_CACHE_DIR to a folder that can be written to",
            }
            if error.errno not in hints and not isinstance(
                error, FileNotFoundError | NotADirectoryError | FileExistsError
            ):
                raise
            where = f" ({error.filename})" if error.filename else ""
            raise family(
                f"{name} stopped: {error.strerror}{where}", hint=hints.get(error.errno or 0, "set TRUEWHEEL_CACHE_DIR")
            ) from error
