"""Optional libraries: imported where they are used, and what is missing or broken is said in words."""

from __future__ import annotations

import importlib
import importlib.metadata
from types import ModuleType

from runtime.errors import MissingLibrary, SetupError

__all__ = ["engine", "need"]

ENGINES = {"onnxruntime": ("onnxruntime", "cpu"), "ai_edge_litert": ("ai_edge_litert.interpreter", "litert")}


def need(module: str, *, library: str, extra: str) -> ModuleType:
    """Import `module`; if `library` is missing or cannot be loaded, name the pip line that cures it."""
    try:
        importlib.import_module(library)  # a module of it may be here still when it is not
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError: a shared library in it does not fit this system
        if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] == library:
            raise MissingLibrary(library, extra) from None
        words = " ".join(str(error).split())
        remedy = f"pip install --force-reinstall {_distribution(library)}"
        raise SetupError(f"{library} is installed but cannot be loaded ({words})", remedy) from error


def engine(name: str) -> ModuleType:
    """An inference engine, loaded with its compiled part."""
    module, extra = ENGINES[name]
    return need(module, library=name, extra=extra)


def _distribution(library: str) -> str:
    """What pip calls it: of onnxruntime and onnxruntime-gpu, which bring the same module, the one that is here."""
    return max(importlib.metadata.packages_distributions().get(library, [library]))
