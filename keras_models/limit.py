"""A bound on how large a network may be, kept before the memory for it is asked for."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from runtime.errors import BadOption

__all__ = ["MOST", "limited"]

MOST = 1 << 27  # numbers: half a gibibyte of float32, seventeen times the largest published


@contextlib.contextmanager
def limited(name: str) -> Iterator[None]:
    """Raise an `Error` as soon as the variables that are made within would be more than MOST numbers in all."""
    made = 0

    def counted(make: Any, **how: Any) -> Any:
        nonlocal made
        shape = how.get("shape")
        made += math.prod(tf.TensorShape(shape).as_list()) if shape is not None else 0
        if made > MOST:
            raise BadOption(
                f"the size of {name}", f"{made:,} numbers or more", f"at most {MOST:,}: less width, fewer levels"
            )
        return make(**how)

    with tf.variable_creator_scope(counted):
        yield
