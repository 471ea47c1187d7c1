"""A file or folder for one process at a time; the lock goes with the process, however that ends."""

from __future__ import annotations

import errno

__all__ = ["taken"]

HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)  # what systems answer while another has it


def taken(file: int) -> bool:
    """Whether the lock on this open file could be had; where there are no such locks, everyone has it."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in HELD
    return True
