"""Random blocks: what they are when they are dequantized."""

import gguf
import numpy as np
import pytest

from truewheel.models.gguf_types import BY_NAME
from truewheel.models.random_blocks import random_rows

COLUMNS, ROWS = 1024, 256
QUANTIZED = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]


def make(name, spread=COLUMNS**-0.5, seed=7, rows=ROWS):
    return random_rows(np.random.PCG64(seed), BY_NAME[name], COLUMNS, rows, spread)


def weights(name, data):
    return gguf.quants.dequantize(data, gguf.GGMLQuantizationType[name]).reshape(-1, COLUMNS)


@pytest.mark.parametrize("name", QUANTIZED)
@pytest.mark.parametrize("spread", [0.25, 896**-0.5, 8960**-0.5])
def test_weights_have_the_spread_that_was_asked_for_and_no_mean(name, spread):
    values = weights(name, make(name, spread))
    assert values.std() == pytest.approx(spread, rel=0.02)
    assert abs(values.mean()) < spread * 0.02


@pytest.mark.parametrize("name", QUANTIZED)
def test_inputs_of_a_spread_of_1_keep_it(name):
    inputs = np.random.Generator(np.random.PCG64(1)).standard_normal((COLUMNS, 64), dtype=np.float32)
    assert (weights(name, make(name)) @ inputs).std() == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("name", QUANTIZED)
def test_inputs_that_are_all_alike_do_not_add_up(name):
    assert (weights(name, make(name)) @ np.ones(COLUMNS, np.float32)).std() < 2 * COLUMNS**0.5 * COLUMNS**-0.5


@pytest.mark.parametrize("spread", [0.25, 896**-0.5, 8960**-0.5])
def test_half_precision_is_near_the_spread(spread):
    values = make("F16", spread).view(np.float16).astype(np.float32)
    assert np.isfinite(values).all()
    assert spread / 2**0.5 * 0.98 < values.std() < spread * 2**0.5 * 1.02
    assert abs(values.mean()) < spread * 0.02


@pytest.mark.parametrize("name", [*QUANTIZED, "F16"])
def test_the_same_bits_make_the_same_bytes_and_others_make_others(name):
    assert make(name).nbytes == COLUMNS * ROWS // BY_NAME[name].weights * BY_NAME[name].size
    assert (make(name) == make(name)).all()
    assert (make(name, seed=8) != make(name)).mean() > 0.5


@pytest.mark.parametrize("name", [*QUANTIZED, "F16"])
def test_a_single_row_is_enough(name):
    assert make(name, rows=1).nbytes == COLUMNS // BY_NAME[name].weights * BY_NAME[name].size


def test_8_bit_integers_are_never_the_lowest():
    whole = make("Q8_0").reshape(-1, 34)[:, 2:].view(np.int8)
    assert (whole.min(), whole.max()) == (-127, 127)


@pytest.mark.parametrize("name", ["Q4_K", "Q5_K"])
def test_packed_scales_and_minimums_are_alike_and_large(name):
    packed = make(name).reshape(-1, BY_NAME[name].size)[:, 4:16]
    scales, minimums = gguf.quants.Q4_K.get_scale_min(packed)
    assert (scales == minimums).all()
    assert (scales.min(), scales.max()) == (32, 63)
    assert len(np.unique(scales)) == 32


def test_scales_of_q6_k_are_large_and_of_either_sign():
    scales = make("Q6_K").reshape(-1, 210)[:, 192:208].view(np.int8).astype(int)
    assert set(np.unique(scales)) == {*range(-128, -64), *range(64, 128)}
