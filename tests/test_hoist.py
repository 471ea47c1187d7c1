import numpy as np
import pytest
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_models.fixed_point import FixedPoint
from keras_models.graph import outputs, steps
from keras_models.grid import Grid
from keras_models.hoist import grids, hoisted, moves, requantized
from keras_models.layers import DepthToSpace
from keras_models.lowered import Lowered
from keras_models.quantize import Quantize

K = tf_keras.layers
A, B = Grid.from_range(-0.4, 1.3), Grid.from_range(-1, 1.1, bits=5)
FROM_ZERO = Grid.from_range(0, 0.9, bits=6)
CHANNELS = 4


def network(body):
    """A model over one input whose convolutions have weights worth the name."""
    raw = K.Input((8, 8, CHANNELS), name="raw")
    model = tf_keras.Model(raw, body(raw))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    return model


def conv(x, name="conv", filters=CHANNELS):
    return K.Conv2D(filters, 1, name=name)(x)


def q(x, grid, name):
    return Quantize(grid, name=name)(x)


def names(model):
    return [step.name for step in steps(model)]


def image(seed=0):
    return np.random.default_rng(seed).normal(0.2, 0.8, (2, 8, 8, CHANNELS)).astype(np.float32)


def same(one, other):
    """Whether two networks compute the same numbers, all of them."""
    ours, theirs = one(image()), other(image())
    if not isinstance(ours, list):
        ours, theirs = [ours], [theirs]
    return all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(ours, theirs, strict=True))


def hoisted_names(body):
    model = network(body)
    before = names(model)
    lowered = hoisted(Lowered(model))
    assert same(lowered, model)
    assert names(model) == before
    return names(lowered.model)


MOVERS = {
    "pool": lambda x: K.MaxPooling2D(name="mover")(x),
    "overlapping pool": lambda x: K.MaxPooling2D(3, 2, padding="same", name="mover")(x),
    "shuffle": lambda x: DepthToSpace(2, name="mover")(x),
    "nearest": lambda x: K.UpSampling2D(2, name="mover")(x),
}


@pytest.mark.parametrize("mover", MOVERS)
def test_rounding_moves_in_front_of_what_only_moves(mover):
    found = hoisted_names(lambda x: q(MOVERS[mover](conv(x)), A, "q"))
    assert found == ["raw", "conv", "q", "mover"]


@pytest.mark.parametrize(
    "layer",
    [
        K.UpSampling2D(2, interpolation="bilinear", name="no"),
        K.AveragePooling2D(name="no"),
        K.LeakyReLU(0.2, name="no"),
        K.Conv2D(4, 1, name="no"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_rounding_stays_behind_what_computes(layer):
    assert not moves(layer)
    assert hoisted_names(lambda x: q(layer(conv(x)), A, "q")) == ["raw", "conv", "no", "q"]


def test_rounding_in_front_of_what_computes_would_be_another_function():
    up = K.UpSampling2D(2, interpolation="bilinear", name="up")
    wrong = network(lambda x: up(q(x, B, "q")))
    right = network(lambda x: q(K.UpSampling2D(2, interpolation="bilinear", name="up")(x), B, "q"))
    assert not same(wrong, right)


def test_rounding_climbs_a_chain():
    found = hoisted_names(
        lambda x: q(DepthToSpace(name="d")(K.UpSampling2D(name="u")(K.MaxPooling2D(name="p")(conv(x)))), A, "q")
    )
    assert found == ["raw", "conv", "q", "p", "u", "d"]


def test_rounding_climbs_to_every_bare_part_of_a_concatenation():
    found = hoisted_names(lambda x: q(K.Concatenate(name="join")([conv(x, "a"), conv(x, "b")]), A, "q"))
    assert sorted(found[1:-1]) == ["a", "b", "q_0", "q_1"]
    assert found[-1] == "join"


def test_parts_that_lie_on_another_grid_are_rounded_once_more_behind():
    model = network(lambda x: q(K.Concatenate(name="join")([q(conv(x, "a"), B, "other"), conv(x, "b")]), A, "q"))
    lowered = hoisted(Lowered(model))
    assert same(lowered, model)
    assert sorted(names(lowered.model)[:-2]) == ["a", "b", "other", "q_1", "raw"]
    assert names(lowered.model)[-2:] == ["join", "q"]
    assert grids(steps(lowered.model))[outputs(lowered.model)[0]] == A


def test_parts_that_lie_on_the_same_grid_need_nothing_behind():
    found = hoisted_names(lambda x: q(K.Concatenate(name="join")([q(conv(x, "a"), A, "other"), conv(x, "b")]), A, "q"))
    assert sorted(found) == ["a", "b", "join", "other", "q_1", "raw"]


def test_a_tensor_concatenated_with_itself_is_rounded_for_each_place():
    def body(x):
        x = conv(x)
        return q(K.Concatenate(name="join")([x, x]), A, "q")

    assert hoisted_names(body) == ["raw", "conv", "q_0", "q_1", "join"]


def test_what_somebody_else_reads_unrounded_stays_unrounded():
    def body(x):
        pooled = K.MaxPooling2D(name="pool")(conv(x))
        return K.Add(name="add")([q(pooled, A, "q"), pooled])

    assert hoisted_names(body) == ["raw", "conv", "pool", "q", "add"]

    def output_too(x):
        pooled = K.MaxPooling2D(name="pool")(conv(x))
        return [pooled, q(pooled, A, "q")]

    assert hoisted_names(output_too) == ["raw", "conv", "pool", "q"]


def test_what_is_in_front_of_the_mover_may_have_other_readers():
    def body(x):
        x = conv(x)
        return [q(K.MaxPooling2D(name="pool")(x), A, "q"), K.LeakyReLU(name="leaky")(x)]

    found = hoisted_names(body)
    assert sorted(found) == ["conv", "leaky", "pool", "q", "raw"]
    assert found.index("q") < found.index("pool")


def test_layers_that_nobody_named_do_not_get_in_each_others_way():
    def body(x):
        first = Quantize(A, name="quantize")(K.Concatenate()([conv(x, "a"), conv(x, "b")]))
        return Quantize(B, name="quantize_1")(conv(Quantize(B, name="quantize_0")(conv(first, "c")), "d"))

    found = hoisted_names(body)
    assert {"quantize_0", "quantize_1", "quantize_0_", "quantize_1_"} <= set(found)
    assert len(set(found)) == len(found)


def test_a_second_rounding_to_the_same_grid_goes():
    assert hoisted_names(lambda x: q(q(conv(x), A, "q"), A, "again")) == ["raw", "conv", "q"]
    assert hoisted_names(lambda x: q(q(conv(x), A, "q"), B, "again")) == ["raw", "conv", "q", "again"]
    fixed = FixedPoint(2, 3, name="fixed")
    assert hoisted_names(lambda x: q(fixed(conv(x)), fixed.grid, "again")) == ["raw", "conv", "fixed"]


def relu(**options):
    return K.ReLU(name="relu", **options)


def test_a_relu_in_front_of_a_grid_from_zero_goes():
    assert hoisted_names(lambda x: q(relu()(conv(x)), FROM_ZERO, "q")) == ["raw", "conv", "q"]
    pooled = hoisted_names(lambda x: q(K.MaxPooling2D(name="pool")(relu()(conv(x))), FROM_ZERO, "q"))
    assert pooled == ["raw", "conv", "q", "pool"]


def test_a_relu_that_does_more_than_the_grid_stays():
    for options in ({"max_value": 0.5}, {"negative_slope": 0.1}, {"threshold": 0.3}):
        assert "relu" in hoisted_names(lambda x, o=options: q(relu(**o)(conv(x)), FROM_ZERO, "q"))
    assert "relu" in hoisted_names(lambda x: q(relu()(conv(x)), A, "q"))  # A has levels below zero
    assert "relu" in hoisted_names(lambda x: q(relu()(q(conv(x), A, "before")), FROM_ZERO, "q"))
    assert "relu" in hoisted_names(lambda x: [y := relu()(conv(x)), q(y, FROM_ZERO, "q")])


def test_a_relu_taken_from_in_front_of_a_grid_with_levels_below_zero_would_be_noticed():
    kept, gone = network(lambda x: q(relu()(conv(x)), A, "q")), network(lambda x: q(conv(x), A, "q"))
    assert not same(kept, gone)


def test_a_grid_is_known_where_values_are_rounded_or_moved_and_nowhere_else():
    def body(x):
        x = q(x, A, "raw_q")
        pooled, shuffled = K.MaxPooling2D(name="pool")(x), K.UpSampling2D(name="up")(x)
        both = K.Concatenate(name="alike")([pooled, pooled])
        mixed = K.Concatenate(name="mixed")([pooled, q(pooled, B, "b")])
        return [both, mixed, K.ReLU(name="relu")(shuffled), FixedPoint(1, 2, name="fixed")(conv(x))]

    walk = steps(network(body))
    known = grids(walk)
    found = {step.name: known[step.makes] for step in walk}
    assert found == {
        "raw": None, "raw_q": A, "pool": A, "up": A, "alike": A, "b": B, "mixed": None, "relu": None, "conv": None,
        "fixed": FixedPoint(1, 2).grid,
    }  # fmt: skip


def sums(body):
    model = network(body)
    found = requantized(model)
    return {step.name for step in steps(model) if step.makes in found}


def test_sums_are_those_that_a_quantize_alone_reads_or_a_relu_in_front_of_one():
    assert sums(lambda x: q(conv(x), A, "q")) == {"conv"}
    assert sums(lambda x: q(relu()(conv(x)), A, "q")) == {"conv", "relu"}
    assert sums(lambda x: q(relu(max_value=1)(conv(x)), A, "q")) == {"relu"}
    assert sums(lambda x: q(K.LeakyReLU(name="leaky")(conv(x)), A, "q")) == {"leaky"}
    assert sums(lambda x: K.MaxPooling2D(name="pool")(conv(x))) == set()


def test_sums_that_are_seen_elsewhere_are_not_sums():
    assert sums(lambda x: [y := conv(x), q(y, A, "q")]) == set()
    assert sums(lambda x: K.Add()([y := conv(x), q(y, A, "q")])) == set()
    assert sums(lambda x: [y := relu()(conv(x)), q(y, A, "q")]) == set()
    assert sums(lambda x: [y := conv(x), q(relu()(y), A, "q")]) == {"relu"}


def test_kernels_keep_their_grids():
    kernels = {"conv": Grid(np.float32(0.1), signed=True)}
    assert hoisted(Lowered(network(lambda x: q(MOVERS["pool"](conv(x)), A, "q")), kernels)).kernels == kernels


@st.composite
def bodies(draw):
    """A small random graph: each step reads tensors that are there, of sides and channels that suit it."""
    plan = []
    shapes = [(8, CHANNELS)]
    for _ in range(draw(st.integers(2, 9))):
        kind = draw(st.sampled_from(["conv", "relu", "pool", "up", "shuffle", "join", "round", "round", "round"]))
        one = draw(st.integers(max(0, len(shapes) - 3), len(shapes) - 1))
        side, channels = shapes[one]
        alike = [i for i, shape in enumerate(shapes) if shape[0] == side]
        other = draw(st.sampled_from(alike))
        grid = draw(st.sampled_from([A, B, FROM_ZERO]))
        match kind:
            case "pool" if side >= 2:
                side //= 2
            case "up" if side <= 8:
                side *= 2
            case "shuffle" if side <= 8 and channels % 4 == 0:
                side, channels = 2 * side, channels // 4
            case "join":
                channels += shapes[other][1]
            case "conv":
                channels = CHANNELS
            case "relu" | "round":
                pass
            case _:
                kind = "relu"
        shapes.append((side, channels))
        plan.append((kind, one, other, grid))
    ends = draw(st.sets(st.integers(1, len(shapes) - 1), max_size=1)) | {len(shapes) - 1}
    return plan, sorted(ends)


def built(plan, ends):
    def body(raw):
        tensors = [raw]
        for i, (kind, one, other, grid) in enumerate(plan):
            x, name = tensors[one], f"{kind}{i}"
            makers = {
                "conv": lambda x=x, name=name: conv(x, name),
                "relu": lambda x=x, name=name: K.ReLU(name=name)(x),
                "pool": lambda x=x, name=name: K.MaxPooling2D(name=name)(x),
                "up": lambda x=x, name=name: K.UpSampling2D(name=name)(x),
                "shuffle": lambda x=x, name=name: DepthToSpace(name=name)(x),
                "join": lambda x=x, y=tensors[other], name=name: K.Concatenate(name=name)([x, y]),
                "round": lambda x=x, name=name, grid=grid: q(x, grid, name),
            }
            tensors.append(makers[kind]())
        return [tensors[end] for end in ends]

    return network(body)


def bare_movers_in_front_of_rounding(model):
    """The movers that hoisting should have passed."""
    walk = steps(model)
    known, makers = grids(walk), {step.makes: step for step in walk}
    read = [tensor for step in walk for tensor in step.reads] + outputs(model)
    rounded = [makers[s.reads[0]] for s in walk if isinstance(s.layer, Quantize)]
    return [
        s.name for s in rounded
        if moves(s.layer) and read.count(s.makes) == 1 and any(known[tensor] is None for tensor in s.reads)
    ]  # fmt: skip


@settings(max_examples=40, deadline=None, derandomize=True)
@given(bodies())
def test_hoisting_changes_no_value_of_any_network(plan):
    model = built(*plan)
    lowered = hoisted(Lowered(model))
    assert same(lowered, model)
    assert bare_movers_in_front_of_rounding(lowered.model) == []
    again = hoisted(lowered)
    assert names(again.model) == names(lowered.model)


def test_the_random_networks_are_such_that_hoisting_has_work_to_do():
    worked = []

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(bodies())
    def collect(plan):
        worked.append(bool(bare_movers_in_front_of_rounding(built(*plan))))

    collect()
    assert sum(worked) >= 4
