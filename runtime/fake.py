"""A backend that computes nothing: for tests, and for trying out what is built around a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from runtime.contract import Contract
from runtime.ort import Ran

__all__ = ["Fake"]

Array = np.ndarray[Any, Any]


class Fake:
    """Every exit of a contract, from a function of the batch: by default the mean of its planes, enlarged."""

    def __init__(self, contract: Contract, function: Callable[[Array], Array] | None = None) -> None:
        self.contract = replace(contract, layout="NCHW")
        self.function = function or self._mean
        self.ran = Ran("fake", "none")
        self.batches: list[tuple[int, ...]] = []

    def run(self, batch: Array, *, out: Array | None = None) -> dict[str, Array]:
        """Each exit's output, all the same."""
        self.contract.require_size(*batch.shape[2:])
        self.batches.append(batch.shape)
        return dict.fromkeys(self.contract.exits, self.function(batch))

    def release(self) -> None:
        """It has no memory of its own."""

    def _mean(self, batch: Array) -> Array:
        up, down = self.contract.scale.numerator, self.contract.scale.denominator
        mean = batch.mean(axis=1, keepdims=True)[:, :, ::down, ::down]
        return np.asarray(mean.repeat(up, axis=2).repeat(up, axis=3).repeat(self.contract.channels, axis=1))
