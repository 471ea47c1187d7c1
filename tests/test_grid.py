import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_models.grid import Grid
from runtime.errors import BadGrid

# TensorFlow shifts by the low end and multiplies by 1 / scale: of at most 255 steps the last bits of float32 are lost
# about three times, which moves a tie by this part of a step.
NEAR_A_TIE = 255 * 3 * 2**-23
BITS = range(2, 9)


def steps_of(x, grid):
    return x.astype(np.float64) / grid.scale.astype(np.float64)


def from_a_tie(x, grid):
    """How far x lies from the middle between two levels, in steps."""
    return np.abs(np.mod(steps_of(x, grid), 1) - 0.5)


def fake_quant_differs(theirs, x, grid):
    """Asserts that TensorFlow's output is that of the grid, one step at a tie apart; the share that differs."""
    off = np.abs(np.rint(steps_of(theirs, grid)) + grid.zero - grid.quantize(x))
    assert (np.abs(steps_of(theirs, grid) - np.rint(steps_of(theirs, grid))) < NEAR_A_TIE).all()
    assert off.max() <= 1
    assert (from_a_tie(x, grid)[off > 0] < NEAR_A_TIE).all()
    return np.mean(off > 0)


def ranges(bits):
    rng = np.random.default_rng(bits)
    yield 0.0, 1.0
    yield -1.0, 0.0
    yield -1.0, 1.0
    for size in (1e-3, 1.0, 40.0):
        low, high = rng.random(2) * size
        yield -low, high


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("bits", BITS)
def test_a_grid_of_a_range_rounds_as_tensorflow_does_but_at_ties(bits, narrow):
    rng = np.random.default_rng(0)
    for low, high in ranges(bits):
        x = rng.uniform(1.5 * low - 0.1 * high, 1.5 * high - 0.1 * low, 20_000).astype(np.float32)
        grid = Grid.from_range(low, high, bits=bits, narrow=narrow)
        theirs = tf.quantization.fake_quant_with_min_max_vars(x, low, high, bits, narrow).numpy()
        assert fake_quant_differs(theirs, x, grid) < 1e-3
        ties = ((np.arange(grid.low, grid.high) - grid.zero + 0.5) * grid.scale).astype(np.float32)
        fake_quant_differs(
            tf.quantization.fake_quant_with_min_max_vars(ties, low, high, bits, narrow).numpy(), ties, grid
        )


def test_the_comparison_with_tensorflow_sees_a_scale_that_is_a_thousandth_off():
    x = np.random.default_rng(0).uniform(-0.4, 1.2, 20_000).astype(np.float32)
    theirs = tf.quantization.fake_quant_with_min_max_vars(x, -0.37, 1.13).numpy()
    grid = Grid.from_range(-0.37, 1.13)
    with pytest.raises(AssertionError):
        fake_quant_differs(theirs, x, dataclasses.replace(grid, scale=grid.scale * np.float32(1.001)))
    with pytest.raises(AssertionError):
        fake_quant_differs(theirs, x, dataclasses.replace(grid, zero=grid.zero + 1))


@pytest.mark.parametrize("bits", BITS)
def test_a_symmetric_grid_a_channel_rounds_as_tensorflow_does_but_at_ties(bits):
    rng = np.random.default_rng(bits)
    high = np.array([0.01, 0.3, 1, 7.7], np.float32)
    grid = Grid(high / np.float32((1 << (bits - 1)) - 1), bits=bits, signed=True, narrow=True)
    x = (rng.uniform(-1.2, 1.2, (20_000, 4)) * high).astype(np.float32)
    theirs = tf.quantization.fake_quant_with_min_max_vars_per_channel(x, -high, high, bits, narrow_range=True).numpy()
    assert fake_quant_differs(theirs, x, grid) < 1e-3


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    low=st.floats(-50, 0, width=32), high=st.floats(0, 50, width=32), bits=st.sampled_from(BITS), narrow=st.booleans()
)
def test_zero_is_a_level_and_the_range_is_nudged_by_half_a_step_at_most(low, high, bits, narrow):
    if high - low < 1e-30:
        return
    grid = Grid.from_range(low, high, bits=bits, narrow=narrow)
    assert grid.holds(np.float32(0))
    half = grid.scale * (0.5 + NEAR_A_TIE)
    assert abs(grid.levels[0] - low) <= half
    assert abs(grid.levels[-1] - high) <= half
    assert len(grid.levels) == (1 << bits) - narrow


def test_a_zero_just_below_the_middle_of_two_levels_is_nudged_down():
    # -low / scale is 0.49999997: adding a half in float32 would make it 1.
    below = np.nextafter(np.float32(0.5), np.float32(0))
    assert below + np.float32(0.5) == 1
    assert Grid.from_range(-below, 255 - below).zero == 0
    assert Grid.from_range(-0.5, 254.5).zero == 1


grids = st.builds(
    lambda scale, bits, signed, narrow, where: Grid(
        np.float32(scale),
        round(where * ((1 << bits) - 1 - narrow)) + narrow - signed * (1 << (bits - 1)),
        bits,
        signed,
        narrow,
    ),
    st.floats(2**-20, 2**20, width=32),
    st.sampled_from(BITS),
    st.booleans(),
    st.booleans(),
    st.floats(0, 1),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(grids)
def test_levels_come_back_from_their_values_and_rise_by_the_scale(grid):
    q = np.arange(grid.low, grid.high + 1)
    np.testing.assert_array_equal(grid.quantize(grid.levels), q)
    np.testing.assert_array_equal(grid.dequantize(q), grid.levels)
    assert (np.diff(grid.levels) > 0).all()
    assert grid.holds(grid.levels)
    assert not grid.holds(grid.levels + grid.scale / 4)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(grids, st.floats(-(2**30), 2**30, width=32))
def test_a_value_goes_to_the_nearest_level_and_outside_to_the_last(grid, x):
    q = grid.quantize(np.float32(x))
    assert q.dtype == np.int32
    assert grid.low <= q <= grid.high
    nearest = np.abs(grid.levels.astype(np.float64) - x)
    ours = abs(float(grid.dequantize(q)) - x)
    # A quotient is rounded to float32 before it is rounded to a whole number.
    assert ours <= nearest.min() + NEAR_A_TIE * float(grid.scale) + abs(x) * 2**-23


@pytest.mark.parametrize(
    ("bits", "signed", "narrow", "low", "high"),
    [
        (8, False, False, 0, 255),
        (8, True, False, -128, 127),
        (8, True, True, -127, 127),
        (6, False, False, 0, 63),
        (6, False, True, 1, 63),
        (2, True, False, -2, 1),
        (2, True, True, -1, 1),
    ],
)
def test_a_grid_saturates_at_its_own_levels(bits, signed, narrow, low, high):
    grid = Grid(np.array(0.5), low if not signed else 0, bits, signed, narrow)
    assert (grid.low, grid.high) == (low, high)
    np.testing.assert_array_equal(grid.quantize(np.float32([-1e30, 1e30, -np.inf, np.inf])), [low, high, low, high])


def test_a_tie_goes_to_the_even_level():
    grid = Grid(np.array(0.25), bits=4, signed=True)
    np.testing.assert_array_equal(grid.quantize(np.float32([0.125, 0.375, 0.625, -0.125, -0.375])), [0, 2, 2, 0, -2])


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -2])
def test_a_scale_a_channel_lies_along_its_axis(axis):
    shape = (2, 3, 4, 5)
    scale = np.float32([0.1, 0.3, 0.7, 1.1, 1.3])[: shape[axis]]
    grid = Grid(scale, bits=4, signed=True, axis=axis)
    x = np.random.default_rng(0).normal(0, 2, shape).astype(np.float32)
    q = grid.quantize(x)
    for i, one in enumerate(scale):
        channel, alone = np.take(x, i, axis), Grid(one, bits=4, signed=True)
        np.testing.assert_array_equal(np.take(q, i, axis), alone.quantize(channel))
        np.testing.assert_array_equal(np.take(grid.dequantize(q), i, axis), alone.dequantize(alone.quantize(channel)))
        np.testing.assert_array_equal(grid.levels[:, i], alone.levels)
    assert grid.holds(grid.dequantize(q))
    assert not grid.holds(x)


@pytest.mark.parametrize("scale", [0, -1, np.nan, np.inf, 1e39, 1e-40, [0.1, 0], [0.1, np.nan], [], [[0.1]]], ids=str)
def test_a_scale_that_cannot_be_is_refused(scale):
    with pytest.raises(BadGrid, match="scale"):
        Grid(np.array(scale))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bits": 1}, "1 bits"),
        ({"bits": 9}, "9 bits"),
        ({"zero": 256}, "zero point 256"),
        ({"zero": -1}, "zero point -1"),
        ({"zero": 0, "narrow": True}, "zero point 0"),
        ({"zero": 128, "signed": True}, "zero point 128"),
        ({"zero": 3.5}, "zero point 3.5"),
        ({"zero": np.nan}, "zero point nan"),
    ],
)
def test_levels_that_cannot_be_are_refused(options, words):
    with pytest.raises(BadGrid, match=words):
        Grid(np.array(0.1), **options)


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 0), (1, 0), (0.1, 1), (-1, -0.1), (np.nan, 1), (0, np.nan), (-np.inf, 1), (0, np.inf), (0, 1e39), (0, 1e-46),
     (-3e38, 3e38), (0, 1e-37)],
)  # fmt: skip
def test_a_range_that_cannot_be_is_refused(low, high):
    with pytest.raises(BadGrid, match="the range"):
        Grid.from_range(low, high)


@pytest.mark.parametrize("bits", [-1, 0, 1, 9])
def test_a_range_of_bits_that_cannot_be_is_refused(bits):
    with pytest.raises(BadGrid, match="bits"):
        Grid.from_range(0, 1, bits=bits, narrow=True)


@pytest.mark.parametrize("scale", [np.float32(0.1), np.float32([0.1, 0.7])], ids=["one", "a channel"])
def test_equal_grids_are_equal_hash_alike_and_come_back_from_json(scale):
    grid = Grid(scale, 3, 5, signed=True, narrow=True, axis=2)
    again = Grid(**json.loads(json.dumps(grid.to_config())))
    assert again == grid
    assert hash(again) == hash(grid)
    assert len({grid, again}) == 1
    np.testing.assert_array_equal(again.levels, grid.levels)


def test_grids_that_differ_in_one_field_are_not_equal():
    grid = Grid(np.float32([0.1, 0.7]), 3, 5, signed=True)
    scale = np.nextafter(grid.scale, np.float32(1))
    others = [{"scale": scale}, {"zero": 2}, {"bits": 6}, {"signed": False}, {"narrow": True}, {"axis": 2}]
    for other in others:
        assert dataclasses.replace(grid, **other) != grid
    assert grid != "a grid"
    assert Grid(np.float32(0.5)) != Grid(np.float32([0.5]))


def test_a_grid_keeps_its_own_scale():
    scale = np.float32([0.1, 0.7])
    grid = Grid(scale)
    scale[0] = 9
    assert grid.scale[0] == np.float32(0.1)
    with pytest.raises(ValueError, match="read-only"):
        grid.scale[0] = 9


def test_a_grid_holds_its_levels_to_the_last_bits_and_nothing_else():
    grid = Grid(np.array(0.1), 10, 6)
    assert grid.holds(np.nextafter(grid.levels, np.float32(np.inf)))
    assert not grid.holds(grid.levels + np.float32(1e-3))
    for foreign in (np.nan, np.inf, grid.levels[-1] + grid.scale, grid.levels[0] - grid.scale):
        assert not grid.holds(np.float32([0, foreign]))
