"""The model that is none: the frame amplified by its ratio, in full colour. What every network must improve on.

It is a backend like any other, so that it runs in the same windows, with the same ratio, and is judged the same way.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import numpy as np

from runtime import develop
from runtime.contract import Contract
from runtime.pack import GRIDS
from runtime.root import squared
from runtime.session import Ran, Session

__all__ = ["AMPLIFIED", "Amplifier", "amplifier"]

Array = np.ndarray[Any, Any]

AMPLIFIED = "amplified"
VERSION = 1  # of the numbers: figures of another one are not the same
PACK = {"bayer": 2, "x-trans": 3}
MOST = 65535.0  # times: from one level of 16 bits to white
CELL = 2  # packed pixels: X-Trans is itself again after two; one around a strip makes it exact


class Amplifier:
    """A backend that amplifies; the ratio is in its input already."""

    def __init__(self, cfa: Literal["bayer", "x-trans"]) -> None:
        pack = PACK[cfa]
        self.contract = Contract(
            network=AMPLIFIED,
            task="enhance",
            cfa=cfa,
            planes=tuple(GRIDS[cfa]),
            pack=pack,
            layout="NCHW",
            range="root",  # what noise brings below black stays below, or the shadows' mean would be too bright
            ratio_max=MOST,
            output="camera-linear",
            channels=3,
            scale=Fraction(pack),
            multiple=CELL,
            halo=CELL,
            activation_bytes_per_pixel=4 * 3 * pack**2 * 3,  # the colours, one of them as it grows, and the answer
            trained_on="nothing: it is no network",
        )
        self._look = develop.Look(
            output="camera-linear",
            gains=(1.0, 1.0, 1.0),
            cam2rgb=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
            cfa=cfa,
            planes=self.contract.planes,
            pack=pack,
        )

    def run(self, batch: Array, *, out: Array | None = None) -> dict[str, Array]:
        """The camera's colours of each frame of a batch (n, planes, height, width)."""
        self.contract.require_size(*batch.shape[2:])
        made = np.stack([develop.amplified(squared(planes), self._look) for planes in batch])
        if out is not None:
            np.copyto(out, made)
            made = out
        return dict.fromkeys(self.contract.exits, made)

    def release(self) -> None:
        """It keeps nothing."""


def amplifier(cfa: Literal["bayer", "x-trans"] = "bayer") -> Session:
    """A session of it for mosaics of that kind."""
    return Session(Amplifier(cfa), ran=Ran("NumPy", "cpu", "it is no network"), digest=f"{AMPLIFIED}-{VERSION}")
