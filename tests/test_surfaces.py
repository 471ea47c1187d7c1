import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.surfaces import Ball, Flat, Material, Side, box, looked_up

SHAPES = [
    Flat((0.3, -0.2, 2.0), (1.0, 0.2, 0.1), (-0.1, 0.8, 0.3)),
    Flat((0.3, -0.2, 2.0), (1.0, 0.2, 0.1), (-0.1, 0.8, 0.3), round=True),
    Ball((0.2, 0.1, 2.0), (0.5, 0.3, 0.4)),
    Side((0.1, -0.4, 2.0), 0.9, 0.2, 0.5),
    Side((0.1, -0.4, 2.0), 0.9, 0.3, 0.3, inward=True),
]
TURNED = 1e-9  # of double precision, through a turn and back
FAR = 1e-4  # metres: roots of float32, at a distance of some metres
SHARE = st.floats(0.3, 0.7)  # inside the ellipse too


def towards(point):
    return np.zeros((3, 1), np.float32), (point / np.linalg.norm(point, axis=0)).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(u=SHARE, v=SHARE)
def test_a_ray_ends_on_the_surface_and_a_point_knows_its_place(shape, u, v):
    us, vs = np.array([u], np.float32), np.array([v], np.float32)
    point = shape.at(us, vs)
    again = shape.uv(point.astype(np.float32))
    np.testing.assert_allclose([again[0][0], again[1][0]], [u, v], atol=1e-5)  # float32
    origin, rays = towards(point)
    far = shape.meet(origin, rays)
    end = far * rays
    assert far[0] <= np.linalg.norm(point) + FAR, "something of it may be nearer, never farther"
    np.testing.assert_allclose(shape.at(*shape.uv(end)), end, atol=FAR)
    assert np.isinf(shape.meet(origin, -rays))[0], "what is behind is not met"


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
def test_the_front_stands_upright_on_the_surface(shape):
    u, v, step = np.array([0.4], np.float32), np.array([0.6], np.float32), np.float32(1e-3)
    point = shape.at(u, v)
    for near in (shape.at(u + step, v), shape.at(u, v + step)):
        way = (near - point)[:, 0]
        assert abs(way @ shape.normal(point.astype(np.float32))[:, 0]) < 0.01 * np.linalg.norm(way)


def test_the_front_of_a_ball_is_outside_and_of_a_flat_where_across_is_right_and_up_is_up():
    assert SHAPES[2].normal(np.array([[0.2], [0.4], [2.0]], np.float32))[1, 0] == pytest.approx(1)
    assert Flat((0, 0, 1), (1, 0, 0), (0, 1, 0)).normal(np.zeros((3, 1)))[2, 0] == -1
    point = np.array([[0.4], [0.0], [2.0]], np.float32)
    assert SHAPES[4].normal(point)[0, 0] < 0 < SHAPES[3].normal(point)[0, 0]


def test_a_ball_is_as_far_as_its_equation():
    far = Ball((0, 0, 3), (0.5, 0.5, 0.5)).meet(*towards(np.array([[0.0], [0.0], [1.0]])))
    assert far[0] == pytest.approx(2.5, abs=FAR)


def test_the_round_flat_has_no_corners():
    corner, middle = ((np.array([[x], [x], [1.0]])) for x in (0.02, 0.5))
    for round_, hit in ((False, True), (True, False)):
        flat = Flat((0, 0, 1), (1, 0, 0), (0, 1, 0), round=round_)
        assert np.isfinite(flat.meet(*towards(corner)))[0] == hit
        assert np.isfinite(flat.meet(*towards(middle)))[0]


def test_a_turned_box_keeps_its_middle_and_its_size():
    faces = box((1, 0, 4), (2, 1, 6), Material(), turn=0.5)
    sizes = sorted(tuple(sorted(face.shape.size)) for face in faces)
    np.testing.assert_allclose(sizes, [(1, 1)] * 2 + [(1, 2)] * 4, atol=TURNED)
    middles = np.mean([face.shape.bounds[0] for face in faces[:1] + faces[4:5]], axis=0)
    np.testing.assert_allclose(middles, (1.5, 0.5, 5), atol=TURNED)
    way = np.subtract(faces[0].shape.bounds[0], (1.5, 0.5, 5))
    assert math.atan2(-way[0], -way[2]) == pytest.approx(0.5)


def test_an_image_is_read_with_its_first_row_above_and_in_straight_lines():
    image = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    u, v = np.array([0.25, 0.75, 0.5], np.float32), np.array([0.75, 0.25, 0.5], np.float32)
    np.testing.assert_allclose(looked_up(image, u, v, wraps=False).T, [image[0, 0], image[1, 1], image.mean((0, 1))])
    edge = np.array([0.0], np.float32)
    upper = np.array([0.75], np.float32)
    np.testing.assert_allclose(looked_up(image, edge, upper, wraps=False)[:, 0], image[0, 0])
    np.testing.assert_allclose(looked_up(image, edge, upper, wraps=True)[:, 0], image[0].mean(0))
