import dataclasses
import pickle
from fractions import Fraction

import numpy as np
import pytest
from contracts import UNET

from quant.camera import plain
from quant.noise import Gaussian, Sensor
from quant.pairs import AnyCamera, Listed, Pairs, Sample, Shot
from quant.scenes import Leaves
from runtime import pack, srgb
from runtime.develop import develop, look
from runtime.errors import BadOption, BadSize
from runtime.raw import About, Raw

LINEAR = UNET
SRGB = dataclasses.replace(LINEAR, output="srgb")
PLANES9 = ("R", "G", "B", "R2", "B2", "G1", "G2", "G3", "G4")
X_TRANS = dataclasses.replace(LINEAR, cfa="x-trans", planes=PLANES9, pack=3, scale=Fraction(3))
SILENT = dataclasses.replace(
    plain(Sensor(K=1e-4, read=Gaussian(0.0), row=0.0, black=512.0, white=16383.0)), pattern=((2, 1), (1, 0))
)
NOISY = dataclasses.replace(SILENT, sensor=Sensor(K=1.0, read=Gaussian(20.0), row=0.0, black=512.0, white=16383.0))
# Half a level of rounding, and electrons of 1e-4 levels each: five deviations at white are 5 sqrt(1e-4 x 15871).
ALMOST_EXACT = (0.5 + 6.3) / 15871
ONE_LEVEL = 1.01 / 65535
FIVE_DEVIATIONS = 5 * 0.5 / 400**0.5  # of a share of 400 draws, at most: that of a half


def pairs(contract=LINEAR, **options):
    settings = {"seed": 7, "size": 16, "scenes": [Leaves(80)], "pool": 3, "reuse": 2}
    return Pairs(contract, **{**settings, **options})


def test_a_pair_has_the_shapes_and_the_range_that_a_network_takes():
    for contract, side in ((LINEAR, 32), (SRGB, 32), (X_TRANS, 48)):
        x, y = pairs(contract)[3]
        assert x.shape == (16, 16, len(contract.planes))
        assert y.shape == (side, side, 3)
        for values in (x, y):
            assert values.dtype == np.float32
            assert values.flags.c_contiguous
            assert 0 <= values.min() < values.max() <= 1


def test_an_index_is_the_same_pair_in_any_order_and_any_process():
    forward, again = pairs(), pickle.loads(pickle.dumps(pairs()))
    ahead = {index: forward[index] for index in range(14)}
    for index in (13, 0, 7, 7, 12, 1):
        assert all(np.array_equal(a, b) for a, b in zip(again[index], ahead[index], strict=True))
    assert len({x.tobytes() for x, _ in ahead.values()}) == 14
    assert not np.array_equal(pairs(seed=8)[0][0], ahead[0][0])


def test_a_batch_is_its_pairs():
    source = pairs()
    x, y = source.batch([5, 2])
    assert all(np.array_equal(x[i], source[n][0]) and np.array_equal(y[i], source[n][1]) for i, n in enumerate((5, 2)))


def test_scenes_serve_in_turn_and_then_come_new_ones():
    source = pairs(pool=3, reuse=2)
    assert [source._number(index) for index in range(13)] == [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5, 6]


def test_no_more_scenes_are_kept_than_the_pool_holds():
    made = []

    def scene(rng, least):
        made.append(least)
        return np.zeros((3, 40, 40), np.float32)

    source = pairs(scenes=[scene], pool=3, reuse=2)
    for index in range(12):
        source[index]
    assert len(made) == 6
    assert source._scene.cache_info().currsize == 3
    source[0]
    assert len(made) == 7


@pytest.mark.parametrize("contract", [LINEAR, SRGB, X_TRANS], ids=["linear", "srgb", "x-trans"])
def test_the_input_is_what_the_runtime_makes_of_the_raw_file(contract):
    source = pairs(contract)
    for index in range(6):
        sample, (x, _) = source.sample(index), source[index]
        raw = Raw(**vars(sample.raw))
        wanted = pack.planes(raw, pack.frame(raw, contract), contract, ratio=sample.ratio)
        assert np.array_equal(x.transpose(2, 0, 1), wanted)
        brighter = pack.planes(raw, pack.frame(raw, contract), contract, ratio=sample.ratio * 1.1)
        assert not np.array_equal(x.transpose(2, 0, 1), brighter)


def test_the_input_is_the_formula_of_see_in_the_dark():
    sample, (x, _) = pairs().sample(4), pairs()[4]
    raw = sample.raw
    level = np.maximum(raw.mosaic.astype(np.float64) - raw.black[0][0], 0) / (raw.white - raw.black[0][0])
    planes = [level[0::2, 0::2], level[0::2, 1::2], level[1::2, 1::2], level[1::2, 0::2]]
    assert x == pytest.approx(
        np.minimum(np.stack(planes, -1) * sample.ratio, 1), abs=1e-5
    )  # float32, times a ratio of up to 300
    assert raw.pattern == ((0, 1), (1, 2))


def test_without_noise_the_input_is_the_mosaic_of_the_target():
    x, y = pairs(shots=Listed([Shot(SILENT, 1.0)]))[2]
    mosaic = np.stack([y[0::2, 0::2, 0], y[0::2, 1::2, 1], y[1::2, 1::2, 2], y[1::2, 0::2, 1]], -1)
    assert np.abs(x - mosaic).max() < ALMOST_EXACT
    assert np.abs(x - mosaic[::-1]).max() > 10 * ALMOST_EXACT
    darker = pairs(shots=Listed([Shot(SILENT, 300.0)]))[2][0]
    assert np.abs(darker - mosaic).max() > 10 * ALMOST_EXACT  # levels are coarse there, and electrons few


def test_a_displays_target_is_the_clean_frame_developed():
    source = pairs(SRGB)
    for index in range(6):
        sample, (_, y) = source.sample(index), source[index]
        raw = Raw(**{**vars(sample.raw), "about": About()})
        shown = np.empty((32, 32, 3), np.uint16)
        develop(sample.colours, look(raw, LINEAR), shown)
        assert np.abs(y - shown / 65535).max() < ONE_LEVEL
        gains = np.array(raw.wb, np.float64).reshape(3, 1, 1)
        rgb = np.tensordot(np.array(raw.cam2rgb), np.clip(sample.colours * gains, 0, 1), 1)
        by_the_book = srgb.shown(np.clip(rgb, 0, 1)).transpose(1, 2, 0)
        assert np.abs(y - by_the_book).max() < 2 * ONE_LEVEL
        assert np.abs(y - sample.colours.transpose(1, 2, 0)).max() > 100 * ONE_LEVEL


def test_ratios_and_cameras_are_those_asked_for():
    shots = [Shot(SILENT, ratio) for ratio in (100.0, 250.0, 300.0)]
    source = pairs(shots=Listed(shots))
    assert {source.sample(index).ratio for index in range(20)} == {100.0, 250.0, 300.0}
    assert {source.sample(index).raw.white for index in range(20)} == {16383.0}
    free = pairs(dataclasses.replace(LINEAR, ratio_max=50.0))
    ratios = np.log([free.sample(index).ratio for index in range(60)])
    assert 0 <= ratios.min() < 0.5
    assert np.log(30) < ratios.max() <= np.log(50)
    assert len({free.sample(index).raw.cam2rgb for index in range(20)}) == 20
    assert AnyCamera(2, 2)(np.random.default_rng(0)).ratio == pytest.approx(2)


def test_in_any_light_a_patch_may_be_white_all_over_or_dim_and_its_lens_soft():
    day, any_light = (
        [AnyCamera(light=light)(np.random.default_rng(n)) for n in range(400)] for light in ("day", "any")
    )
    assert {(shot.exposure, shot.blur) for shot in day} == {(1.0, 0.0)}
    exposures, soft = (np.array([getattr(shot, what) for shot in any_light]) for what in ("exposure", "blur"))
    for drawn, share in ((exposures < 1, 0.25), (exposures == 1, 0.5), (exposures > 1, 0.25), (soft > 0, 0.5)):
        assert abs(drawn.mean() - share) < FIVE_DEVIATIONS
    assert 0.25 <= exposures.min() < 0.3
    assert 7 < exposures.max() <= 8
    assert 0.9 < soft.max() <= 1
    light = [pairs(shots=Listed([Shot(SILENT, 300.0, exposure=e)])).sample(3).colours for e in (0.25, 1.0, 8.0)]
    np.testing.assert_array_equal(light[0], 0.25 * light[1])  # a power of two: nothing is rounded
    np.testing.assert_array_equal(light[2], np.minimum(8 * light[1], 1))
    assert (light[2] == 1).mean() > 0.02 > (light[1] == 1).mean()


def test_what_is_white_in_a_dim_shot_stays_white_as_lamps_do_in_the_dark():
    def lamps(rng, least):
        scene = np.full((3, least, least), 0.4, np.float32)
        scene[:, :, ::2] = 1
        return scene.repeat(9, axis=2)

    shots = [Shot(SILENT, 300.0, exposure=e) for e in (0.25, 1.0)]
    dim, meant = (pairs(shots=Listed([shot]), scenes=[lamps]).sample(3).colours for shot in shots)
    assert 0.1 < (meant == 1).mean() < 0.9
    np.testing.assert_array_equal(dim[meant == 1], 1)
    np.testing.assert_array_equal(dim[meant < 0.5], 0.25 * meant[meant < 0.5])


def test_a_soft_lens_is_before_the_sensor_its_noise_is_not():
    sharp, soft = (pairs(shots=Listed([Shot(SILENT, 1.0, blur=blur)])).sample(3) for blur in (0.0, 1.0))
    assert abs(sharp.colours.mean() - soft.colours.mean()) < 0.02 * sharp.colours.mean()  # cut off at white
    assert np.abs(np.diff(soft.colours)).mean() < 0.6 * np.abs(np.diff(sharp.colours)).mean()
    # Behind the lens noise would have 0.28 of its size, the root of the sum of the weights' squares.
    noisy = [pairs(shots=Listed([Shot(NOISY, 300.0, blur=blur)])).sample(3).raw.mosaic for blur in (0.0, 1.0)]
    assert np.diff(noisy[1].astype(float)).std() > 0.8 * np.diff(noisy[0].astype(float)).std()


def test_pieces_are_turned_and_scaled():
    step = np.arange(64, dtype=np.float32)
    scene = np.broadcast_to(0.2 * np.exp(0.01 * step[:, None] + 0.004 * step), (3, 64, 64))
    source = pairs(scenes=[lambda rng, least: scene], shots=Listed([Shot(SILENT, 1.0)]))
    found, levels = set(), []
    for index in range(150):
        light = np.log(source.sample(index).colours[1])
        levels.append(np.exp(light.mean()) / scene.mean())
        found.add((round(1000 * (light[9, 8] - light[8, 8])), round(1000 * (light[8, 9] - light[8, 8]))))
    plain_steps = {(a * down, b * right) for a, b in ((10, 4), (4, 10)) for down in (1, -1) for right in (1, -1)}
    assert found == plain_steps | {(2 * down, 2 * right) for down, right in plain_steps}
    assert 0.3 < min(levels) < 0.8 < max(levels) < 1.4  # five deviations of the brightness, and a piece is no mean


def test_what_cannot_be_is_named():
    with pytest.raises(BadSize):
        pairs(size=20)
    with pytest.raises(BadOption, match="RAW frames"):
        pairs(dataclasses.replace(LINEAR, task="depth"))
    with pytest.raises(BadOption, match="1 to 300"):
        pairs(shots=Listed([Shot(SILENT, 301.0)]))[0]
    with pytest.raises(ValueError, match="counted from 0"):
        pairs()[-1]
    with pytest.raises(ValueError, match="pool"):
        pairs(pool=0)
    assert isinstance(pairs().sample(0), Sample)
