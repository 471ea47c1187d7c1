import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.rooms import Box, Camera, Room, Sphere, Texture, furnished, pair, render, room

EMPTY = Room(Box((0, 0, 0), (4, 3, 6)), (), (2.0, 2.9, 3.0))
# Depths up to 10 m in float32, a few roundings: a hundredth of a millimetre.
ROUNDING = 1e-5


def with_things(*things):
    return Room(EMPTY.walls, things, EMPTY.lamp)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.5, 5.5), st.floats(0.5, 3.5), st.integers(5, 20))
def test_a_wall_straight_ahead_is_equally_deep_everywhere(z, x, size):
    camera = Camera((x, 1.5, z), view=0.02)
    _, depth = render(EMPTY, camera, height=size, width=size)
    np.testing.assert_allclose(depth, 6 - z, atol=ROUNDING)


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(-0.4, 0.4))
def test_the_middle_ray_meets_the_far_wall_where_trigonometry_says(yaw, pitch):
    camera = Camera((2.0, 1.5, 3.0), yaw=yaw, pitch=pitch)
    _, depth = render(EMPTY, camera, height=3, width=3)
    to_wall = 3 / (np.cos(yaw) * np.cos(pitch))
    to_side = 2 / (abs(np.sin(yaw)) * np.cos(pitch) + 1e-12)
    to_floor = 1.5 / (abs(np.sin(pitch)) + 1e-12)
    assert depth[1, 1] == pytest.approx(min(to_wall, to_side, to_floor), abs=ROUNDING)


def test_the_floor_nears_towards_the_lower_edge_as_one_over_the_row():
    _, depth = render(EMPTY, Camera((2.0, 1.0, 0.5), view=1.4), height=64, width=64)
    rows = (np.arange(64) + 0.5) / 64 * 2 - 1
    floor = 1.0 / (rows[48:] * np.tan(0.7))
    assert (floor < 5.5).all()
    np.testing.assert_allclose(depth[48:, 32], floor, rtol=1e-6)  # float32


def test_a_ball_is_as_deep_as_its_equation():
    radius, far = 0.5, 3.0
    camera = Camera((2.0, 1.5, 1.0), view=0.8)
    _, depth = render(with_things(Sphere((2.0, 1.5, 1.0 + far), radius)), camera, height=65, width=65)
    x, y = np.meshgrid(*[((np.arange(65) + 0.5) / 65 * 2 - 1) * np.tan(0.4)] * 2)
    square = 1 + x**2 + y**2
    inner = far**2 - square * (far**2 - radius**2)
    ball = (far - np.sqrt(np.maximum(inner, 0))) / square
    behind = render(EMPTY, camera, height=65, width=65)[1]
    expected = np.where(inner > 0, ball, behind)
    clear = np.abs(inner) > 1e-3  # the rim itself may fall either way
    np.testing.assert_allclose(depth[clear], expected[clear], atol=5e-5)  # a difference of squares in float32
    assert depth[32, 32] == pytest.approx(far - radius, abs=ROUNDING)
    assert (inner > 0).sum() > 300


def test_a_box_hides_what_is_behind_it_and_nothing_else():
    box = Box((1.5, 1.0, 3.0), (2.5, 2.0, 3.5))
    _, depth = render(with_things(box), Camera((2.0, 1.5, 1.0), view=0.9), height=101, width=101)
    _, empty = render(EMPTY, Camera((2.0, 1.5, 1.0), view=0.9), height=101, width=101)
    across = np.abs((np.arange(101) + 0.5) / 101 * 2 - 1) * np.tan(0.45)
    front = np.maximum.outer(across, across) < 0.5 / 2
    np.testing.assert_allclose(depth[front], 2.0, atol=ROUNDING)
    assert np.array_equal(depth[~front], empty[~front])


def test_the_nearer_of_two_is_seen_in_whichever_order_they_are_told():
    things = [Sphere((2.0, 1.5, 3.0), 0.3), Box((1.0, 1.0, 3.2), (3.0, 2.0, 3.4)), Sphere((2.0, 1.5, 4.5), 0.9)]
    seen = [
        render(with_things(*order), Camera((2.0, 1.5, 1.0)), height=20, width=20)[1] for order in (things, things[::-1])
    ]
    assert np.array_equal(*seen)


def test_what_faces_the_lamp_is_brighter():
    ball = Sphere((2.0, 1.5, 3.0), 0.5, Texture((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
    scene = Room(EMPTY.walls, (ball,), (2.0, 2.9, 1.5))
    rgb, _ = render(scene, Camera((2.0, 1.5, 1.0), view=0.5), height=41, width=41)
    assert rgb[12, 20].mean() > 1.5 * rgb[29, 20].mean()


@pytest.mark.parametrize("kind", ["stripes", "checks", "mottle"])
def test_textures_show(kind):
    def spread(of):
        walls = Box((0, 0, 0), (4, 3, 6), Texture((0.9, 0.9, 0.9), (0.1, 0.1, 0.1), waves=1.3, kind=of))
        rgb, _ = render(Room(walls, (), (2.0, 1.5, 1.0)), Camera((2.0, 1.5, 1.0), view=0.5), height=40, width=40)
        return rgb.std()

    assert spread(kind) > 3 * spread("plain")


def test_rooms_are_within_their_range_differ_and_come_again():
    made = [room(np.random.default_rng((5, n)), 48) for n in range(30)]
    for rgb, depth in made:
        assert (rgb.dtype, depth.dtype, rgb.shape, depth.shape) == (np.float32, np.float32, (48, 48, 3), (48, 48))
        assert 0 <= rgb.min() < rgb.max() <= 1
        assert rgb.std() > 0.02
        assert 0.2 < depth.min() < depth.max() < 14
    assert len({depth.tobytes() for _, depth in made}) == 30
    again = room(np.random.default_rng((5, 7)), 48)
    assert all(np.array_equal(a, b) for a, b in zip(again, made[7], strict=True))
    assert room(np.random.default_rng(0), (20, 30))[1].shape == (20, 30)


def test_a_pair_has_depth_in_units_of_ten_metres():
    x, y = pair(5, 7, size=64, out=16)
    _, depth = room(np.random.default_rng((5, 7)), 64)
    assert (x.shape, y.shape, y.dtype) == ((64, 64, 3), (16, 16, 1), np.float32)
    assert np.median(y) == pytest.approx(np.median(depth) / 10, rel=0.1)  # shrinking mixes near and far at edges
    assert y.max() <= 1


def test_the_camera_is_in_nothing():
    for n in range(100):
        scene, camera = furnished(np.random.default_rng(n))
        place = np.array(camera.place)
        for thing in scene.things:
            inside = (
                np.linalg.norm(place - thing.centre) < thing.radius
                if isinstance(thing, Sphere)
                else ((place > thing.low) & (place < thing.high)).all()
            )
            assert not inside
