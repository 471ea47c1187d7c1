"""A file is written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from runtime.errors import FileError
from runtime.lock import taken

__all__ = ["left_behind", "writing"]

PARTS = ".*.part"


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of `path`; when the block ends well, sync it and give it its name."""
    path = Path(path)
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
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


def left_behind(folder: Path) -> Iterator[Path]:
    """The temporary files in a folder, and below it, that no process is writing any more."""
    for part in folder.rglob(PARTS):
        with contextlib.suppress(OSError):
            with part.open("r+b") as file:
                alone = taken(file.fileno())
            if alone:
                yield part
