"""Everything that is known about one file, a RAW frame or a model: what it says itself, and what its bytes are.

Which of the two it is stands in its first bytes; its name decides only where they do not.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from runtime import onnx_file, tflite
from runtime.contract import Contract
from runtime.errors import BadContract, MissingLibrary, UnreadableFile
from runtime.ort import CONTRACT
from runtime.raw import Raw
from runtime.shipped import DEFAULT, FOLDER, NAMES, card, located

__all__ = ["info", "lines", "summary"]

RAW_HEADS = (b"II", b"MM", b"FUJIFILM", b"\0MRM", b"FOVb")  # most are TIFF inside
IR_VERSION = 0x08  # the first field of an ONNX file, as a number
COLOURS = "RGB"
UNITS = {"bytes": "bytes", "exposure": "s", "focal_length": "mm", "metres_per_unit": "m", "rmse": "m"}
SILENT = {"path", "kind", "card"}


def info(path: str | Path, *, timeout: float = 60.0) -> dict[str, Any]:
    """What there is to know of a file, or of a shipped model, ready for JSON; `kind` is raw, onnx or tflite.

    `timeout` is for decoding, in seconds.
    """
    name, path = str(path), located(path)
    size, sha, head = _bytes(path)
    kind = _kind(head, path.suffix.lower())
    if kind == "raw":
        from runtime.decode import read

        found = _raw(read(path, timeout=timeout))
    else:
        found = _onnx(path) if kind == "onnx" else _tflite(path)
    told = {"card": card(name)} if path.parent == FOLDER and name in NAMES else {}
    plain: dict[str, Any] = _plain({"path": str(path), "kind": kind, "bytes": size, "sha256": sha, **found, **told})
    return plain


def summary(name: str) -> str:
    """A shipped model in a line."""
    path = FOLDER / f"{name}.onnx"
    told = info(path)["contract"]
    sizes = [f"{path.with_suffix(end).stat().st_size / 1e6:.1f} MB as {end[1:]}" for end in (".onnx", ".tflite")]
    made = f"{told['network']}, kernels of {told['weight_bits']} bits, {told['cfa']}, up to x{told['ratio_max']:g}"
    return f"{name:9} {made}, {' or '.join(sizes)}{', the default' * (name == DEFAULT)}"


def lines(info: Mapping[str, Any]) -> list[str]:
    """The same for people: a name and a value a line, what is not known left out; then a shipped model's card."""
    what = {"raw": "RAW frame", "onnx": "ONNX model", "tflite": "TFLite model"}[info["kind"]]
    rows = [("file", f"{_words(info['path'])}, {what}")]
    units = dict(UNITS)
    if metres := (info.get("contract") or {}).get("metres_per_unit"):
        units["mse"] = f"({metres:g} m)^2"  # as the network was trained; what it is off in metres is another figure
    for name, value in info.items():
        if name not in SILENT:
            rows += _rows(name, value, units)
    width = max(len(name) for name, _ in rows)
    card = ["", *info["card"].splitlines()] if "card" in info else []
    return [*(f"{name:{width}}  {value}" for name, value in rows), *card]


def _bytes(path: Path) -> tuple[int, str, bytes]:
    """A file's size, its SHA-256 and how it begins."""
    sha, size, head = hashlib.sha256(), 0, b""
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                head = head or block[:16]
                size += len(block)
                sha.update(block)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte in it
        why = getattr(error, "strerror", None) or error
        known = f"name a RAW file, a model file, or one of {', '.join(NAMES)}"
        raise UnreadableFile(path, f"cannot be read ({why})", known) from None
    if not size:
        raise UnreadableFile(path, "is empty", "copy it again from where it came")
    return size, sha.hexdigest(), head


def _kind(head: bytes, suffix: str) -> str:
    if head[4:8] == tflite.MARK:
        return "tflite"
    if head[0] == IR_VERSION and head[1:2] < b"\x20":
        return "onnx"
    if not head.startswith(RAW_HEADS) and head[4:8] != b"ftyp" and suffix in (".onnx", ".tflite"):
        return suffix[1:]  # damaged, most likely: its own reader says so best
    return "raw"


def _raw(raw: Raw) -> dict[str, Any]:
    height, width = raw.mosaic.shape
    darkest, lightest = int(raw.mosaic.min()), int(raw.mosaic.max())
    return {
        "height": height,
        "width": width,
        "cfa": raw.cfa,
        "pattern": ["".join(COLOURS[colour] for colour in row) for row in raw.pattern],
        "black": raw.black,
        "white": raw.white,
        "darkest": darkest,
        "median": float(np.median(raw.mosaic)),
        "lightest": lightest,
        "saturated": float(np.mean(raw.mosaic >= raw.white)),
        "wb": raw.wb,
        "wb_known": raw.wb_known,
        "cam2rgb": raw.cam2rgb,
        "xyz2cam": raw.xyz2cam,
        "about": asdict(raw.about),
    }


def _onnx(path: Path) -> dict[str, Any]:
    found = onnx_file.look(path)
    about = {"opset": found.opset, "operators": found.nodes.total(), "nodes": dict(found.nodes.most_common())}
    return about | _contract(path, found.metadata.get(CONTRACT))


def _tflite(path: Path) -> dict[str, Any]:
    try:
        model, contract = tflite.read(path)
        promise = {"contract": json.loads(contract.to_json()), "problem": None}
    except BadContract as error:
        model, promise = path.read_bytes(), {"contract": None, "problem": str(error)}
    return {**_operators(path, model), **promise}


def _operators(path: Path, model: bytes) -> dict[str, Any]:
    """The operators by kind, which only the library can name."""
    try:
        schema = tflite.schema()
    except MissingLibrary as missing:
        return {"operators": None, "nodes": None, "lacks": missing.remedy}
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    try:
        record = schema.Model.GetRootAs(model)
        codes = [record.OperatorCodes(i) for i in range(record.OperatorCodesLength())]
        kinds = [names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "?") for code in codes]
        graph = record.Subgraphs(0)
        nodes = Counter(kinds[graph.Operators(i).OpcodeIndex()] for i in range(graph.OperatorsLength()))
    except Exception:  # a flatbuffer that leads nowhere fails in every way that reading bytes can
        raise UnreadableFile(path, "is cut short or damaged", "fetch or write it again") from None
    return {"operators": nodes.total(), "nodes": dict(nodes.most_common())}


def _contract(path: Path, text: str | None) -> dict[str, Any]:
    """The contract as it stands in the file, or why this version cannot use it."""
    try:
        return {"contract": json.loads(Contract.from_json(text, source=path).to_json()), "problem": None}
    except BadContract as error:
        return {"contract": None, "problem": str(error)}


def _plain(value: Any) -> Any:
    """The value in JSON's own types: EXIF has fractions and bytes, JSON has neither, nor NaN."""
    match value:
        case None | bool() | int() | str():
            return value
        case Mapping():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case bytes():
            return value.hex()
        case np.ndarray():
            return _plain(value.tolist())
    try:
        number = float(value)
    except (TypeError, ValueError, ArithmeticError):
        return str(value)
    return number if math.isfinite(number) else None


def _rows(name: str, value: Any, units: Mapping[str, str]) -> list[tuple[str, str]]:
    """The lines of one entry: several for what has parts, none for what is not known."""
    if value is None or value in ({}, [], ""):
        return []
    if name == "nodes":
        return [(name, ", ".join(f"{count} {kind}" for kind, count in value.items()))]
    if isinstance(value, dict):
        return [row for inner, part in value.items() for row in _rows(inner, part, units)]
    what = name if name in units else name.partition("_")[0]  # a figure is named with the part that has it: rmse_float
    unit = f" {units[what]}" if what in units else ""
    return [(name.replace("_", " "), _words(value) + unit)]


def _words(value: Any) -> str:
    """A value in one line that a terminal shows as it is."""
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case int():
            return f"{value:,}" if value >= 10**5 else str(value)
        case list():
            inner = isinstance(value[0], list)
            return (" | " if inner else " ").join(map(_words, value))
    text = str(value)
    return text if text.isprintable() else ascii(text)
