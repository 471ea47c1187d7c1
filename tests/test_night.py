import math
from dataclasses import replace

import numpy as np
import pytest

from quant import paints
from quant.eye import Eye, render
from quant.light_maps import light_maps
from quant.night import night
from quant.paints import one
from quant.surfaces import Ball, Flat, Material, Surface
from quant.tracer import Lamp, Scene, met, shaded

WHITE = Material(one("#ffffff"), texel=0.1)
FLOOR = Surface(Flat((-1, 0, -1), (2, 0, 0), (0, 0, 2)), WHITE)
ABOVE = Lamp(np.array([[0.0, 2.0, 0.0]]), np.ones((1, 3)))
BALL = Surface(Ball((0, 1, 0), (0.2, 0.2, 0.2)), WHITE)
SMOOTHED = 0.01  # of the light: a map's neighbours are averaged, and light bends a little between them


def scene(*things, walls=(FLOOR,), lamps=(ABOVE,)):
    return Scene(walls, [[thing] for thing in things], lamps)


def ray(place, way):
    return [np.array(one_, np.float32)[:, None] for one_ in (place, way)]


def test_light_falls_with_the_square_of_the_distance_and_the_slant():
    (floor,) = light_maps(scene())
    middles = (np.arange(20) + 0.5) / 10 - 1
    square = middles[:, None] ** 2 + middles**2 + 4
    np.testing.assert_allclose(floor[2:-2, 2:-2, 1], (2 / square**1.5)[2:-2, 2:-2], rtol=SMOOTHED)


def test_a_ball_throws_a_shadow_as_wide_as_geometry_says():
    floor, _ = light_maps(scene(BALL))
    clear, _ = light_maps(scene(replace(BALL, shape=Ball((0, 1, 9), (0.2, 0.2, 0.2)))))
    share = floor[..., 1].sum(0) / clear[..., 1].sum(0)
    radius = 2 * 0.2 / math.sqrt(1 - 0.2**2)  # of the cone that the lamp and the ball make, on the floor
    dark = np.abs((np.arange(20) + 0.5) / 10 - 1)
    assert (share[dark > radius + 0.3] > 0.9).all()
    row = floor[9:11, :, 1].mean(0) / clear[9:11, :, 1].mean(0)
    assert (row[dark < radius - 0.3] < 0.1).all(), "what light there is came over the ball's side"
    assert (row[dark > radius + 0.3] > 0.9).all()


def test_a_wall_lights_its_neighbour_in_its_own_colour():
    wall = Surface(Flat((-1, 0, 1), (2, 0, 0), (0, 2, 0)), Material(one("#ff0000"), texel=0.1))
    lamp = Lamp(np.array([[0.0, 1.0, 0.2]]), np.ones((1, 3)), np.array([[0.0, 0.0, 1.0]]))  # to the wall alone
    floor, _ = light_maps(scene(walls=(FLOOR, wall), lamps=(lamp,)))
    behind = floor[-5:]  # the rows that the lamp does not face
    assert behind[..., 0].mean() > 10 * behind[..., 1].mean()
    assert behind[..., 0].mean() > 0.003


def test_walls_throw_no_shadow_and_things_do():
    below, up = ray((0, 0.01, 0), (0, 1.99, 0))
    assert shaded(scene(BALL), below, up)[0]
    assert not shaded(scene(walls=(FLOOR, BALL)), below, up)[0]
    assert not shaded(scene(BALL), below + np.float32(0.5), up)[0]
    assert not shaded(scene(BALL), below, up * np.float32(0.3))[0], "the ball is behind the end"


def test_a_ray_meets_the_nearest_surface_and_only_what_is_asked_for():
    origin, down = ray((0, 3, 0), (0, -1, 0))
    far, number = met(scene(BALL), origin, down)
    assert (far[0], number[0]) == (pytest.approx(1.8), 1)
    far, number = met(scene(BALL), origin, down, among=[0])
    assert (far[0], number[0]) == (pytest.approx(3), 0)
    assert met(scene(BALL), origin, -down)[1][0] == -1


def test_squares_of_the_picture_ask_enough_surfaces():
    eye = Eye((0, 1.5, -3), pitch=-0.3, yaw=0.1)
    far_away = [Surface(Ball((x, 0.2, 0.5), (0.05, 0.05, 0.05)), WHITE) for x in np.linspace(-1, 1, 9)]
    whole = render(scene(BALL, *far_away), eye, height=60, width=120)
    alone = render(scene(*far_away, BALL), eye, height=60, width=120)
    np.testing.assert_allclose(whole, alone, atol=0.05)  # bounced light is drawn by lot, in the order of surfaces
    assert (np.abs(whole - render(scene(BALL), eye, height=60, width=120)) > 0.05).any()


def test_a_glossy_surface_mirrors_a_lamp():
    glow = Material(one("#000000"), glow=np.full((1, 1, 3), 5.0, np.float32), texel=1.0)
    lamp = Surface(Ball((0, 1, 2), (0.3, 0.3, 0.3)), glow)
    eye = Eye((0, 1, -2), pitch=-0.46, view=0.2)  # where the floor's mirror image of the lamp is
    for gloss, least, most in ((0.0, 0.0, 1e-6), (0.5, 1.0, 5.0)):
        floor = Surface(Flat((-3, 0, -3), (6, 0, 0), (0, 0, 6)), replace(WHITE, gloss=gloss))
        picture = render(scene(lamp, walls=(floor,), lamps=()), eye, height=20, width=20)
        assert least <= picture.max() <= most


def test_the_desk_at_night_comes_again_and_has_deep_shadows_and_lamps_brighter_than_white():
    first, again = night(40, 60), night(40, 60)
    assert (first.shape, first.dtype) == ((40, 60, 3), np.float32)
    assert np.array_equal(first, again)
    assert first.min() >= 0
    assert (first > 1).any()
    assert np.percentile(first, 20) < 0.02
    red, green, blue = first.mean((0, 1))
    assert red > green > blue, "lamps are warm"
    window = first[2:18, 40:46].mean((0, 1))
    assert window[2] > window[0], "the sky is not"


def test_paints_are_light_and_their_drawings_are_there():
    rng = np.random.default_rng(0)
    drawn = [
        paints.city(rng, 100, 120),
        paints.colour_chart(),
        paints.fruit(rng, "#c9a13a", "#b5352a"),
        paints.leaf(rng),
        paints.letter(),
        paints.plaster(rng, 40, 50, "#b9b1a2"),
        paints.resolution_chart(),
        paints.seascape(rng, 60, 40),
        paints.spine("TITLE", "#27425e", "#d8d2c0"),
        paints.weave(rng, 70, 120, threads=15, code="#8d8577", other="#7a2e2a"),
        paints.wood(rng, 50, 110, planks=5, dark="#4a2c17", pale="#9a6a3c"),
    ]
    for picture in drawn:
        assert picture.dtype == np.float32
        assert picture.shape[2] == 3
        assert picture.min() >= -1e-3
        assert picture.std() > 0.003
    np.testing.assert_allclose(one("#ffffff")[0, 0], 1)
    np.testing.assert_allclose(one("#808080")[0, 0], 0.2158605, rtol=1e-5)  # the sRGB curve at 128 of 255
