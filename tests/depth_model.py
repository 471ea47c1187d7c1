"""A depth network of one convolution, for tests that need no training: each number is the mean of 4 x 4 pixels."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx
from contracts import UNET
from onnx import helper

from runtime.ort import CONTRACT

SIDE = 4
DEPTH = replace(
    UNET,
    network="mean",
    task="depth",
    cfa="none",
    planes=("R", "G", "B"),
    pack=1,
    range="unit",
    ratio_max=1.0,
    layout="NCHW",
    output="depth",
    channels=1,
    scale=Fraction(1, SIDE),
    multiple=16,
    halo=None,
    metres_per_unit=10.0,
)


def depth_model(path, **changes):
    """Write it, with a contract of that much else."""
    kernel = np.full((1, 3, SIDE, SIDE), 1 / (3 * SIDE**2), np.float32)
    node = helper.make_node("Conv", ["rgb", "kernel"], ["picture"], kernel_shape=[SIDE, SIDE], strides=[SIDE, SIDE])
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", channels, "h", "w"])
        for name, channels in (("rgb", 3), ("picture", 1))
    ]
    graph = helper.make_graph([node], "mean", ends[:1], ends[1:], [onnx.numpy_helper.from_array(kernel, "kernel")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {CONTRACT: replace(DEPTH, **changes).to_json()})
    onnx.save(model, path)
    return path
