"""The models that come with the runtime, by name: one network as ONNX and as TFLite, and a card that tells of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from runtime.errors import MissingLibrary, UnknownName

__all__ = ["DEFAULT", "FOLDER", "NAMES", "card", "find", "located"]

FOLDER = Path(__file__).with_name("models")
NAMES = ("fast", "balanced", "small")
DEFAULT = "fast"
LITERT = "ai_edge_litert"
# On a CPU both engines compute the same integers, LiteRT in less time; only ONNX Runtime has other providers.
ENGINES = {".tflite": LITERT, ".onnx": "onnxruntime"}
CPU = ("auto", "cpu", "xnnpack")


def located(model: str | Path, *, provider: str = "auto") -> Path:
    """The file that is meant: one of that path, or else the shipped model of that name."""
    path = Path(model)
    return find(str(model), provider=provider) if str(model) in NAMES and not path.is_file() else path


def find(name: str, *, provider: str = "auto") -> Path:
    """The file of that model for the engine that is installed and serves the provider, of two the faster."""
    if name not in NAMES:
        raise UnknownName("model", name, NAMES)
    engines = {end: engine for end, engine in ENGINES.items() if engine != LITERT or provider in CPU}
    for end, engine in engines.items():
        if importlib.util.find_spec(engine) is not None:
            return FOLDER / f"{name}{end}"
    raise MissingLibrary("no inference engine", "cpu")


def card(name: str) -> str:
    """What there is to know before it is used, as Markdown."""
    if name not in NAMES:
        raise UnknownName("model", name, NAMES)
    return (FOLDER / f"{name}.md").read_text("utf-8")
