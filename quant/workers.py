"""Several workers that train as one: each learns from its share of a batch, and all take the one step of the whole.

TensorFlow's MultiWorkerMirroredStrategy joins the processes that TF_CONFIG names, whichever scheduler set it. Of the
strategy only the collective is used. Every worker holds a plain network and a plain optimizer, and what a step finds is
averaged over all before any of it is applied: all hold the same bits after every step, nothing has to be made inside
a scope, and a checkpoint is the same file whether one worker wrote it or the first of many.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from runtime.errors import BadOption, Error

__all__ = ["ALONE", "VARIABLE", "Team", "join", "place"]

VARIABLE = "TF_CONFIG"
SEEN = "CUDA_VISIBLE_DEVICES"
ALLOWED = 'workers and one of them: {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Team:
    """The workers of a run, as one of them sees them."""

    number: int = 0
    size: int = 1
    strategy: Any = None

    @property
    def leads(self) -> bool:
        """Whether this is the one that reads and writes files."""
        return self.number == 0

    def share(self, numbers: Sequence[int]) -> list[int]:
        """Those of a batch's numbers that are this worker's; the batch must divide."""
        if len(numbers) % self.size:
            raise BadOption("batch", len(numbers), f"a multiple of {self.size}, the number of workers")
        each = len(numbers) // self.size
        return list(numbers[self.number * each : (self.number + 1) * each])

    def mean(self, tensors: Sequence[Any]) -> list[Any]:
        """Each tensor averaged over all workers, the same bits for all of them, in one collective.

        A mean over a batch is the mean of the means over its equal shares, up to the order of summation. What is no
        mean over images is not the same: a network with BatchNorm normalizes each share by its own statistics, and a
        loss over the known pixels alone weighs every share alike.
        """
        if self.size == 1:
            return list(tensors)
        import tensorflow as tf

        return _apart(self._sum(_in_line(tensors, tf.float32)) / self.size, tensors)

    def as_the_first_has_it(self, tensors: Sequence[Any]) -> list[Any]:
        """The first worker's tensors, to the bit, for all; float64 holds every float32, and integers below 2^53."""
        if self.size == 1:
            return list(tensors)
        import tensorflow as tf

        mine = _in_line(tensors, tf.float64)
        # x + -0.0 is x for every x; x + 0.0 is not, for -0.0.
        given = mine if self.leads else tf.fill(tf.shape(mine), tf.constant(-0.0, tf.float64))
        return _apart(tf.function(self._sum)(given), tensors)

    def meet(self) -> None:
        """Go on when all are here."""
        if self.size > 1:
            import tensorflow as tf

            self.as_the_first_has_it([tf.constant(self.number)])

    @contextmanager
    def minding(self) -> Iterator[None]:
        """What TensorFlow reports when another worker is gone, in words."""
        import tensorflow as tf

        try:
            yield
        except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError):
            if self.size == 1:
                raise
            raise Error(
                f"worker {self.number} of {self.size} lost another one",
                "see what ended it, and start all again: they go on from the last checkpoint",
            ) from None

    def _sum(self, vector: Any) -> Any:
        import tensorflow as tf

        def add(mine: Any) -> Any:
            # The copy is made on this worker's device: the collective asks where its sum is to be.
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(mine))

        return self.strategy.run(add, args=(vector,))


ALONE = Team()


def place() -> tuple[int, int]:
    """Which worker this process is, and of how many, by TF_CONFIG: (0, 1) where it is not set."""
    hosts, number = _cluster()
    return number, max(len(hosts), 1)


def join() -> Team:
    """Meet the others that TF_CONFIG names. TensorFlow asks that nothing was computed before.

    A worker takes one GPU: the one of its number among those of its host.
    """
    hosts, number = _cluster()
    if len(hosts) < 2:
        return ALONE
    import tensorflow as tf

    _take_a_gpu(hosts, number)
    return Team(number, len(hosts), tf.distribute.MultiWorkerMirroredStrategy())


def _cluster() -> tuple[list[str], int]:
    """The workers' addresses in their order, and which is this one's; one that is called chief is the first."""
    text = os.environ.get(VARIABLE) or "{}"
    try:
        found = json.loads(text)
        cluster = found.get("cluster", {})
        members = {(kind, n): host for kind in ("chief", "worker") for n, host in enumerate(cluster.get(kind, []))}
        if len(members) < 2:
            return [*members.values()], 0
        task = (found["task"]["type"], int(found["task"]["index"]))
        return [*members.values()], [*members].index(task)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadOption(VARIABLE, text, ALLOWED) from None


def _take_a_gpu(addresses: Sequence[str], number: int) -> None:
    """Leave only this worker's own in sight; each would take the memory of all of them."""
    import tensorflow as tf

    gpus = tf.config.get_visible_devices("GPU")
    if not gpus or (len(gpus) == 1 and SEEN in os.environ):
        return  # the one that a scheduler gave this process
    hosts = [address.rpartition(":")[0] for address in addresses]
    here = [n for n, host in enumerate(hosts) if host == hosts[number]]
    if len(here) > len(gpus):
        least = f"at most {len(gpus)} on {hosts[number]}, a GPU each, or {SEEN}='' to train without"
        raise BadOption("--workers", len(here), least)
    tf.config.set_visible_devices([gpus[here.index(number)]], "GPU")


def _in_line(tensors: Sequence[Any], dtype: Any) -> Any:
    import tensorflow as tf

    return tf.concat([tf.reshape(tf.cast(tensor, dtype), [-1]) for tensor in tensors], axis=0)


def _apart(line: Any, like: Sequence[Any]) -> list[Any]:
    import tensorflow as tf

    parts = tf.split(line, [tensor.shape.num_elements() for tensor in like])
    return [tf.cast(tf.reshape(part, tensor.shape), tensor.dtype) for part, tensor in zip(parts, like, strict=True)]
