"""The plain form as files are written from it and as it runs in whole numbers; made once for each network."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from keras_models.hoist import hoisted
from keras_models.lowered import Lowered
from keras_models.shuffle import shuffled

__all__ = ["ready"]

# A writer, its proof and the next writer all ask: rewriting a deep network takes Keras seconds each time.
_MADE: WeakKeyDictionary[Lowered, Lowered] = WeakKeyDictionary()


def ready(lowered: Lowered) -> Lowered:
    """The same function without transposed convolutions, every Quantize as far up as it goes."""
    if lowered not in _MADE:
        _MADE[lowered] = hoisted(shuffled(lowered))
    return _MADE[lowered]
