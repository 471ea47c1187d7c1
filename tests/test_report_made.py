"""A picture tells how it was made."""

from dataclasses import replace

import numpy as np
import pytest
from eval_pairs import UPRIGHT, fake, mosaic
from PIL import Image
from raw_files import dng

from runtime import picture
from runtime.decode import read
from runtime.enhancing import Enhancer
from runtime.job import Wish
from runtime.report_data import Figures, Judged, Who
from runtime.report_made import Made, made

LINE = Judged(
    who=Who("fast", "", "fake", "", "", "", ""),
    pair="0",
    dark="0.dng",
    clean="",
    ratio=18.7958,
    size="",
    light="camera",
    linear=Figures(30.0, 0.9),
    developed=Figures(30.0, 0.9),
    seconds={},
)


@pytest.fixture
def enhanced(tmp_path):
    def by(kind, **wish):
        """The path of a picture of that format that `Enhancer` wrote."""
        dng(tmp_path / "0.dng", mosaic(np.full((48, 64, 3), 0.5), ratio=20), about=UPRIGHT)
        raw = read(tmp_path / "0.dng")
        enhancer, out = Enhancer(fake(), Wish(format=kind, **wish)), tmp_path / f"0{picture.suffix(kind)}"
        job = enhancer.prepare(raw, at_once=True)
        enhancer.infer(job)
        enhancer.save(job, out)
        return out

    return by


@pytest.mark.parametrize("kind", [kind for kind in picture.FORMATS if kind != "dng"])
def test_what_enhance_writes_is_read_back_from_every_format(enhanced, kind):
    told = made(enhanced(kind, ratio="18.7958", strength=0.25))
    assert told == Made("fake", "18.8", "0.25")
    assert told.is_of(replace(LINE, who=replace(LINE.who, strength=0.25)))
    assert not told.is_of(LINE)
    assert not told.is_of(replace(LINE, who=replace(LINE.who, strength=0.25, digest="other")))
    assert not told.is_of(replace(LINE, who=replace(LINE.who, strength=0.25), ratio=18.2))


def test_a_ratio_of_auto_is_told_as_it_came_out_and_a_sweep_has_none(enhanced):
    assert float(made(enhanced("png8")).ratio) > 1
    assert made(enhanced("png8", ratio="sweep")) == Made()


def test_what_another_program_wrote_or_changed_tells_nothing(enhanced, tmp_path):
    path = enhanced("jpeg", ratio="20")
    assert made(path).ratio == "20"
    with Image.open(path) as image:
        tags = image.getexif()
        tags[305] = "an editor of pictures"
        image.save(tmp_path / "edited.jpg", exif=tags)
        image.save(tmp_path / "bare.jpg")
    (tmp_path / "no.jpg").write_bytes(b"no picture")
    for name in ("edited", "bare", "no", "missing"):
        assert made(tmp_path / f"{name}.jpg") == Made()
    assert not Made().is_of(replace(LINE, who=replace(LINE.who, digest="")))
