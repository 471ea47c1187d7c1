"""Who is told how a training goes."""

from __future__ import annotations

from quant.fit import Step

__all__ = ["Watch"]


class Watch:
    """Nobody; one who wants to know overrides these."""

    def step(self, part: str, step: Step) -> None:
        """A step of a fit was done."""

    def fell_silent(self, part: str, number: int, layers: list[str]) -> None:
        """After that step nothing comes out of these layers any more."""

    def decoded(self, done: int, of: int) -> None:
        """So many scenes of a data set are decoded."""

    def looked(self, done: int, of: int) -> None:
        """So many samples were looked at, to find ranges."""

    def tried(self, done: int, of: int) -> None:
        """So many kernels were tried, each in every number of bits."""
