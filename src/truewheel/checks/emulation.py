"""Did the wheel run on each CPU that it promises to run on, and refuse the others in words?

Other CPUs than this one are emulated. An instruction that the emulated CPU lacks stands at the end of every run: where
that does not fault, the run shows nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from truewheel.checks.equivalence import NEAR_TIE
from truewheel.checks.finding import Facts, Finding
from truewheel.checks.isa_account import claimed_plan, read_claims
from truewheel.child.emulated_cpus import Target
from truewheel.child.emulated_run import EmulatedRun

CODES = {
    "EMULATE-ILLEGAL": "The process died of an illegal instruction on a CPU that has everything that the wheel claims "
    "to need.",
    "EMULATE-FAILED": "A run failed on a CPU that has everything that the wheel claims to need: a step raised an "
    "exception or gave a wrong answer, or the process died, tried to escape, or did not finish in its time.",
    "EMULATE-SILENT": "On a CPU that lacks what the wheel says that it needs, it was not refused in words when it was "
    "imported: it ran all the same, died, or failed for another reason.",
    "EMULATE-BACKEND": "The wheel took another CPU backend than the best one that the CPU can run.",
    "EMULATE-TEXT": "The same prompt went on with other tokens than on the reference CPU, where that was sure: its two "
    "best logits were 0.01 or more apart.",
    "EMULATE-CANARY": "The emulator ran an instruction that the CPU lacks, or gives it features that it has not, or "
    "the run left before that could be seen. It would not have shown code that is beyond the CPU: nothing is proven.",
    "EMULATE-UNPROVEN": "Some or all of the wheel's code needs a CPU that neither this machine is nor the emulator can "
    "be, so that it was not run: nothing speaks against it, and nothing was shown.",
    "EMULATE-PASSED": "The CPUs on which the wheel did what it should.",
}
"""What each code means."""

_HINTS = {
    "EMULATE-ILLEGAL": "`truewheel check --verbose` names functions that need more than the wheel claims",
    "EMULATE-FAILED": "the last lines that it printed are in the report that `--json` prints",
    "EMULATE-SILENT": "let it look at the CPU before it loads any of its libraries, as wheels of `truewheel build` do",
    "EMULATE-BACKEND": "compare the backends in its truewheel.json with what its import guard says of this CPU",
    "EMULATE-TEXT": "`truewheel compare` shows how far the answers are apart; look at the kernels of that backend",
    "EMULATE-CANARY": "try another version of qemu; 7.2 is known to fault where it should",
    "EMULATE-UNPROVEN": "run `truewheel smoke` on it on a machine that has that",
}


def target_of(facts: Facts) -> Target:
    """Return what a wheel promises: which CPUs it runs on, and which backend each gets."""
    plan = claimed_plan(facts)
    return Target(
        floor=frozenset(feature for claim in read_claims(facts) for feature in claim.features or ()),
        backends={backend.name: frozenset(backend.features) for backend in plan.backends} if plan else {},
    )


def check(facts: Facts) -> Iterator[Finding]:
    """Yield what went otherwise than the wheel promises, what could not be shown, and where all was well."""
    if not facts.emulation:
        return
    reference = find_reference(facts.emulation)
    passed = []
    for run in facts.emulation:
        found = list(_judge(run, reference))
        yield from found
        if not found and run.outcome != "not started":
            passed.append(run)
    yield from _unproven(facts)
    if passed:
        yield Finding(code="EMULATE-PASSED", where=facts.wheel.path.name, message=_passed_words(passed))


def find_reference(runs: Sequence[EmulatedRun]) -> EmulatedRun | None:
    """Return the run with which the answers of the others are compared: this machine's, else the first that passed."""
    passed = [run for run in runs if run.outcome == "passed"]
    return next((run for run in passed if not run.emulator and not run.asked), passed[0] if passed else None)


def place_words(run: EmulatedRun) -> str:
    """Name a run's CPU, and the backend where one was asked for."""
    return f"{run.cpu}, asked for {run.asked}" if run.asked else run.cpu


def _judge(run: EmulatedRun, reference: EmulatedRun | None) -> Iterator[Finding]:
    if run.surplus:
        yield _finding("EMULATE-CANARY", run, f"the emulator gives it {', '.join(run.surplus)}, which it has not")
    elif run.canary == "survived":
        yield _finding("EMULATE-CANARY", run, "an instruction that this CPU lacks did not fault")
    elif run.canary == "not reached" and run.outcome in ("passed", "refused"):
        yield _finding("EMULATE-CANARY", run, "it left before an instruction that this CPU lacks could be tried")
    elif run.outcome == "not started":
        return
    elif run.lacks:
        if run.outcome != "refused":
            what = "it ran all the same" if run.outcome == "passed" else run.ending
            yield _finding("EMULATE-SILENT", run, f"the CPU lacks {', '.join(run.lacks)}, and {what}")
    elif run.outcome != "passed":
        code = "EMULATE-ILLEGAL" if run.outcome == "illegal" else "EMULATE-FAILED"
        yield _finding(code, run, run.ending)
    else:
        yield from _judge_answer(run, reference)


def _judge_answer(run: EmulatedRun, reference: EmulatedRun | None) -> Iterator[Finding]:
    if run.expected and run.backend != run.expected:
        took = f"took {run.backend}" if run.backend else "does not say which backend it took"
        yield _finding("EMULATE-BACKEND", run, f"it {took}; the best one for this CPU is {run.expected}")
    if reference is None:
        return
    pairs = enumerate(zip(reference.tokens, run.tokens, reference.margins, strict=False))
    apart = next(((at, margin) for at, (one, other, margin) in pairs if one != other), None)
    if apart is not None and apart[1] >= NEAR_TIE:
        words = f"token {apart[0]} is another one than on {place_words(reference)}, which had a margin of"
        yield _finding("EMULATE-TEXT", run, f"{words} {apart[1]:.3f} there")


def _unproven(facts: Facts) -> Iterator[Finding]:
    runs = [run for run in facts.emulation if run.outcome != "not started"]
    for run in facts.emulation:
        if run.outcome == "not started":
            yield _finding("EMULATE-UNPROVEN", run, f"{run.ending}, so that the wheel was not tried there")
    fit = [run for run in runs if not run.lacks]
    where, hint = facts.wheel.path.name, _HINTS["EMULATE-UNPROVEN"]
    if runs and not fit:
        nearest = min(runs, key=lambda run: len(run.lacks))
        message = f"not provable here: it needs {', '.join(nearest.lacks)}, which neither this machine nor a CPU has "
        yield Finding(code="EMULATE-UNPROVEN", where=where, message=f"{message}that can be emulated", hint=hint)
    given = {run.expected for run in fit}
    left = [name for name in target_of(facts).backends if name not in given]
    if left and any(run.outcome == "passed" for run in fit):
        message = f"not provable here: neither this machine nor a CPU that can be emulated gets {', '.join(left)}"
        yield Finding(code="EMULATE-UNPROVEN", where=where, message=message, hint=hint)


def _passed_words(runs: Sequence[EmulatedRun]) -> str:
    """Say where a wheel ran and where it refused to, e.g. `it ran on Nehalem (sse42); it refused Penryn in words`."""
    ran = [f"{run.cpu} ({run.backend})" if run.backend else run.cpu for run in runs if not run.lacks]
    refused = [run.cpu for run in runs if run.lacks]
    said = [f"it ran on {', '.join(ran)}"] if ran else []
    return "; ".join([*said, f"it refused {', '.join(refused)} in words"] if refused else said)


def _finding(code: str, run: EmulatedRun, message: str) -> Finding:
    return Finding(code=code, where=place_words(run), message=" ".join(message.split()), hint=_HINTS[code])
