"""Pairs as files: what LibRaw reads of them is the sample."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from contracts import UNET

from quant.camera import PATTERNS, drawn
from quant.cli import main
from quant.pair_files import write_pairs
from quant.pairs import Pairs, Shot
from runtime.clean import opened
from runtime.decode import read
from runtime.pairing import paired

HALF = 0.5 / 65535  # of 16 bits
FRACTION = 3e-6  # 1 over a gain is written in millionths: half of one, times the square of 2.4, the largest gain
SRGB = 1.5e-4  # LibRaw's own matrix of sRGB parts from ours in the fifth digit, and an inverse stands between


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_dark_frame_is_read_as_the_sample_it_was(pattern, tmp_path):
    camera = replace(drawn(np.random.default_rng(3)), pattern=pattern)
    pairs = Pairs(UNET, seed=2, size=32, shots=lambda rng: Shot(camera, 100.0))
    ((dark, clean),) = write_pairs(pairs, [7], tmp_path)
    sample, raw = pairs.sample(7), read(dark)
    assert dark.name == "00007_x100.dng"
    assert np.array_equal(raw.mosaic, sample.raw.mosaic)
    for name in ("pattern", "black", "white", "cfa"):
        assert getattr(raw, name) == getattr(sample.raw, name), name
    assert np.allclose(raw.wb, sample.raw.wb, atol=FRACTION)
    assert np.allclose(raw.cam2rgb, sample.raw.cam2rgb, atol=SRGB)
    with opened(clean) as told:
        assert told.space == "camera-linear"
    found = tifffile.imread(clean) / 65535
    assert np.abs(found - sample.colours.transpose(1, 2, 0)).max() <= HALF * 1.01
    (pair,) = paired(tmp_path).pairs
    assert (pair.dark, pair.clean, pair.ratio) == (dark, clean, 100)


def test_a_command_writes_held_out_pairs_of_a_recipe(tmp_path):
    done = CliRunner().invoke(main, ["unet", "--pairs", "2", "--out", str(tmp_path / "pairs")])
    assert done.exit_code == 0, done.output
    assert (
        len(list((tmp_path / "pairs" / "dark").iterdir())) == len(list((tmp_path / "pairs" / "clean").iterdir())) == 2
    )
    refused = CliRunner().invoke(main, ["effnet-ffnet", "--pairs", "2", "--out", str(tmp_path / "rooms")])
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
