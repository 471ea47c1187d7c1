"""A RAW file as a `Raw`, decoded in a child process that may crash or hang alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from runtime import exif
from runtime.errors import SetupError, UnreadableFile
from runtime.raw import Raw
from runtime.sensor import AGAIN, DNG, check_header, refuse, to_raw
from runtime.unpack import LENGTH, LOADED

__all__ = ["Decoder", "read"]

# The child is a fresh interpreter that finds modules where this one does and imports nothing of the caller's.
CHILD = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from runtime.unpack import serve; serve()"
# One thread of BLAS needs no address space for others; in UTC a clock without a time zone comes back as it was set.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "TZ": "UTC"}
# No real file holds fewer than half a bit a pixel, and LibRaw keeps a pixel in 2 bytes: 32 bytes a byte.
LEAST_MEMORY, MEMORY_PER_BYTE, MOST_MEMORY = 256 << 20, 32, 4 << 30
LONGEST_TEXT = 1 << 20
# How a picture begins that was made of a RAW file.
PICTURES = {b"\x89PNG": "a PNG", b"\xff\xd8\xff": "a JPEG", b"GIF8": "a GIF", b"RIFF": "a WebP"}
CONVERT = "convert it with Adobe DNG Converter, or name a RAW file"
WORDS = {
    "LibRawIOError": ("is cut short or damaged", AGAIN),
    "LibRawDataError": ("is cut short or damaged", AGAIN),
    "LibRawFileUnsupportedError": ("is no RAW file that LibRaw knows", CONVERT),
    "LibRawNotImplementedError": ("is compressed in a way LibRaw does not know", CONVERT),
    "LibRawTooBigError": ("claims more pixels than LibRaw takes", AGAIN),
    "LibRawUnsufficientMemoryError": ("claims more pixels than a file of its size can hold", AGAIN),
    "MemoryError": ("claims more pixels than a file of its size can hold", AGAIN),
}


def read(path: str | Path, *, timeout: float = 60.0) -> Raw:
    """Decode one file."""
    with Decoder(keep=False, timeout=timeout) as decoder:
        return decoder.read(path)


class Decoder:
    """A child that decodes one file after another, and is replaced if it dies.

    With `keep=False` it ends after each file, so that its memory does not count while the network runs.
    One thread at a time may call `read`.
    """

    def __init__(self, *, keep: bool = True, timeout: float = 60.0) -> None:
        self.keep, self.timeout = keep, timeout
        self._child: subprocess.Popen[bytes] | None = None
        self._loaded = False

    def __enter__(self) -> Decoder:
        self._start()  # it loads rawpy while the caller prepares
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def read(self, path: str | Path) -> Raw:
        """Decode a file, or say in words why it cannot be."""
        size = _check(path)
        tiff = exif.header(path)
        check_header(path, tiff, size=size)
        facts, mosaic = self._ask(path, size)
        if "error" in facts:
            raise _in_words(path, facts)
        return to_raw(path, facts, mosaic, about=exif.about(tiff), dng=any(DNG in image for image in tiff.images))

    def wait(self) -> None:
        """Until the child has loaded what it decodes with: a file that is read then takes its own time alone."""
        child = self._start()
        # Why it died, or hung, the next file will say.
        with self._limited(child), contextlib.suppress(EOFError, OSError, ValueError):
            self._greeted(child)

    def close(self) -> None:
        """End the child, from whichever thread; it starts again if another file is read."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()  # it holds nothing that could be lost
        child.wait()
        for pipe in filter(None, (child.stdin, child.stdout)):
            with contextlib.suppress(OSError):
                pipe.close()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self.close()
        self._loaded = False
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-c", CHILD, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **ENVIRONMENT},
                start_new_session=True,  # Ctrl-C on the terminal is for the parent
            )
        except OSError as error:
            problem = f"the decoder cannot be started ({error.strerror})"
            raise SetupError(problem, "close other programs and try again") from None
        return self._child

    def _greeted(self, child: subprocess.Popen[bytes]) -> None:
        """Take the byte with which a child begins."""
        if not self._loaded:
            if _exactly(child.stdout, bytearray(1)) != LOADED:
                raise ValueError
            self._loaded = True

    @contextlib.contextmanager
    def _limited(self, child: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
        """End the child if this takes too long; the event says so."""
        late = threading.Event()

        def stop() -> None:
            late.set()
            child.kill()

        watch = threading.Timer(self.timeout, stop)
        watch.daemon = True
        watch.start()
        try:
            yield late
        finally:
            watch.cancel()

    def _ask(self, path: str | Path, size: int) -> tuple[Mapping[str, Any], np.ndarray[Any, Any] | None]:
        """What the child answers; if it does not, it is ended and the reason raised."""
        child = self._start()
        whole = False
        try:
            with self._limited(child) as late:
                _send(child, path, size, self.timeout)
                self._greeted(child)
                answer = _answer(child)
            whole = True
        except (EOFError, OSError, ValueError):
            child.kill()  # an answer that makes no sense ends it as well
            raise _death(path, child.wait(), late=late.is_set(), timeout=self.timeout) from None
        finally:
            if not (whole and self.keep):
                self.close()
        return answer


def _check(path: str | Path) -> int:
    """The size of a file that can be opened and is not empty."""
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableFile(path, "is a folder", "name a file in it")
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise UnreadableFile(path, "is no ordinary file", "name a RAW file")
        with Path(path).open("rb") as file:
            mark = file.read(4)
    except FileNotFoundError:
        raise UnreadableFile(path, "does not exist", "name a file that does") from None
    except (OSError, ValueError) as error:
        problem = f"cannot be opened ({getattr(error, 'strerror', None) or error})"
        raise UnreadableFile(path, problem, "name a file you may read") from None
    if not mark:
        raise UnreadableFile(path, "is empty", AGAIN)
    if mark == b"FOVb":
        raise refuse(path, "a Foveon RAW")
    return status.st_size


def _send(child: subprocess.Popen[bytes], path: str | Path, size: int, timeout: float) -> None:
    """One job."""
    job = {
        "path": os.fsencode(os.path.abspath(path)).hex(),  # noqa: PTH100  `..` behind a link is not for us to resolve
        "memory": min(LEAST_MEMORY + MEMORY_PER_BYTE * size, MOST_MEMORY),
        "seconds": int(timeout) + 10,  # should this process die and leave the child hanging
    }
    if child.stdin is None:
        raise EOFError
    child.stdin.write(json.dumps(job).encode() + b"\n")
    child.stdin.flush()


def _answer(child: subprocess.Popen[bytes]) -> tuple[Mapping[str, Any], np.ndarray[Any, Any] | None]:
    """What came of it."""
    length = LENGTH.unpack(_exactly(child.stdout, bytearray(LENGTH.size)))[0]
    if length > LONGEST_TEXT:
        raise ValueError
    facts = json.loads(_exactly(child.stdout, bytearray(length)))
    if facts.get("pattern") is None:
        return facts, None
    mosaic = np.empty((facts["height"], facts["width"]), np.uint16)
    _exactly(child.stdout, mosaic.data.cast("B"))
    return facts, mosaic


def _exactly(pipe: Any, buffer: Any) -> Any:
    """Fill a buffer from a pipe, or raise EOFError."""
    view = memoryview(buffer)
    while view:
        got = pipe.readinto(view)
        if not got:
            raise EOFError
        view = view[got:]
    return buffer


def _death(path: str | Path, code: int, *, late: bool, timeout: float) -> UnreadableFile:
    """Why there is no answer."""
    if late:
        problem = f"was not decoded within {timeout:g} s, and the decoder was stopped"
        return UnreadableFile(path, problem, "it is damaged, or the disk is slow: try it alone")
    if code == -signal.SIGKILL:
        return UnreadableFile(path, "took too much memory or time: its decoder was killed", "close other programs")
    with contextlib.suppress(ValueError):
        return UnreadableFile(path, f"crashed its decoder ({signal.Signals(-code).name})", f"it is damaged: {AGAIN}")
    return UnreadableFile(path, f"ended its decoder early (code {code})", f"it is damaged: {AGAIN}")


def _in_words(path: str | Path, facts: Mapping[str, Any]) -> UnreadableFile | SetupError:
    """LibRaw's own error."""
    if facts["error"] in ("ImportError", "ModuleNotFoundError"):
        return SetupError(f"rawpy cannot be loaded ({facts['words']})", "pip install --force-reinstall rawpy")
    problem, remedy = WORDS.get(facts["error"], (f"cannot be decoded ({facts['words'] or facts['error']})", AGAIN))
    if remedy is CONVERT and (kind := _picture(path)):
        problem, remedy = f"is {kind}, a picture developed already", "name the RAW file it was made of"
    return UnreadableFile(path, problem, remedy)


def _picture(path: str | Path) -> str | None:
    """What kind of finished picture a file is, if it is one."""
    with contextlib.suppress(OSError), Path(path).open("rb") as file:
        head = file.read(4)
        return next((kind for mark, kind in PICTURES.items() if head.startswith(mark)), None)
    return None
