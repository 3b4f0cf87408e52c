"""One inference, step by step, in a locked-down child of its own."""

from __future__ import annotations

import pytest

from truewheel.child.smoke import STEPS


@pytest.mark.parametrize("step", STEPS)
def test_step_passes(record, step):
    found = next(item for item in record.steps if item.name == step)
    assert found.state == "passed", f"{found.state}: {found.reason or record.ending}\n{record.output}"


def test_child_was_locked_down(record):
    assert record.locked


def test_it_ends_well(record):
    assert record.ending == "passed"


def test_greedy_text_is_recorded_with_its_margins(record, model):
    facts = record.facts("decode")
    assert len(facts["tokens"]) == len(facts["margins"]) > 0
    assert all(margin >= 0 for margin in facts["margins"])
    assert model.expect in facts["text"]
