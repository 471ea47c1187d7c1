import tracemalloc

import numpy as np
import pytest

from keras_models.grid import Grid
from quant.histogram import BINS, Histogram
from quant.observe import METHODS, Entropy, MinMax, MovingAverage, Mse, Percentile, lost, squared_error
from runtime.errors import BadOption

BIN = 1 / 128  # of a value: how wide its bin is, at most
EVEN = 0.02  # of an error: values of a bin are taken for evenly spread, and these are few
ALIKE = 0.05  # of an error: sought one end at a time and on rungs of 4 %, where around the best one the error is flat


def bell(*, count=50_000, seed=3, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, count).astype(np.float32)


def spotted(values, *, height, share=2e-5):
    """The same with a few values far away."""
    values = values.copy()
    values[: max(int(share * values.size), 1)] = height
    return values


def seen(observer, *batches):
    for batch in batches:
        observer.see(batch)
    return observer


def rounding(values, ends, *, bits):
    grid = Grid.from_range(*ends, bits=bits)
    return float(np.square(grid.dequantize(grid.quantize(values)) - values, dtype=np.float64).sum())


@pytest.mark.parametrize("method", [m for m in METHODS if m != "average"])
def test_batches_in_any_order_give_the_range_of_the_whole(method):
    values = np.concatenate([bell(), np.maximum(bell(seed=4, scale=7), 0)])
    parts = np.array_split(values, 7)
    whole = seen(METHODS[method](8), values).range()
    assert whole == seen(METHODS[method](8), *parts).range()
    assert whole == seen(METHODS[method](8), *parts[::-1]).range()
    assert whole != seen(METHODS[method](8), *parts[:3]).range()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_range_never_reaches_beyond_what_was_seen(method, bits):
    for values in (bell(), np.maximum(bell(), 0), -np.abs(bell()), bell() * 1e-30, bell() * 1e30, bell(count=3)):
        low, high = seen(METHODS[method](bits), values).range()
        assert min(values.min(), 0) <= low <= high <= max(values.max(), 0)


def test_min_and_max_are_those_of_all_batches():
    assert seen(MinMax(), np.array([1.0, 2.0]), np.array([-3.0, 0.5])).range() == (-3.0, 2.0)


def test_a_moving_average_forgets_at_its_momentum():
    moving = seen(MovingAverage(momentum=0.75), np.array([0.0, 4.0]), np.array([-4.0, 8.0]))
    assert moving.range() == (-1.0, 5.0)
    assert seen(MovingAverage(momentum=0.0), np.array([0.0, 4.0]), np.array([-4.0, 8.0])).range() == (-4.0, 8.0)


@pytest.mark.parametrize("share", [0.9, 0.99, 0.999])
def test_a_percentile_is_that_of_all_values_within_a_bin(share):
    values = bell(scale=5)
    out = (1 - share) / 2
    found = seen(Percentile(share=share), *np.array_split(values, 5)).range()
    np.testing.assert_allclose(found, np.quantile(values, [out, 1 - out]), rtol=BIN)


def test_the_whole_share_is_the_whole_range():
    values = bell()
    assert seen(Percentile(share=1), values).range() == (values.min(), values.max())


def test_an_outlier_costs_the_other_values_no_resolution():
    values = bell()
    far = np.append(values, np.float32(1e9))
    near, beside = (seen(Percentile(share=0.99), v).range() for v in (values, far))
    np.testing.assert_allclose(near, beside, rtol=BIN)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("clip", [0.2, 0.7, 1.0])
@pytest.mark.parametrize("cut", [False, True])
def test_the_error_on_a_histogram_is_that_of_the_values(bits, clip, cut):
    values = np.maximum(bell(), 0) if cut else bell()
    ends = (float(min(values.min() * clip, 0)), float(values.max() * clip))
    found = squared_error(seen(Mse(), values).histogram.cells(), ends, bits=bits)
    assert found == pytest.approx(rounding(values, ends, bits=bits), rel=EVEN)


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("shape", ["bell", "relu", "leaky", "outlier"])
def test_no_clip_rounds_better_than_the_one_of_least_squared_error(bits, shape):
    values = bell(count=20_000)
    values = {
        "bell": values,
        "relu": np.maximum(values, 0),
        "leaky": np.where(values < 0, values / 5, values),
        "outlier": spotted(values, height=40),
    }[shape]
    ends = seen(Mse(bits=bits), values).range()
    low, high = min(values.min(), 0), values.max()
    best = min(
        rounding(values, (low * a, high * b), bits=bits)
        for a in np.geomspace(0.02, 1, 25)
        for b in np.geomspace(0.02, 1, 25)
    )
    assert rounding(values, ends, bits=bits) <= best * (1 + ALIKE)


@pytest.mark.parametrize("bits", [2, 4])
def test_few_bits_cut_off_what_many_keep(bits):
    values = bell()
    few, many = (seen(Mse(bits=b), values).range() for b in (bits, 8))
    assert few[1] < many[1] <= values.max()
    assert rounding(values, few, bits=bits) < 0.8 * rounding(values, (values.min(), values.max()), bits=bits)


@pytest.mark.parametrize("observer", [Percentile(), Mse(bits=4), Entropy(bits=8)], ids=lambda o: type(o).__name__)
def test_an_outlier_is_cut_off_and_an_even_spread_is_not(observer):
    even = np.random.default_rng(1).uniform(-1, 1, 50_000).astype(np.float32)
    kept = seen(type(observer)(**({"bits": observer.bits} if hasattr(observer, "bits") else {})), even).range()
    assert kept[1] - kept[0] > 0.9 * np.ptp(even)
    assert seen(observer, spotted(bell(), height=40)).range()[1] < 10
    assert seen(MinMax(), spotted(bell(), height=40)).range()[1] == 40  # it was there


def test_the_divergence_is_least_where_levels_lose_least():
    sizes = seen(Entropy(), np.abs(bell())).histogram.cells().mirrored()
    tight, good, wide = (lost(sizes, clip, levels=16, piece=40 / 2048) for clip in (0.3, 2.5, 40.0))
    assert good < tight
    assert good < wide
    # A density that is even within each level loses nothing, whatever the number of levels.
    steps = (np.arange(160_000) + 0.5) / 160_000
    flat = seen(Entropy(), steps.astype(np.float32)).histogram.cells().mirrored()
    assert lost(flat, 1.0, levels=8, piece=1 / 2048) < 1e-3


def test_a_clip_below_all_values_is_never_the_best():
    """An amplified frame has few levels, far apart: nothing lies below the first of them, and nothing would be lost."""
    levels = np.random.default_rng(2).exponential(0.1, 20_000)
    frame = np.minimum(np.rint(levels / 0.0063) * 0.0063, 1).astype(np.float32)
    assert seen(Entropy(), frame).range()[1] > np.quantile(frame, 0.9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 0.3, -2.0, 1e-40])
def test_values_that_never_move_have_a_range(method, value):
    low, high = seen(METHODS[method](8), np.full(100, value, np.float32)).range()
    assert np.isfinite([low, high]).all()
    assert low <= high


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_and_not_counted(method, odd):
    observer = seen(METHODS[method](8), bell(count=100))
    before = observer.range()
    with pytest.raises(ValueError, match="not finite"):
        observer.see(np.array([0, odd, 99], np.float32))
    assert observer.range() == before


@pytest.mark.parametrize("method", METHODS)
def test_nothing_seen_is_no_range(method):
    with pytest.raises(ValueError, match="no values"):
        METHODS[method](8).range()


@pytest.mark.parametrize("bad", [lambda: MovingAverage(momentum=1), lambda: Percentile(share=0.2)])
def test_options_that_cannot_be_are_refused(bad):
    with pytest.raises(BadOption):
        bad()


def test_a_histogram_counts_every_value_once_in_the_bin_it_lies_in():
    values = np.concatenate([bell(), -bell(), [0, -0.0, 3e38, -3e38, 1e-45]]).astype(np.float32)
    cells = seen(Histogram(), values).cells()
    assert cells.count.sum() == values.size
    assert (np.diff(cells.low) >= 0).all()
    assert (cells.low < cells.high).all()
    for low, high, count in zip(cells.low[::50], cells.high[::50], cells.count[::50], strict=True):
        inside = (values >= low) & (values < high) if low >= 0 else (values > low) & (values <= high)
        assert inside.sum() == count or low * high == 0  # the zeros have a bin of either sign


def test_an_observer_is_as_large_after_many_batches_as_after_one():
    def held(count):
        tracemalloc.start()
        observer = seen(Mse(), *(bell(seed=i) for i in range(count)))
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return observer, size

    (_, few), (observer, many) = held(1), held(20)
    assert observer.histogram.counts.nbytes == BINS * 8
    assert abs(many - few) < bell().nbytes / 10  # of one batch, when nineteen more were seen
