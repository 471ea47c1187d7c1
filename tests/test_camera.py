import numpy as np
import pytest

from quant.camera import MATRICES, PATTERNS, drawn, plain
from quant.noise import Gaussian, Sensor

ROUNDING = 1e-12  # of sums in double precision
CAMERAS = [drawn(np.random.default_rng(seed)) for seed in range(300)]


def test_the_made_up_matrices_keep_white_white_and_can_be_turned_round():
    assert np.abs(MATRICES.sum(2) - 1).max() < ROUNDING
    assert all(np.linalg.cond(matrix) < 6 for matrix in MATRICES)


def test_every_camera_keeps_white_white():
    sums = np.array([np.sum(camera.cam2rgb, axis=1) for camera in CAMERAS])
    assert np.abs(sums - 1).max() < ROUNDING


def test_every_camera_could_be():
    for camera in CAMERAS:
        matrix = np.array(camera.cam2rgb)
        assert (np.diag(matrix) > 1).all()
        assert np.linalg.cond(matrix) < 8
        assert camera.pattern in PATTERNS
        assert 0 <= camera.black < camera.white / 4
        red, green, blue = camera.wb
        assert 1.9 <= red <= 2.4
        assert green == 1
        assert 1.5 <= blue <= 1.9


def test_in_any_light_red_and_blue_reach_from_a_lamp_to_the_shade():
    gains = np.array([drawn(np.random.default_rng(seed), light="any").wb for seed in range(300)])
    assert (gains[:, 1] == 1).all()
    assert ((gains >= 1) & (gains <= 3.5)).all()
    for lamp_or_shade in (
        (1.3, 2.6),
        (2.4, 1.5),
        (1.7, 1.7),
    ):  # tungsten, the day of the others, a compact camera's day
        assert np.abs(np.log(gains[:, ::2] / lamp_or_shade)).max(1).min() < 0.15
    assert np.corrcoef(np.log(gains[:, 0]), np.log(gains[:, 2]))[0, 1] < -0.3  # what is warm lacks blue
    assert drawn(np.random.default_rng(5), light="day") == CAMERAS[5]


def test_there_are_cameras_of_every_order_and_depth_and_no_two_are_the_same():
    assert {camera.pattern for camera in CAMERAS} == set(PATTERNS)
    assert {camera.white for camera in CAMERAS} == {1023, 4095, 16383}
    assert len(set(CAMERAS)) == len(CAMERAS)
    assert np.std([camera.cam2rgb for camera in CAMERAS], axis=0).min() > 0.02


def test_the_same_seed_gives_the_same_camera():
    assert drawn(np.random.default_rng(5)) == CAMERAS[5]


def test_the_patterns_are_the_four_bayer_orders():
    for pattern in PATTERNS:
        assert sorted(sum(pattern, ())) == [0, 1, 1, 2]
        assert {pattern[0][0], pattern[1][1]} in ({0, 2}, {1})
    assert len(set(PATTERNS)) == 4


def test_a_measured_sensor_gets_middling_colours():
    sensor = Sensor(K=1.0, read=Gaussian(2.0), row=0.1, black=512.0, white=16383.0)
    camera = plain(sensor)
    assert (camera.black, camera.white, camera.sensor) == (512, 16383, sensor)
    assert np.sum(camera.cam2rgb, axis=1) == pytest.approx(1)
