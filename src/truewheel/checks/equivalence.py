"""Do several variants of one engine give the same answers?

The Kullback-Leibler divergence of each variant's logits from a reference's is taken at every position of a fixed
text, in nats. Its mean over the positions is judged; the largest is shown. Greedy tokens are judged by the margin
that the reference had where they part: a near-tie may fall either way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from truewheel.checks.finding import Finding
from truewheel.child.logits import Answer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CODES = {
    "EQUIV-DIVERGES": "A variant answers otherwise than the reference: the mean Kullback-Leibler divergence of its "
    "logits is above 0.005 nats, or it splits the text into other tokens. Code for some CPUs computes something else.",
    "EQUIV-DRIFTS": "A variant's logits drift from the reference's: a mean Kullback-Leibler divergence from 0.001 to "
    "0.005 nats. With a quantized model of many layers, rounding alone can come to this; with weights in F16 it stays "
    "far below.",
    "EQUIV-TOKENS": "A variant's greedy tokens part from the reference's where the reference was sure: its two best "
    "logits were 0.01 or more apart.",
    "EQUIV-NEAR-TIE": "A variant's greedy tokens part from the reference's at a near-tie: its two best logits were "
    "less than 0.01 apart, and the order of additions decides between them. This is no fault.",
    "EQUIV-FAILED": "A variant gave no logits: it could not be installed, died, or gave what cannot be used.",
    "EQUIV-UNPROVEN": "A variant cannot run on this CPU, so nothing is known of its answers.",
}
"""What each code means."""

EQUIVALENT_BELOW = 0.001
"""Mean divergence, in nats, up to which a variant counts as equivalent."""

DIVERGES_ABOVE = 0.005
"""Mean divergence, in nats, from which on it counts as another engine."""

NEAR_TIE = 0.01
"""Margin between the two best logits below which either may win."""

Verdict = Literal["reference", "same bits", "equivalent", "drifts", "diverges", "failed", "unproven"]


class ComparedVariant(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One variant beside the reference.

    Attributes:
        variant: its label.
        backend: the backend that it says it took; empty where it has no choice.
        mean_divergence: of its logits from the reference's, mean over the positions, in nats; what is judged.
        max_divergence: at the worst position.
        max_position: which one that is, counted from 0.
        top_agreement: share of positions where both find the same token the best.
        first_difference: index of the first greedy token that differs; nothing where none does.
        margin: distance of the reference's two best logits there.
        verdict: what follows from all that.
        note: why there is no divergence to tell, in one line.
    """

    variant: str
    backend: str = ""
    mean_divergence: float | None = None
    max_divergence: float | None = None
    max_position: int | None = None
    top_agreement: float | None = None
    first_difference: int | None = None
    margin: float | None = None
    verdict: Verdict
    note: str = ""


def kl_divergence(reference: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """Return how far each row of logits is from the reference's: KL(reference || other) of their softmax, in nats.

    Args:
        reference: logits, positions x vocabulary.
        other: logits of the same shape.

    Raises:
        ValueError: the shapes differ.
    """
    import numpy as np

    if reference.shape != other.shape:
        raise ValueError(f"logits of shape {other.shape} cannot be compared with {reference.shape}")
    # Row by row: all rows at once would take sixteen times the logits' own memory.
    return np.array([_row_divergence(*rows) for rows in zip(reference, other, strict=True)], dtype=np.float64)


def _row_divergence(reference: NDArray[Any], other: NDArray[Any]) -> float:
    import numpy as np

    expected, found = _log_softmax(reference), _log_softmax(other)
    # Rounding can take a divergence of nothing below 0; NaN stays NaN.
    return float(np.maximum(np.sum(np.exp(expected) * (expected - found)), 0.0))


def _log_softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    import numpy as np

    shifted = logits.astype(np.float64)
    shifted -= shifted.max()
    shifted -= np.log(np.sum(np.exp(shifted)))
    return shifted


def compare(reference: Answer, others: Iterable[Answer]) -> tuple[ComparedVariant, ...]:
    """Compare answers with the reference's; the reference's own row comes first.

    Args:
        reference: an answer with logits.
        others: answers with or without.

    Raises:
        ValueError: the reference has no logits.
    """
    if reference.logits is None:
        raise ValueError(f"the reference {reference.record.variant} has no logits")
    first = ComparedVariant(variant=reference.record.variant, backend=reference.record.backend, verdict="reference")
    return (first, *(_compare(reference, reference.logits, other) for other in others))


def unproven_row(variant: str, note: str) -> ComparedVariant:
    """Return the row of a variant that this machine cannot run."""
    return ComparedVariant(variant=variant, verdict="unproven", note=note)


def _failed_row(answer: Answer) -> ComparedVariant:
    """Return the row of a variant that gave no logits."""
    record = answer.record
    return ComparedVariant(
        variant=record.variant, backend=record.backend, verdict="failed", note=record.failure or "no logits"
    )


def _compare(reference: Answer, expected: NDArray[np.float32], other: Answer) -> ComparedVariant:
    import numpy as np

    record, found = other.record, other.logits
    if found is None or record.failure:
        return _failed_row(other)
    if not np.isfinite(found).all():
        return ComparedVariant(
            variant=record.variant, backend=record.backend, verdict="failed", note="a logit is not finite"
        )
    if found.shape != expected.shape or record.text != reference.record.text:
        note = "it splits the text into other tokens than the reference, so there is nothing to compare"
        return ComparedVariant(variant=record.variant, backend=record.backend, verdict="diverges", note=note)
    divergence = kl_divergence(expected, found)
    worst, mean = int(divergence.argmax()), float(divergence.mean())
    parted = _first_difference(reference.record.tokens, record.tokens)
    margin = None if parted is None else reference.record.margins[parted]
    same = parted is None and np.array_equal(expected.view(np.uint32), found.view(np.uint32))
    return ComparedVariant(
        variant=record.variant,
        backend=record.backend,
        mean_divergence=mean,
        max_divergence=float(divergence[worst]),
        max_position=worst,
        top_agreement=float(np.mean(expected.argmax(axis=1) == found.argmax(axis=1))),
        first_difference=parted,
        margin=margin,
        verdict="same bits" if same else _judge(mean, margin),
    )


def _first_difference(reference: tuple[int, ...], other: tuple[int, ...]) -> int | None:
    pairs = enumerate(zip(reference, other, strict=True))
    return next((index for index, (expected, found) in pairs if expected != found), None)


def _judge(mean: float, margin: float | None) -> Verdict:
    """Return the verdict; written so that what is no number never passes."""
    sure = margin is not None and not margin < NEAR_TIE
    if mean < EQUIVALENT_BELOW and not sure:
        return "equivalent"
    return "drifts" if mean <= DIVERGES_ABOVE and not sure else "diverges"


def findings(rows: Iterable[ComparedVariant]) -> Iterator[Finding]:
    """Yield what the rows of a comparison say against their variants."""
    for row in rows:
        yield from _findings(row)


def _findings(row: ComparedVariant) -> Iterator[Finding]:
    if row.verdict == "unproven":
        yield Finding(
            code="EQUIV-UNPROVEN", where=row.variant, message=row.note, hint="compare it on a machine that can run it"
        )
    elif row.verdict == "failed":
        hint = "`truewheel smoke` runs that wheel alone and shows what it prints"
        yield Finding(code="EQUIV-FAILED", where=row.variant, message=row.note, hint=hint)
    elif row.mean_divergence is None:
        if row.verdict == "diverges":
            yield Finding(code="EQUIV-DIVERGES", where=row.variant, message=row.note, hint=_HINT)
    else:
        yield from _judged(row, row.mean_divergence)


_HINT = "the code that this variant takes computes something else: look at its compiler and its flags"


def _judged(row: ComparedVariant, mean: float) -> Iterator[Finding]:
    if not mean < EQUIVALENT_BELOW:
        code = "EQUIV-DRIFTS" if mean <= DIVERGES_ABOVE else "EQUIV-DIVERGES"
        hint = _HINT if code == "EQUIV-DIVERGES" else "compare with weights in F16, where rounding stays below 0.0001"
        words = (
            f"mean divergence {mean:.2g} nats, at most {row.max_divergence:.2g} at position {row.max_position}; "
            f"below {EQUIVALENT_BELOW} is equivalent, above {DIVERGES_ABOVE} is not"
        )
        yield Finding(code=code, where=row.variant, message=words, hint=hint)
    if row.first_difference is not None and row.margin is not None:
        near = row.margin < NEAR_TIE
        words = f"greedy token {row.first_difference} differs; the reference's two best were {row.margin:.2g} apart"
        yield Finding(
            code="EQUIV-NEAR-TIE" if near else "EQUIV-TOKENS",
            where=row.variant,
            message=words,
            hint="" if near else _HINT,
        )
