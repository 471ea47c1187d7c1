import weakref

import numpy as np
import pytest
import tf_keras
from lively import conv, image, lively, network, zoo

from export.round_kernels import round_kernels
from keras_models.fold import plain
from keras_models.graph import steps
from keras_models.grid import Grid
from keras_models.lowered import Lowered
from keras_models.rewrite import difference, reweighted
from keras_models.shuffle import shuffled
from quant.correct import correct, means
from quant.lower_tfmot import lower_tfmot
from quant.qat import quantization_aware
from runtime.errors import BadOption

K = tf_keras.layers
# Of a channel's deviation: biases and sums are float32, means of thousands of them are not.
MEAN = 1e-4


def convs(lowered):
    return [step.name for step in steps(lowered.model) if hasattr(step.layer, "kernel_size")]


def rounded_down(lowered, bits=4):
    """Kernels on grids, every weight rounded down: as biased as rounding can be."""
    kernels, weights = dict(round_kernels(lowered, bits=bits).kernels), {}
    for name, grid in kernels.items():
        kernel, *bias = lowered.model.get_layer(name).get_weights()
        step = grid.dequantize(np.full(kernel.shape, grid.zero + 1))
        weights[name] = [grid.dequantize(np.clip(np.floor(kernel / step), grid.low, grid.high)), *bias]
    return Lowered(reweighted(lowered.model, weights), kernels).check()


def bright(*shape, seed=0):
    """Images that are never negative: their means are what rounding shifts."""
    return np.abs(image(*shape, seed=seed))


def pairs(name="lighter", **options):
    lowered, contract = zoo(name, levels=2, **options)
    lowered = shuffled(lowered)
    shape = (contract.multiple * 2, contract.multiple * 2, len(contract.planes))
    return lowered, [bright(2, *shape, seed=i) for i in range(3)], bright(4, *shape, seed=9)


def error(one, other, x):
    return float(np.square(np.asarray(one(x), np.float64) - other(x)).mean())


@pytest.mark.parametrize("name", ["unet", "lighter", "thin-separable"])
def test_every_convolution_makes_the_mean_of_the_float_one(name):
    lowered, batches, unseen = pairs(name)
    quantized = rounded_down(lowered)
    after = correct(quantized, lowered, lambda: batches).check()
    wanted, found, before = (means(one, lambda: batches, names=convs(lowered)) for one in (lowered, after, quantized))
    for conv_name in wanted:
        size = np.abs(wanted[conv_name]).max()
        assert np.abs(found[conv_name] - wanted[conv_name]).max() <= MEAN * size
        assert np.abs(before[conv_name] - wanted[conv_name]).max() > 100 * MEAN * size
    # Rounding down is noise too, which no bias mends.
    assert error(after, lowered, unseen) < 0.85 * error(quantized, lowered, unseen)


def test_correcting_all_at_once_would_not_do():
    lowered, batches, _ = pairs()
    quantized = rounded_down(lowered)
    names = convs(lowered)
    wanted, found = (means(one, lambda: batches, names=names) for one in (lowered, quantized))
    weights = {name: quantized.model.get_layer(name).get_weights() for name in names}
    hasty = Lowered(
        reweighted(quantized.model, {n: [w[0], w[1] + np.float32(wanted[n] - found[n])] for n, w in weights.items()})
    )
    off = np.abs(means(hasty, lambda: batches, names=names)[names[-1]] - wanted[names[-1]])
    assert off.max() > 100 * MEAN * np.abs(wanted[names[-1]]).max()


def test_a_network_that_is_not_off_stays_as_it_is():
    lowered, batches, unseen = pairs()
    after = correct(lowered, lowered, lambda: batches)
    assert difference(lowered, after, unseen) <= 1e-6  # means of equal numbers are equal


def test_grids_and_kernels_stay_and_so_does_the_network_that_is_corrected():
    lowered, batches, _ = pairs()
    quantized = rounded_down(lowered)
    weights = [w.copy() for w in quantized.model.get_weights()]
    after = correct(quantized, lowered, lambda: batches)
    for ours, theirs in zip(quantized.model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert after.kernels == quantized.kernels
    for name in convs(lowered):
        np.testing.assert_array_equal(*(m.model.get_layer(name).get_weights()[0] for m in (quantized, after)))


def test_the_same_samples_give_the_same_bits_however_they_are_batched():
    lowered, batches, _ = pairs()
    quantized = rounded_down(lowered)
    one, again = (correct(quantized, lowered, lambda: iter(batches)) for _ in range(2))
    for ours, theirs in zip(one.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    other = correct(quantized, lowered, lambda: [np.concatenate(batches)])
    for ours, theirs in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)  # float32 sums in another order


def test_a_convolution_without_a_bias_gets_one():
    lowered = network(lambda x: conv(K.ReLU()(conv(x, "first", use_bias=False)), "second"))
    quantized, x = rounded_down(lowered), bright(2, 8, 8, 3)
    after = correct(quantized, lowered, lambda: [x])
    assert after.model.get_layer("first").use_bias
    assert np.abs(after.model.get_layer("first").bias.numpy()).max() > 0


def test_networks_with_rounded_activations_are_corrected_too():
    raw = K.Input((16, 16, 3), name="raw")
    x = K.ReLU(name="relu")(K.BatchNormalization(name="norm")(conv(raw, "first", 6)))
    model = tf_keras.Model(raw, conv(x, "second"))
    samples = bright(4, 16, 16, 3)
    quantized = lower_tfmot(quantization_aware(lively(model), samples=samples))
    lowered = plain(model)
    kernel, bias = quantized.model.get_layer("first").get_weights()
    off = Lowered(reweighted(quantized.model, {"first": [kernel, bias + np.float32(0.1)]}), quantized.kernels)
    after = correct(off, lowered, lambda: [samples]).check()
    assert error(after, lowered, samples) < error(off, lowered, samples) / 2
    assert error(after, lowered, samples) <= error(quantized, lowered, samples) * 1.01  # nothing to speak of to correct


def test_no_more_than_a_batch_or_two_is_kept():
    lowered = network(lambda x: conv(K.ReLU()(conv(x, "first")), "second"))
    quantized = rounded_down(lowered)
    alive, most = weakref.WeakSet(), []

    class Batch(np.ndarray):
        def __hash__(self):
            return id(self)

    def batches():
        for i in range(12):
            batch = bright(1, 8, 8, 3, seed=i).view(Batch)
            alive.add(batch)
            most.append(len(alive))
            yield batch

    correct(quantized, lowered, batches)
    assert len(most) == 3 * 12  # once in float, once for either convolution
    assert max(most) <= 3


def test_layers_that_are_not_those_of_the_float_network_are_named():
    lowered = network(lambda x: conv(K.ReLU()(conv(x, "first")), "second"))
    other = network(lambda x: conv(K.ReLU()(conv(x, "first", 7)), "second"))
    third = network(lambda x: conv(x, "another"))
    for wrong in (other, third):
        with pytest.raises(BadOption, match="without a layer like 'first'"):
            correct(rounded_down(lowered), wrong, lambda: [bright(1, 8, 8, 3)])


def test_samples_are_needed():
    lowered = network(lambda x: conv(x, "first"))
    with pytest.raises(BadOption, match="samples"):
        correct(Lowered(lowered.model, {"first": Grid(np.float32(1), signed=True)}), lowered, lambda: [])
