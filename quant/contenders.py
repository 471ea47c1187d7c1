"""What makes pictures of a RAW file in the demo: each reads it, writes a PNG of 8 bits, and says how long it took.

They are called in processes of their own: their names can be imported, and their arguments are plain.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from quant import exposures
from quant.baseline import Noise
from runtime import picture
from runtime.decode import read
from runtime.enhancing import Enhancer
from runtime.job import Wish
from runtime.raw import Raw
from runtime.session import open as open_model

__all__ = ["amplify", "enhance", "smooth"]


def amplify(dark: Path, out: Path, ratio: float) -> float:
    """No more than brighter."""
    begin = time.perf_counter()
    raw = read(dark)
    return _saved(exposures.amplified(raw, ratio=ratio), raw, out, begin)


def smooth(dark: Path, out: Path, ratio: float, noise: Noise, strength: float) -> float:
    """Non-local means."""
    begin = time.perf_counter()
    raw = read(dark)
    return _saved(exposures.smoothed(raw, ratio=ratio, noise=noise, strength=strength), raw, out, begin)


def enhance(dark: Path, out: Path, ratio: float, model: str) -> float:
    """A network, as `qk-run enhance` runs it."""
    enhancer = Enhancer(open_model(model), Wish(ratio=repr(ratio), format="png8"))
    begin = time.perf_counter()
    job = enhancer.prepare(read(dark), path=dark)
    enhancer.infer(job)
    enhancer.save(job, out)
    return time.perf_counter() - begin


def _saved(colours: np.ndarray[tuple[int, ...], np.dtype[np.float32]], raw: Raw, out: Path, begin: float) -> float:
    picture.save(exposures.developed(colours, raw), out, format="png8", raw=raw)
    return time.perf_counter() - begin
