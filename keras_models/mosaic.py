"""Colour filter arrays as networks are fed with them: packed into planes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["MOSAICS", "Mosaic"]


@dataclass(frozen=True)
class Mosaic:
    """A colour filter array that is packed into planes: what a network with that many inputs is fed."""

    cfa: Literal["bayer", "x-trans"]
    pack: int
    planes: tuple[str, ...]


# The plane order of See in the Dark: clockwise for Bayer.
MOSAICS = {
    4: Mosaic("bayer", 2, ("R", "G1", "B", "G2")),
    9: Mosaic("x-trans", 3, ("R", "G", "B", "R2", "B2", "G1", "G2", "G3", "G4")),
}
