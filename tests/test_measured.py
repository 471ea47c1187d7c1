import numpy as np
import pytest
import tf_keras

import keras_models
from keras_models.blocks import TRUST
from keras_models.measured import nearest
from keras_models.mosaic import MOSAICS
from quant.phase import cell
from runtime.errors import BadOption

ROUNDING = 1e-6  # of sums of nine float32 numbers below 1


def planes(mosaic, size=(3, 5), seed=0):
    return np.random.default_rng(seed).random((*size, len(mosaic.planes))).astype(np.float32)


@pytest.mark.parametrize("ins", MOSAICS)
def test_over_a_packed_pixel_each_colour_is_what_was_measured_of_it(ins):
    mosaic = MOSAICS[ins]
    x = planes(mosaic)
    pixels = (x @ nearest(mosaic)[0, 0]).reshape(*x.shape[:2], mosaic.pack**2, 3).mean(2)
    for colour, letter in enumerate("RGB"):
        wanted = x[..., [name[0] == letter for name in mosaic.planes]].mean(-1)
        np.testing.assert_allclose(pixels[..., colour], wanted, atol=ROUNDING)


def test_a_pixel_of_bayer_keeps_the_number_that_was_measured_there():
    mosaic = MOSAICS[4]
    x = planes(mosaic)
    made = (x @ nearest(mosaic)[0, 0]).reshape(*x.shape[:2], 2, 2, 3)
    order = {"R": (0, 0), "G1": (0, 1), "B": (1, 1), "G2": (1, 0)}
    for plane, (row, column) in enumerate(order[name] for name in mosaic.planes):
        assert np.array_equal(made[..., row, column, cell("bayer")[row, column]], x[..., plane])


@pytest.mark.parametrize("around", [0, 1])
@pytest.mark.parametrize("side", [1, 2])
@pytest.mark.parametrize(("ins", "outs"), [(4, 12), (9, 27)])
def test_a_residual_network_begins_as_next_to_what_was_measured(ins, outs, side, around):
    options = {"width": 2, "levels": 4, "in_channels": ins, "cell": side}
    model, contract = keras_models.build("lighter", **options, residual=True, surround=around)
    x = planes(MOSAICS[ins], size=(16, 16))[None]
    up = int(contract.scale)
    wanted = (x @ nearest(MOSAICS[ins])[0, 0]).reshape(1, 16, 16, up, up, 3)
    wanted = wanted.transpose(0, 1, 3, 2, 4, 5).reshape(1, 16 * up, 16 * up, 3)
    np.testing.assert_allclose(model(x).numpy(), wanted / (1 + np.exp(-TRUST)), atol=ROUNDING)
    plain, _ = keras_models.build("lighter", **options)
    assert not np.allclose(plain(x).numpy(), wanted, atol=0.1)  # a plain one does not
    made, taken = outs * side**2, ins * (side + 2 * around) ** 2
    assert model.count_params() == plain.count_params() + (taken + 1) * made + (2 + 1) * made


@pytest.mark.parametrize("side", [1, 2])
def test_a_pixel_is_made_of_no_more_than_its_cell_and_what_surrounds_it(side):
    """What goes around changes with one packed pixel: with none, its cell alone; with one, those beside it, too."""
    for around in (0, 1):
        options = {"width": 2, "levels": 2, "residual": True, "cell": side, "surround": around}
        network, _ = keras_models.build("unet", **options)
        layer = network.get_layer("measured")
        kernel, bias = layer.get_weights()
        layer.set_weights([np.ones_like(kernel), bias])
        x = planes(MOSAICS[4], size=(16, 16))[None]
        other = x.copy()
        other[0, 8, 8] += 1
        moved = np.argwhere(np.abs(layer(other) - layer(x)).max((0, 3)) > ROUNDING)
        assert moved.min() == {(1, 0): 8, (1, 1): 7, (2, 0): 4, (2, 1): 3}[side, around]
        assert moved.max() == {(1, 0): 8, (1, 1): 9, (2, 0): 4, (2, 1): 4}[side, around]


def test_what_is_not_trusted_is_not_in_the_picture():
    model, _ = keras_models.build("unet", width=2, levels=2, residual=True, activation="relu")
    trust = model.get_layer("trust_conv")
    x = planes(MOSAICS[4], size=(16, 16))[None]
    trust.set_weights([trust.get_weights()[0], np.full(12, -30, np.float32)])
    assert np.abs(model(x).numpy()).max() < ROUNDING
    trust.set_weights([trust.get_weights()[0], np.full(12, 30, np.float32)])
    assert np.abs(model(x).numpy()).mean() > 0.3


def test_what_has_no_mosaic_cannot_be_added_to():
    with pytest.raises(BadOption, match="residual"):
        keras_models.build("unet", width=2, residual=True, out_channels=3, upscale=1)
    assert isinstance(keras_models.build("unet", width=2, out_channels=3, upscale=1)[0], tf_keras.Model)
