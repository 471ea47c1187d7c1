import numpy as np
import pytest

from runtime.srgb import light, shown

STEP = 1 / 65535  # of the finest picture: the curve's two halves meet, to much less than that


def test_there_and_back_is_where_one_was():
    levels = np.linspace(0, 1, 65536)
    np.testing.assert_allclose(shown(light(levels)), levels, atol=STEP / 1000)


@pytest.mark.parametrize(("level", "there"), [(0, 0), (1, 1), (0.5, 0.21404), (0.735357, 0.5)])
def test_known_values(level, there):
    assert light(np.array(level)) == pytest.approx(there, abs=1e-5)
    assert shown(np.array(there)) == pytest.approx(level, abs=1e-5)


@pytest.mark.parametrize("function", [light, shown])
def test_it_rises_everywhere_below_nothing_too_and_keeps_its_kind(function):
    values = function(np.linspace(-1, 2, 10001, dtype=np.float32))
    assert values.dtype == np.float32
    assert (np.diff(values) > 0).all()
