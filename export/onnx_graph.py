"""A small pen for ONNX graphs: nodes, constants and the grids' own pairs of QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.bits import beside, in_layers, layers
from keras_models.grid import Grid
from runtime.errors import BadGrid, BadOption

__all__ = ["IR_VERSION", "OPSET", "Graph"]

# 21 is the first with 4-bit weights; ONNX Runtime 1.20 and later read it, JetPack 6's 1.23 among them.
OPSET = 21
IR_VERSION = 10

Array = np.ndarray[Any, Any]


class Graph:
    """Nodes and constants, in the order they are written."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.taken: set[str] = set()
        self.whole: dict[str, str] = {}  # of a rounded tensor, the one of whole numbers it was made from

    def node(self, kind: str, reads: list[str], makes: str, **attributes: Any) -> str:
        """Add a node with one output; node and output share the name."""
        self._take(makes)
        self.nodes.append(helper.make_node(kind, reads, [makes], name=makes, **attributes))
        return makes

    def constant(self, name: str, array: Array | np.generic) -> str:
        """Add a constant."""
        self._take(name)
        self.constants[name] = numpy_helper.from_array(np.array(array, order="C"), name)
        return name

    def shared(self, array: Array | np.generic) -> str:
        """A small constant that many may read, named for what it is."""
        name = f"{array.dtype}_{'_'.join(map(str, array.ravel()))}_of{'x'.join(map(str, array.shape))}"
        if name not in self.constants:
            self.constant(name, array)
        return name

    def _take(self, name: str) -> None:
        """Raise an `Error` where two things would have one name: a layer is called as a part of another is."""
        if name in self.taken:
            raise BadOption(
                "the name of a layer", name, "another: a part of the layer that it begins with is called so"
            )
        self.taken.add(name)

    def rename(self, old: str, new: str) -> str:
        """Give a tensor the name it has outside; whatever had that name inside gives it up."""
        swap = {old: new, new: f"{new}_inside"} if old != new else {}
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [swap.get(name, name) for name in names]
        return new

    def quantize(self, x: str, grid: Grid, name: str, *, saturate: bool = True) -> str:
        """Round activations: stored as uint8 whatever the grid, its lowest level as 0.

        A grid of fewer than 8 bits saturates at its own highest level: the clip is on whole numbers, so that the
        convolution in front of it stays one of integers.
        """
        scale = self.constant(f"{name}_scale", grid.scale)
        zero = self.constant(f"{name}_zero", np.uint8(grid.zero - grid.low))
        q = self.node("QuantizeLinear", [x, scale, zero], f"{name}_q")
        span = grid.high - grid.low
        if saturate and span < np.iinfo(np.uint8).max:
            limits = [self.constant(f"{name}_{end}", np.uint8(value)) for end, value in (("low", 0), ("high", span))]
            q = self.node("Clip", [q, *limits], f"{name}_clipped")
        self.whole[name] = q
        return self.node("DequantizeLinear", [q, scale, zero], name)

    def kernel(self, levels: Array, grid: Grid, name: str) -> str:
        """A kernel on a grid for a convolution of whole numbers: int8, from fewer bits when the file is loaded."""
        q = self._whole(levels, grid, name)
        scale = self.constant(f"{name}_scale", grid.scale)
        zero = self.constant(f"{name}_zero", np.zeros(grid.scale.shape, np.int8))
        axis = {"axis": 0} if grid.scale.ndim else {}
        return self.node("DequantizeLinear", [q, scale, zero], name, **axis)

    def float_kernel(self, levels: Array, grid: Grid, name: str) -> str:
        """A kernel on a grid for a convolution in float: Cast and Mul are done once, when the file is loaded.

        A DequantizeLinear would be kept for an integer kernel that never comes, and run with every frame.
        """
        shape = [-1, *[1] * (levels.ndim - 1)] if grid.scale.ndim else []
        wide = self.node("Cast", [self._whole(levels, grid, name)], f"{name}_float", to=TensorProto.FLOAT)
        return self.node("Mul", [wide, self.constant(f"{name}_scale", grid.scale.reshape(shape))], name)

    def _whole(self, levels: Array, grid: Grid, name: str) -> str:
        """Levels as int8, kept in as few bytes as can be: all that widens them is done once, when a file is loaded.

        2-bit tensors came with opset 25, which JetPack's ONNX Runtime does not read, and 3 bits have none.
        """
        if not grid.signed or grid.zero:
            raise BadGrid(
                f"levels {grid.low} to {grid.high} around {grid.zero} for {name!r}", "a signed kernel around 0"
            )
        if in_layers(levels.size, grid.bits):
            return self._layered(levels, grid.bits, name)
        if grid.bits > 4:
            return self.constant(f"{name}_q", levels.astype(np.int8))
        q, data = f"{name}_q", beside(levels, 4).tobytes()
        self._take(q)
        self.constants[q] = helper.make_tensor(q, TensorProto.INT4, levels.shape, data, raw=True)
        return self.node("Cast", [q], f"{name}_wide", to=TensorProto.INT8)

    def _layered(self, levels: Array, bits: int, name: str) -> str:
        """Levels kept layer on layer, from 0 up: put together and moved back around 0."""
        middle = 1 << (bits - 1)
        made = ""
        for at, width in layers(bits):
            layer = self._layer(levels + middle, at, width, f"{name}_at{at}")
            if at:
                up = self.node("BitShift", [layer, self.shared(np.uint8(at))], f"{name}_up{at}", direction="LEFT")
                layer = self.node("BitwiseOr", [made, up], f"{name}_to{at}")
            made = layer
        shaped = self.node("Reshape", [made, self.shared(np.array(levels.shape, np.int64))], f"{name}_shaped")
        above = self.node("Cast", [shaped], f"{name}_above", to=TensorProto.INT32)
        around = self.node("Sub", [above, self.shared(np.int32(middle))], f"{name}_around")
        return self.node("Cast", [around], f"{name}_wide", to=TensorProto.INT8)

    def _layer(self, levels: Array, at: int, width: int, name: str) -> str:
        """Some bits of all levels, in a row, taken out of the bytes that they share."""
        mask = (1 << width) - 1
        q = self.constant(f"{name}_q", beside((levels >> at) & mask, width)[:, None])
        shifts = self.shared(np.arange(0, 8, width, dtype=np.uint8)[None])
        shifted = self.node("BitShift", [q, shifts], f"{name}_down", direction="RIGHT")
        masked = self.node("BitwiseAnd", [shifted, self.shared(np.uint8(mask))], f"{name}_only")
        row = self.node("Reshape", [masked, self.shared(np.array([-1], np.int64))], f"{name}_row")
        if levels.size * width % 8 == 0:
            return row
        ends = [self.shared(np.array([end], np.int64)) for end in (0, levels.size)]
        return self.node("Slice", [row, *ends], f"{name}_cut")

    def bias(self, levels: Array, scale: Array, name: str) -> str:
        """A bias as whole steps of the sums it is added to."""
        q = self.constant(f"{name}_q", levels)
        step = self.constant(f"{name}_scale", np.broadcast_to(scale, levels.shape).astype(np.float32))
        zero = self.constant(f"{name}_zero", np.zeros(levels.shape, np.int32))
        return self.node("DequantizeLinear", [q, step, zero], name, axis=0)

    def model(self, inputs: list[Any], outputs: list[Any], metadata: dict[str, str]) -> Any:
        """The finished model, checked, every shape inferred."""
        graph = helper.make_graph(self.nodes, "qk_unet", inputs, outputs, list(self.constants.values()))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="qk-unet")
        model.ir_version = IR_VERSION
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
