from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.front import Cost, front
from quant.sensitivity import WIDTHS, Kernel, Sensitivity

DENSE = Cost(packing="dense")
WORK = Cost(0.0, 1.0)
FLOAT64 = 1e-9  # of a sum

ERRORS = st.lists(st.floats(1e-9, 1), min_size=3, max_size=3)


def known(errors, *, widths=(2, 4, 8), weights=(64, 256, 100), macs=(900, 100, 400)):
    names = "abc"[: len(errors)]
    kernels = {name: Kernel(name, weights[i], 4, macs[i]) for i, name in enumerate(names)}
    return Sensitivity(
        kernels, {name: dict(zip(widths, e, strict=True)) for name, e in zip(names, errors, strict=True)}, 1.0
    )


def all_points(found, cost):
    """(cost, error) of every assignment there is."""
    for choice in product(*(errors.items() for errors in found.errors.values())):
        paid = sum(cost.of(kernel, bits) for kernel, (bits, _) in zip(found.kernels.values(), choice, strict=True))
        yield paid, sum(error for _, error in choice)


def beaten(found, cost, bits_of):
    """Whether some assignment costs less and errs less."""
    paid = sum(cost.of(found.kernels[name], bits) for name, bits in bits_of.items())
    error = found.added(bits_of) * (1 - FLOAT64)
    return any(p < paid and e < error for p, e in all_points(found, cost))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(ERRORS, min_size=1, max_size=3), st.sampled_from([DENSE, WORK, Cost()]))
def test_no_assignment_of_all_beats_a_point_of_the_front(errors, cost):
    found = known(errors)
    assert not any(beaten(found, cost, point.bits_of) for point in front(found, cost=cost).points)


def test_an_assignment_that_is_beaten_would_be_seen():
    found = known([[0.5, 0.2, 0.1], [0.5, 0.2, 0.1]])
    assert beaten(found, DENSE, {"a": 2, "b": 8})
    assert not beaten(found, DENSE, {"a": 8, "b": 8})


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(ERRORS, min_size=1, max_size=3), st.sampled_from([DENSE, WORK, Cost()]))
def test_the_front_falls_in_cost_and_in_figure_from_its_best_to_its_cheapest(errors, cost):
    found = known(errors)
    points = front(found, cost=cost).points
    assert all(cost.paid(one) > cost.paid(other) for one, other in pairwise(points))
    assert all(one.error_db >= other.error_db - FLOAT64 for one, other in pairwise(points))
    every = list(all_points(found, cost))
    assert cost.paid(points[-1]) == min(paid for paid, _ in every)
    assert found.added(points[0].bits_of) == pytest.approx(min(error for _, error in every))


def test_a_fragile_kernel_keeps_its_bits_longest():
    points = front(
        known([[1e-3, 1e-4, 1e-6], [1e-1, 1e-2, 1e-4], [1e-3, 1e-4, 1e-6]], weights=(64, 64, 64)), cost=DENSE
    ).points
    assert points[0].bits_of == dict.fromkeys("abc", 8)
    order = [name for one, other in pairwise(points) for name in "abc" if one.bits_of[name] != other.bits_of[name]]
    assert order[-1] == "b"
    even = front(known([[1e-3, 1e-4, 1e-6]] * 3, weights=(64, 64, 64)), cost=DENSE).points
    assert even[-2].bits_of["b"] == 2  # of equal ones the last is not the second


def test_corners_that_save_nothing_are_not_gone_to():
    errors = [[0.5, 0.4, 0.3, 0.2, 0.15, 0.1]]
    (one, other) = front(known(errors, widths=WIDTHS), cost=Cost()).points
    assert (one.bits_of, other.bits_of) == ({"a": 8}, {"a": 4})
    assert len(front(known(errors, widths=WIDTHS), cost=DENSE).points) > 2


def test_widths_are_those_that_save_something():
    assert Cost().widths == (4, 8)
    assert DENSE.widths == WORK.widths == Cost(1.0, 1.0).widths == WIDTHS


def test_points_tell_what_they_cost():
    found = known([[0.4, 0.2, 0.1], [0.4, 0.2, 0.1]])
    last = front(found, cost=DENSE).points[-1]
    assert last.bytes == 64 * 2 / 8 + 256 * 2 / 8 + 2 * 16
    assert last.mac_bits == 2 * 1000
    assert last.figure is None
    assert front(found).points[-1].bytes == 64 / 2 + 256 / 2 + 2 * 16
