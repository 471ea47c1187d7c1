"""What an output folder knows of itself: who writes there now, and which pictures are done, from what, with what.

A picture is done if its input's digest, its model's and the options' are in the ledger, and the file is as it was
left. A line is added after the picture has its name; what a killed run leaves behind is cleared by the next one.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from runtime.atomic import left_behind
from runtime.errors import Busy, FileError
from runtime.lock import taken

__all__ = ["Ledger"]

NAME, LOCK = ".qk-run.jsonl", ".qk-run.lock"


class Ledger:
    """An output folder held for one run; those `holding` its pictures too are cleared of what a killed run left."""

    def __init__(self, folder: str | Path, *, holding: Iterable[Path] = ()) -> None:
        self.folder = Path(folder)
        self._holding = {self.folder, *holding}
        self._done: dict[str, dict[str, Any]] = {}
        self._lock = -1

    def __enter__(self) -> Ledger:
        """Take the folder, or raise `Busy`."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            remedy = "choose a folder with room and the right to write"
            raise FileError(self.folder, f"cannot be written to ({error.strerror})", remedy) from None
        if not taken(self._lock):
            os.close(self._lock)
            raise Busy(self.folder, "is being written to by another run", "wait for it, or choose another folder")
        for left in (part for folder in self._holding for part in left_behind(folder)):
            with contextlib.suppress(OSError):
                left.unlink()
        self._done = _lines(self.folder / NAME)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        """Let the folder go; the lock would go with the process anyway."""
        os.close(self._lock)

    def done(self, key: str, output: Path) -> bool:
        """Whether that picture was made from that, and is as it was left."""
        record = self._done.get(self._name(output))
        return record is not None and record.get("key") == key and record.get("file") == _state(output)

    def note(self, key: str, output: Path) -> None:
        """Write down that a picture is done."""
        name = self._name(output)
        record = self._done[name] = {"output": name, "key": key, "file": _state(output)}
        try:
            with (self.folder / NAME).open("a", encoding="utf-8") as file:
                file.write(f"\n{json.dumps(record)}\n")  # a torn line before it stays a line of its own
        except OSError as error:
            remedy = "make room; the picture itself is whole"
            raise FileError(self.folder / NAME, f"cannot be written ({error.strerror})", remedy) from None

    def _name(self, output: Path) -> str:
        return os.path.relpath(output, self.folder)


def _state(path: Path) -> list[int] | None:
    """Size and time of a file, None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _lines(path: Path) -> dict[str, dict[str, Any]]:
    """The last record of each output; what is not one is passed over."""
    found = {}
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    for line in text.splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            record = json.loads(line)
            found[str(record["output"])] = dict(record)
    return found
