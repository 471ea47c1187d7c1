"""What is measured on held-out pairs, by task, and what an amplified frame looks like without a network.

Depth: Eigen, Puhrsch and Fergus (2014), where the depth is known. Dice and intersection over union are of each picture,
the mean over pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from quant.nyu import METRES
from quant.phase import cell, unpacked
from runtime.contract import Contract
from runtime.measure import WINDOW, mse, psnr, ssim
from runtime.root import answer, squared

__all__ = ["amplified", "better", "figures"]

Array = np.ndarray[Any, Any]
MOST_DB = 100.0  # what a picture without any error counts as: an infinite one would hide all others in the mean
NEAR = 1.25  # times too deep or too near still counts for delta1
HALF = 0.5  # from here on a pixel is of the mask
TENTS = {"bayer": (1.0, 2.0, 1.0), "x-trans": (1.0, 2.0, 3.0, 2.0, 1.0)}  # wide enough to find every colour anywhere


def figures(contract: Contract, y: Array, made: Array) -> dict[str, float]:
    """The figures of a batch (n, h, w, channels), by name; SSIM is left out of pictures smaller than its window."""
    if y.shape != made.shape or y.ndim != 4:
        raise ValueError(f"{y.shape} and {made.shape} are no two batches that can be compared")
    match contract.task:
        case "enhance":
            return _enhance(y, np.clip(made, 0, 1))
        case "depth":
            return _depth(y, made)
        case "segment":
            return _segment(y > HALF, made > HALF)


def better(contract: Contract) -> tuple[str, bool]:
    """The figure that decides between two networks, and whether more of it is better."""
    return {"enhance": ("psnr", True), "depth": ("mse", False), "segment": ("dice", True)}[contract.task]


def _enhance(y: Array, made: Array) -> dict[str, float]:
    decibel = _mean(lambda a, b: min(psnr(a, b, data_range=1.0), MOST_DB), y, made)
    return {"psnr": decibel, "mse": mse(y, made), **_ssim(y, made)}


def _depth(y: Array, made: Array) -> dict[str, float]:
    """MSE in units of ten metres, RMSE in metres, delta1; NaN where no depth is known at all."""
    known = np.isfinite(y) & (y > 0)
    alike = _ssim(np.where(known, y, 0), np.where(known, made, 0))
    if not known.any():
        return {"mse": math.nan, "rmse": math.nan, "delta1": math.nan, **alike}
    y, made = y[known], made[known]
    error = mse(y, made)
    near = (made < NEAR * y) & (NEAR * made > y)
    return {"mse": error, "rmse": METRES * math.sqrt(error), "delta1": float(near.mean()), **alike}


def _segment(y: Array, made: Array) -> dict[str, float]:
    return {"dice": _mean(_dice, y, made), "iou": _mean(_iou, y, made)}


def _dice(y: Array, made: Array) -> float:
    """1 for nothing where nothing is."""
    each = int(y.sum()) + int(made.sum())
    return 2 * int((y & made).sum()) / each if each else 1.0


def _iou(y: Array, made: Array) -> float:
    """1 for nothing where nothing is."""
    either = int((y | made).sum())
    return int((y & made).sum()) / either if either else 1.0


def _ssim(y: Array, made: Array) -> dict[str, float]:
    if min(y.shape[1:3]) < WINDOW:
        return {}
    return {"ssim": _mean(lambda a, b: ssim(a, b, data_range=1.0), y, made)}


def _mean(figure: Callable[[Array, Array], float], y: Array, made: Array) -> float:
    return float(np.mean([figure(a, b) for a, b in zip(y, made, strict=True)]))


def amplified(contract: Contract, x: Array) -> Array:
    """What the network must improve on: its input (n, h, w, planes), brightened as it is, as full colours (n, H, W, 3).

    A colour is kept where it was measured; elsewhere it is the mean of its neighbours, weighted by a tent: for a Bayer
    mosaic bilinear interpolation. The colours are the camera's own, linear or by the root as the network tells them.
    """
    if contract.cfa == "none":
        raise ValueError(f"{contract.network} takes no mosaic")
    tent = TENTS[contract.cfa]
    light = squared(x) if contract.range == "root" else x
    mosaics = np.stack([unpacked(planes, contract) for planes in light.astype(np.float64)])
    _, height, width = mosaics.shape
    tile = cell(contract.cfa)
    colours = tile[np.ix_(np.arange(height) % len(tile), np.arange(width) % len(tile))]
    picture = np.empty((*mosaics.shape, 3), np.float32)
    for colour in range(3):
        measured = (colours == colour).astype(np.float64)
        around = _spread(mosaics * measured, tent) / _spread(measured[None], tent)
        picture[..., colour] = np.where(measured > 0, mosaics, around)
    return answer(np.clip(picture, 0, 1, out=picture), contract)


def _spread(values: Array, tent: tuple[float, ...]) -> Array:
    """Each pixel (n, h, w) spread over its neighbours with those weights; beyond the edge there is nothing."""
    reach = len(tent) // 2
    for axis in (1, 2):
        wide = np.pad(values, [(reach, reach) if other == axis else (0, 0) for other in range(3)])
        values = np.lib.stride_tricks.sliding_window_view(wide, len(tent), axis=axis) @ np.array(tent)
    return values
