"""Pictures as a page shows them: read in 8 bits, small enough, as text; and the viewer that wipes between them."""

from __future__ import annotations

import base64
import html
import io
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from runtime.errors import BadOption, UnreadableFile

__all__ = [
    "MAX_SIDE",
    "SUFFIXES",
    "Picture",
    "Shown",
    "escaped",
    "image",
    "labels",
    "part",
    "picture",
    "read",
    "readable",
    "shown",
    "stage",
]

Array = np.ndarray[Any, Any]

MAX_SIDE = 6144  # pixels; browsers on phones refuse much more, and 24 megapixels pass as they are
# What is taken for a picture when a folder is named; a file that is named itself may be called anything.
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"})
LOSSLESS = 2**20  # pixels up to which PNG is no burden
QUALITY = 90
HERE = Path(__file__).parent
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


@dataclass(frozen=True)
class Shown:
    """What a page needs of a picture."""

    source: str  # a data URI
    size: tuple[int, int]
    facts: tuple[str, ...]  # its size, kind, bytes, and what stands in the page

    @property
    def smaller(self) -> bool:
        """Whether the page shows it smaller than it is."""
        return self.facts[0] != _size(self.size)


def read(paths: Iterable[Path]) -> list[Picture]:
    """All pictures, of one size."""
    pictures = [picture(path) for path in paths]
    first = pictures[0]
    for one in pictures[1:]:
        if one.image.size != first.image.size:
            found, wanted = (f"{str(p.path)!r} of {_size(p.image.size)}" for p in (one, first))
            raise BadOption("a picture to compare", found, f"pictures of one size: {wanted} is another")
    return pictures


def picture(path: Path) -> Picture:
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


def shown(one: Picture, *, side: int | None = None) -> Shown:
    """The picture as text, made smaller if a side is longer than `side`, `MAX_SIDE` by itself."""
    image, side = one.image, side or MAX_SIDE
    if max(image.size) > side:
        image = image.copy()
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    kind = "png" if image.width * image.height <= LOSSLESS else "jpeg"
    options: dict[str, Any] = {"quality": QUALITY, "subsampling": 0} if kind == "jpeg" else {"compress_level": 1}
    image.save(file, kind, icc_profile=one.profile, **options)
    here = f"{_size(image.size)}, {'PNG' if kind == 'png' else f'JPEG of quality {QUALITY}'}, 8 bit"
    facts = (_size(one.image.size), one.kind, f"{one.path.stat().st_size:,} bytes", here)
    return Shown(f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}", image.size, facts)


def labels(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart."""
    parts = [path.absolute().parts for path in paths]
    found = ["" for _ in paths]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        found = ["/".join(part[-depth:]) for part in parts]
        if len(set(found)) == len(set(parts)):
            break
    return [readable(label) for label in found]


def readable(text: str) -> str:
    """Text that can be read: bytes that are none become so, what would turn the page's direction or line is named."""
    text = text.encode(errors="replace").decode()
    return text if text.isprintable() else ascii(text)[1:-1]


def escaped(text: str) -> str:
    """Readable text that HTML takes for nothing else, in quotes too."""
    return html.escape(readable(text))


def image(name: str, one: Shown, *, scene: str | None = None, note: str = "") -> str:
    """The element of a picture on the viewer's stage; a scene's name groups pictures, a note says more of one."""
    group = "" if scene is None else f' data-scene="{escaped(scene)}" data-note="{escaped(note)}"'
    width, height = one.size
    size = f'width="{width}" height="{height}"'
    return f'<img alt="{escaped(name)}"{group} {size} draggable="false" src="{one.source}">'


def stage(pictures: Iterable[str], *, scenes: bool = False) -> str:
    """The viewer's elements around its pictures; `scenes` lets choose one of several."""
    choice = '  <label id="scene-label">scene <select id="scene"></select></label>\n' if scenes else ""
    # The pictures last: they are long, and may hold anything.
    return part("viewer.html").replace("@scenes@", choice).replace("@pictures@", "\n".join(pictures))


def part(name: str) -> str:
    """The text of a file beside this one: viewer.css and viewer.js go into the page that holds the stage."""
    return (HERE / name).read_text("utf-8")


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
