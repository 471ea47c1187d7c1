"""Work done in a process of its own, so that the memory it needs is its own: how long it took, and its peak."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from runtime.errors import Error, SetupError
from runtime.memory import peak

__all__ = ["Spent", "watched"]


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
    with mine:
        answer = _answer(mine)
    process.join()
    process.close()
    if isinstance(answer, Error):
        raise answer
    if not isinstance(answer, Spent):
        raise SetupError("a process ended before its work was done", "see above why; it may be too little memory")
    return answer


def _called(its: Connection, work: Callable[..., float], arguments: tuple[Any, ...]) -> None:
    try:
        its.send(Spent(work(*arguments), peak() or None))
    except Error as error:
        its.send(error)


def _answer(mine: Connection) -> object:
    try:
        return mine.recv()
    except EOFError:
        return None
