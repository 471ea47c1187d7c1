import numpy as np
import pytest
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st
from lively import conv, image, network, zoo

from export.round_kernels import channel_grid, round_kernels
from keras_models.graph import steps
from keras_models.grid import Grid
from keras_models.lowered import Lowered, kernel_of
from keras_models.quantize import Quantize
from keras_models.rewrite import reweighted
from keras_models.shuffle import shuffled
from quant.calibrate import values
from quant.patches import Reservoir, bias_row, from_matrix, patches, places_of, to_matrix
from quant.round_up import Search, floors, rectified, round_up
from runtime.errors import BadOption

K = tf_keras.layers
# Of a sum's size: float32 products added in another order.
SUMS = 1e-5
# Of a step: weights and levels are float32.
FLOAT32 = 1e-4
QUICK = Search(steps=150, patches=1024, batch=128)


def smooth(*shape, seed=0):
    """Images as cameras make them: bright, and neighbours alike, so that errors of weights have something to cancel."""
    noise = image(*shape, seed=seed)
    for axis in (1, 2):
        for _ in range(3):
            noise = (np.roll(noise, 1, axis) + noise + np.roll(noise, -1, axis)) / 3
    return (0.4 + 0.2 * noise / noise.std()).astype(np.float32)


def signal_to_noise(lowered, other, x):
    wanted = np.asarray(lowered(x), np.float64)
    return 10 * np.log10(np.square(wanted).mean() / np.square(np.asarray(other(x)) - wanted).mean())


def kernels_of(lowered):
    return {name: (kernel_of(lowered.model.get_layer(name)), grid) for name, grid in lowered.kernels.items()}


def on_grids(lowered, bits=4):
    """Kernels on grids with transposed convolutions as they are, activations rounded too."""
    kernels, weights = {}, {}
    for step in steps(lowered.model):
        if hasattr(step.layer, "kernel_size"):
            kernel, *bias = step.layer.get_weights()
            grid = channel_grid(kernel, bits=bits, axis=-1 if type(step.layer) is K.Conv2D else 2)
            kernels[step.name], weights[step.name] = grid, [grid.dequantize(grid.quantize(kernel)), *bias]
    return Lowered(reweighted(lowered.model, weights), kernels).check()


# --- a convolution as a product of matrices

LAYERS = {
    "same": K.Conv2D(5, 3, padding="same"),
    "valid": K.Conv2D(5, 3),
    "strided": K.Conv2D(5, 3, 2, padding="same"),
    "strided, even": K.Conv2D(5, 2, 2, padding="same"),
    "dilated": K.Conv2D(5, 3, dilation_rate=2, padding="same"),
    "1x1, no bias": K.Conv2D(5, 1, use_bias=False),
    "oblong": K.Conv2D(5, (1, 3), padding="same"),
    "depthwise": K.DepthwiseConv2D(3, padding="same"),
    "depthwise, strided, two": K.DepthwiseConv2D(3, 2, padding="same", depth_multiplier=2),
    "transposed": K.Conv2DTranspose(5, 2, 2, padding="same"),
    "transposed 1x1": K.Conv2DTranspose(5, 1, 2, padding="same"),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_patches_times_the_matrix_are_what_the_convolution_makes(kind, size):
    layer = type(LAYERS[kind]).from_config(LAYERS[kind].get_config())
    x = image(2, *size, 3)
    made = tf_keras.Sequential([K.Input((*size, 3)), layer])(x).numpy()
    if layer.use_bias:
        layer.bias.assign(np.arange(layer.bias.shape[0], dtype=np.float32))
        made = layer(x).numpy()
    places = places_of(layer, x.shape)
    found = patches(x, layer, places) @ to_matrix(kernel_of(layer), layer) + bias_row(layer)
    n, i, j = places.T
    if isinstance(layer, K.Conv2DTranspose):
        k = layer.kernel_size[0]
        cells = [made[n, 2 * i + a, 2 * j + b] for a in range(k) for b in range(k)]
        wanted = np.concatenate(cells, axis=-1)[None]
    elif isinstance(layer, K.DepthwiseConv2D):
        wanted = made[n, i, j].reshape(len(n), 3, -1).transpose(1, 0, 2)
    else:
        wanted = made[n, i, j][None]
    np.testing.assert_allclose(found, wanted, atol=SUMS * np.abs(made).max())


@pytest.mark.parametrize("kind", LAYERS)
def test_a_matrix_goes_back_to_the_kernel_it_was_made_of(kind):
    layer = type(LAYERS[kind]).from_config(LAYERS[kind].get_config())
    layer.build((None, None, None, 3))
    kernel = np.arange(kernel_of(layer).size).reshape(kernel_of(layer).shape)
    np.testing.assert_array_equal(from_matrix(to_matrix(kernel, layer), kernel.shape, layer), kernel)


def test_a_reservoir_keeps_so_many_of_all_alike_and_the_same_of_every_view():
    layer = K.Conv2D(1, 1)
    layer.build((None, None, None, 1))
    kept = Reservoir(400, np.random.default_rng(0))
    for i in range(10):
        batch = np.full((1, 20, 20, 1), i, np.float32)
        kept.see(layer, [batch, batch * 2])
    one, other = kept.views
    assert one.shape == other.shape == (1, 400, 1)
    np.testing.assert_array_equal(one * 2, other)
    counts = np.bincount(one.ravel().astype(int), minlength=10)
    # 40 of each, give or take five deviations of 6
    assert (abs(counts - 40) < 30).all()
    few = Reservoir(400, np.random.default_rng(0))
    few.see(layer, [np.zeros((1, 4, 4, 1), np.float32)])
    assert few.views[0].shape == (1, 16, 1)


# --- levels


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 999), st.integers(2, 8), st.floats(-8, 8), st.booleans())
def test_a_weight_lies_that_part_of_a_step_above_the_level_below(seed, bits, exponent, wide):
    kernel = (np.random.default_rng(seed).normal(size=(3, 3, 2, 4)) * 2.0**exponent).astype(np.float32)
    grid = channel_grid(kernel * (1 if wide else 0.5), bits=bits, axis=-1)
    low, part = floors(kernel, grid)
    assert (low >= grid.low).all() and (low <= grid.high).all() and (part >= 0).all() and (part <= 1).all()
    levels = kernel / grid.scale
    inside = (levels >= grid.low - FLOAT32) & (levels <= grid.high + FLOAT32)
    np.testing.assert_allclose((low + part)[inside], levels[inside], atol=FLOAT32)
    assert inside.all() == wide
    nearest = np.where(part >= 0.5, low + 1, low)
    ties = np.abs(part - 0.5) < FLOAT32
    np.testing.assert_array_equal(np.clip(nearest, grid.low, grid.high)[~ties], grid.quantize(kernel)[~ties])


def test_the_rectified_sigmoid_reaches_both_ends():
    found = rectified(np.float32([-20, -3, 0, 3, 20])).numpy()
    np.testing.assert_allclose(found, [0, 0, 0.5, 1, 1], atol=1e-6)  # float32


# --- the search


@pytest.mark.parametrize("name", ["unet", "lighter"])
def test_four_bits_are_two_decibels_better_than_nearest_on_samples_never_seen(name):
    lowered, _ = zoo(name, levels=2, width=8)
    lowered = shuffled(lowered)
    samples, unseen = [smooth(2, 24, 24, 4, seed=i) for i in range(3)], smooth(4, 24, 24, 4, seed=9)
    quantized = round_kernels(lowered, bits=4)
    before = {n: k.copy() for n, (k, _) in kernels_of(quantized).items()}
    after = round_up(quantized, lowered, lambda: samples, search=QUICK).check()
    gain = signal_to_noise(lowered, after, unseen) - signal_to_noise(lowered, quantized, unseen)
    assert gain >= 2
    assert after.kernels == quantized.kernels
    changed = []
    for layer, (kernel, grid) in kernels_of(after).items():
        low, _ = floors(kernel_of(lowered.model.get_layer(layer)), grid)
        up = grid.quantize(kernel) - low
        assert ((up == 0) | (up == 1)).all()
        changed.append((kernel != before[layer]).mean())
    assert 0.02 < np.mean(changed) < 0.5
    for layer, (kernel, _) in kernels_of(quantized).items():
        np.testing.assert_array_equal(kernel, before[layer])


def test_levels_up_or_down_by_chance_are_worse_than_nearest():
    lowered, _ = zoo("unet", levels=2, width=8)
    lowered = shuffled(lowered)
    quantized, rng, weights = round_kernels(lowered, bits=4), np.random.default_rng(0), {}
    for layer, (_, grid) in kernels_of(quantized).items():
        kernel, *bias = lowered.model.get_layer(layer).get_weights()
        low, part = floors(kernel, grid)
        q = np.clip(low + (part >= rng.uniform(0.2, 0.8, part.shape)), grid.low, grid.high)
        weights[layer] = [grid.dequantize(q), *bias]
    chance = Lowered(reweighted(quantized.model, weights), quantized.kernels)
    unseen = smooth(4, 24, 24, 4, seed=9)
    assert signal_to_noise(lowered, chance, unseen) < signal_to_noise(lowered, quantized, unseen)


def test_eight_bits_are_so_near_that_hardly_anything_changes():
    lowered = network(lambda x: conv(K.ReLU()(conv(x, "first", 8)), "second"))
    samples, unseen = smooth(4, 24, 24, 3), smooth(4, 24, 24, 3, seed=9)
    quantized = on_grids(lowered, bits=8)
    after = round_up(quantized, lowered, lambda: [samples], search=QUICK).check()
    off = np.abs(after(unseen).numpy() - quantized(unseen).numpy()).max() / np.ptp(lowered(unseen))
    assert off < 0.01
    assert signal_to_noise(lowered, after, unseen) > signal_to_noise(lowered, quantized, unseen) - 0.5


def everything(x):
    x = K.LeakyReLU(0.2, name="leaky")(conv(x, "first", 8))
    x = Quantize(Grid.from_range(-1, 6), name="q")(x)
    x = K.ReLU(name="relu")(K.DepthwiseConv2D(3, padding="same", name="depthwise")(x))
    x = K.Activation("swish", name="swish")(conv(x, "down", 8, strides=2))
    x = K.Conv2DTranspose(8, 2, 2, padding="same", use_bias=False, name="up")(x)
    return conv(x, "last", 3, dilation_rate=2)


def test_no_output_of_any_layer_serves_its_samples_worse_than_nearest():
    lowered = network(everything)
    samples = smooth(3, 16, 16, 3)
    quantized = on_grids(lowered)
    all_patches = Search(steps=100, patches=10**6, batch=128)
    after = round_up(quantized, lowered, lambda: [samples], search=all_patches).check()
    bends = {"first": "leaky", "depthwise": "relu", "down": "swish"}
    better = 0
    for name, grid in after.kernels.items():
        twin = lowered.model.get_layer(name)
        bend = lowered.model.get_layer(bends[name]) if name in bends else (lambda x: x)
        x = {}
        for key, one in (("float", lowered), ("ours", after)):
            (tensor,) = next(step.reads for step in steps(one.model) if step.name == name)
            x[key] = next(values(one, samples, wanted=[tensor]))[1]
        wanted = np.asarray(bend(twin(x["float"])))
        errors = {}
        for key, kernel in (("ours", kernel_of(after.model.get_layer(name))), ("nearest", kernel_of(twin))):
            rounded = grid.dequantize(grid.quantize(kernel))
            layer = reweighted(lowered.model, {name: [rounded, *twin.get_weights()[1:]]}).get_layer(name)
            errors[key] = np.square(np.asarray(bend(layer(x["ours"]))) - wanted).mean(axis=(0, 1, 2))
        if name != "up":  # whose channels are chosen pixel by pixel
            assert (errors["ours"] <= errors["nearest"] * (1 + SUMS)).all()
        assert errors["ours"].mean() <= errors["nearest"].mean() * (1 + SUMS)
        better += (errors["ours"] < errors["nearest"] * 0.99).any()
    assert better >= 4


def test_weights_that_lie_on_their_grid_already_stay():
    lowered = network(lambda x: conv(K.ReLU()(conv(x, "first")), "second"))
    quantized = on_grids(lowered)
    after = round_up(quantized, Lowered(quantized.model), lambda: [smooth(2, 8, 8, 3)], search=QUICK)
    for ours, theirs in zip(after.model.get_weights(), quantized.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_dead_channels_do_no_harm():
    lowered = network(lambda x: conv(K.ReLU()(conv(x, "first")), "second"))
    kernel, bias = lowered.model.get_layer("first").get_weights()
    kernel[..., 1] = 0
    lowered = Lowered(reweighted(lowered.model, {"first": [kernel, bias]}))
    after = round_up(on_grids(lowered), lowered, lambda: [smooth(2, 8, 8, 3)], search=QUICK).check()
    assert (kernel_of(after.model.get_layer("first"))[..., 1] == 0).all()


def test_the_same_seed_gives_the_same_levels_and_layers_are_told_in_order():
    lowered = network(everything)
    quantized, told = on_grids(lowered), []
    search = Search(steps=20, patches=256, batch=64)
    samples = [smooth(1, 16, 16, 3, seed=i) for i in range(2)]
    one, again = (
        round_up(quantized, lowered, lambda: iter(samples), search=search, progress=told.append) for _ in range(2)
    )
    for ours, theirs in zip(one.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert told == 2 * ["first", "depthwise", "down", "up", "last"]


@pytest.mark.parametrize("option", [{"steps": 0}, {"rate": -1}, {"batch": 0}, {"patches": 0}, {"weight": -1}], ids=str)
def test_a_search_that_cannot_be_is_refused(option):
    lowered = network(lambda x: conv(x, "first"))
    with pytest.raises(BadOption, match=next(iter(option))):
        round_up(on_grids(lowered), lowered, lambda: [smooth(1, 8, 8, 3)], search=Search(**option))
