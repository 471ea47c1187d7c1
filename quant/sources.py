"""Every kind of training data behind one small interface: pairs by number, the same for the same numbers.

Held-out pairs are never learnt from: made ones of another seed and other files, real ones of another split. They are
neither turned nor cropped at random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from quant import rooms, shapes
from quant.data import Data, Nyu, Rooms, Shapes, Sid, Synthetic
from quant.depths import Depths
from quant.frames import CFA, Frames
from quant.nyu import METRES
from quant.synthetic import pairs, unusable
from runtime.contract import Contract
from runtime.errors import BadOption

__all__ = ["HELD_OUT", "Part", "Source", "meant", "require_suits", "source"]

Array = np.ndarray[Any, Any]
Part = Literal["train", "held"]
Pair = Callable[[int], tuple[Array, Array]]
Progress = Callable[[int, int], None]
HELD_OUT = 1 << 31  # added to the seed: those of recipes end below it, so no run learns from what another measures on


class Source(Protocol):
    """Data by number."""

    def batch(self, numbers: Iterable[int]) -> tuple[Array, Array]:
        """Inputs and targets."""
        ...

    @property
    def skipped(self) -> tuple[str, ...]:
        """Files that could not be used, in words; complete when the run ends."""
        ...


def source(
    data: Data,
    contract: Contract,
    *,
    seed: int,
    size: int,
    part: Part,
    cache: str | Path | None = None,
    progress: Progress = lambda done, of: None,
) -> Source:
    """The pairs a network of that contract learns from, or is measured on.

    `size` is that of its input. A set that is decoded once is kept in the folder that `data` names, else in `cache`,
    else beside the set; `progress` is told of every scene that is.
    """
    require_suits(data, contract)
    contract.require_size(size, size)
    contract = meant(data, contract)
    train, out = part == "train", int(size * contract.scale)
    seed = seed if train else seed + HELD_OUT
    match data:
        case Synthetic():
            made = pairs(data, contract, seed=seed, size=size, held=not train)
            return _Numbered(made.__getitem__, every=data.samples * train, skipped=partial(unusable, made))
        case Sid():
            frames = Frames(data, contract, seed=seed, size=size, held=not train, cache=cache, progress=progress)
            return _Numbered(frames.pair, skipped=frames.skipped)
        case Nyu():
            depths = Depths(data, seed=seed, size=size, out=out, held=not train)
            return _Numbered(depths.pair, skipped=depths.skipped)
        case Rooms():
            return _Numbered(partial(rooms.pair, seed, size=size, out=out), every=data.samples * train)
        case Shapes():
            return _Numbered(partial(shapes.pair, seed, size=size), every=data.samples * train)


def meant(data: Data, contract: Contract) -> Contract:
    """The contract with what comes out of the network as the data have it."""
    match data:
        case Synthetic(output="camera-root") if contract.task == "enhance":
            return replace(contract, range="root", output=data.output)
        case Synthetic() if contract.task == "enhance":
            return replace(contract, output=data.output)
        case Sid() if contract.task == "enhance":
            return replace(contract, output="srgb")
        case Nyu() | Rooms() if contract.task == "depth":
            return replace(contract, metres_per_unit=METRES)
        case _:
            return contract


def require_suits(data: Data, contract: Contract) -> None:
    """Refuse data that a network of that contract cannot learn from."""
    given = (contract.task, len(contract.planes), contract.channels)
    match data:
        case Synthetic():
            suits, wanted = contract.task == "enhance" and contract.cfa != "none", "that takes RAW frames"
        case Sid():
            suits, cfa = contract.task == "enhance" and contract.cfa == CFA[data.camera], CFA[data.camera]
            wanted = f"that takes {cfa} RAW frames, as {data.camera} has them"
        case Nyu() | Rooms():
            suits, wanted = given == ("depth", 3, 1), "that tells depth from colour pictures"
        case Shapes():
            suits, wanted = given == ("segment", 1, 1), "that segments grey pictures"
    if not suits:
        kind = type(data).__name__.lower()
        raise BadOption("the network", contract.network, f"with {kind} data one {wanted}, or other data")
    if isinstance(data, Synthetic) and data.ratio[1] > contract.ratio_max:
        allowed = f"up to {contract.ratio_max:g}, what {contract.network} is made for"
        raise BadOption("data.ratio", list(data.ratio), allowed)


class _Numbered:
    """Pairs by number, `every` so many the same again; 0 is never."""

    def __init__(self, pair: Pair, *, every: int = 0, skipped: Callable[[], tuple[str, ...]] = tuple) -> None:
        self._pair, self._every, self._skipped = pair, every, skipped

    def batch(self, numbers: Iterable[int]) -> tuple[Array, Array]:
        """Inputs and targets."""
        xs, ys = zip(*(self._pair(number % self._every if self._every else number) for number in numbers), strict=True)
        return np.stack(xs), np.stack(ys)

    @property
    def skipped(self) -> tuple[str, ...]:
        """Files that could not be used, in words."""
        return self._skipped()
