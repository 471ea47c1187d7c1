from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.tiles import best, plans, windows


def contract(multiple, halo):
    return SimpleNamespace(multiple=multiple, halo=halo)


@given(
    cells=st.integers(1, 60), count=st.integers(1, 70), multiple=st.sampled_from([1, 8, 16]), reach=st.integers(0, 8)
)
def test_windows_are_of_one_size_and_keep_every_pixel_once_a_halo_from_every_cut(cells, count, multiple, reach):
    length, halo = cells * multiple, reach * multiple
    row = windows(length, count, multiple=multiple, halo=halo)
    assert len({w.end - w.begin for w in row}) == 1
    assert len(row) <= count
    kept = [i for w in row for i in range(w.keep_begin, w.keep_end)]
    assert kept == list(range(length))
    for w in row:
        assert 0 <= w.begin <= w.keep_begin < w.keep_end <= w.end <= length
        assert w.begin % multiple == w.end % multiple == w.keep_begin % multiple == 0
        assert w.begin == 0 or w.keep_begin - w.begin >= halo
        assert w.end == length or w.end - w.keep_end >= halo


@settings(max_examples=40)
@given(height=st.integers(1, 12), width=st.integers(1, 12), most=st.integers(1, 200_000))
def test_the_best_plan_fits_or_is_the_smallest_there_is(height, width, most):
    def cost(plan):
        return plan.height * plan.width

    made = contract(16, 32)
    height, width = 16 * height, 16 * width
    plan = best(height, width, made, cost=cost, most=most)
    every = list(plans(height, width, made))
    assert cost(plan) <= most or cost(plan) == min(map(cost, every))
    assert all(plan.pixels <= other.pixels for other in every if cost(other) <= most)
    seen = np.zeros((height, width), int)
    for row, column in plan:
        seen[row.keep_begin : row.keep_end, column.keep_begin : column.keep_end] += 1
    assert (seen == 1).all()


def test_with_room_for_all_there_is_one_window_and_without_a_halo_there_is_no_other():
    whole = best(1424, 2128, contract(16, 96), cost=lambda plan: 0, most=1)
    assert (len(whole.rows), len(whole.columns), whole.pixels) == (1, 1, 1424 * 2128)
    (only,) = plans(64, 96, contract(16, None))
    assert (only.height, only.width) == (64, 96)


def test_where_memory_costs_as_much_as_work_windows_are_as_small_as_their_halos_allow():
    made = contract(8, 48)
    plan = best(1424, 2128, made, cost=lambda plan: 0, most=1, fresh=1.0)
    assert (len(plan.rows), len(plan.columns)) == (2, 3)
    assert plan.pixels < 1.2 * 1424 * 2128  # the work grows by a fifth, the memory is a fifth
    assert plan.height * plan.width < 1424 * 2128 / 5
    small = best(256, 256, made, cost=lambda plan: 0, most=1, fresh=1.0)
    assert (len(small.rows), len(small.columns)) == (1, 1)


def test_a_halo_that_is_too_small_shows():
    """The control: windows of a smaller halo keep pixels that see a cut."""
    row = windows(640, 4, multiple=16, halo=32)
    assert any(w.begin and w.keep_begin - w.begin < 96 for w in row)


@pytest.mark.parametrize("pixels", [300_000, 1_000_000])
def test_a_frame_of_12_megapixels_is_planned_with_little_waste(pixels):
    plan = best(1424, 2128, contract(16, 96), cost=lambda plan: plan.height * plan.width, most=pixels)
    assert plan.pixels / (1424 * 2128) < {300_000: 2.1, 1_000_000: 1.3}[pixels]
