"""The curve of sRGB (IEC 61966-2-1): between light and what a display is told, both 0 to 1."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["light", "shown"]

Array = np.ndarray[Any, Any]
LEAST = 1e-9  # of light, below which the curve is straight anyway: a power of less than nothing is no number


def shown(light: Array) -> Array:
    """What a display is told for this light."""
    curve = 1.055 * np.maximum(light, LEAST) ** (1 / 2.4) - 0.055
    return np.where(light <= 0.0031308, 12.92 * light, curve)


def light(shown: Array) -> Array:
    """The light a display makes of this."""
    return np.where(shown <= 0.04045, shown / 12.92, (np.maximum(shown + 0.055, 0) / 1.055) ** 2.4)
