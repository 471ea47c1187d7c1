"""Run a model anywhere: contract and errors, RAW in, picture out. Never imports TensorFlow."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from runtime.contract import Contract
from runtime.errors import Error

if TYPE_CHECKING:
    from runtime.enhancing import Enhancer, enhance
    from runtime.job import Wish
    from runtime.raw import Raw
    from runtime.session import Session, open  # noqa: A004

__all__ = ["Contract", "Enhancer", "Error", "Raw", "Session", "Wish", "enhance", "open"]

LATER = {
    "Enhancer": "runtime.enhancing",
    "Raw": "runtime.raw",
    "Session": "runtime.session",
    "Wish": "runtime.job",
    "enhance": "runtime.enhancing",
    "open": "runtime.session",
}


def __getattr__(name: str) -> Any:
    """What needs NumPy is imported when it is first asked for."""
    if name not in LATER:
        raise AttributeError(f"module 'runtime' has no attribute {name!r}")
    return getattr(importlib.import_module(LATER[name]), name)
