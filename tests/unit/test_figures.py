"""When a ratio of speeds is a verdict, and when it is noise."""

from __future__ import annotations

import pytest

from truewheel.figures import inside_noise


@pytest.mark.parametrize(
    ("ratio", "noise", "inside"),
    [
        ((1.34, 1.24, 1.52), (0.84, 0.375, 1.05), True),
        ((3.22, 2.83, 3.72), (0.87, 0.479, 1.02), False),
        ((1.10, 0.98, 1.20), (1.00, 0.99, 1.01), True),
        ((1.10, 1.05, 1.20), (1.00, 0.99, 1.01), False),
        ((0.80, 0.75, 0.85), (1.00, 0.99, 1.01), False),
        ((0.80, 0.75, 0.85), (1.10, 0.99, 1.30), True),
    ],
)
def test_a_ratio_inside_the_noise_floor_is_no_verdict(ratio, noise, inside):
    assert inside_noise(ratio, noise) is inside
