"""The child that decodes: LibRaw runs here and nowhere else, so that it may crash or hang alone.

It says with one byte that it has loaded LibRaw. A job is a line of JSON on standard input. The answer on standard
output is the length of a JSON text in four bytes, that text, and the visible pixels as they lie in memory. A pipe of
1 MiB brings a 12-megapixel frame in 11 ms; a shared memory file took 25 ms, most of it page faults, and would have to
be cleaned up.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import sys
from pathlib import Path
from typing import Any

from runtime.exif import header
from runtime.sensor import levels

__all__ = ["LENGTH", "LOADED", "PIPE", "serve", "unpack"]

LENGTH = struct.Struct("<I")
LOADED = b"\n"
PIPE = 1 << 20
F_SETPIPE_SZ = 1031
ROWS = 64  # sent at a time


def serve() -> None:
    """Answer jobs until standard input closes; quiet on a terminal's Ctrl-C, which is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    results = _own_output()
    with contextlib.suppress(ImportError):  # the first job will say it
        import rawpy  # noqa: F401  while the parent still looks for its file
    with contextlib.suppress(BrokenPipeError):
        _send(results, LOADED)
        for line in sys.stdin.buffer:
            job = json.loads(line)
            _limit(job["memory"], job["seconds"])
            _answer(results, os.fsdecode(bytes.fromhex(job["path"])))
            _limit(None, 0)


def _own_output() -> int:
    """Standard output for answers alone: what a library prints goes nowhere."""
    results = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.fcntl(results, F_SETPIPE_SZ, PIPE)
    return results


def _limit(memory: int | None, seconds: int) -> None:
    """Let the system stop a header that asks for too much, and a decoder that outlives its parent."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        used = pages * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (hard if memory is None else used + memory, hard))
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def _answer(results: int, path: str) -> None:
    """Decode one file and send what came of it; its memory is free again afterwards."""
    mosaic = None
    with contextlib.ExitStack() as stack:
        try:
            raw, flat = unpack(path, stack)
            facts = {**_facts(raw, flat), "levels": _levels(raw, path) if flat else None}
            mosaic = raw.raw_image_visible if flat else None
        except Exception as error:
            words = error.args[0] if error.args else ""
            words = words.decode(errors="replace") if isinstance(words, bytes) else str(words)
            facts = {"error": type(error).__name__, "words": words}
        text = json.dumps(facts).encode()
        _send(results, LENGTH.pack(len(text)) + text)
        if mosaic is not None:
            for row in range(0, len(mosaic), ROWS):
                _send(results, mosaic[row : row + ROWS].tobytes())


def _send(results: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(results, view) :]


def unpack(path: str, stack: contextlib.ExitStack) -> tuple[Any, bool]:
    """The file as LibRaw has it until the stack is left, and whether its pixels are one plane."""
    import rawpy

    raw = stack.enter_context(rawpy.RawPy())
    try:
        path.encode()
    except UnicodeEncodeError:  # rawpy names files in UTF-8 alone
        with Path(path).open("rb") as file:
            raw.open_buffer(file)
    else:
        raw.open_file(path)
    raw.unpack()
    return raw, raw.raw_type == rawpy.RawType.Flat and raw.raw_pattern is not None


def _facts(raw: Any, flat: bool) -> dict[str, Any]:
    """Plain numbers and lists, as LibRaw has them: `sensor` puts them right."""
    sizes, other = raw.sizes, raw.other
    known = other.iso_speed > 0  # without, LibRaw's shutter and aperture are a placeholder: 1.0
    return {
        "height": sizes.height,
        "width": sizes.width,
        "flip": sizes.flip,
        "colours": raw.color_desc.decode(errors="replace"),
        "pattern": _pattern(raw) if flat else None,
        "black": list(map(float, raw.black_level_per_channel)),
        "white": float(raw.white_level),
        "white_per_channel": list(map(float, raw.camera_white_level_per_channel or ())),
        "wb": list(map(float, raw.camera_whitebalance)),
        "daylight": list(map(float, raw.daylight_whitebalance)),
        "xyz2cam": raw.rgb_xyz_matrix[:3, :3].tolist(),
        "cam2rgb": raw.color_matrix[:3, :3].tolist(),
        "iso": other.iso_speed if known else None,
        "exposure": other.shutter_speed if known else None,
        "aperture": other.aperture if known else None,
        "focal_length": other.focal_length if known else None,
        "taken": f"{other.timestamp:%Y:%m:%d %H:%M:%S}" if other.timestamp.timestamp() > 0 else None,
        "lens": raw.lens.model if hasattr(raw, "lens") else "",
    }


def _levels(raw: Any, path: str) -> list[list[float]] | None:
    """The black levels as the file has them, from the first visible site on; LibRaw tells of four alone."""
    return levels(header(path), top=raw.sizes.top_margin, left=raw.sizes.left_margin)


def _pattern(raw: Any) -> list[list[int]]:
    """The colour index at each visible site. `raw_pattern` is of the whole sensor for X-Trans: not asked for that."""
    size = len(raw.raw_pattern)
    top, left = raw.sizes.top_margin, raw.sizes.left_margin
    return [[int(raw.raw_color(top + y, left + x)) for x in range(size)] for y in range(size)]
