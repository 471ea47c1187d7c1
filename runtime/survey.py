"""A blind survey in one HTML file: two models' pictures of a scene, and which is better.

The page names neither models nor files. Each picture has an id of its own, so that not even two pictures of one model
can be told to be of one; the key from ids to models is a file beside the page, which judges are not given.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import math
import os
import secrets
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageCms

from runtime import trials as design
from runtime.atomic import writing
from runtime.errors import BadOption, Error, FileError, UnreadableFile
from runtime.inputs import RAW
from runtime.survey_key import RESULT, VERSION, Key, key_path
from runtime.trials import Trial
from runtime.viewer import SUFFIXES, picture

__all__ = ["SIDE", "TRIALS", "Survey", "survey"]

TRIALS = 60  # comparisons if none are asked for: about ten minutes, after which people tire
SIDE = 2048  # pixels; larger pictures are made smaller, or a page of many would be too much for a browser
LOSSLESS = 2**20  # pixels up to which PNG is no burden
QUALITY = 95  # of a JPEG: what is asked about is the model's noise, not that of the coding
TEMPLATE = Path(__file__).with_name("survey.html")
HOLE, DATA = "@pictures@", "@survey@"
ID = 16  # letters

Files = dict[str, dict[str, Path]]  # scene -> model -> file


@dataclass(frozen=True)
class Survey:
    """What was written, and what could not go in."""

    page: Path
    key: Path
    survey: str
    models: tuple[str, ...]
    scenes: tuple[str, ...]
    trials: int
    repeats: int
    problems: tuple[Error, ...]


@dataclass(frozen=True)
class _Shown:
    """A picture as the page holds it."""

    kind: str
    data: bytes
    size: tuple[int, int]


def survey(
    folder: str | Path,
    *,
    out: str | Path,
    trials: int | None = None,
    seed: int | None = None,
    side: int = SIDE,
    track: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> Survey:
    """Write the page and its key; scenes that are not the same for every model are left out and named.

    Without a seed chance has none that a judge could guess. `track` passes the scenes on, to show how far it is.
    """
    folder, out = Path(folder), Path(out)
    problems: list[Error] = []
    models, files = _found(folder, problems)
    shown: dict[tuple[str, str], _Shown] = {}
    for scene in track(sorted(files)):
        shown |= _scene(scene, files[scene], models, side=side, problems=problems)
    scenes = tuple(sorted({scene for scene, _ in shown}))
    if not scenes:
        remedy = f"give each model pictures of equal names and sizes; {problems[0] if problems else 'there are none'}"
        raise UnreadableFile(folder, f"holds no scene that all of {', '.join(models)} have", remedy)
    count = _count(trials, len(models), len(scenes))
    seed = secrets.randbits(128) if seed is None else seed
    rng = np.random.default_rng(seed)
    asked = design.plan(len(models), len(scenes), count=count, rng=rng)
    again = design.repeats(asked, rng=rng)
    ids = {where: _id(seed, where, one.data) for where, one in shown.items()}
    questions = [[_sides(t, models, scenes, ids) for t in some] for some in (asked, again)]
    name = hashlib.sha256(json.dumps([*questions, sorted(ids.values())]).encode()).hexdigest()[:ID]
    key = Key(name, models, scenes, {ids[where]: where for where in sorted(ids, key=ids.__getitem__)}, seed)
    with writing(out) as file:
        _page(file, name, *questions, pictures={ids[where]: shown[where] for where in shown})
        _keep(key, key_path(out))  # when the page is whole and has no name yet: neither stands without the other
    return Survey(out, key_path(out), name, models, scenes, len(asked), len(again), tuple(problems))


def _found(folder: Path, problems: list[Error]) -> tuple[tuple[str, ...], Files]:
    """The models, and the pictures by scene; folders without pictures are named."""
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        pictures = {path.name: _pictures(path, problems) for path in inside}
    except OSError as error:
        remedy = "name a folder with one folder of pictures for each model"
        raise UnreadableFile(folder, f"cannot be read ({error.strerror})", remedy) from None
    problems += [
        UnreadableFile(folder / name, "holds no pictures", "fill it with PNG, TIFF or JPEG files, or take it away")
        for name, some in pictures.items()
        if not some
    ]
    models = tuple(name for name, some in pictures.items() if some)
    if len(models) < 2:
        found = ", ".join(models) or "none"
        why = f"; {problems[0]}" if problems else ""
        wanted = f"a folder with two folders of pictures or more; with pictures: {found}{why}"
        raise BadOption("DIR", str(folder), wanted)
    files: Files = {}
    for model in models:
        for scene, path in pictures[model].items():
            files.setdefault(scene, {})[model] = path
    return models, files


def _pictures(folder: Path, problems: list[Error]) -> dict[str, Path]:
    """The pictures of a folder by the name of their scene."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        end = path.suffix.lower()
        if path.name.startswith(".") or not path.is_file():
            continue
        if end in RAW:
            remedy = "survey pictures: PNG, TIFF or JPEG files, of a RAW frame what qk-run enhance makes of it"
            problems.append(UnreadableFile(path, "is a RAW file", remedy))
        elif end in SUFFIXES and path.stem in found:
            problems.append(FileError(path, f"has the name of {found[path.stem].name!r}", "keep one of the two"))
        elif end in SUFFIXES:
            found[path.stem] = path
    return found


def _scene(
    scene: str, files: dict[str, Path], models: Sequence[str], *, side: int, problems: list[Error]
) -> dict[tuple[str, str], _Shown]:
    """All pictures of a scene, or none and a problem more."""
    missing = [model for model in models if model not in files]
    if missing:
        path = next(iter(files.values()))
        problems.append(FileError(path, f"has no like in {', '.join(missing)}", "make it there too; it is left out"))
        return {}
    shown: dict[tuple[str, str], _Shown] = {}
    size = (0, 0)
    for model in models:
        path = files[model]
        try:
            image = picture(path)
        except FileError as error:
            problems.append(error)
            return {}
        if shown and image.image.size != size:
            one, other = ("{} x {}".format(*pair) for pair in (image.image.size, size))
            remedy = "give both one size; the scene is left out"
            problems.append(FileError(path, f"is {one} and that of {models[0]} is {other}", remedy))
            return {}
        size = image.image.size
        shown[scene, model] = _encoded(_plain(image.image, image.profile), side=side)
    return shown


def _plain(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture in sRGB: a profile of its own would tell whose it is."""
    if profile is None:
        return image
    with suppress(ImageCms.PyCMSError, OSError):  # a browser takes a profile that it cannot read for sRGB, too
        source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        turned: Any = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
        return Image.fromarray(np.asarray(turned))  # without what the file said of itself
    return image


def _encoded(image: Image.Image, *, side: int) -> _Shown:
    """The picture alone, without a word of where it came from; its coding depends on its size only."""
    image = Image.fromarray(np.asarray(image))
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    kind = "png" if image.width * image.height <= LOSSLESS else "jpeg"
    options: dict[str, Any] = {"quality": QUALITY, "subsampling": 0} if kind == "jpeg" else {"compress_level": 6}
    image.save(file, kind, **options)
    return _Shown(kind, file.getvalue(), image.size)


def _count(asked: int | None, models: int, scenes: int) -> int:
    """How many comparisons: enough to connect all models, and none twice."""
    least, most = models - 1, math.comb(models, 2) * scenes
    if asked is None:
        return max(min(most, TRIALS), least)
    if not least <= asked <= most:
        raise BadOption("--trials", asked, f"{least} to {most}: there are {models} models and {scenes} scenes")
    return asked


def _id(seed: int, where: tuple[str, str], data: bytes) -> str:
    """What a picture is called in the page; without the seed nobody can tell what it was made from."""
    message = json.dumps([where, hashlib.sha256(data).hexdigest()]).encode()
    return hmac.new(str(seed).encode(), message, hashlib.sha256).hexdigest()[:ID]


def _sides(trial: Trial, models: Sequence[str], scenes: Sequence[str], ids: dict[tuple[str, str], str]) -> list[str]:
    return [ids[scenes[trial.scene], models[model]] for model in (trial.left, trial.right)]


def _keep(key: Key, path: Path) -> None:
    """Write the key, never over that of another survey: its answers could not be read any more."""
    text = key.text().encode()
    if os.path.exists(path) and path.read_bytes() != text:  # noqa: PTH110 (Path's own may raise)
        raise BadOption("--out", str(path), f"another name: {path.name} is the key of another survey, and is kept")
    with writing(path) as file:
        file.write(text)


def _page(file: IO[bytes], name: str, asked: Any, again: Any, *, pictures: dict[str, _Shown]) -> None:
    """The template with its two holes filled, a picture at a time, in the order of their ids."""
    data = {"kind": RESULT, "version": VERSION, "survey": name, "trials": sorted(asked), "repeats": sorted(again)}
    used = sorted({one for trial in asked for one in trial})
    head, tail = TEMPLATE.read_text("utf-8").replace(DATA, json.dumps(data)).split(HOLE)
    file.write(head.encode())
    for one in used:
        width, height = pictures[one].size
        uri = f"data:image/{pictures[one].kind};base64,{b64encode(pictures[one].data).decode()}"
        file.write(f'<img id="p{one}" alt="" decoding="sync" width="{width}" height="{height}" src="{uri}">\n'.encode())
    file.write(tail.encode())
