import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.timing import Times, interleaved

EXACT = 1e-12  # of a second: float64


class Machine:
    """A clock that goes on by what each call takes, and slows down as it likes."""

    def __init__(self):
        self.now, self.slow, self.order = 0.0, 1.0, []

    def call(self, name, seconds):
        def run():
            self.order.append(name)
            self.now += seconds * self.slow

        return run


def race(machine, takes, rounds):
    calls = {name: machine.call(name, seconds) for name, seconds in takes.items()}
    return interleaved(calls, rounds=rounds, clock=lambda: machine.now, sleep=lambda seconds: None)


def test_every_call_is_timed_as_often_and_each_round_begins_with_another():
    machine = Machine()
    found = race(machine, {"a": 1.0, "b": 2.0, "c": 3.0}, rounds=3)
    assert {name: times.median for name, times in found.items()} == pytest.approx({"a": 1, "b": 2, "c": 3}, abs=EXACT)
    assert "".join(machine.order) == "aabbcc" + "bbccaa" + "ccaabb"
    assert all(len(times.seconds) == 3 for times in found.values())


def test_a_machine_that_slows_down_slows_all_alike():
    takes = {"a": 1.0, "b": 2.0}

    def medians(*names):
        machine = Machine()

        def slowing():
            machine.slow *= 1.05
            return machine.now

        calls = {name: machine.call(name, takes[name]) for name in names}
        found = interleaved(calls, rounds=20, clock=slowing, sleep=lambda seconds: None)
        return [found[name].median for name in names]

    one, other = medians("a", "b")
    assert other / one == pytest.approx(2, rel=0.1)  # two calls of 5 % lie between
    (alone,) = medians("a")
    assert other / alone > 3  # timed at another hour


@given(st.lists(st.floats(0.001, 10), min_size=1, max_size=40))
def test_shares_of_calls_lie_between_the_shortest_and_the_longest_and_rise(seconds):
    times = Times(tuple(sorted(seconds)))
    assert min(seconds) <= times.median <= times.p95 + EXACT
    assert times.p95 <= max(seconds) + EXACT
    assert times.share(1) == max(seconds)


def test_the_median_of_two_lies_between_them():
    assert Times((1.0, 3.0)).median == 2.0


def test_no_round_is_refused():
    with pytest.raises(ValueError, match="0 rounds"):
        interleaved({}, rounds=0)
