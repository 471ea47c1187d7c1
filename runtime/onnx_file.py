"""An `.onnx` file read as the protocol buffer it is, without the onnx library, which no board needs.

It is looked at before any engine sees it: whole, finite, and with nothing that lies outside its folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import UnreadableFile

__all__ = ["OnnxFile", "look"]

Fields = Iterator[tuple[int, Any]]
FLOATS: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 10: np.dtype("<f2"), 11: np.dtype("<f8")}
AGAIN = "fetch or write it again"


@dataclass
class OnnxFile:
    """What a model file holds, by its own account."""

    opset: int = 0
    nodes: Counter[str] = field(default_factory=Counter)
    metadata: dict[str, str] = field(default_factory=dict)
    constants: int = 0
    outside: list[str] = field(default_factory=list)  # files it wants besides itself
    not_finite: str | None = None  # the first constant that holds NaN or infinity


def look(path: str | Path) -> OnnxFile:
    """Read a file's own account; raise `UnreadableFile` if it cannot be, or should not be, run."""
    path = Path(path)
    found = OnnxFile()
    try:
        _model(memoryview(path.read_bytes()), found)
    except OSError as error:
        raise UnreadableFile(path, f"cannot be read ({error.strerror})", "name a model file") from None
    except (TypeError, ValueError, RecursionError):  # a number where a message should be, or the other way round
        raise UnreadableFile(path, "is no ONNX file, or is cut short", AGAIN) from None
    if found.not_finite is not None:
        raise UnreadableFile(path, f"holds NaN or infinity in {found.not_finite!r}", "train or export it again")
    for name in found.outside:
        if not (path.parent / name).resolve().is_relative_to(path.parent.resolve()):
            raise UnreadableFile(path, f"wants {name!r}, outside its folder", "use a file that keeps its own weights")
    if not found.nodes:
        raise UnreadableFile(path, "is no ONNX file, or is cut short", AGAIN)
    return found


def _model(data: memoryview, found: OnnxFile) -> None:
    for number, value in _fields(data):
        if number == 7:
            _graph(value, found)
        elif number == 8:
            opset = dict(_fields(value))
            if not bytes(opset.get(1, b"")):  # the domain of ONNX itself
                found.opset = opset.get(2, 0)
        elif number == 14:
            entry = dict(_fields(value))
            found.metadata[_text(entry.get(1, b""))] = _text(entry.get(2, b""))


def _graph(data: memoryview, found: OnnxFile) -> None:
    for number, value in _fields(data):
        if number == 5:
            _tensor(value, found)
        elif number == 1:
            _node(value, found)


def _node(data: memoryview, found: OnnxFile) -> None:
    for number, value in _fields(data):
        if number == 4:
            found.nodes[_text(value)] += 1
        elif number == 5:
            for part, inner in _fields(value):
                if part == 5:
                    _tensor(inner, found)
                elif part == 6:
                    _graph(inner, found)


def _tensor(data: memoryview, found: OnnxFile) -> None:
    kind, name, parts = 0, "", []
    for number, value in _fields(data):
        if number == 2:
            kind = value
        elif number == 8:
            name = _text(value)
        elif number in (4, 9, 10):
            parts.append(value)
        elif number == 13:
            entry = {key: _text(text) for key, text in _fields(value)}
            if entry.get(1) == "location":
                found.outside.append(entry.get(2, ""))
    found.constants += 1
    if kind in FLOATS and found.not_finite is None:
        for part in parts:
            # A float written alone comes as its four bytes, many as one run of them.
            whole = len(part) % FLOATS[kind].itemsize == 0
            if whole and not np.isfinite(np.frombuffer(part, FLOATS[kind])).all():
                found.not_finite = name


def _fields(data: memoryview) -> Fields:
    """Field numbers and values of one message: whole numbers, or the bytes of what has a length."""
    at, end = 0, len(data)
    while at < end:
        key, at = _number(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _number(data, at)
            yield number, value
            continue
        size, at = _number(data, at) if wire == 2 else ({1: 8, 5: 4}.get(wire, -1), at)
        if size < 0 or at + size > end or number == 0:
            raise ValueError("no protocol buffer")
        yield number, data[at : at + size]
        at += size


def _number(data: memoryview, at: int) -> tuple[int, int]:
    """A variable-length whole number and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("cut short")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("no protocol buffer")


def _text(value: Any) -> str:
    if isinstance(value, int):
        raise ValueError("a number where a text should be")
    return bytes(value).decode()
