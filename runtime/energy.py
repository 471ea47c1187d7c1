"""How much energy a call takes, by the meters of the machine (rails.py), or why that cannot be said here.

What is counted is all that flows while the call runs: what the machine would take idle is in it, and so is whatever
else runs. Counters are read before and after. Rails that only say their watts now are read fifty times a second in a
thread; the trapezoids under their curve are the energy. A call too short for that is repeated.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from runtime.rails import Counted, Meters, Sampled

__all__ = ["RATE", "Energy", "measured", "trapezoids"]

RATE = 50  # samples a second: reading a rail over I2C takes half a millisecond a number
SECONDS = 1.0  # counters are renewed every millisecond or so, a card's ten times a second
SAMPLES = 20  # fewer say little about a power that goes up and down
LONGEST = 10.0  # seconds after which no more calls are begun, however few samples there are
NOWHERE = "not measurable here"


@dataclass(frozen=True)
class Energy:
    """Joules of one call, the mean of so many, and what is counted; or None, and why."""

    joules: float | None
    why: str
    calls: int = 0
    samples: int = 0


def measured(call: Callable[[], object], meters: Meters, *, seconds: float = SECONDS) -> Energy:
    """The energy of a call, which is repeated until it has lasted so long."""
    if not meters.found:
        return Energy(None, f"{NOWHERE}: {meters.why}")
    counted = [meter for meter in meters.found if isinstance(meter, Counted)]
    sampled = [meter for meter in meters.found if isinstance(meter, Sampled)]
    try:
        before = _levels(counted)
        with _Watch(sampled) as watch:
            begin, calls = time.perf_counter(), 0
            while not calls or watch.wants_more(time.perf_counter() - begin, seconds):
                call()
                calls += 1
            lasted = time.perf_counter() - begin
        after = _levels(counted)
        parts = [_since(a, b, meter.wraps) for a, b, meter in zip(before, after, counted, strict=True)]
        parts += [lasted * _mean(seen) for seen in watch.seen]
    except _SensorFailed as error:
        return Energy(None, f"{NOWHERE}: a sensor failed ({error})")
    total = sum(parts)
    if not (0 < total < math.inf and min(parts) >= 0):  # a rail may rest while another works, and none gives back
        names = [meter.counts for meter in counted] + [meter.counts for meter in sampled]
        told = ", ".join(f"{name} told {part:.3g} J" for name, part in zip(names, parts, strict=True))
        return Energy(None, f"{NOWHERE}: {told} while it ran")
    samples = min(map(len, watch.seen), default=0)
    return Energy(total / calls, _words(meters, samples), calls, samples)


def trapezoids(samples: Sequence[tuple[float, float]]) -> float:
    """The area under a curve of (seconds, watts), in joules."""
    return sum((b - a) * (low + high) / 2 for (a, low), (b, high) in pairwise(samples))


class _SensorFailed(Exception):
    """A chip that does not answer, or answers with no number."""


class _Watch:
    """A thread that reads every rail again and again, from before the first call to after the last."""

    def __init__(self, rails: Sequence[Sampled]) -> None:
        self.rails, self.failed = rails, ""
        self.seen: list[list[tuple[float, float]]] = [[] for _ in rails]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> _Watch:
        if self.rails:
            self._look()
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        if self.rails:
            self._thread.join()
            self._look()
        if self.failed and kind is None:
            raise _SensorFailed(self.failed)

    def wants_more(self, lasted: float, seconds: float) -> bool:
        """Whether another call is needed for enough time and enough samples."""
        few = any(len(one) < SAMPLES for one in self.seen) and lasted < LONGEST
        return not self.failed and (lasted < seconds or few)

    def _go_on(self) -> None:
        while not self.failed and not self._over.wait(1 / RATE):
            self._look()

    def _look(self) -> None:
        try:
            for rail, seen in zip(self.rails, self.seen, strict=True):
                watts = rail.watts()
                seen.append((time.perf_counter(), watts))
        except (OSError, ValueError) as error:
            self.failed = _reason(error)


def _mean(samples: Sequence[tuple[float, float]]) -> float:
    """The mean power between the first sample and the last."""
    return trapezoids(samples) / (samples[-1][0] - samples[0][0])


def _levels(counted: Sequence[Counted]) -> list[float]:
    try:
        return [meter.joules() for meter in counted]
    except (OSError, ValueError) as error:
        raise _SensorFailed(_reason(error)) from None


def _reason(error: OSError | ValueError) -> str:
    return str(getattr(error, "strerror", None) or error)


def _since(before: float, after: float, wraps: float) -> float:
    """What a counter has gone on by, which may have begun anew once."""
    return after - before if after >= before else after - before + wraps


def _words(meters: Meters, samples: int) -> str:
    rate = f", {samples} samples, {RATE} a second at most" if samples else ""
    names = " + ".join(meter.counts for meter in meters.found)
    return f"{names}{rate}; what the machine takes idle is in it{'; ' if meters.note else ''}{meters.note}"
