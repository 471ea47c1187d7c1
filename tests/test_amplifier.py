"""The model that is none is the frame amplified, as --strength 0 shows it."""

import numpy as np
import pytest
from eval_pairs import UPRIGHT, colours, fake, mosaic
from raw_files import BAYER, X_TRANS, dng

from runtime.amplifier import amplifier
from runtime.decode import read
from runtime.enhancing import Enhancer
from runtime.job import Wish
from runtime.session import open as open_model
from runtime.tiles import plans

ONE_LEVEL = 1  # of 65535: the curve is looked up at a light that was rounded once more


def frame(path, size=(120, 150), *, pattern=BAYER["RGGB"], ratio=20):
    dng(path, mosaic(colours(*size), ratio=ratio, pattern=pattern), pattern=pattern, about=UPRIGHT)
    return read(path)


def made(session, raw, *, ratio="20", **wish):
    enhancer = Enhancer(session, Wish(ratio=ratio, **wish))
    job = enhancer.prepare(raw)
    enhancer.infer(job)
    return job.pixels, job.plan


@pytest.mark.parametrize("pattern", BAYER)
def test_it_is_what_strength_0_shows_of_a_network(pattern, tmp_path):
    raw = frame(tmp_path / "a.dng", (121, 153), pattern=BAYER[pattern])
    plain, _ = made(amplifier(), raw)
    network, _ = made(fake(range="root"), raw, strength=0.0)
    assert np.abs(plain.astype(int) - network).max() <= ONE_LEVEL
    enhanced, _ = made(fake(range="root"), raw)
    assert np.abs(plain.astype(int) - enhanced).max() > 1000  # the control


def test_windows_put_together_are_the_frame(tmp_path):
    raw = frame(tmp_path / "a.dng", (700, 900))
    whole, plan = made(amplifier(), raw)
    enhancer = Enhancer(amplifier(), Wish(ratio="20"))
    job = enhancer.prepare(raw)
    job.plan = next(p for p in plans(350, 450, enhancer.contract) if len(p.rows) == len(p.columns) == 3)
    enhancer.infer(job)
    assert len(plan.rows) * len(plan.columns) == 1
    np.testing.assert_array_equal(job.pixels, whole)


def test_x_trans_is_amplified_too(tmp_path):
    raw = frame(tmp_path / "a.dng", (120, 150), pattern=X_TRANS, ratio=1)
    picture, _ = made(amplifier("x-trans"), raw, ratio="1", format="dng")
    scene = colours(120, 150)[12:-12, 12:-12]
    assert np.corrcoef(picture[12:-12, 12:-12].ravel(), scene.ravel())[0, 1] > 0.98  # smooth hills, interpolated


def test_it_is_no_file_and_no_engine_is_asked(tmp_path):
    session = amplifier()
    assert session.ran.engine == "NumPy"
    assert session.digest != amplifier().contract.network
    with pytest.raises(Exception, match="amplified"):
        open_model(tmp_path / "amplified")
