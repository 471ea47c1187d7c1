"""What a fit leaves for people to look at: a line a step, curves and pictures for TensorBoard, PNG of fixed patches.

TensorBoard's files are written through TensorFlow's own events, so that only who looks at them must install it.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import tensorflow as tf

from runtime import png
from runtime.atomic import writing

__all__ = ["Diary", "sheet"]

Array = np.ndarray[Any, Any]
HISTORY, EVENTS, PICTURES = "history.jsonl", "tensorboard", "pictures"
GAP = 4  # white pixels between patches
EVERY = 20  # steps between two points of the loss curve


class Diary:
    """The diary of one fit, begun with its first note; what a stopped run wrote beyond its checkpoint is struck out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: Any = None
        self._events: Any = None

    def __enter__(self) -> Diary:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for opened in (self._file, self._events):
            if opened is not None:
                opened.close()

    def note(self, step: int, loss: float, figures: dict[str, float]) -> None:
        """A step, and what was measured after it."""
        if self._file is None:
            self._file = _opened(self.folder / HISTORY, before=step)
            self._events = tf.summary.create_file_writer(str(self.folder / EVENTS))
        self._file.write(json.dumps({"step": step, "loss": loss, **figures}) + "\n")
        if figures or step % EVERY == 0:
            with self._events.as_default():
                for name, value in {"loss": loss, **figures}.items():
                    tf.summary.write(name, np.float32(value), step, metadata=_kind("scalars"))

    def picture(self, step: int, rows: list[list[Array]]) -> None:
        """Patches side by side, each (h, w, 1 or 3), 0 to 1."""
        pixels = sheet(rows)
        buffer = io.BytesIO()
        png.write(buffer, pixels, bits=8)
        with writing(self.folder / PICTURES / f"{step:08}.png") as file:
            file.write(buffer.getvalue())
        height, width = pixels.shape[:2]
        with self._events.as_default():
            told = [str(width).encode(), str(height).encode(), buffer.getvalue()]
            tf.summary.write("patches", tf.constant(told), step, metadata=_kind("images"))


def sheet(rows: list[list[Array]]) -> Array:
    """Rows of pictures on white, as uint16; a smaller one is enlarged by whole factors to the largest of its row."""
    lines = []
    for row in rows:
        side = max(len(patch) for patch in row)
        even = [_framed(_coloured(np.kron(patch, np.ones((side // len(patch),) * 2 + (1,))))) for patch in row]
        lines.append(np.concatenate(even, axis=1))
    whole = np.concatenate(lines)
    return np.rint(np.clip(whole, 0, 1) * 65535).astype(np.uint16)


def _coloured(patch: Array) -> Array:
    """Grey as colour."""
    return np.repeat(patch, 3 // patch.shape[-1], axis=-1)


def _framed(patch: Array) -> Array:
    return np.pad(patch, ((0, GAP), (0, GAP), (0, 0)), constant_values=1.0)


def _opened(path: Path, *, before: int) -> Any:
    """The history, to be written on from a step."""
    kept = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] < before:
                    kept.append(line)
            except (ValueError, KeyError, TypeError):
                break  # a line that was cut short, the last
    with writing(path) as file:
        file.write("".join(line + "\n" for line in kept).encode())
    return path.open("a", encoding="utf-8", buffering=1)  # a killed run has every line up to its checkpoint


def _kind(plugin: str) -> Any:
    """What tells TensorBoard how to show a value."""
    told = tf.compat.v1.SummaryMetadata()
    told.plugin_data.plugin_name = plugin
    return told
