"""Optional libraries: imported where they are used, and asked for in words when they are missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from runtime.errors import MissingLibrary

__all__ = ["need"]


def need(module: str, *, library: str, extra: str) -> ModuleType:
    """Import `module`; if `library` is what is missing, name the pip line that cures it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == library:
            raise MissingLibrary(library, extra) from None
        raise
