import numpy as np
import pytest
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st
from lively import conv, image, network, zoo

import keras_models
from export.round_kernels import round_kernels
from keras_models.graph import steps
from keras_models.grid import Grid
from keras_models.layers import AlignedUpsample, DepthToSpace
from keras_models.lowered import Lowered, kernel_of
from keras_models.quantize import Quantize
from keras_models.rewrite import difference, reweighted
from keras_models.shuffle import shuffled
from quant.equalize import MOST, chains, equalize, scales
from runtime.errors import BadOption, UnknownLayer

K = tf_keras.layers
# Of the output's range: float32 sums of numbers scaled differently, some fifty layers deep.
SUMS = 1e-5
# Weights in float32 divided once: their ranges agree to a few roundings of it.
ROUNDED = 1e-6


def relu(x, name="relu"):
    return K.ReLU(name=name)(x)


def pair(x, between=relu):
    return conv(between(conv(x, "first")), "second")


def largest(lowered, name, axis):
    kernel = np.abs(kernel_of(lowered.model.get_layer(name)))
    return kernel.max(axis=tuple(i for i in range(4) if i != axis))


# --- the mathematics

LOGARITHMS = 1e-9  # relative: float64 through a logarithm and back
sizes = st.floats(-12, 12).map(lambda e: 2.0**e)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(2, 5).flatmap(lambda n: st.lists(st.lists(sizes, min_size=n, max_size=n), min_size=1, max_size=5)))
def test_every_range_of_a_chain_becomes_the_geometric_mean_of_all(columns):
    ranges = np.array(columns).T
    by = np.concatenate([np.ones((1, ranges.shape[1])), scales(ranges), np.ones((1, ranges.shape[1]))])
    after = ranges * by[:-1] / by[1:]
    np.testing.assert_allclose(
        after, np.broadcast_to(np.exp(np.log(ranges).mean(axis=0)), after.shape), rtol=LOGARITHMS
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(sizes, sizes), min_size=1, max_size=6))
def test_a_pair_is_scaled_as_published(columns):
    first, second = np.array(columns).T
    np.testing.assert_allclose(
        1 / scales(np.stack([first, second]))[0], np.sqrt(first * second) / first, rtol=LOGARITHMS
    )


def test_dead_channels_and_those_below_the_threshold_keep_their_size():
    ranges = np.array([[0, 3, 0.2, 0.2, 0.0], [2, 0, 0.29, 0.31, 0.0]])
    np.testing.assert_array_equal(scales(ranges, threshold=0.5)[0] == 1, [True, True, True, False, True])
    assert scales(ranges)[0, 2] != 1


# --- the zoo


@pytest.mark.parametrize("name", keras_models.names())
def test_equalizing_changes_no_network_of_the_zoo(name):
    lowered, contract = zoo(name)
    after, report = equalize(lowered, threshold=0)
    x = image(1, 2 * contract.multiple, contract.multiple, len(contract.planes))
    assert report.chains
    assert max(np.abs(np.log(scale)).max() for scale in report.scales.values()) > 0.5  # something moved
    assert difference(lowered, after.check(), x) <= SUMS
    makers = {maker for chain in report.chains for maker in chain.makers}
    convs = {s.name for s in steps(lowered.model) if hasattr(s.layer, "kernel_size")}
    assert makers | set(report.skipped) == convs
    assert not makers & set(report.skipped)


def test_a_scale_given_to_one_side_alone_would_be_noticed():
    lowered, contract = zoo("unet", levels=2)
    x = image(1, contract.multiple, contract.multiple, len(contract.planes))
    after, report = equalize(lowered, threshold=0)
    for chain in report.chains[::3]:
        for name in (*chain.makers, *(read.name for read in chain.reads)):
            half = reweighted(after.model, {name: lowered.model.get_layer(name).get_weights()})
            assert difference(lowered, half, x) > 100 * SUMS


def test_an_output_that_is_not_finite_is_as_far_apart_as_can_be():
    lowered = network(lambda x: conv(x, "only", 1))
    kernel, bias = lowered.model.get_layer("only").get_weights()
    broken = reweighted(lowered.model, {"only": [kernel, bias * np.nan]})
    assert difference(lowered, broken, image(1, 4, 4, 3)) == np.inf
    assert difference(lowered, lowered, image(1, 4, 4, 3)) == 0


def test_the_network_that_is_equalized_stays_as_it_was():
    lowered, _ = zoo("lighter", levels=2)
    before = [w.copy() for w in lowered.model.get_weights()]
    equalize(lowered, threshold=0)
    for ours, theirs in zip(lowered.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_no_iterations_change_nothing():
    lowered, _ = zoo("lighter", levels=2)
    after, report = equalize(lowered, iterations=0)
    for ours, theirs in zip(lowered.model.get_weights(), after.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert report.rounds == 0


# --- which convolutions

PASSES = {
    "nothing": lambda x: x,
    "relu": relu,
    "leaky": lambda x: K.LeakyReLU(0.2)(x),
    "leaky of another kind": lambda x: K.ReLU(negative_slope=0.1)(x),
    "prelu": lambda x: K.PReLU(shared_axes=[1, 2], alpha_initializer="uniform")(x),
    "named relu": lambda x: K.Activation("relu")(x),
    "pool": lambda x: K.MaxPooling2D()(relu(x)),
    "nearest": lambda x: K.UpSampling2D()(x),
    "bilinear": lambda x: K.UpSampling2D(interpolation="bilinear")(relu(x)),
    "aligned": lambda x: AlignedUpsample()(relu(x)),
    "mean": lambda x: K.GlobalAveragePooling2D(keepdims=True)(relu(x)),
    "shuffle": lambda x: DepthToSpace()(relu(x)),
    "depthwise": lambda x: K.DepthwiseConv2D(3, padding="same", name="middle")(relu(x)),
    "transposed": lambda x: K.Conv2DTranspose(5, 2, 2, padding="same", name="middle")(relu(x)),
    "strided, no bias": lambda x: K.Conv2D(5, 3, 2, padding="same", use_bias=False, name="middle")(relu(x)),
}


@pytest.mark.parametrize("between", PASSES)
def test_a_scale_passes_what_is_positively_homogeneous_and_mixes_no_channels(between):
    lowered = network(lambda x: pair(x, PASSES[between]), uneven=4)
    after, report = equalize(lowered, threshold=0)
    assert set(report.scales) >= {"first"}
    assert difference(lowered, after, image(2, 8, 8, 3)) <= SUMS
    assert np.ptp(np.log(report.scales["first"])) > 0 if between != "shuffle" else report.chains[0].period == 1


STOPS = {
    "SiLU reads it: odd": lambda x: K.Activation("swish", name="odd")(x),
    "sigmoid reads it: odd": lambda x: K.Activation("sigmoid", name="odd")(x),
    "an addition reads it: odd": lambda x: K.Add(name="odd")([x, relu(x)]),
    "a product reads it: odd": lambda x: K.Multiply(name="odd")([x, relu(x)]),
    "a ReLU with a threshold or a largest value reads it: odd": lambda x: K.ReLU(0.5, name="odd")(x),
    "a shuffle of several tensors reads it: odd": lambda x: DepthToSpace(name="odd")(
        K.Concatenate()([x, conv(x, "other")])
    ),
}


@pytest.mark.parametrize("reason", STOPS)
def test_what_stops_a_scale_is_named(reason):
    lowered = network(lambda x: pair(x, STOPS[reason]))
    after, report = equalize(lowered, threshold=0)
    assert report.skipped["first"] == reason
    assert "first" not in report.scales
    assert difference(lowered, after, image(1, 8, 8, 3)) <= SUMS


@pytest.mark.parametrize("reason", [key for key in STOPS if "several" not in key and "product" not in key])
def test_a_scale_sent_through_what_stops_it_would_be_noticed(reason):
    lowered = network(lambda x: pair(x, STOPS[reason]))
    first, second = (lowered.model.get_layer(n).get_weights() for n in ("first", "second"))
    by = np.float32([1, 2, 4, 8])
    wrong = {"first": [first[0] / by, first[1] / by], "second": [second[0] * by[:, None], second[1]]}
    same = "an addition" in reason  # x + relu(x) is homogeneous itself; a sum with anything else is not
    assert (difference(lowered, reweighted(lowered.model, wrong), image(1, 8, 8, 3)) <= SUMS) == same


def test_an_output_keeps_its_size():
    raw = K.Input((None, None, 3), name="raw")
    seen = conv(raw, "seen")
    lowered = Lowered(tf_keras.Model(raw, [conv(relu(seen), "second"), seen]))
    _, report = equalize(lowered, threshold=0)
    assert report.skipped == {"seen": "it is an output", "second": "it is an output"}


def test_several_kernels_a_channel_are_left_alone():
    lowered = network(lambda x: pair(x, K.DepthwiseConv2D(3, depth_multiplier=2, name="middle")))
    after, report = equalize(lowered, threshold=0)
    assert report.skipped["middle"] == "it has several kernels a channel"
    assert [chain.makers for chain in report.chains] == [("first",)]
    assert difference(lowered, after, image(1, 8, 8, 3)) <= SUMS


def skip(x):
    x = conv(x, "first", 6)
    up = K.Conv2DTranspose(4, 2, 2, padding="same", name="up")(K.MaxPooling2D()(relu(x)))
    x = K.Concatenate(name="join")([up, x, x])
    return conv(K.DepthwiseConv2D(3, padding="same", name="depthwise")(x), "last")


def test_a_skip_connection_is_scaled_in_every_place_that_reads_it():
    lowered = network(skip, uneven=4)
    found, _ = chains(lowered.model)
    by = {chain.makers: [(read.name, read.start) for read in chain.reads] for chain in found}
    assert by == {
        ("first",): [("up", 0), ("depthwise", 4), ("depthwise", 10)],
        ("up",): [("depthwise", 0)],
        ("depthwise",): [("last", 0)],
    }
    after, _ = equalize(lowered, threshold=0)
    assert difference(lowered, after, image(1, 8, 8, 3)) <= SUMS


def test_depthwise_convolutions_join_the_chain_of_the_one_before():
    depthwise = [K.DepthwiseConv2D(3, padding="same", name=f"depthwise{i}") for i in range(3)]
    lowered = network(lambda x: pair(x, lambda x: depthwise[2](relu(depthwise[1](depthwise[0](x))))), uneven=5)
    found, _ = chains(lowered.model)
    assert [chain.makers for chain in found] == [("first", "depthwise0", "depthwise1", "depthwise2")]
    after, report = equalize(lowered, threshold=0, iterations=1)
    assert report.rounds == 1
    wanted = largest(after, "first", 3)
    for i in range(3):
        np.testing.assert_allclose(largest(after, f"depthwise{i}", 2), wanted, rtol=ROUNDED)
    np.testing.assert_allclose(largest(after, "second", 2), wanted, rtol=ROUNDED)


@pytest.mark.parametrize("how", ["transposed", "shuffle"])
def test_both_ways_up_are_equalized_with_as_many_scales(how):
    def body(x):
        if how == "transposed":
            x = K.Conv2DTranspose(4, 2, 2, padding="same", name="first")(x)
        else:
            x = DepthToSpace()(K.Conv2D(16, 1, name="first")(x))
        return conv(relu(x), "second")

    lowered = network(body, uneven=4)
    after, report = equalize(lowered, threshold=0)
    assert report.chains[0].period == 4
    assert difference(lowered, after, image(1, 4, 4, 3)) <= SUMS
    axis = 2 if how == "transposed" else 3
    np.testing.assert_allclose(
        largest(after, "first", axis).reshape(-1, 4).max(axis=0), largest(after, "second", 2), rtol=ROUNDED
    )


def test_equalizing_and_taking_transposed_convolutions_apart_are_the_same_either_way_round():
    lowered, contract = zoo("unet", levels=2)
    x = image(1, contract.multiple, contract.multiple, len(contract.planes))
    one, other = shuffled(equalize(lowered, threshold=0)[0]), equalize(shuffled(lowered), threshold=0)[0]
    assert difference(lowered, one, x) <= SUMS
    for ours, theirs in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)  # two float32 roundings apart


# --- how far


def test_the_threshold_leaves_small_channels_as_they_are():
    lowered = network(pair, uneven=5)
    first, second = largest(lowered, "first", 3), largest(lowered, "second", 2)
    edge = np.sort(first + second)[1:3].mean()
    _, report = equalize(lowered, threshold=float(edge), iterations=1)
    np.testing.assert_array_equal(report.scales["first"] == 1, first + second < edge)
    assert report.held == {"first": 2}
    _, report = equalize(lowered, threshold=1e9)
    assert (report.scales["first"] == 1).all()
    assert report.held == {"first": 4}


def test_rounds_go_on_until_nothing_moves():
    lowered, _ = zoo("unet", levels=3)
    after, report = equalize(lowered, iterations=None, threshold=0)
    assert 2 < report.rounds < MOST
    _, again = equalize(after, iterations=1, threshold=0)
    assert max(np.abs(np.log(scale)).max() for scale in again.scales.values()) < 2e-3  # SETTLED, and float32
    _, once = equalize(lowered, iterations=1, threshold=0)
    assert max(np.abs(np.log(again.scales[n])).max() for n in again.scales) < max(
        np.abs(np.log(once.scales[n] / report.scales[n])).max() for n in once.scales
    )


def test_dead_channels_divide_nothing_by_zero_and_are_reported():
    lowered = network(pair, uneven=2)
    first, second = (lowered.model.get_layer(n).get_weights() for n in ("first", "second"))
    first[0][..., 0] = 0
    first[0][..., 3] = 1e-12
    second[0][:, :, 2] = 0
    lowered = Lowered(reweighted(lowered.model, {"first": first, "second": second}))
    after, report = equalize(lowered, threshold=0)
    assert report.dead == {"first": (0, 2, 3)}
    np.testing.assert_array_equal(report.scales["first"] == 1, [True, False, True, True])
    assert difference(lowered, after.check(), image(1, 8, 8, 3)) <= SUMS


def signal_to_noise(lowered, rounded, x):
    wanted = np.asarray(lowered(x), np.float64)
    return 10 * np.log10((wanted**2).mean() / ((np.asarray(rounded(x)) - wanted) ** 2).mean())


def per_tensor(lowered):
    """Every kernel on one grid of 8 bits."""
    weights = {}
    for step in steps(lowered.model):
        if hasattr(step.layer, "kernel_size"):
            kernel, *bias = step.layer.get_weights()
            grid = Grid(np.abs(kernel).max() / np.float32(127), signed=True, narrow=True)
            weights[step.name] = [grid.dequantize(grid.quantize(kernel)), *bias]
    return Lowered(reweighted(lowered.model, weights))


def badly_scaled(name):
    """A network that computes what it did, of channels up to a thousand times smaller than others."""
    lowered, contract = zoo(name, levels=2)
    good, report = equalize(lowered, threshold=0)
    weights = {step.name: step.layer.get_weights() for step in steps(good.model) if hasattr(step.layer, "kernel_size")}
    rng = np.random.default_rng(0)
    for chain in report.chains:
        by = np.float32(2 ** rng.uniform(-5, 5, chain.period))
        name = chain.makers[-1]
        axis = 3 if type(good.model.get_layer(name)) is K.Conv2D else 2
        _times(weights[name][0], axis, 0, 1 / by)
        weights[name][1:] = [bias * np.tile(1 / by, bias.size // by.size) for bias in weights[name][1:]]
        for read in chain.reads:
            axis = 3 if type(good.model.get_layer(read.name)) is K.Conv2DTranspose else 2
            _times(weights[read.name][0], axis, read.start, by)
    return Lowered(reweighted(good.model, weights)), good, contract


def _times(kernel, axis, start, by):
    part = np.moveaxis(kernel, axis, -1)[..., start : start + by.size]
    part *= by


@pytest.mark.parametrize("name", ["unet", "lighter"])
def test_per_tensor_kernels_of_a_badly_scaled_network_come_back_by_10_db(name):
    bad, good, contract = badly_scaled(name)
    x = image(1, 4 * contract.multiple, 4 * contract.multiple, len(contract.planes))
    assert difference(good, bad, x) <= SUMS
    lost = signal_to_noise(bad, per_tensor(bad), x)
    found = signal_to_noise(bad, per_tensor(equalize(bad)[0]), x)
    assert found >= lost + 10


# --- refusals


def test_a_quantized_network_is_refused():
    lowered, _ = zoo("thin", levels=2)
    with pytest.raises(BadOption, match="a quantized network"):
        equalize(round_kernels(lowered, bits=8))
    rounded = network(lambda x: Quantize(Grid.from_range(0, 1))(conv(x, "first")))
    with pytest.raises(BadOption, match="a quantized network"):
        equalize(rounded)


@pytest.mark.parametrize(
    "options", [{"iterations": -1}, {"threshold": -0.1}, {"threshold": np.nan}, {"threshold": np.inf}], ids=str
)
def test_options_that_cannot_be_are_refused(options):
    lowered, _ = zoo("thin", levels=2)
    with pytest.raises(BadOption, match=next(iter(options))):
        equalize(lowered, **options)


def test_a_layer_called_twice_is_refused():
    raw = K.Input((8, 8, 3), name="raw")
    twice = K.Conv2D(3, 3, padding="same", name="twice")
    with pytest.raises(UnknownLayer, match="twice"):
        equalize(Lowered(tf_keras.Model(raw, twice(twice(raw)))))
