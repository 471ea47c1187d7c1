"""Few bits in bytes, and out of them again: by NumPy and by ONNX Runtime."""

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from export.bits import beside, layers
from export.onnx_graph import Graph
from keras_models.grid import Grid


def taken_out(data, width, count):
    """The numbers of so many bits in bytes, the slow way."""
    return [int(data[i * width // 8]) >> i * width % 8 & (1 << width) - 1 for i in range(count)]


@given(st.sampled_from([1, 2, 4, 8]), st.integers(0, 40), st.integers(0, 99))
def test_numbers_lie_side_by_side_the_first_in_the_lowest_bits(width, count, seed):
    levels = np.random.default_rng(seed).integers(0, 1 << width, count)
    data = beside(levels, width)
    assert data.dtype == np.uint8
    assert len(data) == -(-count * width // 8)
    assert taken_out(data, width, count) == levels.tolist()


def test_a_number_below_zero_keeps_its_low_bits():
    assert beside(np.array([-1, 7, -8]), 4).tolist() == [0x7F, 0x08]


@pytest.mark.parametrize("bits", range(1, 8))
def test_layers_are_all_bits_once_and_each_fills_bytes(bits):
    taken = [at + i for at, width in layers(bits) for i in range(width)]
    assert taken == list(range(bits))
    assert all(8 % width == 0 for _, width in layers(bits))


def kernels(bits, shape):
    """A graph that puts out a kernel as it was given, and the kernel."""
    grid = Grid(np.full(shape[0], 0.5, np.float32), bits=bits, signed=True, narrow=True, axis=3)
    levels = np.random.default_rng(bits).integers(grid.low, grid.high + 1, shape)
    levels.ravel()[:2] = grid.low, grid.high
    graph = Graph()
    made = graph.kernel(levels, grid, "w")
    graph.rename(made, "out")
    return graph.model([], [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)], {}), levels


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("shape", [(64, 64, 3, 3), (61, 67, 3, 1)], ids=["whole bytes", "a rest"])
def test_onnx_runtime_takes_every_width_out_again_as_it_was(bits, shape):
    model, levels = kernels(bits, shape)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, {})[0], levels * np.float32(0.5))


def test_a_file_is_as_small_as_its_bits_and_small_kernels_stay_whole():
    sizes = [len(kernels(bits, (64, 64, 3, 3))[0].SerializeToString()) for bits in range(2, 9)]
    assert sizes == sorted(sizes)
    for bits, size in enumerate(sizes, start=2):
        assert 0 < size - 64 * 64 * 9 * bits / 8 < 4096
    (three, _), (eight, _) = (kernels(bits, (4, 4, 3, 3)) for bits in (3, 8))
    kinds = [{node.op_type for node in model.graph.node} for model in (three, eight)]
    assert kinds == [{"Cast", "DequantizeLinear"}, {"DequantizeLinear"}]
