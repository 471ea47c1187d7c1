"""The models that come with the runtime, by name: one network as ONNX and as TFLite, and a card that tells of it."""

from __future__ import annotations

from pathlib import Path

from runtime.errors import MissingLibrary, SetupError, UnknownName
from runtime.library import engine

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
    """The file of that model for the engine that can be loaded and serves the provider, of two the faster."""
    if name not in NAMES:
        raise UnknownName("model", name, NAMES)
    problems = []
    for end, library in ENGINES.items():
        if library == LITERT and provider not in CPU:
            continue
        try:
            engine(library)
        except SetupError as problem:
            problems.append(problem)
        else:
            return FOLDER / f"{name}{end}"
    # One that is there and broken is nearer to running than one that is missing.
    raise next((problem for problem in problems if not isinstance(problem, MissingLibrary)), problems[-1])


def card(name: str) -> str:
    """What there is to know before it is used, as Markdown."""
    if name not in NAMES:
        raise UnknownName("model", name, NAMES)
    return (FOLDER / f"{name}.md").read_text("utf-8")
