import numpy as np
import pytest
import tf_keras

from keras_models.grid import Grid
from keras_models.lowered import Lowered, kernel_of
from keras_models.quantize import Quantize
from runtime.errors import BadGrid, BadNumbers, UnknownLayer

K = tf_keras.layers
GRID = Grid(np.float32([0.1, 0.3, 0.7, 1.1]), bits=4, signed=True, narrow=True)


def network(*behind):
    raw = K.Input((8, 8, 3), name="raw")
    x = K.Conv2D(4, 3, padding="same", name="conv")(Quantize(Grid.from_range(0, 1), name="raw_grid")(raw))
    for layer in behind:
        x = layer(x)
    model = tf_keras.Model(raw, x)
    kernel = GRID.dequantize(np.random.default_rng(0).integers(-7, 8, (3, 3, 3, 4)))
    model.get_layer("conv").set_weights([kernel, np.zeros(4)])
    return Lowered(model, {"conv": GRID})


def test_a_plain_network_whose_kernels_lie_on_their_grids_passes_and_comes_back():
    lowered = network(K.ReLU(), K.MaxPooling2D(), K.LeakyReLU(0.2))
    assert lowered.check() is lowered
    x = np.random.default_rng(0).random((1, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(lowered(x).numpy(), lowered.model(x).numpy())


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_a_weight_that_is_no_number_is_named(number, place):
    lowered = network()
    weights = lowered.model.get_layer("conv").get_weights()
    weights[place][..., 0] = number
    lowered.model.get_layer("conv").set_weights(weights)
    with pytest.raises(BadNumbers, match=["conv/kernel", "conv/bias"][place]):
        lowered.check()


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (K.Dropout(0.5, name="odd"), "Dropout"),
        (K.BatchNormalization(name="odd"), "BatchNormalization"),
        (K.Lambda(lambda x: x, name="odd"), "Lambda"),
        (K.SeparableConv2D(4, 3, name="odd"), "SeparableConv2D"),
        (K.AveragePooling2D(name="odd"), "AveragePooling2D"),
        (K.Conv2D(4, 1, activation="relu", name="odd"), "Conv2D with an activation inside"),
        (K.Conv2DTranspose(4, 2, 2, activation="relu", name="odd"), "Conv2DTranspose with an activation inside"),
        (K.Conv2D(4, 1, groups=2, name="odd"), "Conv2D with groups=2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_layer_that_is_not_plain_is_named_with_its_type(layer, kind):
    with pytest.raises(UnknownLayer, match=f"'odd' of type {kind} is unknown"):
        network(layer).check()


def test_a_layer_derived_from_a_plain_one_is_not_plain():
    class Other(K.Conv2D):
        pass

    with pytest.raises(UnknownLayer, match="'odd' of type Other"):
        network(Other(4, 1, name="odd")).check()


@pytest.mark.parametrize("change", [0.03, 0.8, 100.0])
def test_one_weight_off_its_grid_is_noticed(change):
    lowered = network()
    kernel, bias = lowered.model.get_layer("conv").get_weights()
    kernel[1, 2, 0, 3] += change
    lowered.model.get_layer("conv").set_weights([kernel, bias])
    with pytest.raises(BadGrid, match="the kernel of 'conv'"):
        lowered.check()


def test_a_kernel_on_the_grid_of_another_is_noticed():
    lowered = network()
    with pytest.raises(BadGrid, match="the kernel of 'conv'"):
        Lowered(lowered.model, {"conv": Grid(GRID.scale[::-1], bits=4, signed=True, narrow=True)}).check()
    with pytest.raises(BadGrid, match="the kernel of 'conv'"):
        Lowered(lowered.model, {"conv": Grid(GRID.scale, bits=3, signed=True, narrow=True)}).check()


def test_grids_of_layers_that_are_not_there_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="gone"):
        Lowered(network().model, {"gone": GRID}).check()


def test_the_kernel_of_every_convolution_is_its_first_weight():
    for layer in (K.Conv2D(4, 3), K.DepthwiseConv2D(3), K.Conv2DTranspose(4, 2)):
        layer.build((None, None, None, 2))
        assert kernel_of(layer).ndim == 4
