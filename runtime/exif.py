"""What a file says of how it was taken, and the same said again for the picture made of it."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from runtime.ifd import EXIF, GPS, Directory, Tiff, Value, pack, walk
from runtime.raw import About

__all__ = ["LONGEST", "about", "header", "read", "write"]

MAKE, MODEL, ORIENTATION, SOFTWARE, DESCRIPTION, ARTIST, COPYRIGHT = 271, 272, 274, 305, 270, 315, 33432
EXPOSURE, APERTURE, FOCAL_LENGTH, VERSION, LENS = 33434, 33437, 37386, 36864, 42036
TAKEN, DIGITIZED, FRACTION = 36867, 36868, 37521
ISO, SENSITIVITY_TYPE, ISO_SPEED, ISO_TAGS = 34855, 34864, 34867, (34867, 34866, 34865)
ISO_IS_LONGER = 65535  # what the 16-bit tag says of a larger number: look into the 32-bit ones
BYTES, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
UNDEFINED_GPS = {27, 28}
BIG = 2**32 - 1
LONGEST = 65527  # bytes of a block that a JPEG takes: its segment ends at 65535, its length and mark are 8 of them
CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")


def read(path: str | Path) -> About:
    """What the file says; nothing at all where it cannot be read or says nothing."""
    return about(header(path))


def header(path: str | Path) -> Tiff:
    """The directories of any file that has some: TIFF and most RAW formats, RAF, CR3, JPEG."""
    try:
        if not Path(path).is_file():  # a pipe would never answer
            return Tiff()
        with Path(path).open("rb") as file:
            return _tiff(file)
    except (OSError, ValueError, OverflowError):
        return Tiff()


def _tiff(file: BinaryIO) -> Tiff:
    head = file.read(92)
    if head.startswith(b"FUJIFILMCCD-RAW") and len(head) == 92:
        return _jpeg(file, int.from_bytes(head[84:88], "big"))
    if head.startswith(b"\xff\xd8"):
        return _jpeg(file, 0)
    if head[4:12] == b"ftypcrx ":
        return _cr3(file)
    return walk(file)


def _jpeg(file: BinaryIO, at: int) -> Tiff:
    """The EXIF block of a JPEG that begins at `at`."""
    at += 2
    for _ in range(32):
        file.seek(at)
        start = file.read(10)
        if len(start) < 10 or start[0] != 0xFF or start[1] in (0xD9, 0xDA):
            break
        if start[1] == 0xE1 and start[4:10] == b"Exif\0\0":
            return walk(file, base=at + 10)
        at += 2 + int.from_bytes(start[2:4], "big")
    return Tiff()


def _cr3(file: BinaryIO) -> Tiff:
    """Canon's CR3 keeps its directories as TIFFs of their own, in boxes named CMT1, CMT2 and CMT4."""
    found = Tiff()
    moov = _boxes(file, 0, 1 << 62).get(b"moov", (0, 0))
    uuid = _boxes(file, *moov).get(CANON, (0, 0))
    boxes = {name: walk(file, base=at) for name, (at, _) in _boxes(file, *uuid).items() if name.startswith(b"CMT")}
    found.images = boxes.get(b"CMT1", found).images
    for name, directory in ((b"CMT2", found.exif), (b"CMT4", found.gps)):
        for image in boxes.get(name, Tiff()).images[:1]:
            directory.update(image)
    return found


def _boxes(file: BinaryIO, at: int, end: int) -> dict[bytes, tuple[int, int]]:
    """The boxes between two places: name (a uuid box by its uuid) -> where its content begins and ends."""
    boxes: dict[bytes, tuple[int, int]] = {}
    for _ in range(64):
        if at + 8 > end:
            break
        file.seek(at)
        head = file.read(24)
        size = int.from_bytes(head[:4], "big")
        if len(head) < 8 or size < 8:
            break
        inside = at + (24 if head[4:8] == b"uuid" else 8)
        boxes.setdefault(head[8:24] if head[4:8] == b"uuid" else head[4:8], (inside, min(at + size, end)))
        at += size
    return boxes


def about(tiff: Tiff) -> About:
    """What these directories say, nonsense left out."""
    first = tiff.images[0] if tiff.images else {}
    every: Directory = {**first, **tiff.exif}  # some cameras put the exposure into the first directory
    turn = _number(first.get(ORIENTATION))
    taken = _text(every.get(TAKEN)) or _text(every.get(DIGITIZED)) or ""
    fraction = _text(every.get(FRACTION)) or ""
    return About(
        make=_text(first.get(MAKE)),
        model=_text(first.get(MODEL)),
        lens=_text(every.get(LENS)),
        exposure=_number(every.get(EXPOSURE)),
        iso=_iso(every),
        aperture=_number(every.get(APERTURE)),
        focal_length=_number(every.get(FOCAL_LENGTH)),
        taken=taken if re.fullmatch(r"[1-9]\d{3}:\d\d:\d\d \d\d:\d\d:\d\d", taken) else None,
        fraction=fraction if re.fullmatch(r"[0-9]{1,9}", fraction) else None,
        artist=_text(first.get(ARTIST)),
        copyright=_text(first.get(COPYRIGHT)),
        gps={tag: value for tag, value in tiff.gps.items() if _gps(tag, value)},
        orientation=int(turn) if turn is not None and turn in range(1, 9) else 1,
    )


def _text(value: Value | None) -> str | None:
    if not isinstance(value, str):
        return None
    return "".join(letter for letter in value if letter.isprintable()).strip() or None


def _number(value: Value | None) -> float | None:
    """A finite number above zero."""
    if not isinstance(value, tuple) or not value:
        return None
    first = value[0]
    if isinstance(first, tuple):
        first = first[0] / first[1] if first[1] else 0.0
    return float(first) if math.isfinite(first) and first > 0 else None


def _iso(every: Directory) -> float | None:
    short = _number(every.get(ISO))
    if short is not None and short != ISO_IS_LONGER:
        return short
    return next((iso for tag in ISO_TAGS if (iso := _number(every.get(tag)))), short)


def _gps(tag: int, value: Any) -> int | None:
    """The type with which a value of the GPS directory can be written again; None: with none."""
    if not 0 <= tag < 32 or not value:
        return None
    if isinstance(value, bytes):
        return UNDEFINED if tag in UNDEFINED_GPS else BYTES
    if isinstance(value, str):
        return ASCII if "\0" not in value else None
    if not isinstance(value, tuple):
        return None
    if all(isinstance(item, tuple) and len(item) == 2 and all(_fits(part) for part in item) for item in value):
        return RATIONAL
    if not all(_fits(item) for item in value):
        return None
    return SHORT if max(value) < 2**16 else LONG


def _fits(number: Any) -> bool:
    return isinstance(number, int) and 0 <= number <= BIG


def write(about: About, *, software: str, description: str | None = None) -> bytes:
    """An EXIF block (a TIFF, without the "Exif" mark of a JPEG) that says the same of the finished picture.

    Its orientation is 1: the pixels are turned already. A place that makes it longer than a JPEG takes is left out.
    """
    first: dict[int, tuple[int, Value]] = {ORIENTATION: (SHORT, (1,))}
    photo: dict[int, tuple[int, Value]] = {VERSION: (UNDEFINED, b"0232")}
    texts = {DESCRIPTION: description, MAKE: about.make, MODEL: about.model, SOFTWARE: software}
    texts |= {ARTIST: about.artist, COPYRIGHT: about.copyright}
    first.update({tag: (ASCII, clean) for tag, text in texts.items() if (clean := _text(text))})
    texts = {LENS: about.lens, TAKEN: about.taken, FRACTION: about.fraction}
    photo.update({tag: (ASCII, text) for tag, text in texts.items() if text})
    numbers = {EXPOSURE: about.exposure, APERTURE: about.aperture, FOCAL_LENGTH: about.focal_length}
    photo.update({tag: (RATIONAL, (pair,)) for tag, number in numbers.items() if (pair := _rational(number))})
    if (iso := _rational(about.iso)) and (whole := round(iso[0] / iso[1])):
        photo[ISO] = (SHORT, (min(whole, ISO_IS_LONGER),))
        if whole >= ISO_IS_LONGER:
            photo |= {SENSITIVITY_TYPE: (SHORT, (3,)), ISO_SPEED: (LONG, (whole,))}
    place = {tag: (kind, value) for tag, value in about.gps.items() if (kind := _gps(tag, value))}
    block = pack({None: first, EXIF: photo, GPS: place})
    return block if len(block) <= LONGEST else pack({None: first, EXIF: photo})


def _rational(number: float | None) -> tuple[int, int] | None:
    """A number as a pair of 32 bits each, to nine digits; None where it is none or has no such pair."""
    if number is None or not math.isfinite(number) or not 0 < number <= BIG:
        return None
    near = Fraction(number).limit_denominator(max(1, min(10**9, int(BIG / max(number, 1.0)))))
    return (near.numerator, near.denominator) if 0 < near.numerator <= BIG else None
