"""How long things take, side by side: one call of each in turn, so that what slows the machine slows all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Times", "interleaved"]

PAUSE = 0.003  # seconds: threads of the one before may still turn, waiting for work


@dataclass(frozen=True)
class Times:
    """Seconds of single calls, from the shortest."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Half of the calls took longer."""
        return self.share(0.5)

    @property
    def p95(self) -> float:
        """One of twenty took longer."""
        return self.share(0.95)

    def share(self, share: float) -> float:
        """So large a share of the calls took no longer, in straight lines between the calls."""
        at = share * (len(self.seconds) - 1)
        low = int(at)
        high = min(low + 1, len(self.seconds) - 1)
        return self.seconds[low] + (at - low) * (self.seconds[high] - self.seconds[low])


def interleaved(
    calls: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 20,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], object] = time.sleep,
) -> dict[str, Times]:
    """Each call's times; before each one that counts it runs once for the caches, which are then its own.

    Every round begins with another one, so that none is always behind the same.
    """
    if rounds < 1:
        raise ValueError(f"{rounds} rounds")
    names = list(calls)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            sleep(PAUSE)
            calls[name]()
            begin = clock()
            calls[name]()
            seconds[name].append(clock() - begin)
    return {name: Times(tuple(sorted(found))) for name, found in seconds.items()}
