"""Pictures side by side in one HTML file that needs nothing else: a line to wipe with, zoom, and what they are."""

from __future__ import annotations

import base64
import html
import io
import re
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from runtime.atomic import writing
from runtime.errors import BadOption, UnreadableFile

__all__ = ["MAX_SIDE", "compare"]

Array = np.ndarray[Any, Any]

MAX_SIDE = 6144  # pixels; browsers on phones refuse much more, and 24 megapixels pass as they are
LOSSLESS = 2**20  # pixels up to which PNG is no burden
QUALITY = 90
TEMPLATE = Path(__file__).with_name("compare.html")
DNG_VERSION, ORIENTATION, PROFILE = 50706, 274, 34675  # tags
REMEDY = "compare pictures: PNG, TIFF or JPEG files, of a RAW frame what qk-run enhance makes of it"
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Picture:
    """A picture in 8 bits as it is looked at, and what its file was."""

    path: Path
    image: Image.Image
    kind: str
    profile: bytes | None


def compare(before: str | Path, after: str | Path, *more: str | Path, out: str | Path) -> Path:
    """Write one HTML file that shows any two of the pictures, and return its path."""
    out, paths = Path(out), [Path(path) for path in (before, after, *more)]
    for path in paths:
        if out.exists() and path.exists() and out.samefile(path):
            raise BadOption("the output", str(out), "a file that is not one of the pictures")
    page = _page([(label, _shown(picture)) for label, picture in zip(_labels(paths), _read(paths), strict=True)])
    with writing(out) as file:
        file.write(page.encode())
    return out


def _read(paths: list[Path]) -> list[Picture]:
    """All pictures, of one size."""
    pictures = [_picture(path) for path in paths]
    first = pictures[0]
    for one in pictures[1:]:
        if one.image.size != first.image.size:
            found, wanted = (f"{str(p.path)!r} of {_size(p.image.size)}" for p in (one, first))
            raise BadOption("a picture to compare", found, f"pictures of one size: {wanted} is another")
    return pictures


def _picture(path: Path) -> Picture:
    """A file as 8-bit RGB, turned as its camera was."""
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            # Large is no danger here: the file is the user's own.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return _tiff(path) if file.read(4)[:2] in (b"II", b"MM") else _other(path)
    except UnreadableFile:
        raise
    except Image.DecompressionBombError:
        raise UnreadableFile(path, "is larger than a browser can show", "compare a part of it") from None
    except OSError as error:
        why = f"cannot be read ({error.strerror})" if error.strerror else "is no picture, or is cut short"
        raise UnreadableFile(path, why, REMEDY) from None
    except Exception:  # decoders fail in every way that reading bytes can
        raise UnreadableFile(path, "is no picture, or is cut short", REMEDY) from None


def _tiff(path: Path) -> Picture:
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        tags = {code: tag.value for code in (DNG_VERSION, ORIENTATION, PROFILE) if (tag := page.tags.get(code))}
        if DNG_VERSION in tags or page.photometric not in (0, 1, 2, 3, 5, 6, 8):  # CFA and linear RAW are no pictures
            raise UnreadableFile(path, "is a RAW frame", REMEDY)
        plain = page.photometric in (1, 2) and page.dtype in (np.uint8, np.uint16)
        array = _asarray(page) if plain else None
        if array is not None and page.planarconfig == 2 and array.ndim == 3:
            array = np.moveaxis(array, 0, -1)
    if array is None:
        return _other(path)
    if array.ndim not in (2, 3):
        raise UnreadableFile(path, "holds a stack of pictures", REMEDY)
    kind = f"TIFF, {8 * array.dtype.itemsize} bit"
    return _made(path, _eight(array), kind, tags.get(ORIENTATION, 1), tags.get(PROFILE))


def _asarray(page: Any) -> Array | None:
    """The pixels, or None for one of the compressions that PIL knows and tifffile alone does not."""
    try:
        return np.asarray(page.asarray())
    except ValueError as error:
        if "imagecodecs" in str(error):
            return None
        raise


def _other(path: Path) -> Picture:
    with Image.open(path) as image:
        image.load()
        deep = image.mode.startswith("I")
        # PIL brings deep colours down to 8 bits itself, and deep grey it does not.
        plain: Any = _eight(np.asarray(image).astype(np.uint16)) if deep else np.asarray(image.convert("RGB"))
        turn = int(image.getexif().get(ORIENTATION, 1))
        return _made(path, plain, f"{image.format}, {_bits(path, deep=deep)} bit", turn, image.info.get("icc_profile"))


def _bits(path: Path, *, deep: bool) -> int:
    """Of a PNG its header says so; PIL does not."""
    with path.open("rb") as file:
        head = file.read(25)
    return head[24] if head.startswith(b"\x89PNG") else 16 if deep else 8


def _made(path: Path, array: Array, kind: str, turn: int, profile: Any) -> Picture:
    image = Image.fromarray(array).convert("RGB")
    if turn in TURNS:
        image = image.transpose(TURNS[turn])
    return Picture(path, image, kind, bytes(profile) if profile else None)


def _eight(array: Array) -> Array:
    """8 bits of 16, rounded; colours past the third are not for the eye."""
    if array.ndim == 3:
        array = array[:, :, :3] if array.shape[2] >= 3 else array[:, :, 0]
    return _table()[array] if array.dtype == np.uint16 else np.ascontiguousarray(array)


@cache
def _table() -> Array:
    levels = np.arange(65536, dtype=np.uint32)
    return ((levels * 255 + 32767) // 65535).astype(np.uint8)


@dataclass(frozen=True)
class Shown:
    """What the page needs of a picture."""

    source: str  # a data URI
    size: tuple[int, int]
    facts: tuple[str, ...]


def _shown(picture: Picture) -> Shown:
    """The picture as text, made smaller if it is very large."""
    image = picture.image
    if max(image.size) > MAX_SIDE:
        image = image.copy()
        image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    kind = "png" if image.width * image.height <= LOSSLESS else "jpeg"
    options: dict[str, Any] = {"quality": QUALITY, "subsampling": 0} if kind == "jpeg" else {"compress_level": 1}
    image.save(file, kind, icc_profile=picture.profile, **options)
    here = f"{_size(image.size)}, {'PNG' if kind == 'png' else f'JPEG of quality {QUALITY}'}, 8 bit"
    facts = (_size(picture.image.size), picture.kind, f"{picture.path.stat().st_size:,} bytes", here)
    return Shown(f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}", image.size, facts)


def _labels(paths: list[Path]) -> list[str]:
    """The shortest ends of the paths that tell the pictures apart."""
    parts = [path.absolute().parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(part[-depth:]) for part in parts]
        if len(set(labels)) == len(set(parts)):
            break
    # A name of bytes that are no text becomes one; what would turn the page's direction or line is seen as it is.
    texts = [label.encode(errors="replace").decode() for label in labels]
    return [text if text.isprintable() else ascii(text)[1:-1] for text in texts]


def _page(pictures: list[tuple[str, Shown]]) -> str:
    images, rows = [], []
    for label, one in pictures:
        name = html.escape(label)
        width, height = one.size
        images.append(f'<img alt="{name}" width="{width}" height="{height}" draggable="false" src="{one.source}">')
        rows.append(f'<tr><th scope="row">{name}</th>{"".join(f"<td>{fact}</td>" for fact in one.facts)}</tr>')
    first = pictures[0][1]
    smaller = first.facts[0] != _size(first.size)
    note = f"Shown smaller than they are: no side is longer than {MAX_SIDE} pixels here, and 100 % is of that size."
    holes = {
        "title": html.escape(" | ".join(label for label, _ in pictures)),
        "pictures": "\n".join(images),
        "rows": "\n".join(rows),
        "note": note if smaller else "Shown in their own size.",
    }
    # In one pass, so that no file can be named for a hole.
    return re.sub("@(title|pictures|rows|note)@", lambda hole: holes[hole[1]], TEMPLATE.read_text("utf-8"))


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
