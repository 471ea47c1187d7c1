"""Where a picture lies while it is made: in memory, on disk, or on its way into its file.

Each takes the parts of an answer as windows run, row by row, and has a part developed by `fill(made, out=...)`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from runtime import develop
from runtime.contract import Contract
from runtime.job import Job
from runtime.raw import Raw
from runtime.shelf import Shelf
from runtime.tiles import Plan

__all__ = ["Take", "band", "streaming", "whole"]

Array = np.ndarray[Any, Any]
Take = Callable[[Array, int, int], None]  # light (channels, rows, columns), and where on the sensor it begins
Fill = Callable[..., None]


def whole(job: Job, fill: Fill, *, contract: Contract, threads: int) -> Take:
    """The job's picture, upright: in memory, or in its folder."""
    shape, orientation, channels = job.raw.mosaic.shape, job.raw.about.orientation, contract.channels
    shelf = None if job.folder is None else Shelf((job.raw.mosaic.size, channels), folder=job.folder)
    pixels = None if shelf is None else shelf.pixels
    job.pixels, view = develop.rotated(shape, orientation, channels=channels, pixels=pixels)

    def take(made: Array, top: int, left: int) -> None:
        into = view[top : top + made.shape[1], left : left + made.shape[2]]
        if shelf is None or not made.size:
            fill(made, out=into)
            return
        if orientation >= 5:  # the sensor's columns are the picture's rows
            made, into = made.transpose(0, 2, 1), into.transpose(1, 0, 2)
        rows = max(develop.BLOCK * threads // made.shape[2], 1)
        for first in range(0, made.shape[1], rows):
            fill(made[:, first : first + rows], out=into[first : first + rows])
            shelf.put_away()

    return take


@contextmanager
def streaming(job: Job, fill: Fill, write: Callable[[Array], None], *, contract: Contract) -> Iterator[Take]:
    """A row of windows at a time, which is written while the network works on the next; time spent waiting is noted."""
    width = job.raw.mosaic.shape[1]
    most = max(int((row.keep_end - row.keep_begin) * contract.scale) for row in job.plan.rows)
    made_last = np.empty((min(most, job.raw.mosaic.shape[0]), width, contract.channels), np.uint16)
    behind: list[Future[None]] = []
    waited = 0.0

    def wait() -> None:
        nonlocal waited
        start = time.perf_counter()
        if behind:
            behind.pop().result()
        waited += time.perf_counter() - start

    with ThreadPoolExecutor(1) as writer:

        def take(made: Array, top: int, left: int) -> None:
            if not made.size:
                return
            wait()
            _, rows, columns = made.shape
            fill(made, out=made_last[:rows, left : left + columns])
            if left + columns == width:
                behind.append(writer.submit(write, made_last[:rows]))

        yield take
        job.seconds["develop"] -= waited
        wait()


def band(raw: Raw, contract: Contract, plan: Plan) -> int:
    """Bytes of the picture that `streaming` holds at most: of several rows of windows each leaves out a halo."""
    rows = plan.height - (contract.halo or 0) * (len(plan.rows) > 1)
    height, width = map(int, raw.mosaic.shape)
    return 2 * contract.channels * min(int(rows * contract.scale), height) * width
