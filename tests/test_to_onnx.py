import dataclasses
from collections import Counter

import numpy as np
import onnx
import pytest
import tf_keras
from trained import NETWORKS, inputs, trained

import keras_models
from export.coverage import MULTIPLY, coverage
from export.parity import FLOAT, against, compare, engine, output
from export.to_onnx import to_onnx
from keras_models.fold import plain
from keras_models.graph import steps
from keras_models.grid import Grid
from keras_models.lowered import Lowered
from keras_models.quantize import Quantize
from quant.fixed_point import fixed_point, paper_fixed_point
from quant.lower_qkeras import lower_qkeras
from runtime.contract import Contract
from runtime.errors import BadNumbers, BadOption, UnknownLayer
from runtime.ort import CONTRACT

pytestmark = pytest.mark.xdist_group("trained")

SIZES = [(64, 64), (64, 96), (32, 80)]


def shaken(name, **options):
    """A float network whose BatchNorm and biases are far from where they begin."""
    tf_keras.utils.set_random_seed(3)
    model, contract = keras_models.build(name, **options)
    rng = np.random.default_rng(5)
    for weight in model.weights:
        if "variance" in weight.name or "gamma" in weight.name:
            weight.assign(rng.uniform(0.5, 2, weight.shape))
        elif "kernel" not in weight.name:
            weight.assign(rng.normal(0, 0.3, weight.shape))
    return model, contract


@pytest.mark.parametrize("name", keras_models.names())
def test_a_float_file_is_the_network_at_any_size_and_batch(name, tmp_path):
    options = {"levels": 3} if name.startswith("thin") else {}
    model, contract = shaken(name, width=4, **options)
    to_onnx(plain(model), contract, tmp_path / "a.onnx")
    session, m = engine(tmp_path / "a.onnx"), contract.multiple
    for height, width, count in ((2 * m, 2 * m, 1), (m, 3 * m, 3), (4 * m, 2 * m, 1)):
        x = inputs(len(contract.planes), height=height, width=width, count=count)
        assert compare(output(session, x), model(x).numpy(), unit=None).worst <= 1, f"over {FLOAT} of the range"


@pytest.mark.parametrize(("name", "options"), NETWORKS, ids=str)
def test_a_quantized_file_equals_the_integer_reference_in_every_value(name, options, tmp_path):
    _, lowered, contract = trained(name, **options)
    to_onnx(lowered, contract, tmp_path / "a.onnx")
    for height, width in SIZES:
        if height % contract.multiple or width % contract.multiple:
            continue
        x = inputs(len(contract.planes), height=height, width=width, seed=6)
        wanted, unit = against(lowered, x)
        assert len(np.unique(wanted)) > 10  # a constant would be equal too
        for threads in (1, 2):
            assert compare(output(engine(tmp_path / "a.onnx", threads=threads), x), wanted, unit=unit).exact == 1


def test_a_mean_is_rounded_as_the_reference_says_ties_included(tmp_path):
    _, contract = keras_models.build("c-unet++", width=2)
    contract = dataclasses.replace(contract, channels=4, multiple=1, halo=None)
    rng = np.random.default_rng(0)
    for ratio in (1, 0.5, 0.25, 0.37):
        levels, mean = Grid(0.02, 31), Grid(0.02 * ratio, 100)
        raw = tf_keras.Input((None, None, 4), name="raw")
        x = tf_keras.layers.GlobalAveragePooling2D(keepdims=True, name="mean")(Quantize(levels, name="in")(raw))
        lowered = Lowered(tf_keras.Model(raw, Quantize(mean, name="out")(x)))
        to_onnx(lowered, contract, tmp_path / "a.onnx")
        for sides in ((2, 2), (4, 6), (7, 16)):
            x = levels.dequantize(rng.integers(0, 256, (40, *sides, 4)))
            wanted, unit = against(lowered, x)
            assert compare(output(engine(tmp_path / "a.onnx"), x), wanted, unit=unit).exact == 1


def broken(path, where, change):
    """The same file with one constant changed by hand."""
    model = onnx.load(path)
    (constant,) = (tensor for tensor in model.graph.initializer if tensor.name == where)
    array = np.array(onnx.numpy_helper.to_array(constant))
    constant.CopyFrom(onnx.numpy_helper.from_array(np.asarray(change(array), array.dtype), where))
    onnx.save(model, path)


def one_weight(kernel):
    kernel = kernel.copy()
    kernel.ravel()[np.argmax(np.abs(kernel.astype(int)))] //= 2
    return kernel


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("bottom_conv1_kernel_q", one_weight),
        ("down1_conv2_grid_scale", lambda scale: scale * np.float32(1.01)),
        ("down2_act1_grid_zero", lambda zero: zero + 60),
        ("out1_conv1_bias_q", lambda bias: bias + 40),
    ],
)
def test_one_constant_changed_by_hand_turns_the_comparison_red(where, change, tmp_path):
    _, lowered, contract = trained("unet", width=4, levels=3)
    to_onnx(lowered, contract, tmp_path / "a.onnx")
    broken(tmp_path / "a.onnx", where, change)
    x = inputs(4, seed=6)
    wanted, unit = against(lowered, x)
    assert compare(output(engine(tmp_path / "a.onnx"), x), wanted, unit=unit).exact < 1


def test_one_pad_changed_by_hand_turns_the_comparison_red(tmp_path):
    model, contract = shaken("unet", width=4, levels=3)
    to_onnx(plain(model), contract, tmp_path / "a.onnx")
    graph = onnx.load(tmp_path / "a.onnx")
    conv = next(node for node in graph.graph.node if node.name == "down2_conv1")
    next(a for a in conv.attribute if a.name == "pads").ints[:] = [0, 0, 2, 2]
    onnx.save(graph, tmp_path / "a.onnx")
    x = inputs(4)
    assert compare(output(engine(tmp_path / "a.onnx"), x), model(x).numpy(), unit=None).worst > 1


@pytest.mark.parametrize("name", ["unet", "lighter"])
def test_fixed_point_of_4_and_6_bits_is_the_same_in_keras_the_reference_and_the_file(name, tmp_path):
    model, contract = shaken(name, width=8, levels=3, activation="relu")
    x = inputs(4)
    fixed = fixed_point(model, weight_bits=4, activation_bits=6, scales="one", samples=x)
    lowered = lower_qkeras(fixed)
    to_onnx(lowered, contract, tmp_path / "a.onnx")
    wanted, _ = against(lowered, x)
    found = output(engine(tmp_path / "a.onnx"), x)
    assert len(np.unique(wanted)) > 100
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(found, fixed(x).numpy())
    # All but the last convolution, whose output stays float, run in integers.
    floats = coverage(tmp_path / "a.onnx", height=64, width=64).floats
    assert [kind for _, kind in floats if kind in MULTIPLY] == ["Conv"]


def test_the_papers_quantizer_is_the_same_in_keras_the_reference_and_the_file(tmp_path):
    model, contract = shaken("unet", width=8, levels=3, activation="relu")
    x = 10 * inputs(4)  # its activations are whole numbers; larger ones would make sums beyond the 24 bits of a float
    fixed = paper_fixed_point(model)
    lowered = lower_qkeras(fixed)
    to_onnx(lowered, contract, tmp_path / "a.onnx")
    found, keras = output(engine(tmp_path / "a.onnx"), x), fixed(x).numpy()
    assert len(np.unique(keras)) > 100
    # The last convolution has float weights: its sums are taken in another order.
    assert compare(found, keras, unit=None).worst <= 1
    assert compare(found, against(lowered, x)[0], unit=None).worst <= 1


def test_a_kernel_of_4_bits_takes_an_eighth_of_a_float_one(tmp_path):
    model, contract = keras_models.build("unet", activation="relu")
    to_onnx(plain(model), contract, tmp_path / "float.onnx")
    lowered = lower_qkeras(fixed_point(model, weight_bits=4, activation_bits=6))
    to_onnx(lowered, contract, tmp_path / "w4.onnx")
    assert (tmp_path / "float.onnx").stat().st_size / (tmp_path / "w4.onnx").stat().st_size >= 7.5


SHUFFLES = 3  # two levels up, and the picture


def test_the_whole_unet_runs_in_integers_and_only_the_shuffles_transpose(tmp_path):
    _, lowered, contract = trained("unet", width=4, levels=3)
    to_onnx(lowered, contract, tmp_path / "a.onnx")
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "a.onnx").graph.node)
    assert kinds["ConvTranspose"] == kinds["DepthToSpace"] == 0
    ran = coverage(tmp_path / "a.onnx", height=64, width=64)
    assert (ran.share, ran.floats) == (1.0, ())
    assert kinds["Transpose"] == 3 * SHUFFLES
    assert ran.transposes == SHUFFLES + 2, "the layouts cancel, but at the two ends"


def test_the_file_says_what_it_is_and_every_shape_is_known(tmp_path):
    _, lowered, contract = trained("unet", width=4, levels=3)
    to_onnx(lowered, contract, tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    (text,) = (p.value for p in model.metadata_props if p.key == CONTRACT)
    assert Contract.from_json(text, source="a.onnx") == dataclasses.replace(contract, layout="NCHW")
    assert [i.name for i in model.graph.input] == ["raw"]
    assert [o.name for o in model.graph.output] == ["picture"]
    known = {info.name for info in [*model.graph.value_info, *model.graph.output]}
    assert {name for node in model.graph.node for name in node.output} <= known


def test_six_bits_saturate_at_six_bits(tmp_path):
    _, contract = keras_models.build("c-unet++", width=2)
    raw = tf_keras.Input((None, None, 4), name="raw")
    grid = Grid(0.01, 5, bits=6)
    lowered = Lowered(tf_keras.Model(raw, Quantize(grid, name="six")(raw)))
    to_onnx(lowered, contract_of(contract, 4), tmp_path / "a.onnx")
    found = engine(tmp_path / "a.onnx").session.run(
        None, {"raw": np.array([-9, 0, 0.2, 9], np.float32).reshape(1, 4, 1, 1)}
    )
    np.testing.assert_array_equal(found[0].ravel(), grid.dequantize(np.array([0, 5, 25, 63])))


def contract_of(contract, channels):
    return dataclasses.replace(contract, channels=channels)


def test_what_cannot_be_written_is_named_and_leaves_no_file(tmp_path):
    _, contract = keras_models.build("c-unet++", width=2)
    raw = tf_keras.Input((None, None, 4), name="raw")
    odd = tf_keras.Model(raw, tf_keras.layers.ELU(name="odd")(raw))
    with pytest.raises(UnknownLayer, match="'odd' of type ELU"):
        to_onnx(Lowered(odd), contract, tmp_path / "a.onnx")
    conv = tf_keras.layers.Conv2D(3, 1, name="ill")
    ill = tf_keras.Model(raw, conv(raw))
    conv.set_weights([np.full((1, 1, 4, 3), np.nan, np.float32), np.zeros(3, np.float32)])
    with pytest.raises(BadNumbers, match="ill/kernel"):
        to_onnx(Lowered(ill), contract, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [("c", "c_kernel"), ("c_kernel", "c")])
def test_a_layer_called_like_a_part_of_another_is_named(names, tmp_path):
    _, contract = keras_models.build("c-unet++", width=2)
    raw = x = tf_keras.Input((None, None, 4), name="raw")
    for name in names:
        x = tf_keras.layers.Conv2D(3, 1, name=name)(x)
    with pytest.raises(BadOption, match="'c_kernel'"):
        to_onnx(Lowered(tf_keras.Model(raw, x)), contract, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_every_step_of_the_written_network_has_a_name_of_its_own():
    _, lowered, _ = trained("unet", width=4, levels=3)
    names = [step.name for step in steps(lowered.model)]
    assert len(set(names)) == len(names)
