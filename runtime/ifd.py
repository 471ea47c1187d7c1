"""The directories of a TIFF-like header, read with bounds: a file may say anything, only so much is believed.

Nothing is read twice, no more than `BUDGET` bytes are read in all, and whatever makes no sense is left out.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

__all__ = ["BUDGET", "Directory", "Tiff", "Value", "pack", "walk"]

BUDGET = 1 << 20
ENTRIES, DIRECTORIES = 1024, 32
LONGEST = {bytes: 4096, str: 4096, tuple: 65536}  # bytes of one value that is still read: no maker notes, no previews

# Text is str, bytes are bytes, numbers a tuple of int or float, a rational is a pair (numerator, denominator).
Value = str | bytes | tuple[int, ...] | tuple[float, ...] | tuple[tuple[int, int], ...]
Directory = dict[int, Value]

MAGIC = {b"II*\0": "<", b"MM\0*": ">", b"IIRO": "<", b"IIRS": "<", b"MMOR": ">", b"IIU\0": "<"}  # TIFF, ORF, RW2
SUB, EXIF, GPS = 330, 34665, 34853
KINDS = {3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 5: "II", 10: "ii"}


@dataclass
class Tiff:
    """What a header holds: the directories of its pictures, that of the exposure, that of the place."""

    images: list[Directory] = field(default_factory=list)
    exif: Directory = field(default_factory=dict)
    gps: Directory = field(default_factory=dict)


class _Window:
    """A file from `base` on, of which so many bytes may be read."""

    def __init__(self, file: BinaryIO, base: int) -> None:
        self.file, self.base, self.left = file, base, BUDGET

    def read(self, at: int, size: int) -> bytes:
        self.left -= size
        if self.left < 0 or size < 0:
            return b""
        self.file.seek(self.base + at)
        return self.file.read(size)


def walk(file: BinaryIO, *, base: int = 0) -> Tiff:
    """All directories that can be reached from the header at `base`; an empty `Tiff` where there is none."""
    window, tiff = _Window(file, base), Tiff()
    head = window.read(0, 8)
    order = MAGIC.get(head[:4])
    if order is None or len(head) < 8:
        return tiff
    seen: set[int] = set()
    waiting = [(struct.unpack(order + "I", head[4:])[0], tiff.images)]
    while waiting and len(seen) < DIRECTORIES:
        at, images = waiting.pop(0)
        if at in seen or at < 8:
            continue
        seen.add(at)
        directory, following = _directory(window, at, order)
        images.append(directory)
        waiting += [(sub, tiff.images) for sub in [*_offsets(directory, SUB), following]]
        for tag, found in ((EXIF, tiff.exif), (GPS, tiff.gps)):
            for sub in _offsets(directory, tag)[:1]:
                found.update(_directory(window, sub, order)[0] if not found and sub >= 8 else {})
    return tiff


def _offsets(directory: Directory, tag: int) -> list[int]:
    value = directory.get(tag, ())
    return [each for each in value if isinstance(each, int)] if isinstance(value, tuple) else []


def _directory(window: _Window, at: int, order: str) -> tuple[Directory, int]:
    """The directory at `at`, and where the next one is (0: nowhere)."""
    head = window.read(at, 2)
    count = struct.unpack(order + "H", head)[0] if len(head) == 2 else 0
    if not 0 < count <= ENTRIES:
        return {}, 0
    table = window.read(at + 2, count * 12 + 4)
    directory: Directory = {}
    for start in range(0, min(len(table) - 11, count * 12), 12):
        tag, kind, number = struct.unpack_from(order + "HHI", table, start)
        value = _value(window, table[start + 8 : start + 12], kind, number, order)
        if value is not None:
            directory.setdefault(tag, value)
    end = table[count * 12 :]
    return directory, struct.unpack(order + "I", end)[0] if len(end) == 4 else 0


def _value(window: _Window, inline: bytes, kind: int, number: int, order: str) -> Value | None:
    """One value; None if it is of an unknown type, too long, or lies outside the file."""
    form = {1: bytes, 7: bytes, 2: str}.get(kind, tuple)
    if form is tuple and kind not in KINDS:
        return None
    code = KINDS.get(kind, "B")
    size = number * struct.calcsize("=" + code)
    if not 0 < size <= LONGEST[form]:
        return None
    raw = inline[:size] if size <= 4 else window.read(struct.unpack(order + "I", inline)[0], size)
    if len(raw) < size:
        return None
    if form is bytes:
        return raw
    if form is str:
        return raw.split(b"\0")[0].decode("utf-8", "replace").strip()
    items = tuple(struct.iter_unpack(order + code, raw))
    return items if len(code) == 2 else tuple(item[0] for item in items)


def pack(directories: Mapping[int | None, Mapping[int, tuple[int, Value]]]) -> bytes:
    """A little-endian TIFF of these directories, each tag -> (type, value): the first (None) and what hangs from it.

    The others are named by the tag that points to them from the first.
    """
    names = [None, *(name for name in directories if name is not None and directories[name])]
    at, starts = 8, {}
    for name in names:
        starts[name] = at
        at += len(_packed(directories[name], dict.fromkeys(names[1:], 0) if name is None else {}, 0))
    blocks = [
        _packed(directories[name], {key: starts[key] for key in names[1:]} if name is None else {}, starts[name])
        for name in names
    ]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(blocks)


def _packed(entries: Mapping[int, tuple[int, Value]], pointers: Mapping[int | None, int], at: int) -> bytes:
    """A directory that lies at `at`, its values right behind it."""
    every = {**entries, **{tag: (4, (where,)) for tag, where in pointers.items() if tag is not None}}
    table, values = struct.pack("<H", len(every)), b""
    behind = at + 2 + 12 * len(every) + 4
    for tag, (kind, value) in sorted(every.items()):
        raw, number = _encoded(kind, value)
        if len(raw) > 4:
            place = struct.pack("<I", behind + len(values))
            values += raw + b"\0" * (len(raw) % 2)
        else:
            place = raw.ljust(4, b"\0")
        table += struct.pack("<HHI", tag, kind, number) + place
    return table + bytes(4) + values


def _encoded(kind: int, value: Value) -> tuple[bytes, int]:
    if isinstance(value, bytes):
        return value, len(value)
    if isinstance(value, str):
        raw = value.encode() + b"\0"
        return raw, len(raw)
    flat = [number for item in value for number in (item if isinstance(item, tuple) else (item,))]
    return struct.pack(f"<{len(flat)}{KINDS[kind][0]}", *flat), len(value)
