import itertools
import math
import random
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.plot import (
    BOTTOM,
    COLOURS,
    HEIGHT,
    LEFT,
    LETTER,
    LINE,
    PAPERS,
    RIGHT,
    TOP,
    WIDTH,
    Mark,
    Series,
    scatter,
    ticks,
)

SVG = "{http://www.w3.org/2000/svg}"
PIXEL = 0.01  # places are written to a hundredth
READABLE = 3.0  # the contrast that guidelines for the web ask of what is no text
ULPS = 1e-12  # of the greatest value: a float's own rounding of a tick
NUMBERS = st.floats(-1e12, 1e12).map(lambda v: float(f"{v:.9g}"))


def drawn(*series, **options):
    return ElementTree.fromstring(scatter(series, **{"x": "ms", "y": "dB", "title": "speed", **options}))


def one(*pairs, name="ours"):
    return Series(name, [Mark(*pair) for pair in pairs])


def middles(svg):
    return [(float(mark.get("cx")), float(mark.get("cy"))) for mark in svg.iter(f"{SVG}circle")]


def texts(svg, kind):
    return [text.text for text in svg.iter(f"{SVG}text") if text.get("class") == kind]


def boxes(svg):
    """The labels' boxes as wide as the writer takes them to be."""
    found = []
    for text in svg.iter(f"{SVG}text"):
        if text.get("class") == "label":
            left, foot = float(text.get("x")), float(text.get("y")) + 3
            found.append((left, foot - LINE, left + LETTER * len(text.text), foot))
    return found


def collide(a, b):
    return min(a[2], b[2]) - max(a[0], b[0]) > 2 * PIXEL and min(a[3], b[3]) - max(a[1], b[1]) > 2 * PIXEL


def within(x, y):
    return LEFT - PIXEL <= x <= WIDTH - RIGHT + PIXEL and TOP - PIXEL <= y <= HEIGHT - BOTTOM + PIXEL


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=12), st.booleans())
def test_every_point_that_has_a_place_lies_inside_the_axes(pairs, log):
    svg = drawn(one(*pairs), log_x=log)
    wanted = [
        pair for pair in pairs if (pair[0] >= 1e-100 or not log) and all(abs(v) >= 1e-100 or v == 0 for v in pair)
    ]
    assert len(middles(svg)) == len(wanted)
    assert all(within(*place) for place in middles(svg))


def test_a_point_outside_would_be_seen():
    assert not within(LEFT - 1, TOP)
    assert not within(LEFT, HEIGHT - BOTTOM + 1)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(NUMBERS, min_size=1, max_size=5), st.booleans())
def test_ticks_are_round_and_enclose_all_values(values, log):
    values = [abs(v) + 1e-9 for v in values] if log else values
    found = ticks(values, log=log)
    slack = ULPS * max(map(abs, values))
    assert found[0] <= min(values) + slack
    assert max(values) - slack <= found[-1]
    assert 2 <= len(found) <= 14
    assert list(found) == sorted(set(found))
    steps = [b - a for a, b in itertools.pairwise(found)]
    if log and not math.isclose(steps[0], steps[-1], rel_tol=1e-6):
        assert {is_round(tick) for tick in found} == {True}
    else:
        assert is_round(steps[0])


def is_round(value):
    """Whether it is 1, 2 or 5 times a power of ten."""
    return f"{abs(value):.5e}"[:7] in ("1.00000", "2.00000", "5.00000")


@pytest.mark.parametrize(("value", "so"), [(0.2, True), (5e7, True), (0.3, False), (1.01, False)])
def test_what_is_round(value, so):
    assert is_round(value) is so


def test_places_are_in_proportion_and_on_a_logarithmic_axis_in_ratio():
    (a, _), (b, _), (c, _) = middles(drawn(one((0, 0), (1, 0), (4, 0))))
    assert (c - a) / (b - a) == pytest.approx(4, abs=1e-3)
    (a, _), (b, _), (c, _) = middles(drawn(one((1, 0), (10, 0), (100, 0)), log_x=True))
    assert c - b == pytest.approx(b - a, abs=2 * PIXEL)
    (a, low), (b, high) = middles(drawn(one((0, 0), (1, 1))))
    assert a < b
    assert high < low  # pixels count downwards


def test_the_line_goes_through_what_nothing_beats():
    pairs = [(1, 1), (2, 5), (3, 4), (4, 6), (4, 2)]
    svg = drawn(one(*pairs))
    (line,) = svg.iter(f"{SVG}polyline")
    through = [tuple(map(float, place.split(","))) for place in line.get("points").split()]
    assert through == [middles(svg)[i] for i in (0, 1, 3)]
    assert not list(drawn(one(*pairs), pareto=False).iter(f"{SVG}polyline"))
    assert not list(drawn(one((1, 1), (2, 1))).iter(f"{SVG}polyline"))


def cloud(count, seed, spread=1.0):
    rng = random.Random(seed)
    return [(rng.uniform(0, spread), rng.uniform(0, spread), f"network {i}, w4a8") for i in range(count)]


@pytest.mark.parametrize("seed", range(12))
def test_twenty_labels_keep_clear_of_each_other_and_within_the_axes(seed):
    found = boxes(drawn(one(*cloud(20, seed))))
    assert len(found) == 20
    assert not any(collide(a, b) for i, a in enumerate(found) for b in found[:i])
    assert all(within(left, top) and within(right, bottom) for left, top, right, bottom in found)


def test_labels_that_collide_would_be_seen():
    assert collide((0, 0, 10, 10), (5, 5, 15, 15))
    assert not collide((0, 0, 10, 10), (10, 0, 20, 10))


def test_labels_of_points_on_a_heap_still_keep_clear():
    found = boxes(drawn(one(*((1, 1, f"same {i}") for i in range(8)), (9, 9))))
    assert not any(collide(a, b) for i, a in enumerate(found) for b in found[:i])
    assert list(drawn(one(*((1, 1, f"same {i}") for i in range(12)), (9, 9))).iter(f"{SVG}line"))


def test_what_has_no_place_is_left_out_and_told():
    pairs = [(1, 1), (math.nan, 2), (3, math.inf), (0, 4), (-1, 4)]
    assert texts(drawn(one(*pairs), log_x=True), "note") == ["4 points have no place on these axes"]
    svg = drawn(one(*pairs))
    assert (len(middles(svg)), texts(svg, "note")) == (3, ["2 points have no place on these axes"])
    assert texts(drawn(one((1, 1))), "note") == []
    assert texts(drawn(one((math.nan, 1))), "note") == ["1 point has no place on these axes", "nothing to show"]
    assert texts(drawn(), "note") == ["nothing to show"]


@pytest.mark.parametrize("value", [0.0, 5.0, -3e-7, 1e12, 1e-99])
@pytest.mark.parametrize("log", [False, True])
def test_one_point_and_equal_points_stand_inside(value, log):
    if log and value <= 0:
        value = 1e-5
    for pairs in ([(value, value)], [(value, value)] * 3):
        svg = drawn(one(*pairs), log_x=log)
        assert len(middles(svg)) == len(pairs)
        assert all(LEFT < x < WIDTH - RIGHT and TOP < y < HEIGHT - BOTTOM for x, y in middles(svg))


NASTY = "<b>&\"'</b> \x00\x1b ]]> \ud800 ü"


def test_whatever_is_written_is_escaped_and_stays_one_drawing():
    svg = drawn(one((1, 1, NASTY), name=NASTY), one((2, 2)), title=NASTY, x=NASTY, y=NASTY)
    shown = NASTY.replace("\x00\x1b", "  ").replace("\ud800", " ")
    assert texts(svg, "label") == [shown]
    assert texts(svg, "title") == [shown]
    assert shown in texts(svg, "name")
    assert not list(svg.iter(f"{SVG}b"))
    scatter([one((1, 1, NASTY))], x="", y="", title="").encode()  # it can be written to a file


def test_long_labels_are_cut():
    (label,) = texts(drawn(one((1, 1, "x" * 500))), "label")
    assert len(label) == 40
    assert label.endswith("…")
    assert all(
        within(left, top) and within(right, bottom) for left, top, right, bottom in boxes(drawn(one((1, 1, "x" * 500))))
    )


def test_series_differ_in_shape_and_colour_and_several_have_a_legend():
    svg = drawn(one((1, 1), name="a"), one((2, 2), name="b"))
    assert [name for name in texts(svg, "name") if name in "ab"] == ["a", "b"]
    assert len(list(svg.iter(f"{SVG}circle"))) == len(list(svg.iter(f"{SVG}polygon"))) == 2  # one a legend, one a mark
    assert "a" not in texts(drawn(one((1, 1), name="a")), "name")


def test_equal_inputs_give_equal_text():
    assert scatter([one(*cloud(9, 1))], x="a", y="b", title="c") == scatter(
        [one(*cloud(9, 1))], x="a", y="b", title="c"
    )
    assert scatter([one(*cloud(9, 1))], x="a", y="b", title="c") != scatter(
        [one(*cloud(9, 2))], x="a", y="b", title="c"
    )


def contrast(one, other):
    """By the guidelines for accessible content on the web."""

    def light(colour):
        parts = (int(part, 16) / 255 for part in re.findall("[0-9a-f]{2}", colour))
        return sum(
            w * (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4)
            for w, p in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
        )

    dark, bright = sorted((light(one), light(other)))
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("paper", PAPERS)
def test_every_colour_stands_out_on_white_and_on_black(paper):
    assert all(contrast(colour, paper) >= READABLE for colour in COLOURS)
    assert contrast("#ffff80", PAPERS[0]) < READABLE
