"""Which plan a frame is run by: the one of least work that memory has room for, and the memory it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from runtime.contract import Contract
from runtime.errors import TooLittleMemory
from runtime.memory import available
from runtime.pack import Frame
from runtime.tiles import Plan, best

__all__ = ["Afforded", "Need", "afford"]

SHELVING = 0.2  # of what a frame takes to compute: to make its picture on disk
SHARE = 0.7  # of the memory that is free, where nothing was promised


@dataclass(frozen=True)
class Need:
    """What a frame takes in memory, in bytes: whatever the plan, for a pixel of a window, and of its picture."""

    fixed: float
    per_pixel: float
    kept: Callable[[Plan], float]  # of the answer, while windows run
    picture: float  # whole
    encoded: float  # beside it, while it is saved

    def peak(self, plan: Plan, *, shelved: bool) -> float:
        """With this plan; a picture that is shelved lies on disk until it is saved."""
        running = self.per_pixel * plan.height * plan.width
        if shelved:
            return self.fixed + max(running, self.picture + self.encoded)
        return self.fixed + self.kept(plan) + max(running, self.encoded)


@dataclass(frozen=True)
class Afforded:
    """A plan, whether its picture is shelved, and the bytes it takes at most."""

    plan: Plan
    shelved: bool
    peak: int


def afford(
    frame: Frame,
    contract: Contract,
    need: Need,
    *,
    promised: int | None,
    base: int,
    fresh: float = 0.0,
    may_shelve: bool = False,
) -> Afforded:
    """The plan of least work, its picture shelved if that is what makes room.

    Room is what was `promised`, or most of what is free beside the `base` that is taken already; `fresh` is as
    `tiles.best` has it. A promise that no plan keeps is an error.
    """
    most = promised or (available() * SHARE + base if available() else float("inf"))
    found = []
    for shelved in (False, True) if may_shelve else (False,):
        peak = partial(need.peak, shelved=shelved)
        plan = best(frame.height, frame.width, contract, cost=peak, most=most, fresh=fresh)
        work = plan.pixels + fresh * plan.height * plan.width + SHELVING * shelved * frame.height * frame.width
        found.append((work, Afforded(plan, shelved, int(peak(plan)))))
    fits = [one for one in found if one[1].peak <= most]
    took = min(fits, key=lambda one: one[0])[1] if fits else min((one for _, one in found), key=lambda one: one.peak)
    if promised and took.peak > promised:
        raise TooLittleMemory(promised, took.peak)
    return took
