"""Layers of ReLUs that say nothing whatever they see: no gradient wakes them, and what lies behind them is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras

__all__ = ["silent"]


def silent(model: Any, x: Any) -> list[str]:
    """The names of the ReLU layers all of whose channels are 0 all over these inputs."""
    layers = [layer for layer in model.layers if type(layer) is tf_keras.layers.ReLU]
    if not layers:
        return []
    made = tf_keras.Model(model.input, [[layer.output] for layer in layers])(x, training=False)
    return [layer.name for layer, (y,) in zip(layers, made, strict=True) if not np.any(np.asarray(y) > 0)]
