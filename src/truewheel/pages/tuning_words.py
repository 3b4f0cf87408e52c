"""What a tuning came to, in sentences."""

from __future__ import annotations

from truewheel.measure.result import Trial, Tuning
from truewheel.pages.benchmark_words import model_words, settings_words
from truewheel.text import number_words

_MINUTE = 60
_GOALS = {
    "decode": "tokens generated a second",
    "prefill": "tokens of a prompt a second",
    "latency": "the time of a short answer",
    "memory": "memory",
}


def find_trial(tuning: Tuning, number: int) -> Trial | None:
    """Return a trial by its number; None where there is none."""
    return next((trial for trial in tuning.trials if trial.number == number), None)


def outcome_words(tuning: Tuning) -> list[str]:
    """Say what was looked for, what was found, and what it changes; each sentence for itself."""
    died = sum(trial.prefill <= 0 and trial.decode <= 0 for trial in tuning.trials)
    words = [
        f"{tuning.engine} with {model_words(tuning.model)}; goal: {_GOALS.get(tuning.goal, tuning.goal)}.",
        f"{number_words(len(tuning.trials), 'setting')} tried in {_time_words(tuning.seconds)} of "
        f"{_time_words(tuning.budget)}" + (f"; {died} of them did not run." if died else "."),
        _rank_words(tuning),
    ]
    if tuning.winner != 1:
        words.append(_answer_words(tuning))
    return words


def _rank_words(tuning: Tuning) -> str:
    winner, second = find_trial(tuning, tuning.winner), find_trial(tuning, tuning.runner_up)
    if winner is None:
        return "Nothing won."
    if winner.number == 1:
        words = "The engine's own defaults won: nothing was better in the last comparison, beyond the noise."
    else:
        words = f"Trial {winner.number} won the last comparison: {settings_words(winner.settings)}."
    if second is not None:
        words += f" Next came trial {second.number}: {settings_words(second.settings)}."
    return words


def _answer_words(tuning: Tuning) -> str:
    if tuning.divergence is None:
        return "Nothing of the winner's settings can change what the engine answers."
    nats = f"{tuning.divergence:.2g} nats"
    return f"The winner's answers differ from the defaults' by a mean KL divergence of {nats} a token."


def _time_words(seconds: float) -> str:
    return f"{seconds / _MINUTE:.1f} min" if seconds >= _MINUTE else f"{seconds:.0f} s"
