"""What a float network's values reach on samples: every tensor that will be rounded is shown to an observer.

Layers run one after the other, and a tensor is let go once its last reader has run: memory is that of one batch and
two of its tensors or three, however many samples there are and however many tensors are watched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_models.geometry import sight
from keras_models.graph import Step, steps
from keras_models.lowered import Lowered
from quant.apart import apart
from quant.observe import METHODS, Observer
from quant.rounding import is_gate, rounded
from runtime.errors import BadNumbers, BadOption, UnknownName

__all__ = ["Ranges", "Samples", "calibrated", "check_room", "of_layers", "values"]

Array = np.ndarray[Any, Any]
Samples = Callable[[], Iterable[Array]]


@dataclass(frozen=True)
class Ranges:
    """Where the values of each layer lie, by its name; which never moved; and how many samples were seen."""

    ends: Mapping[str, tuple[float, float]]
    still: tuple[str, ...] = ()
    count: int = 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to look at, one sentence each."""
        return tuple(
            f"{name!r} gave {self.ends[name][0]:g} everywhere, on all {self.count} samples: its grid is a guess"
            for name in self.still
        )


def calibrated(
    lowered: Lowered,
    samples: Samples,
    *,
    method: str | Callable[[int], Observer] = "mse",
    bits: int = 8,
    bits_of: Mapping[str, int] | None = None,
    room: Mapping[str, float] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Ranges:
    """Run the float network over all batches that `samples()` gives, once, and see where values lie.

    `method` is one of `METHODS`, or makes an observer from bits; `bits_of` has the layers that differ from `bits`.
    Both ends of a range may lie further out than it says, `room` times, by layer: what few samples show counts for
    little in a mean. `progress` is told the number of batches done.
    """
    lowered = apart(lowered)
    make, own = observers(method), bits_of or {}
    watched = _watched(lowered)
    check_room(lowered, room or {})
    seen = {name: make(own.get(name, bits)) for name in watched.values()}
    ends: dict[str, tuple[float, float]] = {}
    count = 0
    for done, batch in enumerate(checked(lowered, samples), start=1):
        for step, array in values(lowered, batch, wanted=watched.keys()):
            ends[step.name] = _widened(ends.get(step.name), step, array)
            seen[step.name].see(array)
        count += len(batch)
        if progress is not None:
            progress(done)
    still = tuple(name for name, (low, high) in ends.items() if low == high)
    found = {name: _range(ends[name], one) for name, one in seen.items()}
    for name, times in (room or {}).items():
        found[name] = (found[name][0] * times, found[name][1] * times)
    return Ranges(found, still, count)


def of_layers(lowered: Lowered, ranges: Ranges) -> dict[str, tuple[float, float]]:
    """The range on which what each layer makes is rounded: of a concatenation's parts, that of the whole."""
    lowered = apart(lowered)
    homes = rounded(lowered)
    made = {step.name: homes[step.makes] for step in steps(lowered.model) if step.makes in homes}
    return {name: ranges.ends[home] for name, home in made.items() if home in ranges.ends}


def check_room(lowered: Lowered, room: Mapping[str, float]) -> None:
    """Raise `UnknownName` for a layer whose range is not sought."""
    for name in room:
        if name not in (known := list(_watched(apart(lowered)).values())):
            raise UnknownName("layer whose range is sought", name, known)


def _watched(lowered: Lowered) -> dict[int, str]:
    """The tensors whose ranges are sought, with their layers: a gate's is known."""
    homes = rounded(lowered)
    return {s.makes: s.name for s in steps(lowered.model) if homes.get(s.makes) == s.name and not is_gate(s.layer)}


def observers(method: str | Callable[[int], Observer]) -> Callable[[int], Observer]:
    """What makes an observer for so many bits."""
    if not isinstance(method, str):
        return method
    if method not in METHODS:
        raise UnknownName("way to find ranges", method, METHODS)
    return METHODS[method]


def checked(lowered: Lowered, samples: Samples) -> Iterator[Array]:
    """The batches, each as the network can take it; at least one."""
    shape, multiple = lowered.model.input_shape, sight(lowered.model).multiple
    sides = f"sides that are multiples of {multiple}"
    allowed = f"batches (count, height, width, {shape[-1]}) with {sides}"
    some = False
    for given in samples():
        batch = np.asarray(given, np.float32)
        fits = batch.ndim == 4 and all(want in (None, have) for want, have in zip(shape, batch.shape, strict=True))
        if not fits or 0 in batch.shape or batch.shape[1] % multiple or batch.shape[2] % multiple:
            raise BadOption("samples", batch.shape, allowed)
        if not np.isfinite(batch).all():
            raise BadOption(f"samples for {lowered.model.input_names[0]!r}", "NaN or infinity", "finite numbers")
        some = True
        yield batch
    if not some:
        raise BadOption("samples", "none", allowed)


def values(lowered: Lowered, batch: Array, *, wanted: Iterable[int]) -> Iterator[tuple[Step, Array]]:
    """Those tensors of a network on a batch, in the order they are made, each kept no longer than it is read."""
    walk, wanted = steps(lowered.model), set(wanted)
    left = Counter([tensor for step in walk for tensor in step.reads])
    last = max((i for i, step in enumerate(walk) if step.makes in wanted), default=-1)
    kept: dict[int, Any] = {}
    for step in walk[: last + 1]:
        reads = [kept[tensor] for tensor in step.reads]
        kept[step.makes] = step.layer(reads if len(reads) > 1 else reads[0]) if reads else tf.constant(batch)
        if step.makes in wanted:
            yield step, kept[step.makes].numpy()
        left.subtract(step.reads)
        for tensor in {*step.reads, step.makes}:
            if not left[tensor]:
                kept.pop(tensor)


def _widened(ends: tuple[float, float] | None, step: Step, array: Array) -> tuple[float, float]:
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        raise BadNumbers(f"what {step.name!r} makes of the samples")
    return (low, high) if ends is None else (min(ends[0], low), max(ends[1], high))


def _range(ends: tuple[float, float], observer: Observer) -> tuple[float, float]:
    """What the observer says; of a tensor that never moves, the one value it has."""
    return ends if ends[0] == ends[1] else observer.range()
