"""A file is written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from runtime.errors import FileError
from runtime.lock import taken

__all__ = ["left_behind", "neighbour", "writing"]

LONGEST = 100  # bytes of the name that are kept: disks take 255
PART = re.compile(r"\..*\.[0-9a-f]{8}\.part", re.DOTALL)  # what `neighbour` makes, and no one else's


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of `path`; when the block ends well, sync it and give it its name."""
    path = Path(path)
    part = neighbour(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            taken(file.fileno())  # so that nobody takes it for what a killed process left
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise FileError(path, problem, "choose a folder with room and the right to write") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def neighbour(path: Path, end: str = ".part") -> Path:
    """A hidden name beside `path`, for what will be called so: like no other, and short enough for any disk."""
    start = path.name.encode(errors="ignore")[:LONGEST].decode(errors="ignore")
    return path.with_name(f".{start}.{secrets.token_hex(4)}{end}")


def left_behind(folder: Path) -> Iterator[Path]:
    """The temporary files of a folder that no process is writing any more."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 (names are all that is wanted)
    except OSError:
        return
    for part in (folder / name for name in names if PART.fullmatch(name)):
        with contextlib.suppress(OSError):
            with part.open("r+b") as file:
                alone = taken(file.fileno())
            if alone:
                yield part
