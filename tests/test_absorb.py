import numpy as np
import pytest
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st
from lively import conv, image, lively, network, zoo

from export.round_kernels import round_kernels
from keras_models.fold import plain
from keras_models.graph import steps
from keras_models.layers import DepthToSpace
from keras_models.lowered import Lowered
from keras_models.rewrite import difference, reweighted
from keras_models.shuffle import shuffled
from quant.absorb import Moments, absorb, height, moved, norm_moments, sampled_moments
from quant.calibrate import values
from quant.equalize import equalize
from runtime.errors import BadOption

K = tf_keras.layers
# Of the output's range: float32 sums of numbers with another offset.
SUMS = 1e-5
DOUBLE = 1e-9  # relative: float64 sums of some hundred numbers, in another order
SINGLE = 1e-4  # relative: float32 values whose differences are small beside them
APART = 0.1  # relative: moments of channels that were scaled and not followed differ by whole factors
# Norms keep the variance of n samples times n / (n - 1), n = 512 here, and three of them stand in a row.
BESSEL = 4 / 512
HIGH = 6.0  # a bias that keeps the channels of these networks above zero: their deviations are about one


def relu(x, name="relu"):
    return K.ReLU(name=name)(x)


def pair(x, between=relu, size=1, padding="valid"):
    return K.Conv2D(5, size, padding=padding, name="second")(between(conv(x, "first", 4)))


def raised(lowered, by=HIGH, names=("first",)):
    """The network with high biases."""
    weights = {name: lowered.model.get_layer(name).get_weights() for name in names}
    return Lowered(reweighted(lowered.model, {name: [w[0], w[1] + np.float32(by)] for name, w in weights.items()}))


def least(lowered, x):
    """Moments that let a channel be lowered by what it never falls below on x, so that nothing is cut off."""
    convs = {step.makes: step for step in steps(lowered.model) if hasattr(step.layer, "kernel_size")}
    found = values(lowered, x, wanted=convs)
    return {s.name: Moments(a.min(axis=(0, 1, 2)).astype(float), np.zeros(a.shape[-1])) for s, a in found}


# --- the mathematics

numbers = st.floats(-50, 50)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(numbers, st.floats(0, 20)), min_size=1, max_size=8), st.floats(0, 5))
def test_a_shift_is_never_negative_and_leaves_the_deviations_asked_for_above_zero(channels, deviations):
    mean, deviation = np.array(channels).T
    c = height(Moments(mean, deviation), deviations=deviations)
    assert (c >= 0).all()
    assert ((c == 0) | np.isclose(mean - c, deviations * deviation)).all()


def test_a_channel_whose_moments_are_not_finite_stays():
    np.testing.assert_array_equal(height(Moments(np.array([np.nan, np.inf, 5]), np.array([1, 1, np.inf]))), 0)


@pytest.mark.parametrize("depthwise", [False, True])
def test_what_a_constant_becomes_is_what_the_convolution_makes_of_it(depthwise):
    layer = (K.DepthwiseConv2D if depthwise else K.Conv2D)(**{} if depthwise else {"filters": 5}, kernel_size=3)
    shift = np.float32([1, -2, 3])
    made = layer(np.broadcast_to(shift, (1, 4, 4, 3)))
    wanted = moved(layer.get_weights()[0], shift, depthwise=depthwise)
    np.testing.assert_allclose(made, np.broadcast_to(wanted, made.shape), rtol=1e-4, atol=1e-5)  # float32 sums


# --- exact where it can be

EXACT = {
    "1x1": pair,
    "valid 3x3": lambda x: pair(x, size=3),
    "nothing between": lambda x: pair(x, between=lambda x: x),
    "pool": lambda x: pair(x, between=lambda x: K.MaxPooling2D()(relu(x))),
    "nearest": lambda x: pair(x, between=lambda x: K.UpSampling2D()(relu(x))),
    "bilinear": lambda x: pair(x, between=lambda x: K.UpSampling2D(interpolation="bilinear")(relu(x))),
    "mean": lambda x: pair(x, between=lambda x: K.GlobalAveragePooling2D(keepdims=True)(relu(x))),
    "shuffle": lambda x: pair(x, between=lambda x: DepthToSpace()(relu(x))),
    "depthwise": lambda x: K.DepthwiseConv2D(3, name="second")(relu(conv(x, "first"))),
    "depthwise of two": lambda x: K.DepthwiseConv2D(3, depth_multiplier=2, name="second")(relu(conv(x, "first"))),
    "no second bias": lambda x: K.Conv2D(5, 1, use_bias=False, name="second")(relu(conv(x, "first"))),
    "several readers": lambda x: [
        x := relu(conv(x, "first")),
        x := K.Concatenate()([x, relu(conv(x, "other", size=1), "relu2"), x]),
        K.Conv2D(5, 1, name="second")(x),
    ][-1],
}


@pytest.mark.parametrize("kind", EXACT)
def test_where_nothing_is_cut_off_absorbing_changes_nothing_but_biases(kind):
    lowered = raised(network(EXACT[kind]))
    x = image(2, 8, 8, 3)
    after, report = absorb(lowered, least(lowered, x))
    assert report.shifts["first"].max() > 1
    assert difference(lowered, after.check(), x) <= SUMS
    assert after.model.get_layer("first").bias.numpy().max() < lowered.model.get_layer("first").bias.numpy().max()
    for name in ("first", "second"):
        np.testing.assert_array_equal(*(m.model.get_layer(name).get_weights()[0] for m in (lowered, after)))


def test_a_shift_that_arrives_nowhere_would_be_noticed():
    lowered, x = raised(network(pair)), image(2, 8, 8, 3)
    after, _ = absorb(lowered, least(lowered, x))
    lost = reweighted(after.model, {"second": lowered.model.get_layer("second").get_weights()})
    assert difference(lowered, lost, x) > 100 * SUMS


@pytest.mark.parametrize("name", ["squeeze", "thin-separable", "light", "c-unet++"])
def test_the_networks_of_the_zoo_stay_the_same_function(name):
    lowered, contract = zoo(name, **({} if name in ("squeeze", "c-unet++") else {"levels": 2}))
    lowered = shuffled(lowered)
    convs = [s.name for s in steps(lowered.model) if hasattr(s.layer, "kernel_size") and s.layer.use_bias]
    lowered = raised(lowered, 1.0, convs)
    x = image(1, contract.multiple, contract.multiple, len(contract.planes))
    after, report = absorb(lowered, least(lowered, x))
    assert report.shifts
    assert difference(lowered, after.check(), x) <= SUMS
    assert {*report.shifts, *report.skipped} == {
        s.name for s in steps(lowered.model) if hasattr(s.layer, "kernel_size")
    }
    assert not report.shifts.keys() & report.skipped


def test_what_lies_below_three_deviations_is_all_that_changes():
    lowered, x = raised(network(pair), 4.0), image(4, 32, 32, 3)
    moments = sampled_moments(lowered, lambda: [x])
    after, report = absorb(lowered, moments)
    c, first = report.shifts["first"], tf_keras.Model(lowered.model.input, lowered.model.get_layer("first").output)(x)
    assert c.any()
    cut = np.maximum(c - np.maximum(first.numpy(), 0), 0)  # how far below c a channel fell
    touched = cut.any(axis=-1)
    assert 0 < touched.mean() < 0.05
    off = np.abs(after(x).numpy() - lowered(x).numpy())
    size = np.abs(lowered.model.get_layer("second").get_weights()[0]).sum(axis=(0, 1))
    assert (off <= cut @ size + SUMS * np.ptp(lowered(x))).all()
    assert off[touched].max() > 100 * SUMS
    assert off[~touched].max() <= SUMS * np.ptp(lowered(x))


# --- where it cannot be


def test_padding_with_zeros_stops_a_shift_unless_the_border_is_no_matter():
    lowered = raised(network(lambda x: pair(x, size=3, padding="same")))
    x = image(1, 8, 8, 3)
    moments = least(lowered, x)
    same, report = absorb(lowered, moments)
    assert report.skipped["first"] == "a convolution that pads with zeros reads it: second"
    assert difference(lowered, same, x) == 0
    after, report = absorb(lowered, moments, padded=True)
    off = np.abs(after(x).numpy() - lowered(x).numpy()).max(axis=(0, 3)) / np.ptp(lowered(x))
    assert off[1:-1, 1:-1].max() <= SUMS
    border = np.ones_like(off, bool)
    border[1:-1, 1:-1] = False
    assert off[border].min() > 100 * SUMS


STOPS = {
    "LeakyReLU reads it: leaky": lambda x: pair(x, lambda x: K.LeakyReLU(0.2, name="leaky")(x)),
    "SiLU reads it: odd": lambda x: pair(x, lambda x: K.Activation("swish", name="odd")(x)),
    "ReLU reads it: odd": lambda x: pair(x, lambda x: K.ReLU(6, name="odd")(x)),
    "an addition reads it: odd": lambda x: pair(x, lambda x: K.Add(name="odd")([x, relu(x)])),
    "taps with one bias for pixels of their own read it: up": lambda x: K.Conv2DTranspose(3, 2, 2, name="up")(
        relu(conv(x, "first"))
    ),
    "it is an output": lambda x: relu(conv(x, "first"), "relu"),
}


@pytest.mark.parametrize("reason", STOPS)
def test_what_stops_a_shift_is_named(reason):
    lowered, x = raised(network(STOPS[reason])), image(1, 8, 8, 3)
    after, report = absorb(lowered, least(lowered, x))
    assert report.skipped["first"] == reason
    assert difference(lowered, after, x) == 0


def test_a_transposed_convolution_taken_apart_lets_a_shift_pass():
    def body(x):
        return K.Conv2DTranspose(3, 2, 2, padding="same", name="up")(relu(conv(x, "first")))

    lowered, x = shuffled(raised(network(body))), image(1, 8, 8, 3)
    after, report = absorb(lowered, least(lowered, x))
    assert "first" in report.shifts
    assert difference(lowered, after, x) <= SUMS


def test_channels_that_are_not_known_or_not_high_stay():
    lowered = network(pair)
    _, report = absorb(lowered, {})
    assert report.skipped["first"] == "its mean and deviation are not known"
    _, report = absorb(lowered, {"first": Moments(np.zeros(4), np.ones(4))})
    assert report.skipped["first"] == "no channel of it lies so far above zero"


def test_a_quantized_network_and_options_that_cannot_be_are_refused():
    lowered = network(pair)
    with pytest.raises(BadOption, match="a quantized network"):
        absorb(round_kernels(lowered, bits=8), {})
    for deviations in (-1, np.nan):
        with pytest.raises(BadOption, match="deviations"):
            absorb(lowered, {}, deviations=deviations)


# --- the moments


def test_moments_of_samples_are_those_of_all_of_them_at_once():
    lowered, x = network(pair), image(5, 8, 8, 3)
    parts = sampled_moments(lowered, lambda: iter([x[:1], x[1:2] * 1, x[2:]]))
    made = tf_keras.Model(lowered.model.input, lowered.model.get_layer("first").output)(x).numpy().astype(np.float64)
    np.testing.assert_allclose(parts["first"].mean, made.mean(axis=(0, 1, 2)), rtol=DOUBLE)
    np.testing.assert_allclose(parts["first"].deviation, made.std(axis=(0, 1, 2)), rtol=DOUBLE)


def test_a_mean_far_from_zero_costs_no_deviation():
    lowered = raised(network(pair), 1e4)
    x = image(4, 8, 8, 3)
    near = sampled_moments(raised(lowered, -1e4), lambda: [x[:2], x[2:]])["first"].deviation
    far = sampled_moments(lowered, lambda: [x[:2], x[2:]])["first"].deviation
    np.testing.assert_allclose(far, near, rtol=1e-2)  # the values themselves are float32: steps of 1e-3 at 1e4


def normed(x):
    x = K.BatchNormalization(name="norm")(conv(x, "first"))
    lone = K.BatchNormalization(name="lone")(relu(x))
    return K.BatchNormalization(scale=False, name="norm2")(K.Conv2D(5, 1, name="second")(lone))


def test_the_moments_of_a_folded_norm_are_its_shift_and_its_gain():
    raw = K.Input((None, None, 3))
    model = lively(tf_keras.Model(raw, normed(raw)))
    x = image(8, 8, 8, 3)
    for layer in model.layers:
        if isinstance(layer, K.BatchNormalization):
            layer.momentum, layer.epsilon = 0.0, 1e-12
    for _ in range(3):  # one norm after the other comes to rest on what the one before makes
        model(x, training=True)
    found, sampled = norm_moments(model), sampled_moments(plain(model), lambda: [x])
    assert set(found) == {"first", "second"}
    for name, moments in found.items():
        np.testing.assert_allclose(moments.mean, sampled[name].mean, atol=1e-3)  # float32 statistics of training
        np.testing.assert_allclose(moments.deviation, sampled[name].deviation, rtol=BESSEL)


def test_moments_follow_equalization():
    lowered, x = network(pair, uneven=3), image(2, 8, 8, 3)
    after, report = equalize(lowered, threshold=0)
    before, now = (sampled_moments(one, lambda: [x])["first"] for one in (lowered, after))
    followed = before.divided(report.scales["first"])
    np.testing.assert_allclose(followed.mean, now.mean, rtol=SINGLE, atol=1e-6)  # a mean may be near 0
    np.testing.assert_allclose(followed.deviation, now.deviation, rtol=SINGLE)
    assert not np.allclose(before.deviation, now.deviation, rtol=APART)
