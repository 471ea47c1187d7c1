"""NYU Depth v2 (Silberman et al., 2012): the labelled `.mat`, and the folders of pictures commonly published.

Depth is in units of ten metres, the convention of all three: 8-bit training masks over 255, 16-bit test depths in
millimetres over 10000, and the labelled metres over 10.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from runtime.errors import BadOption, UnreadableFile
from runtime.library import need

__all__ = ["METRES", "Labelled", "Picture", "Row", "listed", "pair", "shrunk"]

Array = np.ndarray[Any, Any]

METRES = 10.0  # that depth is 1
SPLITS = ("train", "test")
LABELLED, SPLIT_FILE = "nyu_depth_v2_labeled.mat", "splits.mat"
WHITE = {"L": 255.0, "I;16": 10000.0, "I": 10000.0}  # by the kind of picture
NAMED = 3
AGAIN = "download it again"


@dataclass(frozen=True)
class Picture:
    """A photograph and its depth as two pictures."""

    rgb: Path
    depth: Path


@dataclass(frozen=True)
class Labelled:
    """One picture of the `.mat`."""

    file: Path
    index: int


Row = Picture | Labelled


def listed(folder: str | Path, *, split: str = "train") -> list[Row]:
    """Every row of a split; what is missing is named at once."""
    if split not in SPLITS:
        raise BadOption("split", split, " or ".join(SPLITS))
    folder = Path(folder)
    if (folder / LABELLED).is_file():
        return [Labelled(folder / LABELLED, index) for index in _numbers(folder, split)]
    name = f"nyu2_{split}.csv"
    for base in (folder, folder / "data"):
        if (base / name).is_file():
            return _pictures(base / name)
    raise UnreadableFile(folder, f"has no {name} and no {LABELLED}", "name the folder that holds one of them")


def pair(row: Row, *, size: int = 224, out: int = 56) -> tuple[Array, Array]:
    """The photograph (size, size, 3), 0 to 1, and its depth (out, out, 1) in units of ten metres, cut at 1."""
    match row:
        case Picture():
            rgb, depth = _rgb(row.rgb), _depth(row.depth)
        case Labelled():
            rgb, depth = _labelled(row)
    if rgb.shape[:2] != depth.shape:
        path = row.depth if isinstance(row, Picture) else row.file
        raise UnreadableFile(path, f"has {depth.shape} depths for {rgb.shape[:2]} pixels", AGAIN)
    x = np.stack([shrunk(rgb[..., channel], size) for channel in range(3)], axis=-1)
    return np.clip(x, 0, 1), np.clip(shrunk(depth, out), 0, 1)[..., None]


def shrunk(plane: Array, size: int) -> Array:
    """A float32 plane as a square of that size, each pixel the weighted mean of those that lie under it."""
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), np.float32)


def _pictures(path: Path) -> list[Row]:
    """The rows of a list: two paths, which begin with `data/`, the folder that the list lies in or beside."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, ValueError, csv.Error) as error:
        raise UnreadableFile(path, f"cannot be read ({error})", AGAIN) from None
    if lines and [cell.strip() for cell in lines[0]] == ["path_rgb", "path_depth"]:
        del lines[0]
    if bad := [number for number, line in enumerate(lines, start=1) if len(line) != 2 or not all(map(_inside, line))]:
        raise UnreadableFile(path, f"has a row {bad[0]} that is not two paths", AGAIN)
    inside = path.parent
    if path.parent.name != "data" and (path.parent / "data").is_dir():
        inside = path.parent / "data"
    rows = [Picture(*(inside / cell.strip().removeprefix("data/") for cell in line)) for line in lines]
    wanted = [file for row in rows for file in (row.rgb, row.depth)]
    if missing := [str(file.relative_to(inside)) for file in wanted if not file.is_file()]:
        more = ", ..." if len(missing) > NAMED else ""
        problem = f"names {len(missing)} of {len(wanted)} files that are missing ({', '.join(missing[:NAMED])}{more})"
        raise UnreadableFile(path, problem, "unpack the whole archive there")
    return list(rows)


def _inside(cell: str) -> bool:
    """Whether a path stays in the folder of its list."""
    path = Path(cell.strip())
    return bool(cell.strip()) and not path.is_absolute() and ".." not in path.parts


def _rgb(path: Path) -> Array:
    with _opened(path) as image:
        return np.asarray(image.convert("RGB"), np.float32) / np.float32(255)


def _depth(path: Path) -> Array:
    with _opened(path) as image:
        if image.mode not in WHITE:
            raise UnreadableFile(
                path, f"is a picture of kind {image.mode}, not of depths", "name 8- or 16-bit grey ones"
            )
        return np.asarray(image, np.float32) / np.float32(WHITE[image.mode])


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A picture, whole; anything Pillow has against it in words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a header of too many pixels is a warning to Pillow
            with Image.open(path) as image:
                image.load()
                yield image
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
        raise UnreadableFile(path, f"is no picture that can be read ({error})", AGAIN) from None


def _labelled(row: Labelled) -> tuple[Array, Array]:
    """MATLAB keeps columns first: (channel, x, y) and (x, y)."""
    with _mat(row.file) as file:
        images, depths = file["images"], file["depths"]
        rgb = np.asarray(images[row.index], np.float32).transpose(2, 1, 0) / np.float32(255)
        return rgb, np.asarray(depths[row.index], np.float32).T / np.float32(METRES)


@contextmanager
def _mat(path: Path) -> Iterator[Any]:
    """A `.mat` of MATLAB 7.3, which is an HDF5 file."""
    h5py = need("h5py", library="h5py", extra="train")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise UnreadableFile(path, f"is not the labelled set ({error})", AGAIN) from None


def _numbers(folder: Path, split: str) -> list[int]:
    """Which pictures of the `.mat` are of that split: published beside it, an older MATLAB file, counted from 1."""
    path = folder / SPLIT_FILE
    if not path.is_file():
        remedy = f"download it too: it tells which pictures of {LABELLED} are for testing"
        raise UnreadableFile(path, "does not exist", remedy)
    scipy_io = need("scipy.io", library="scipy", extra="train")
    try:
        numbers = np.asarray(scipy_io.loadmat(path)[f"{split}Ndxs"]).ravel().astype(int) - 1
    except Exception as error:  # SciPy has no class for a file that is none
        raise UnreadableFile(path, f"holds no split ({error})", AGAIN) from None
    with _mat(folder / LABELLED) as file:
        shapes = file["images"].shape, file["depths"].shape
    if len(shapes[0]) != 4 or shapes[0][1] != 3 or shapes[1] != (shapes[0][0], *shapes[0][2:]):
        raise UnreadableFile(folder / LABELLED, f"holds images {shapes[0]} and depths {shapes[1]}", AGAIN)
    if not len(numbers) or numbers.min() < 0 or numbers.max() >= shapes[0][0]:
        raise UnreadableFile(path, f"names pictures that {LABELLED} does not have", AGAIN)
    return [int(number) for number in numbers]
