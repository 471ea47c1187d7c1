from dataclasses import replace

import numpy as np
import pytest
import rawpy
from contracts import UNET
from hypothesis import given
from hypothesis import strategies as st
from raw_files import BAYER, dng, scene

from quant.figures import amplified
from quant.pairs import Pairs
from quant.scenes import Leaves
from runtime.decode import read
from runtime.enhancing import Enhancer
from runtime.fake import Fake
from runtime.job import Wish
from runtime.pack import frame, planes
from runtime.root import CUT, ROWS, root, square, squared
from runtime.session import Session

ROOTED = replace(UNET, range="root", output="camera-root", multiple=4, halo=4)
LINEAR = replace(ROOTED, range="black-to-white", output="camera-linear")
ROUNDING = 4e-7  # of a value: a root and a product, each rounded to float32
ONE_LEVEL = 1.01 / 65535


@given(st.floats(-4, 4, width=32))
def test_the_square_of_the_root_is_the_light_below_black_too(light):
    there = root(np.array([light], np.float32))
    np.testing.assert_allclose(squared(there), [light], rtol=ROUNDING, atol=1e-37)  # below it roots lose bits
    assert there.dtype == np.float32


def test_both_work_in_place():
    light = np.array([-0.25, 0.0, 0.5, 1.0], np.float32)
    values = light.copy()
    assert root(values, out=values) is values
    assert values[0] == -0.5
    picture = np.tile(values, (3, ROWS + 5, 1))[:, :, ::2]  # no whole array, of more rows than one time's
    square(picture)
    np.testing.assert_allclose(picture, np.broadcast_to(light[::2], picture.shape), rtol=ROUNDING)


def test_a_network_of_roots_sees_the_noise_below_black_and_beyond_white(tmp_path):
    dng(tmp_path / "a.dng", scene(64, 64, light=(0.001, 0.001, 0.03)), pattern=BAYER["RGGB"])
    raw = read(tmp_path / "a.dng")
    cut = planes(raw, frame(raw, LINEAR), LINEAR, ratio=30)
    seen = planes(raw, frame(raw, ROOTED), ROOTED, ratio=30)
    assert CUT[0] <= seen.min() < 0
    assert 1 < seen.max() <= CUT[1]
    np.testing.assert_allclose(np.clip(squared(seen), 0, 1), cut, rtol=ROUNDING)
    far = planes(raw, frame(raw, ROOTED), ROOTED, ratio=300)
    assert far.max() == np.float32(CUT[1])


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_a_network_of_roots_gives_the_picture_of_the_one_of_light(strength, tmp_path):
    """The fake answers with the mean of its planes; with one light for all, that is the same in both."""
    dng(tmp_path / "a.dng", np.full((64, 96), 512 + 64, np.uint16), pattern=BAYER["RGGB"])
    raw, pictures = read(tmp_path / "a.dng"), []
    wish = Wish(format="dng", ratio="100", strength=strength)
    for contract in (LINEAR, ROOTED, replace(ROOTED, output="camera-linear")):
        enhancer = Enhancer(Session(fake := Fake(contract), ran=fake.ran), wish)
        job = enhancer.prepare(raw)
        enhancer.infer(job)
        enhancer.save(job, tmp_path / "out.dng")
        with rawpy.imread(str(tmp_path / "out.dng")) as opened:
            pictures.append(opened.raw_image[..., :3] / 65535)
    np.testing.assert_allclose(pictures[1], pictures[0], atol=ONE_LEVEL)
    assert pictures[0].mean() == pytest.approx(100 * 64 / (16383 - 512), abs=ONE_LEVEL)
    assert (np.abs(pictures[2] - pictures[0]).max() < ONE_LEVEL) == (strength == 0)


def test_pairs_for_it_are_those_of_light_under_the_root():
    (x, y), (dark, light) = (Pairs(c, seed=7, size=16, scenes=[Leaves(80)])[3] for c in (ROOTED, LINEAR))
    np.testing.assert_allclose(squared(y), light, rtol=ROUNDING)
    np.testing.assert_allclose(np.clip(squared(x), 0, 1), dark, rtol=ROUNDING)
    np.testing.assert_allclose(
        squared(amplified(ROOTED, root(dark[None]))), amplified(LINEAR, dark[None]), rtol=ROUNDING, atol=ROUNDING
    )
