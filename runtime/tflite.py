"""A `.tflite` file as bytes: the contract in the zip behind the model, and the kernels of 4 bits in it.

LiteRT computes a convolution with a 4-bit kernel in its own plain code, five times slower than XNNPACK does with the
same kernel in 8 bits, and rounds it otherwise. So 4 bits are for the disk: here they become 8 before the model is run.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.contract import Contract
from runtime.errors import AlteredFile, UnreadableFile
from runtime.library import need

__all__ = ["MEMBER", "Buffer", "appended", "finished", "read", "require_finite", "schema", "unpacked"]

MEMBER = "contract.json"
MARK = b"TFL3"  # at byte 4 of every TFLite file
ALIGNMENT = 16  # what the schema asks of a buffer's data, and the Python builder does not do by itself


@dataclass
class Buffer:
    """The bytes of a constant, in place of the schema's own class, whose vectors are not aligned."""

    data: bytes = b""

    def Pack(self, builder: Any) -> Any:  # noqa: N802 (the name the generated code calls)
        """Write the bytes aligned, then the record around them."""
        vector = None
        if self.data:
            builder.StartVector(1, len(self.data), ALIGNMENT)
            builder.head = builder.Head() - len(self.data)
            builder.Bytes[builder.Head() : builder.Head() + len(self.data)] = self.data
            vector = builder.EndVector()
        schema().BufferStart(builder)
        if vector is not None:
            schema().BufferAddData(builder, vector)
        return schema().BufferEnd(builder)


def schema() -> Any:
    """The classes generated from TFLite's schema."""
    return need("ai_edge_litert.schema_py_generated", library="ai_edge_litert", extra="litert")


def finished(model: Any) -> bytes:
    """A model record as a file."""
    builder = need("flatbuffers", library="flatbuffers", extra="litert").Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=MARK)
    return bytes(builder.Output())


def appended(model: bytes, contract: Contract) -> bytes:
    """The model with its contract in a zip behind it, and the model's SHA-256 as the zip's comment.

    LiteRT reads from the front and a zip is read from the back, so neither sees the other.
    """
    file = io.BytesIO()
    file.write(model)
    with zipfile.ZipFile(file, "a") as archive:
        # The fixed date makes equal networks equal files.
        archive.writestr(zipfile.ZipInfo(MEMBER, (1980, 1, 1, 0, 0, 0)), contract.to_json())
        archive.comment = hashlib.sha256(model).hexdigest().encode()
    return file.getvalue()


def read(path: str | Path) -> tuple[bytes, Contract]:
    """The model and its contract; every byte is checked, since LiteRT trusts the model it is given."""
    remedy = "write the file again with qk-export"
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UnreadableFile(path, f"cannot be read ({error.strerror})", "check the path") from None
    if content[4:8] != MARK:
        raise UnreadableFile(path, "is not a TFLite file", remedy)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            text = archive.read(MEMBER).decode()
            digest, start = archive.comment.decode("ascii", "replace"), archive.getinfo(MEMBER).header_offset
    # A file cut short has lost its contract first: it stands at the end. Other damage surfaces as whatever error the
    # reader of zip meets in it, an unknown compression or a stream that ends too soon.
    except Exception:
        return content, Contract.from_json(None, source=path)
    if hashlib.sha256(content[:start]).hexdigest() != digest:
        raise AlteredFile(path, "is not as it was written: its model has changed", remedy)
    return content[:start], Contract.from_json(text, source=path)


def require_finite(model: bytes, *, source: str | Path) -> None:
    """Raise `UnreadableFile` if a constant holds NaN or infinity."""
    root, kind = schema().Model.GetRootAs(model), schema().TensorType.FLOAT32
    graph = root.Subgraphs(0)
    for tensor in (graph.Tensors(i) for i in range(graph.TensorsLength())):
        buffer = root.Buffers(tensor.Buffer())
        filled = tensor.Type() == kind and buffer.DataLength() > 0
        if filled and not np.isfinite(buffer.DataAsNumpy().view("<f4")).all():
            name = tensor.Name().decode(errors="replace")
            raise UnreadableFile(source, f"holds NaN or infinity in {name!r}", "train or export it again")


def unpacked(model: bytes) -> bytes:
    """The model with every 4-bit constant in 8 bits: the same values, in the type that runs fast."""
    types = schema().TensorType
    graph = schema().Model.GetRootAs(model).Subgraphs(0)
    if not any(graph.Tensors(i).Type() == types.INT4 for i in range(graph.TensorsLength())):
        return model
    record = schema().ModelT.InitFromPackedBuf(model)
    record.buffers = [Buffer(b"" if buffer.data is None else bytes(buffer.data)) for buffer in record.buffers]
    for tensor in record.subgraphs[0].tensors:
        if tensor.type == types.INT4:
            tensor.type = types.INT8
            buffer = record.buffers[tensor.buffer]
            buffer.data = _nibbles(buffer.data, int(np.prod(tensor.shape)))
    return finished(record)


def _nibbles(data: bytes, count: int) -> bytes:
    """Signed numbers of 4 bits, the first of each byte in its low half, in a byte each."""
    pairs = np.frombuffer(data, np.uint8)
    both = np.stack([pairs << 4, pairs], axis=-1).view(np.int8) >> 4
    return both.ravel()[:count].tobytes()
