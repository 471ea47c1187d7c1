"""A well exposed RAW file as LibRaw develops it: what a dark frame of the same scene is compared with.

As See in the Dark does it (Chen et al., 2018): the camera's white balance, no automatic brightening, full size, 16
bits. The pixels lie as the sensor does and are not turned upright. This runs in a child that may crash or hang alone,
with one thread, since with more X-Trans differs from run to run; its picture goes into a file, not through memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from runtime.errors import FileError, SetupError, UnreadableFile
from runtime.unpack import unpack

__all__ = ["developed", "serve"]

CHILD = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from runtime.libraw import serve; serve(sys.argv[2])"
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
MOST_MEMORY = 6 << 30  # 24 megapixels of X-Trans take 1
AGAIN = "copy it from the card again, or leave the pair out"
LONGEST = 4096  # of the first line
FULL = 28  # the child's exit code if what it wrote to is


def developed(path: str | Path, file: IO[bytes], *, timeout: float = 300.0) -> tuple[int, int, int]:
    """Develop into an open file: the height and width of the picture, and where its pixels begin there.

    They are uint16, little-endian, (height, width, 3).
    """
    command = [sys.executable, "-c", CHILD, json.dumps(sys.path), os.fsencode(Path(path).absolute()).hex()]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ENVIRONMENT},
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnreadableFile(path, f"was not developed within {timeout:g} s", AGAIN) from None
    except OSError as error:
        raise SetupError(f"no child can be started ({error.strerror})", "close other programs and try again") from None
    file.seek(0)
    head = file.readline(LONGEST)
    ended = f"its child ended with code {done.returncode}"
    try:
        height, width, why = json.loads(head)
    except ValueError:
        height, width, why = 0, 0, ended
    if why.startswith(("ImportError", "ModuleNotFoundError")):
        raise SetupError(f"rawpy cannot be loaded ({why})", "pip install --force-reinstall rawpy")
    if done.returncode == FULL:
        raise FileError(
            tempfile.gettempdir(), f"has no room for {Path(path).name} developed", "set TMPDIR to another folder"
        )
    if why or done.returncode:
        raise UnreadableFile(path, f"cannot be developed ({why or ended})", AGAIN)
    return height, width, len(head)


def serve(path: str) -> None:
    """In the child: develop one file and write height, width and pixels, or the reason why not."""
    results = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # what a library prints is no answer
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    with _or_full(), os.fdopen(results, "wb") as answer:
        try:
            with contextlib.ExitStack() as stack:
                raw, _ = unpack(os.fsdecode(bytes.fromhex(path)), stack)
                options = {"use_camera_wb": True, "no_auto_bright": True, "half_size": False, "user_flip": 0}
                picture = raw.postprocess(output_bps=16, **options)
        except Exception as error:
            answer.write(json.dumps([0, 0, f"{type(error).__name__}: {error}"]).encode() + b"\n")
            return
        answer.write(json.dumps([*picture.shape[:2], ""]).encode() + b"\n")
        answer.write(np.ascontiguousarray(picture, "<u2").data.cast("B"))


@contextlib.contextmanager
def _or_full() -> Iterator[None]:
    """End with a code that tells, if an answer cannot be written."""
    try:
        yield
    except OSError:
        os._exit(FULL)
