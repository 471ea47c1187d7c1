"""Frames that a camera hands over."""

import numpy as np
import pytest

from runtime.raw import Raw

MOSAIC = np.full((4, 6), 100, np.uint16)


def test_a_mosaic_of_a_camera_says_where_its_colours_and_levels_are():
    raw = Raw.bayer(MOSAIC, "GBRG", black=[1, 2, 3, 4], white=1023, wb=(4, 2, 3))
    assert raw.pattern == ((1, 2), (0, 1))
    assert raw.black == ((1, 2), (3, 4))
    assert raw.wb == (2, 1, 1.5)
    assert raw.mosaic is MOSAIC
    assert Raw.bayer(MOSAIC, black=64, white=1023).black == ((64, 64), (64, 64))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"mosaic": MOSAIC.astype(np.int32)}, "uint16"),
        ({"mosaic": MOSAIC[..., None]}, "height, width"),
        ({"mosaic": MOSAIC[:1]}, "2 or more a side"),
        ({"order": "RGBG"}, "RGGB or BGGR"),
        ({"black": 1023}, "below white"),
        ({"black": [1, 2, 3]}, "one level or four"),
        ({"wb": (2, 0, 1)}, "gains above 0"),
        ({"wb": (2, 1)}, "three gains"),
        ({"cam2rgb": ((1, 0), (0, 1))}, "3 x 3"),
    ],
)
def test_what_no_camera_has_is_a_bug_of_the_caller(wrong, words):
    with pytest.raises(ValueError, match=words):
        Raw.bayer(**{"mosaic": MOSAIC, "black": 64, "white": 1023, **wrong})
