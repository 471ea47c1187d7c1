"""Energy of a call, from counters and rails that tests move by hand."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.energy import SAMPLES, Energy, measured, trapezoids
from runtime.rails import Counted, Meters, Sampled

EXACT = 1e-9  # relative: float64
SHORT = 0.01  # seconds: a tenth of a second of sampling is not waited for where no rail is sampled


class Tank:
    """A counter that goes on by so many joules a call, and begins anew at its end."""

    def __init__(self, *, start=0.0, wraps=100.0):
        self.level, self.wraps, self.calls = start, wraps, 0

    def call(self, joules=2.0):
        self.calls += 1
        self.level = (self.level + joules) % self.wraps
        time.sleep(SHORT)

    def meters(self, **options):
        return Meters((Counted("tank", lambda: self.level, self.wraps),), **options)


@pytest.mark.parametrize("start", [0.0, 99.0])
def test_a_counter_gives_the_joules_of_one_call_even_if_it_begins_anew_meanwhile(start):
    tank = Tank(start=start)
    energy = measured(tank.call, tank.meters(), seconds=3 * SHORT)
    assert energy.joules == pytest.approx(2.0, rel=EXACT)
    assert energy.calls == tank.calls
    assert energy.why.startswith("tank")


def test_counters_of_several_parts_are_added_up():
    one, other = Tank(), Tank(start=50)
    both = Meters((*one.meters().found, *other.meters().found))

    def call():
        one.call()
        other.call(5.0)

    assert measured(call, both, seconds=SHORT).joules == pytest.approx(7.0, rel=EXACT)


def test_a_rail_of_steady_power_gives_its_power_times_the_time():
    lasted = []

    def call():
        begin = time.perf_counter()
        time.sleep(SHORT)
        lasted.append(time.perf_counter() - begin)

    energy = measured(call, Meters((Sampled("rail", lambda: 3.0),)), seconds=SHORT)
    # What lies between two calls is counted, and nothing else: a machine that is busy may take its time there.
    assert energy.joules >= 3.0 * sum(lasted) / len(lasted) * (1 - EXACT)
    assert energy.samples >= SAMPLES  # a call too short for them was repeated
    assert energy.calls == len(lasted)


def test_what_is_counted_is_said_and_idle_power_is_not_taken_off():
    energy = measured(Tank().call, Meters((Sampled("VDD_IN", lambda: 1.0),), note="no card"), seconds=SHORT)
    assert "VDD_IN" in energy.why
    assert "idle is in it" in energy.why
    assert energy.why.endswith("no card")


def test_a_machine_that_cannot_say_gives_no_figure_and_runs_nothing():
    tank = Tank()
    assert measured(tank.call, Meters((), "no sensor")) == Energy(None, "not measurable here: no sensor")
    assert tank.calls == 0


@pytest.mark.parametrize("answer", [OSError(11, "Try again"), ValueError("no number")])
def test_a_sensor_that_fails_on_the_way_is_said_and_nothing_is_made_up(answer):
    answers = itertools.chain([1.0, 1.0, answer], itertools.repeat(answer))

    def watts():
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    energy = measured(lambda: time.sleep(SHORT), Meters((Sampled("rail", watts),)))
    assert energy.joules is None
    assert energy.why.startswith("not measurable here: a sensor failed")


def counter(*levels, **options):
    return Counted("counter", iter(levels).__next__, **options)


@pytest.mark.parametrize(
    ("meter", "told"),
    [
        (counter(0.0, 0.0, wraps=100.0), "counter told 0 J"),
        (counter(100.0, 50.0), "counter told inf J"),
        (counter(5.0, float("nan")), "counter told nan J"),
        (Sampled("VDD_IN", lambda: -1.5), "VDD_IN told -"),
        (Sampled("VDD_IN", lambda: float("nan")), "VDD_IN told nan J"),
    ],
)
def test_what_no_run_can_take_is_no_measurement(meter, told):
    energy = measured(lambda: time.sleep(SHORT), Meters((meter,)), seconds=SHORT)
    assert energy.joules is None
    assert energy.why.startswith(f"not measurable here: {told}")


def test_a_rail_may_rest_while_another_works_but_none_may_give_back():
    tank = Tank()
    works, rests, gives = tank.meters().found, counter(7.0, 7.0), counter(7.0, 6.0, wraps=0.0)
    assert measured(tank.call, Meters((*works, rests)), seconds=SHORT).joules == pytest.approx(2.0, rel=EXACT)
    assert measured(tank.call, Meters((*works, gives)), seconds=SHORT).joules is None


@pytest.mark.parametrize("kind", [KeyError, OSError, ValueError])
def test_an_error_of_the_call_itself_is_not_taken_for_a_sensors(kind):
    def call():
        raise kind("mine")

    with pytest.raises(kind, match="mine"):
        measured(call, Meters((Sampled("rail", lambda: 1.0), *Tank().meters().found)))


@given(
    st.lists(st.floats(0.001, 10), min_size=2, max_size=30),
    st.floats(-5, 5),
    st.floats(0, 100),
)
def test_trapezoids_under_a_straight_line_are_exact_however_it_is_sampled(steps, slope, start):
    times = list(itertools.accumulate(steps))
    samples = [(t, start + slope * t) for t in times]
    begin, end = times[0], times[-1]
    exact = start * (end - begin) + slope * (end**2 - begin**2) / 2
    assert trapezoids(samples) == pytest.approx(exact, rel=1e-6, abs=1e-6)  # sums of thirty, some against another
