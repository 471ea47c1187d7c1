"""What runs in integers and where, on the self-test's files and on profiles written by hand."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import runtime
from runtime.fake import Fake
from runtime.ort import CONTRACT, PROVIDERS
from runtime.session import Ran, Session
from runtime.shares import Kernel, Shares, macs, of_kernels, shares

FOLDER = Path(runtime.__file__).parent
CPU, CUDA, TENSORRT = (PROVIDERS[name] for name in ("cpu", "cuda", "tensorrt"))
# The self-test's multiply-accumulates an input pixel, layer by layer; two of them run at half the size.
NEAR, FAR, UP, LAST = 16 * 4 * 9, 16 * 16 * 9 / 4, 32 * 16 / 4, 12 * 24 * 9


def kernel(operator, reads, writes, *, provider=CPU):
    return Kernel(operator, provider, tuple(reads), tuple(writes))


def in_float(path, *names):
    """The self-test with these layers' kernels dequantized and the grids around them left out: they run in float."""
    model = onnx.load(FOLDER / "selftest.onnx")
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1].startswith(names):
            dequantized = next(other for other in model.graph.node if other.output[0] == node.input[1])
            arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
            level, scale, _ = (arrays[name] for name in dequantized.input)
            values = level * scale.reshape(-1, 1, 1, 1)
            tensor = onnx.numpy_helper.from_array(values.astype(np.float32), f"{node.input[1]}_float")
            model.graph.initializer.append(tensor)
            node.input[1] = tensor.name
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("name", ["selftest.onnx", "selftest.tflite"])
def test_an_int8_file_runs_in_integers_on_its_provider_altogether(name):
    assert shares(runtime.open(FOLDER / name, provider="cpu"), FOLDER / name) == Shares(1.0, 1.0)


def test_a_layer_in_float_is_missing_by_as_much_as_it_works(tmp_path):
    path = in_float(tmp_path / "a.onnx", "last_")
    expected = (NEAR + FAR + UP) / (NEAR + FAR + UP + LAST)
    found = shares(runtime.open(path, provider="cpu"), path)
    # The blocked float kernels of some processors round 12 channels up to 16.
    padded = (NEAR + FAR + UP) / (NEAR + FAR + UP + LAST * 16 / 12)
    assert padded * (1 - 1e-9) <= found.integers <= expected * (1 + 1e-9)
    assert found.provider == 1.0


def test_a_float_file_has_no_work_in_integers(tmp_path):
    contract = next(p.value for p in onnx.load(FOLDER / "selftest.onnx").metadata_props if p.key == CONTRACT)
    x, y = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, "h", "w"]) for n, c in (("x", 4), ("picture", 3))
    )
    weight = onnx.numpy_helper.from_array(np.ones((3, 4, 1, 1), np.float32), "weight")
    graph = helper.make_graph([helper.make_node("Conv", ["x", "weight"], ["picture"])], "float", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {CONTRACT: contract})
    onnx.save(model, tmp_path / "a.onnx")
    assert shares(runtime.open(tmp_path / "a.onnx", provider="cpu"), tmp_path / "a.onnx") == Shares(0.0, 1.0)


def test_the_work_of_a_kernel_is_counted_from_its_shapes():
    image, kernels = ("uint8", (1, 8, 8, 4)), ("int8", (6, 4, 3, 3))
    scale = ("float", ())
    assert macs(kernel("QLinearConv", [image, scale, kernels], [("uint8", (1, 8, 8, 6))])) == 64 * 6 * 36
    depthwise = ("float", (4, 1, 3, 3))
    assert macs(kernel("Conv", [("float", (1, 4, 8, 8)), depthwise], [("float", (1, 4, 8, 8))])) == 256 * 9
    up = [("float", (1, 4, 8, 8)), ("float", (4, 6, 2, 2))]
    assert macs(kernel("ConvTranspose", up, [("float", (1, 6, 16, 16))])) == 256 * 24
    product = [("float", (5, 7)), ("float", (7, 3))]
    assert macs(kernel("MatMul", product, [("float", (5, 3))])) == 5 * 7 * 3


def test_kernels_elsewhere_are_not_on_the_provider_that_was_asked_for():
    conv = ([("float", (1, 4, 8, 8)), ("float", (4, 4, 3, 3))], [("float", (1, 4, 8, 8))])
    ran = [kernel("Conv", *conv, provider=CUDA)] * 3 + [kernel("Conv", *conv)]
    assert of_kernels(ran, provider=CUDA, nodes=4) == Shares(0.0, 0.75)
    assert of_kernels(ran, provider=CPU, nodes=4) == Shares(0.0, 0.25)


def test_one_kernel_of_tensorrt_stands_for_all_nodes_it_took_and_tells_nothing_of_them():
    ran = [kernel("TRTKernel_graph_0", [], [], provider=TENSORRT), kernel("Cast", [], [], provider=CUDA)]
    assert of_kernels(ran, provider=TENSORRT, nodes=20) == Shares(None, 0.95)


def test_an_engine_that_tells_nothing_has_no_shares():
    contract = runtime.open(FOLDER / "selftest.onnx", provider="cpu").contract
    assert shares(Session(Fake(contract), ran=Ran("fake", "none", "")), "a.onnx") == Shares(None, None)
    assert of_kernels([], provider=CPU, nodes=3) == Shares(None, None)
