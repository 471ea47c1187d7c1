"""Standard error without what LiteRT says of itself: it has no switch for that, in Python or in the environment."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO

__all__ = ["hushed"]

INFO = b"INFO:"
_ONE_AT_A_TIME = threading.Lock()  # descriptors belong to the whole process


@contextmanager
def hushed() -> Iterator[None]:
    """Drop the lines beginning with INFO that reach standard error meanwhile; all others are repeated at the end."""
    with _ONE_AT_A_TIME, ExitStack() as undo:
        with suppress(OSError):  # it is closed, or no file can be made: then nothing is dropped
            _divert(undo)
        yield


def _divert(undo: ExitStack) -> None:
    """C++ writes to descriptor 2, whatever Python's sys.stderr is: it leads to a file until `undo`."""
    saved = os.dup(2)
    undo.callback(os.close, saved)
    caught = undo.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (that is what `undo` is)
    undo.callback(_repeat, caught)
    undo.callback(os.dup2, saved, 2)  # the last one in is the first one out
    os.dup2(caught.fileno(), 2)


def _repeat(caught: IO[bytes]) -> None:
    caught.seek(0)
    with suppress(OSError):  # whoever read it has left
        for line in caught:
            if not line.startswith(INFO):
                os.write(2, line)
