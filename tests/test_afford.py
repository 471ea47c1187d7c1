from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import afford as module
from runtime.afford import Need, afford
from runtime.errors import TooLittleMemory

CONTRACT = SimpleNamespace(multiple=16, halo=32)
FRAME = SimpleNamespace(height=320, width=480)
PIXELS = FRAME.height * FRAME.width
NEED = Need(fixed=1000, per_pixel=100, kept=lambda plan: 24 * PIXELS, picture=24 * PIXELS, encoded=0)
LEAST = 1000 + 24 * PIXELS + 100 * 80 * 80  # what is kept, and the smallest window


def took(most, need=NEED, **options):
    return afford(FRAME, CONTRACT, need, promised=most, base=0, **options)


def test_with_room_for_all_it_is_one_window_and_nothing_is_shelved():
    free = took(2**40, may_shelve=True)
    assert (len(free.plan.rows), len(free.plan.columns), free.shelved) == (1, 1, False)
    assert free.peak == 1000 + 124 * PIXELS


@given(most=st.integers(LEAST, 2 * LEAST), encoded=st.integers(0, PIXELS))
def test_a_promise_is_kept_and_shelving_never_asks_for_more(most, encoded):
    need = Need(fixed=1000, per_pixel=100, kept=NEED.kept, picture=NEED.picture, encoded=encoded)
    plain, may = took(most, need), took(most, need, may_shelve=True)
    for one in (plain, may):
        assert one.peak == int(need.peak(one.plan, shelved=one.shelved)) <= most
    assert may.plan.pixels <= plain.plan.pixels


def test_a_picture_goes_to_disk_where_windows_would_be_too_small_and_not_before():
    assert took(LEAST + 2**16, may_shelve=True).shelved
    assert not took(1000 + 124 * PIXELS, may_shelve=True).shelved


def test_what_no_plan_keeps_is_refused_with_the_least_that_would_do():
    with pytest.raises(TooLittleMemory) as caught:
        took(LEAST - 1)
    assert caught.value.least == LEAST
    assert took(LEAST).peak == LEAST


def test_without_a_promise_it_keeps_to_what_is_free_and_runs_though_that_is_too_little(monkeypatch):
    monkeypatch.setattr(module, "available", lambda: 2 * LEAST)
    assert took(None).peak <= 2 * LEAST * module.SHARE
    monkeypatch.setattr(module, "available", lambda: 1)
    assert took(None).peak == LEAST
    monkeypatch.setattr(module, "available", lambda: 0)  # it cannot be known
    assert len(took(None).plan.rows) == 1
