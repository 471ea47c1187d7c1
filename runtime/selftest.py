"""A tiny int8 network that lies beside this file, and what every machine makes of it.

Whole numbers have no rounding to differ in: on every machine and with any number of threads the SHA-256 of the output's
levels is the stored one. Where it is not, the engine's integer kernels are not those the models were proved with.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["DIGESTS", "FOLDER", "SELF_TESTS", "STEP", "digest", "expected", "picture"]

Array = np.ndarray[Any, Any]

SELF_TESTS = {"onnxruntime": "selftest.onnx", "ai_edge_litert": "selftest.tflite"}
DIGESTS = "selftest.json"
FOLDER = Path(__file__).parent
SIDE = 64  # pixels of the input
STEP = 0.1  # of the grid the output lies on, from -128 to 127 steps


def picture() -> Array:
    """An input that holds every level, channels last."""
    # Scattered without a generator, whose numbers another version could change; 7919 has no part in 256.
    return (np.arange(SIDE * SIDE * 4) * 7919 % 256 / 255).astype(np.float32).reshape(1, SIDE, SIDE, 4)


def digest(made: Array) -> str:
    """The SHA-256 of the levels that an engine made, channels last."""
    # Levels, since the float behind the last one differs in its last bit: ARM multiplies and adds at once.
    return hashlib.sha256(np.rint(made / STEP).astype("<i2").tobytes()).hexdigest()


def expected(path: Path) -> str:
    """The digest that is stored beside a file of the self-test."""
    return str(json.loads(path.with_name(DIGESTS).read_text())[path.name])
