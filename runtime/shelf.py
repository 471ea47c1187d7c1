"""A picture on disk that is used as one in memory: where memory is promised, the network needs it more.

The file has no name, so that nothing of it stays, however the process ends. Its pages are the system's, which takes
them back when it wants them; in a folder that itself lies in memory nothing is won.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import FileError

__all__ = ["Shelf"]

Array = np.ndarray[Any, Any]
PIECE = bytes(2**20)
NOT_HERE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)  # what a file system that reserves nothing answers


class Shelf:
    """`pixels`, uint16 of that shape, for as long as somebody uses them."""

    def __init__(self, shape: tuple[int, ...], *, folder: str | Path) -> None:
        size = 2 * math.prod(shape)
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                _reserve(file, size)  # or a full disk would end the process where a pixel is written
                self._map = mmap.mmap(file.fileno(), size)
        except OSError as error:
            problem = f"has no room for a picture that memory has no room for ({error.strerror})"
            raise FileError(folder, problem, "choose a folder with room, or allow more with --max-memory") from None
        self.pixels: Array = np.frombuffer(self._map, np.uint16).reshape(shape)

    def put_away(self) -> None:
        """What was written until now is no more in this process' memory; it is read again where it is needed."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def _reserve(file: Any, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except OSError as error:
            if error.errno not in NOT_HERE:
                raise
    for begin in range(0, size, len(PIECE)):
        file.write(PIECE[: size - begin])
    file.flush()
