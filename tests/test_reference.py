import numpy as np
import pytest
import tf_keras
from trained import NETWORKS, inputs, trained, whole_biases

from export.reference import bias_levels, multiplier, numpy_convolve, reference, tensorflow_convolve
from keras_models.graph import steps
from keras_models.grid import Grid
from keras_models.hoist import hoisted
from keras_models.quantize import Quantize
from keras_models.ready import ready
from keras_models.shuffle import shuffled
from runtime.errors import BadGrid

K = tf_keras.layers

pytestmark = pytest.mark.xdist_group("trained")

FLOAT_TIES = 1e-3  # float32 sums that lie at a tie, and what follows from them
SEEN = 20 * FLOAT_TIES  # biases as trained part more: a tenth, or, where the picture is added to what was measured, 4 %

LAYERS = [
    K.Conv2D(5, 3, padding="same"),
    K.Conv2D(5, 3, 2, padding="same"),
    K.Conv2D(5, 5, 2, padding="same"),
    K.Conv2D(5, 1, padding="same"),
    K.Conv2D(5, 3, dilation_rate=2, padding="same"),
    K.DepthwiseConv2D(3, padding="same"),
    K.DepthwiseConv2D(5, 2, padding="same"),
]


@pytest.mark.parametrize(
    "layer", LAYERS, ids=lambda c: f"{type(c).__name__}{c.kernel_size[0]}s{c.strides[0]}d{c.dilation_rate[0]}"
)
def test_the_sums_of_numpy_and_of_tensorflow_are_equal_and_are_those_of_keras(layer):
    rng = np.random.default_rng(4)
    x = rng.integers(-255, 256, (2, 12, 14, 3)).astype(np.int32)
    layer.build(x.shape)
    kernel = rng.integers(-127, 128, layer.get_weights()[0].shape).astype(np.int32)
    ours, theirs = numpy_convolve(x, kernel, layer), tensorflow_convolve(x, kernel, layer)
    np.testing.assert_array_equal(ours, theirs)
    layer.set_weights([kernel.astype(np.float32), np.zeros(theirs.shape[-1], np.float32)])
    np.testing.assert_array_equal(layer(x.astype(np.float32)).numpy(), ours)  # small enough to be exact in float32


@pytest.mark.parametrize("name", ["unet", "lighter"])
def test_the_reference_is_the_same_in_numpy_and_tensorflow(name):
    _, lowered, _ = trained(name, width=4, levels=3)
    plain, x = ready(lowered), inputs(4, height=16, width=24)
    ours, theirs = reference(plain, x), reference(plain, x, convolve=tensorflow_convolve)
    assert ours.keys() == theirs.keys()
    for layer, value in ours.items():
        np.testing.assert_array_equal(value, theirs[layer])


def test_a_convolution_by_hand():
    """4 inputs of one pixel, one weight each: every rule of the reference at once."""
    x, k, y = Grid(0.5, 10), Grid(0.25, bits=8, signed=True, narrow=True), Grid(0.3, 3)
    raw = tf_keras.Input((None, None, 1), name="raw")
    conv = K.Conv2D(1, 1, name="conv")
    tensor = Quantize(y, name="out")(conv(Quantize(x, name="in")(raw)))
    conv.set_weights([np.full((1, 1, 1, 1), 1.25, np.float32), np.array([0.3], np.float32)])
    from keras_models.lowered import Lowered

    found = reference(Lowered(tf_keras.Model(raw, tensor), {"conv": k}), np.array([[[[0.25], [1.3], [-9.0], [200.0]]]]))
    # 0.25 / 0.5 is a tie: to the even 0, plus 10. The others saturate or round.
    assert found["in"].ravel().tolist() == [10, 13, 0, 255]
    # (q - 10) * 5, and the bias 0.3 / 0.125 = 2.4 as 2.
    assert found["conv"].ravel().tolist() == [2, 17, -48, 1227]
    m = np.float32(0.5) * np.float32(0.25) / np.float32(0.3)
    wanted = np.clip(np.rint(np.array([2, 17, -48, 1227], np.float32) * m) + 3, 0, 255)
    assert found["out"].ravel().tolist() == wanted.tolist()
    assert multiplier(x, k, y) == m
    assert bias_levels(np.array([0.3]), x.scale * k.scale, of="conv") == 2
    with pytest.raises(BadGrid, match="a bias of 0.3 .* as 'conv' has"):
        bias_levels(np.array([0.3]), np.float32(2.0**-33), of="conv")


@pytest.mark.parametrize(("name", "options"), [NETWORKS[1], NETWORKS[4]], ids=str)
def test_a_trained_network_and_its_integers_tell_the_same_story(name, options):
    """Ties part them step by step: never by more than three, and one value in a hundred by more than one."""
    aware, lowered, _ = trained(name, **options)
    off = steps_off(aware, ready(lowered))
    assert np.abs(off).max() < 3.5
    assert np.mean(np.abs(off) < 1.5) >= 0.99


@pytest.mark.parametrize(("name", "options"), [*NETWORKS[:2], *NETWORKS[3:5]], ids=str)
def test_with_whole_biases_keras_itself_computes_the_integers(name, options):
    """What parts the trained network from its integers is the rounding of biases, and no rule of the reference."""
    _, lowered, _ = trained(name, **options)
    plain, x = hoisted(shuffled(lowered)), inputs(4, seed=9)  # one of its own: its biases change
    integers = reference(plain, x, convolve=tensorflow_convolve)["output0"]
    assert np.mean(plain(x).numpy() != integers) > SEEN
    whole_biases(plain)
    assert np.mean(plain(x).numpy() != integers) < FLOAT_TIES


@pytest.mark.parametrize(("name", "options"), NETWORKS[:5], ids=str)
def test_integers_are_off_to_both_sides_alike(name, options):
    """What ties do has no direction; a wrong bias or zero point would have one, of half a step or more."""
    aware, lowered, _ = trained(name, **options)
    plain = ready(lowered)
    assert abs(steps_off(aware, plain).mean()) < 0.25
    layer = plain.model.get_layer(next(n for n in plain.kernels if n.startswith("picture")))
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias + 3 * last_scale(plain)])
    try:
        assert abs(steps_off(aware, plain).mean()) > 2
    finally:
        layer.set_weights([kernel, bias])


def last_scale(lowered):
    return [step.layer.grid.scale for step in steps(lowered.model) if isinstance(step.layer, Quantize)][-1]


def steps_off(aware, plain):
    x = inputs(4, seed=9)
    integers = reference(plain, x, convolve=tensorflow_convolve)["output0"]
    return (integers - aware(x, training=False).numpy()) / last_scale(plain)
