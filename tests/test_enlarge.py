import numpy as np
import onnxruntime
import pytest
import tf_keras
from onnx import TensorProto, helper, numpy_helper

from export.enlarge import bilinear
from export.onnx_graph import IR_VERSION, OPSET
from keras_models.layers import AlignedUpsample

# Two orders of four products and their sums in float32.
ORDER = 1e-6


def by_onnx_runtime(x, factor, aligned):
    mode = "align_corners" if aligned else "half_pixel"
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], mode="linear", coordinate_transformation_mode=mode)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    scales = numpy_helper.from_array(np.array([1, 1, factor, factor], np.float32), "s")
    graph = helper.make_graph([node], "resize", ends[:1], ends[1:], [scales])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.ascontiguousarray(x.transpose(0, 3, 1, 2))})[0].transpose(0, 2, 3, 1)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize(
    ("shape", "factor"), [((1, 8, 8, 3), 2), ((2, 4, 7, 5), 4), ((1, 1, 6, 2), 2), ((1, 5, 3, 1), 3)]
)
def test_an_enlargement_is_onnx_runtimes_to_the_bit_and_keras_to_rounding(shape, factor, aligned):
    x = np.random.default_rng(factor).integers(0, 256, shape).astype(np.float32) * np.float32(0.0123)
    ours = bilinear(x, factor, aligned=aligned)
    np.testing.assert_array_equal(ours, by_onnx_runtime(x, factor, aligned))
    layer = AlignedUpsample(factor) if aligned else tf_keras.layers.UpSampling2D(factor, interpolation="bilinear")
    theirs = layer(x).numpy()
    assert np.abs(ours - theirs).max() <= ORDER * x.max()
    assert np.abs(bilinear(x, factor, aligned=not aligned) - theirs).max() > ORDER * x.max()
