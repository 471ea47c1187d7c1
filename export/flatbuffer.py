"""A TFLite file, put together tensor by tensor: a thin builder over the schema that LiteRT ships."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runtime.tflite import Buffer, finished, schema

__all__ = ["Flatbuffer", "Levels"]

Array = np.ndarray[Any, Any]

# Each operator's record of options, where it has one, and the version that knows the types we use.
OPTIONS = {
    "ABS": ("AbsOptions", 1),
    "ADD": ("AddOptions", 2),
    "CONCATENATION": ("ConcatenationOptions", 2),
    "CONV_2D": ("Conv2DOptions", 3),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", 3),
    "DEPTH_TO_SPACE": ("DepthToSpaceOptions", 1),
    "DEQUANTIZE": ("DequantizeOptions", 2),
    "FLOOR": (None, 1),
    "LEAKY_RELU": ("LeakyReluOptions", 2),
    "LOGISTIC": (None, 2),
    "MAX_POOL_2D": ("Pool2DOptions", 2),
    "MEAN": ("ReducerOptions", 2),
    "MINIMUM": ("MaximumMinimumOptions", 1),
    "MUL": ("MulOptions", 2),
    "QUANTIZE": ("QuantizeOptions", 2),
    "RELU": (None, 2),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", 3),
    "ROUND": (None, 1),
    "SHAPE": ("ShapeOptions", 1),
    "SIGN": ("SignOptions", 1),
    "STRIDED_SLICE": ("StridedSliceOptions", 2),
    "SUB": ("SubOptions", 1),
}


@dataclass(frozen=True)
class Levels:
    """How the whole numbers of a tensor are read: scale * (q - zero), the scale one or one along `axis`."""

    scale: Array
    zero: int = 0
    axis: int = 0


@dataclass
class Flatbuffer:
    """The tensors, operators and constants of one network."""

    tensors: list[Any] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)
    # TFLite reads buffer 0 as "no data".
    buffers: list[Buffer] = field(default_factory=lambda: [Buffer()])
    codes: dict[str, int] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def tensor(
        self, name: str, shape: Sequence[int], kind: str, *, levels: Levels | None = None, data: bytes = b""
    ) -> int:
        """Add a tensor of that element type, constant if it has data; a name that is taken gets a number."""
        while name in self.names:
            stem, _, number = name.rpartition("/")
            name = f"{stem}/{int(number) + 1}" if number.isdecimal() and stem else f"{name}/2"
        self.names.add(name)
        record = schema().TensorT()
        record.name, record.type = name, getattr(schema().TensorType, kind)
        record.shape, record.hasRank = np.array(shape, np.int32), True
        if levels is not None:
            record.quantization = schema().QuantizationParametersT()
            record.quantization.scale = np.atleast_1d(levels.scale).astype(np.float32)
            record.quantization.zeroPoint = np.full(record.quantization.scale.size, levels.zero, np.int64)
            record.quantization.quantizedDimension = levels.axis
        if data:
            self.buffers.append(Buffer(data))
            record.buffer = len(self.buffers) - 1
        self.tensors.append(record)
        return len(self.tensors) - 1

    def operator(self, kind: str, reads: Sequence[int], makes: int, **options: Any) -> None:
        """Add an operator; `options` are the fields of its record."""
        record = schema().OperatorT()
        record.opcodeIndex = self.codes.setdefault(kind, len(self.codes))
        record.inputs, record.outputs = np.array(reads, np.int32), np.array([makes], np.int32)
        if name := OPTIONS[kind][0]:
            record.builtinOptionsType = getattr(schema().BuiltinOptions, name)
            record.builtinOptions = getattr(schema(), f"{name}T")(**options)
        self.operators.append(record)

    def dynamic(self, tensor: int) -> None:
        """Let batch, height and width of a tensor vary."""
        record = self.tensors[tensor]
        record.shapeSignature = np.array([-1, -1, -1, record.shape[-1]], np.int32)

    def finish(self, ins: Mapping[str, int], outs: Mapping[str, int]) -> bytes:
        """The file; `ins` and `outs` are the names of its signature."""
        graph = schema().SubGraphT(tensors=self.tensors, operators=self.operators, name="main")
        graph.inputs, graph.outputs = (np.array(list(ends.values()), np.int32) for ends in (ins, outs))
        model = schema().ModelT(version=3, description="qk-unet", subgraphs=[graph], buffers=self.buffers)
        model.operatorCodes = [self._code(kind) for kind in self.codes]
        model.signatureDefs = [
            schema().SignatureDefT(
                signatureKey="serving_default",
                inputs=[schema().TensorMapT(name, tensor) for name, tensor in ins.items()],
                outputs=[schema().TensorMapT(name, tensor) for name, tensor in outs.items()],
            )
        ]
        return finished(model)

    def _code(self, kind: str) -> Any:
        number = getattr(schema().BuiltinOperator, kind)
        # The old field has room for 127 numbers and is what old readers look at.
        return schema().OperatorCodeT(min(number, 127), None, OPTIONS[kind][1], number)
