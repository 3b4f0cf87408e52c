"""Run one wheel on other CPUs than this one, which qemu emulates: those that it is for, and the best that it is not.

The emulator translates one process and no others, and /proc/cpuinfo shows this machine all the same: so everything
happens in one process, and what counts is CPUID. It has no AVX-512, AVX-VNNI and AMX; what needs those is run on this
machine, where that has them.
"""

from __future__ import annotations

import contextlib
import platform
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from truewheel import process
from truewheel.child.challenge import Question, draw_question
from truewheel.child.confinement import STRANGERS, Required
from truewheel.child.emulated_cpus import CpuPromise, PlannedRun, canary_codes, emulated_cpus
from truewheel.child.emulated_run import THIS_MACHINE, EmulatedRun, judge_run
from truewheel.child.environment import InstallError, fresh_environment
from truewheel.child.events import Script, read_said
from truewheel.child.installed import Environment
from truewheel.child.limits import BESIDE_EMULATOR, EMULATED
from truewheel.child.registry import EngineEntry
from truewheel.child.request import Emulation, SmokeRequest
from truewheel.child.smoke import STEPS, make_request
from truewheel.child.start import INSIDE, ONE_BLAS_THREAD, Confined, run_together, scratch_in
from truewheel.console import Console
from truewheel.cpu.features import feature_table
from truewheel.cpu.host import Host
from truewheel.cpu.levels import highest_level
from truewheel.errors import CheckError
from truewheel.models.models import Model
from truewheel.wheel.archive import WheelFile

BACKEND_VARIABLE = "TRUEWHEEL_BACKEND"
"""The environment variable by which a wheel's import guard can be told which backend to take."""

_PROGRAM = "qemu-x86_64"
_REGISTERS = ("eax", "ebx", "ecx", "edx")
_PREFILL = 16
_DRAWN = 2
_AT_ONCE = 2


class Emulator(NamedTuple):
    """The emulator: its path, and its version as it says."""

    path: str
    version: str


def emulated_here() -> tuple[tuple[str, frozenset[str]], ...]:
    """Return names and features of the CPUs that can be emulated on this machine, from the least; often none."""
    if platform.machine() != "x86_64" or shutil.which(_PROGRAM) is None:
        return ()
    return tuple((cpu.name, cpu.features) for cpu in emulated_cpus())


def find_emulator() -> Emulator:
    """Return the emulator of this machine.

    Raises:
        CheckError: it has none.
    """
    if platform.machine() != "x86_64":
        raise CheckError(
            f"this Python is for {platform.machine()}, and other CPUs are emulated for x86-64 alone",
            hint="run it on an x86-64 machine",
        )
    path = shutil.which(_PROGRAM)
    if path is None:
        raise CheckError(f"{_PROGRAM} is not here, and nothing else emulates CPUs", hint="`apt-get install qemu-user`")
    match = re.search(r"version (\S+)", process.run([path, "--version"], timeout=30).output)
    return Emulator(path, f"{_PROGRAM} {match[1] if match else 'of no known version'}")


def run_emulated(
    wheel: WheelFile,
    model: Model,
    engine: EngineEntry,
    target: CpuPromise,
    orders: Sequence[PlannedRun],
    *,
    host: Host,
    console: Console,
    required: Required = STRANGERS,
) -> tuple[EmulatedRun, ...]:
    """Install a wheel into a fresh environment and run one inference from it for each order, locked down.

    Args:
        wheel: the wheel, ours or anybody's.
        model: a model whose header was checked.
        engine: how it is imported and driven.
        target: what the wheel promises.
        orders: what to run.
        host: this machine.
        console: shows each run when it has ended.
        required: what a child may not be without; see `confinement.py`.

    Raises:
        CheckError: there is no emulator, or the wheel's METADATA cannot be followed.
        FetchError: a dependency cannot be had.
    """
    emulator = find_emulator()
    runs: dict[int, EmulatedRun] = {}
    try:
        with fresh_environment(wheel, required=required) as environment:
            session = _Session(environment, model, engine, target, host, emulator)
            for number, run in session.run_all(orders):
                runs[number] = run
                what = " ".join(filter(None, (run.outcome, run.backend and f"on {run.backend}")))
                console.say(f"         {run.cpu:<12} {run.seconds:6.2f} s  {what}")
    except InstallError as error:
        level, ending = highest_level(host.features), error.message
        return (EmulatedRun(cpu=THIS_MACHINE, level=level, outcome="failed", ending=ending, canary="not needed"),)
    return tuple(runs[number] for number in range(len(orders)))


class _Session(NamedTuple):
    """An installed wheel, and everything that its runs share."""

    environment: Environment
    model: Model
    engine: EngineEntry
    target: CpuPromise
    host: Host
    emulator: Emulator

    def run_all(self, orders: Sequence[PlannedRun]) -> Iterator[tuple[int, EmulatedRun]]:
        """Yield each order's number and run; those of emulated CPUs two at a time."""
        there: list[tuple[bool, int]] = []
        for number, order in enumerate(orders):
            if order.cpu is None:
                yield number, self._run_here(order)
            else:
                there.append((self.target.floor <= order.cpu.features, number))
        # A refusal ends soon: those go first, and in company.
        waiting = [number for _, number in sorted(there)]
        size = min(_AT_ONCE, self.host.usable_cores)
        for start in range(0, len(waiting), size):
            yield from self._run_there({number: orders[number] for number in waiting[start : start + size]})

    def _run_here(self, order: PlannedRun) -> EmulatedRun:
        with scratch_in(self.environment) as scratch:
            confined = Confined(self.environment, scratch, BESIDE_EMULATOR)
            question = self._draw()
            request = self._request(confined, question)
            asked = {BACKEND_VARIABLE: order.backend} if order.backend else {}
            done = confined.run(request, variables={**asked, **ONE_BLAS_THREAD})
            return self._judge(order, question, request, done)

    def _run_there(self, orders: dict[int, PlannedRun]) -> Iterator[tuple[int, EmulatedRun]]:
        with contextlib.ExitStack() as stack:
            places = [
                Confined(self.environment, stack.enter_context(scratch_in(self.environment)), EMULATED) for _ in orders
            ]
            questions = [self._draw() for _ in orders]
            requests = [self._emulated(*each) for each in zip(orders.values(), places, questions, strict=True)]
            results = run_together(places, requests)
            asked = zip(questions, requests, results, strict=True)
            for (number, order), (question, request, done) in zip(orders.items(), asked, strict=True):
                yield number, self._judge(order, question, request, done)

    def _draw(self) -> Question:
        """Draw what one run is asked: less than on this machine, since an emulator is slow."""
        question = draw_question(self.model, chat=self.engine.chat, prompts=_DRAWN)
        return question._replace(prefill=_PREFILL)

    def _request(self, confined: Confined, question: Question) -> SmokeRequest:
        # One thread: several wait for each other in a loop, which takes minutes where two emulators share two cores.
        return make_request(confined, question, self.engine, 1)

    def _emulated(self, order: PlannedRun, confined: Confined, question: Question) -> SmokeRequest:
        assert order.cpu is not None
        # check=off: otherwise it complains of features that do not matter here.
        emulator = (self.emulator.path, "-cpu", f"{order.cpu.name},check=off")
        emulation = Emulation(
            command=(*emulator, *confined.command(INSIDE)),
            features={
                name: (place.leaf, place.subleaf, _REGISTERS.index(place.register), place.bit, place.state)
                for name, place in feature_table().items()
            },
            canary=canary_codes()[order.cpu.canary],
        )
        return msgspec.structs.replace(self._request(confined, question), emulated=emulation)

    def _judge(
        self, order: PlannedRun, question: Question, request: SmokeRequest, done: process.Completed
    ) -> EmulatedRun:
        said = read_said(Path(request.events), script_of(order))
        emulator = self.emulator.version if order.cpu else ""
        here = frozenset(self.host.features)
        return judge_run(order, self.target, here, question, said, done, emulator=emulator)


def script_of(order: PlannedRun) -> Script:
    """Return the order in which the program speaks: on another CPU it also looks at that, and tries its limits."""
    return Script(STEPS, before=("lock", "cpu"), canary=True) if order.cpu else Script(STEPS)
