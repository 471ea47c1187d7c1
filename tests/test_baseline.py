import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from bm3d import Collaborative
from contracts import UNET

from quant import baseline, figures
from quant.baseline import (
    GRIDS,
    Bilateral,
    Means,
    Method,
    Noise,
    Nothing,
    Part,
    Variation,
    Wavelets,
    demosaiced,
    denoised,
    evened,
    noise,
    picture,
    tune,
    unevened,
)
from quant.camera import plain
from quant.noise import Gaussian, Sensor, TukeyLambda, noisy
from quant.pairs import Listed, Pairs, Shot
from quant.phase import packed
from quant.unprocess import mosaic
from runtime.errors import BadOption, MissingLibrary
from runtime.measure import psnr
from runtime.pack import TILES

installed = find_spec("skimage") is not None and find_spec("pywt") is not None
classical = pytest.mark.skipif(
    not installed, reason="scikit-image or PyWavelets is missing: pip install 'qk-unet[train]'"
)

FEW_ELECTRONS = Sensor(K=7.65, read=TukeyLambda(-0.08, 4.27), row=0.88, black=512.0, white=16383.0)
MANY_ELECTRONS = Sensor(K=0.24, read=Gaussian(1.43), row=0.26, black=512.0, white=16383.0)
SENSORS = {"few electrons": FEW_ELECTRONS, "many electrons": MANY_ELECTRONS}
RATIO = 100.0
LEVELS = (0.0, 0.02, 0.1, 0.3, 0.6, 0.9)
FLAT = (128, 128)
METHODS = [Means(0.5, 3, 5), Wavelets(1.0, 3), Variation(0.5), Bilateral(4.0, 1.5)]
TINY = ((Means(0.5, 3, 5), Means(9.0, 3, 5)), (Wavelets(1.0, 2),), (Variation(0.3), Variation(30.0)))

# The root evens a Poisson law only nearly: 0.043 at two electrons; 16384 draws are 0.006 off by themselves.
EVEN = 0.06
# What is left of the bias, in deviations of the noise: the closed form is of normal read noise and cut nowhere (0.04),
# and the mean of 128 rows that each share a draw has an error of its own (0.02).
UNBIASED = 0.06
CLEARLY = 3.0  # dB; the least of the methods gains 6 on these pairs, nothing gains 0
ROUNDING = 1e-12  # of sums of nine numbers near 1
CONTRAST = 8 / 15871  # total variation takes 4 deviations off an edge, and of noise one is about a level here
COLLABORATION = 0.3  # dB; 0.6 on this scene of large leaves, about 2 on photographs, next to nothing on fine leaves
BETTER_INTERPOLATED = 1.0  # dB; 3 on these scenes


def flat(level, sensor):
    return noisy(np.full(FLAT, level), sensor, ratio=RATIO, rng=np.random.default_rng(7)).astype(np.float64)


def pairs(sensor=FEW_ELECTRONS, *, ratio=RATIO, size=32):
    return Pairs(UNET, seed=3, size=size, shots=Listed([Shot(plain(sensor), ratio)]), pool=4)


def gain(method):
    """How many dB a picture has more than the amplified frame, the mean of three."""
    source, gained = pairs(), []
    for number in range(3):
        x, y = source[number]
        made = picture(source.sample(number), method=method)
        assert (made.shape, made.dtype) == (y.shape, np.float32)
        amplified = figures.amplified(UNET, x[None])[0]
        gained.append(psnr(y, made, data_range=1) - psnr(y, amplified, data_range=1))
    return np.mean(gained)


def only(smoother, *, even=True, correction=1.0):
    return Method((Part(smoother, even),), correction)


@pytest.mark.parametrize("name", SENSORS)
def test_evened_noise_has_a_deviation_of_one_at_every_level(name):
    law = noise(SENSORS[name], ratio=RATIO)
    frames = [flat(level, SENSORS[name]) for level in LEVELS]
    deviations = [evened(frame, noise=law).std() for frame in frames]
    assert np.allclose(deviations, 1, rtol=0, atol=EVEN)
    raw = [frame.std() for frame in frames]
    assert max(raw) > 2 * min(raw)  # it was not even before


@pytest.mark.parametrize("name", SENSORS)
def test_the_variance_of_a_frame_is_the_one_that_is_foretold(name):
    law = noise(SENSORS[name], ratio=RATIO)
    for level in LEVELS[2:]:  # nothing is cut at the file's 0 anywhere here
        foretold = law.gain * level + law.variance
        assert flat(level, SENSORS[name]).var() == pytest.approx(foretold, rel=EVEN)


@pytest.mark.parametrize("name", SENSORS)
def test_the_mean_of_evened_noise_comes_back_as_the_clean_value(name):
    law = noise(SENSORS[name], ratio=RATIO)
    for level in LEVELS:
        frame = flat(level, SENSORS[name])
        back = unevened(np.array(evened(frame, noise=law).mean()), noise=law)
        assert abs(back - level) < UNBIASED * np.sqrt(law.gain * level + law.variance)


def test_the_bare_inverse_of_the_root_is_too_dark():
    law = noise(FEW_ELECTRONS, ratio=RATIO)
    level = 0.02  # where few electrons make the root bend most
    mean = evened(flat(level, FEW_ELECTRONS), noise=law).mean()
    bare = ((mean * law.gain / 2) ** 2 - law.variance) / law.gain - 0.375 * law.gain
    assert bare < level - 2 * UNBIASED * np.sqrt(law.gain * level + law.variance)


def test_a_value_without_noise_comes_back_from_even_noise_as_itself():
    law = Noise(gain=1e-9, variance=1e-9)
    values = np.linspace(0, 1, 101)
    assert np.allclose(unevened(evened(values, noise=law), noise=law), values, rtol=0, atol=law.gain)


def test_complete_darkness_stays_dark():
    for law in (noise(FEW_ELECTRONS, ratio=RATIO), noise(MANY_ELECTRONS, ratio=RATIO)):
        assert unevened(np.zeros(3), noise=law) == pytest.approx(np.zeros(3), abs=law.gain)


def test_bilinear_demosaicing_is_that_of_the_amplified_frame():
    plane = np.random.default_rng(1).random((12, 16))
    made = demosaiced(plane, gains=(1, 1, 1), correction=0)
    known = figures.amplified(UNET, packed(plane, UNET)[None])[0]
    inside = (slice(1, -1), slice(1, -1))  # one mirrors at the edge, the other has less to take the mean of
    assert np.allclose(made[inside], known[inside], rtol=0, atol=1e-6)  # float32


def test_a_slope_of_grey_is_demosaiced_without_error_whatever_the_white_balance():
    y, x = np.indices((16, 16))
    grey, gains = 0.1 + 0.02 * x + 0.03 * y, (2.0, 1.0, 1.5)
    clean = np.stack([grey / gain for gain in gains])
    made = demosaiced(mosaic(clean, TILES["bayer"]), gains=gains)
    inside = (slice(2, -2), slice(2, -2))
    assert np.allclose(made[inside], clean.transpose(1, 2, 0)[inside], rtol=0, atol=ROUNDING)
    wrong = demosaiced(mosaic(clean, TILES["bayer"]), gains=(1, 1, 1))
    assert not np.allclose(wrong, made)


def test_what_a_pixel_measured_makes_its_other_colours_better():
    sample = pairs().sample(0)
    clean, y = mosaic(sample.colours, TILES["bayer"]), sample.colours.transpose(1, 2, 0)
    bilinear, corrected = (
        psnr(y, demosaiced(clean, gains=sample.camera.wb, correction=c), data_range=1) for c in (0, 1)
    )
    assert corrected > bilinear + BETTER_INTERPOLATED


@classical
@pytest.mark.parametrize("smoother", METHODS, ids=str)
def test_a_smoother_takes_most_of_even_noise_and_leaves_the_mean(smoother):
    planes = 20 + np.random.default_rng(2).standard_normal((32, 32, 4))
    smooth = smoother(planes)
    assert smooth.shape == planes.shape
    assert smooth.std() < 0.5 < planes.std()
    assert smooth.mean() == pytest.approx(planes.mean(), abs=0.05)  # three deviations of the mean of 4096


@classical
@pytest.mark.parametrize("smoother", METHODS, ids=str)
def test_a_smoother_keeps_edges_and_planes_where_they_are(smoother):
    planes = np.zeros((32, 32, 4))
    planes[:, 17:, 0] = planes[9:, :, 2] = 50.0
    assert np.abs(smoother(planes) - planes).max() < 1.5  # deviations of the noise: the edge is one of 50


@classical
@pytest.mark.parametrize("even", [True, False], ids=["even", "as it is"])
@pytest.mark.parametrize("smoother", METHODS, ids=str)
def test_what_is_denoised_is_better_than_what_is_amplified(smoother, even):
    assert gain(only(smoother, even=even)) > CLEARLY


def test_nothing_is_no_better_than_the_amplified_frame():
    assert gain(only(Nothing(), even=False, correction=0)) < CLEARLY / 10


@classical
def test_noise_that_is_taken_for_less_than_it_is_stays(monkeypatch):
    def too_little(sensor, *, ratio):
        law = noise(sensor, ratio=ratio)
        return Noise(gain=law.gain / 100, variance=law.variance / 100)

    monkeypatch.setattr(baseline, "noise", too_little)
    assert gain(only(Wavelets(1.0, 3))) < CLEARLY / 2


@classical
@pytest.mark.parametrize("smoother", METHODS, ids=str)
def test_a_frame_without_noise_stays_what_it_is(smoother):
    silent = Sensor(K=1e-4, read=Gaussian(0.0), row=0.0, black=512.0, white=16383.0)
    sample = pairs(silent, ratio=1).sample(0)
    before, after = (picture(sample, method=only(one)) for one in (Nothing(), smoother))
    assert before.std() > 10 * CONTRAST  # there is something to lose
    assert np.abs(after - before).max() < CONTRAST


@classical
def test_tuning_takes_the_best_of_what_it_tried_and_is_the_same_again():
    source = pairs(MANY_ELECTRONS, size=16)
    found = tune(source, (0, 1), grids=TINY)
    assert found.best.psnr == max(one.psnr for one in found.tried)
    assert found.best in found.tried
    assert len({one.method for one in found.tried}) == len(found.tried)
    # Nothing at two corrections, five smoothers with even noise and without, 3 + 1 means of them, two more corrections.
    assert len(found.tried) == 2 + 2 * 5 + 4 + 2
    assert tune(pairs(MANY_ELECTRONS, size=16), (0, 1), grids=TINY) == found
    smoothers = [part.smoother for part in found.best.method.parts]
    assert not {Means(9.0, 3, 5), Variation(30.0)} & set(smoothers)  # they wipe the picture out


@classical
def test_a_figure_of_tuning_is_that_of_its_pictures():
    found, source = tune(pairs(size=16), (0, 1), grids=TINY[1:2]), pairs(size=16)
    figure = [
        psnr(source[number][1], picture(source.sample(number), method=found.best.method), data_range=1)
        for number in (0, 1)
    ]
    assert found.best.psnr == pytest.approx(np.mean(figure))


def test_every_kind_of_smoother_is_tried():
    assert {type(one) for grid in GRIDS for one in grid} == {Means, Wavelets, Variation}
    assert all(len({type(one) for one in grid}) == 1 for grid in GRIDS)


@classical
def test_tuning_for_another_figure_takes_what_is_best_by_that():
    source, darkness = pairs(MANY_ELECTRONS, size=16), lambda sample, made: -float(np.mean(made))
    usual, found = tune(source, (0, 1), grids=TINY), tune(source, (0, 1), grids=TINY, figure=darkness)
    assert [one.method for one in found.tried[:12]] == [one.method for one in usual.tried[:12]]
    assert found.best.psnr == max(one.psnr for one in found.tried) < 0 < usual.best.psnr
    assert found.best.method != usual.best.method


@classical
def test_the_bilateral_filter_smooths_values_below_nothing_as_it_does_others():
    planes = np.random.default_rng(5).standard_normal((16, 16, 4))
    assert np.allclose(METHODS[3](planes - 100), METHODS[3](planes) - 100, rtol=0, atol=ROUNDING * 100)


@classical
def test_blocks_filtered_together_are_better_than_any_means_of_pixels():
    sample = pairs(ratio=10, size=64).sample(1)
    truth = sample.colours.transpose(1, 2, 0)
    figure = {one: psnr(truth, picture(sample, method=only(one)), data_range=1) for one in (*GRIDS[0], Collaborative())}
    means = [figure[one] for one in GRIDS[0]]
    assert figure[Collaborative()] > max(means) + COLLABORATION
    blind = psnr(truth, picture(sample, method=only(Collaborative(sigma=0.01))), data_range=1)
    assert blind < max(means)  # told of hardly any noise it leaves all of it


@classical
def test_the_mean_of_two_parts_is_the_mean_of_their_pictures():
    sample = pairs(size=16).sample(0)
    law, plane = noise(MANY_ELECTRONS, ratio=1), (sample.raw.mosaic - 512.0) / 15871
    parts = (Part(METHODS[0]), Part(METHODS[2], evened=False))
    both, first, second = (
        denoised(plane, method=Method(chosen), noise=law) for chosen in (parts, parts[:1], parts[1:])
    )
    inside = (both > 0) & (both < 1) & (first > 0) & (second > 0) & (first < 1) & (second < 1)  # what is not cut
    assert inside.any()
    assert np.allclose(both[inside], (first[inside] + second[inside]) / 2, rtol=0, atol=1e-6)  # float32


def test_another_mosaic_than_bayer_is_refused():
    sample = pairs(size=16).sample(0)
    with pytest.raises(BadOption, match="bayer"):
        picture(replace(sample, raw=replace(sample.raw, cfa="x-trans")), method=only(Nothing()))


@pytest.mark.parametrize("smoother", METHODS, ids=str)
def test_a_missing_library_is_named_with_the_line_that_brings_it(smoother, monkeypatch):
    for module in ("skimage", "skimage.restoration", "pywt"):
        monkeypatch.setitem(sys.modules, module, None)
    extra = "demo" if isinstance(smoother, Means) else "train"  # the smaller one that has it
    with pytest.raises(MissingLibrary, match=rf"pip install 'qk-unet\[{extra}\]'"):
        smoother(np.zeros((16, 16, 4)))
