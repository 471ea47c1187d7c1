"""Work done in a process of its own, so that the memory it needs is its own: how long it took, and its peak."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from runtime.errors import Error, SetupError

__all__ = ["Spent", "watched"]

STEP = 0.02  # seconds between two looks: the kernel keeps the highest mark, only what grows after the last is missed


@dataclass(frozen=True)
class Spent:
    """What a piece of work cost."""

    seconds: float  # of the work itself: without the start of Python and its imports, if the work says so
    peak: int | None  # bytes that the whole process held at most; None where the system does not tell


def watched(work: Callable[..., float], *arguments: Any) -> Spent:
    """Call `work`, which returns its seconds, in a fresh process; an `Error` of it is raised here."""
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe(duplex=False)
    process = context.Process(target=_called, args=(its, work, arguments))
    process.start()
    its.close()
    peak = 0
    while process.is_alive():
        peak = max(peak, _peak(process.pid))
        mine.poll(STEP)
        process.join(STEP)
    answer = _answer(mine)
    process.close()
    if isinstance(answer, Error):
        raise answer
    if not isinstance(answer, float):
        raise SetupError("a process ended before its work was done", "see above why; it may be too little memory")
    return Spent(answer, peak or None)


def _called(its: Connection, work: Callable[..., float], arguments: tuple[Any, ...]) -> None:
    try:
        its.send(work(*arguments))
    except Error as error:
        its.send(error)


def _answer(mine: Connection) -> object:
    try:
        return mine.recv()
    except EOFError:
        return None


def _peak(pid: int | None) -> int:
    """The most bytes that a living process has held so far."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return 0
