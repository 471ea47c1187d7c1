import dataclasses

import numpy as np
import onnxruntime
import pytest
import tf_keras
from onnx import TensorProto, helper

import keras_models
from export.coverage import coverage
from export.onnx_graph import Graph
from export.parity import against, compare, engine, output
from export.reference import Added, Levels, Product
from export.to_onnx import to_onnx
from keras_models.counting import macs
from keras_models.fold import plain
from keras_models.grid import Grid
from keras_models.lowered import Lowered
from keras_models.quantize import Quantize

K = tf_keras.layers


def test_a_float_network_runs_nothing_in_integers_and_its_work_is_the_graphs(tmp_path):
    model, contract = keras_models.build("unet", width=16, levels=3)
    to_onnx(plain(model), contract, tmp_path / "a.onnx")
    ran = coverage(tmp_path / "a.onnx", height=32, width=48)
    assert (ran.integer_macs, ran.share) == (0, 0.0)
    # ONNX Runtime pads channels to blocks of 16: the first and the last layer do a little more than is asked.
    assert macs(model, 32, 48) <= ran.macs < 1.2 * macs(model, 32, 48)
    assert ran.floats


def mixed(odd_zero):
    """Two grids added, and their sum convolved on its own."""
    raw = tf_keras.Input((None, None, 4), name="raw")
    x = Quantize(Grid(1 / 64, 101 if odd_zero else 100), name="a")(raw)
    y = Quantize(Grid(1 / 32, 101 if odd_zero else 100), name="b")(raw)
    both = Quantize(Grid(1 / 16, 101 if odd_zero else 100), name="sum_grid")(K.Add(name="sum")([x, y]))
    conv = K.Conv2D(3, 3, padding="same", name="conv")
    model = tf_keras.Model(raw, Quantize(Grid(1 / 8, 90), name="conv_grid")(conv(both)))
    kernel = Grid(1 / 32, 0, signed=True, narrow=True)
    levels = np.random.default_rng(1).integers(-9, 10, (3, 3, 4, 3))
    conv.set_weights([kernel.dequantize(levels), np.zeros(3, np.float32)])
    return Lowered(model, {"conv": kernel})


@pytest.mark.parametrize("kind", ["Add", "Mul"])
def test_sums_and_products_of_all_pairs_of_levels_are_onnx_runtimes(kind):
    rng = np.random.default_rng(8)
    pairs = np.stack(np.meshgrid(np.arange(256), np.arange(256)), axis=-1).reshape(1, 256, 256, 2).astype(np.int32)
    for _ in range(6):
        x, y, z = (
            Grid(scale, int(zero))
            for scale, zero in zip(rng.uniform(0.01, 0.05, 3), rng.integers(60, 190, 3), strict=True)
        )
        a, b = Levels(pairs[..., :1], x), Levels(pairs[..., 1:], y)
        ours = Added(a, b).rounded(z) if kind == "Add" else Product(a.values * b.values).rounded(z)
        graph = Graph()
        reads = [graph.quantize(name, grid, f"{name}_grid") for name, grid in (("a", x), ("b", y))]
        graph.quantize(graph.node(kind, reads, "made"), z, "end")
        ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 256, 256, 1]) for n in ("a", "b", "end")]
        model = graph.model(ends[:2], ends[2:], {})
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        found = session.run(None, {"a": a.values, "b": b.values})[0]
        np.testing.assert_array_equal(found, z.dequantize(ours))


@pytest.mark.parametrize("odd_zero", [True, False])
def test_a_sum_of_two_grids_rounds_its_ties_as_onnx_runtime_does(odd_zero, tmp_path):
    _, contract = keras_models.build("c-unet++", width=2)
    contract = dataclasses.replace(contract, channels=3, multiple=1, halo=1)
    lowered = mixed(odd_zero)
    to_onnx(lowered, contract, tmp_path / "a.onnx")
    # Multiples of a quarter of the coarsest step: half of the sums are ties.
    x = np.random.default_rng(2).integers(-90, 90, (1, 24, 24, 4)).astype(np.float32) / 64
    wanted, unit = against(lowered, x)
    assert compare(output(engine(tmp_path / "a.onnx"), x), wanted, unit=unit).exact == 1
    assert coverage(tmp_path / "a.onnx", height=8, width=8).share == 1
