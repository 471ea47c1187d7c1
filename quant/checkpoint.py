"""Where a run stands, on disk: files of named arrays, each whole and proved so, or passed over.

A file is an .npz as weights are (plain arrays, nothing that runs when read), with a header of JSON and a SHA-256 over
all of it. It is written beside its name and renamed, so that a run killed at any instant leaves the one before.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from runtime.arrays import read_arrays
from runtime.atomic import writing
from runtime.errors import AlteredFile, FileError, UnreadableFile

__all__ = ["Checkpoint", "best", "latest", "load", "save"]

Array = np.ndarray[Any, Any]

VERSION = 1
HEADER = "header"
RESERVED = {HEADER, "file", "allow_pickle"}  # the last two are np.savez' own parameters
KINDS = "biufcSU"  # what .npy keeps as it is; an object would be pickled, a bfloat16 comes back as raw bytes
NAME = re.compile(r"step-(\d{8,})\.npz")
PART = re.compile(r"\.step-\d{8,}\.npz\.[0-9a-f]{8}\.part")  # what a killed `writing` leaves


@dataclass(frozen=True)
class Checkpoint:
    """A file that was read and proved; `passed_over` are the newer ones that could not be, each as its error."""

    path: Path
    step: int
    arrays: dict[str, Array]
    facts: dict[str, Any]
    score: float | None = None
    passed_over: tuple[FileError, ...] = ()


def save(
    folder: str | Path,
    step: int,
    arrays: Mapping[str, Array],
    facts: Mapping[str, Any],
    *,
    keep: int = 3,
    best: float | None = None,
) -> Path:
    """Write one, then delete what is older than the last `keep`, but never the one of the highest `best`.

    `best` is this one's figure, a higher one being better (PSNR, or a loss times -1). Files of a later step are left
    alone: they were passed over, and will age out.
    """
    _check(step, arrays, keep)
    path = Path(folder) / f"step-{step:08}.npz"
    score = best if best is not None and math.isfinite(best) else None
    plain = json.loads(json.dumps(dict(facts), allow_nan=False))  # as it will be read: tuples are lists, keys text
    header = {"version": VERSION, "step": step, "score": score, "facts": plain}
    text = json.dumps({**header, "digest": _digest(header, arrays)}, sort_keys=True)
    named: dict[str, Any] = {HEADER: np.array(text), **arrays}
    with writing(path) as file:
        np.savez(file, **named)
    _tidy(path.parent, step, keep)
    return path


def latest(folder: str | Path) -> Checkpoint | None:
    """The newest one that is whole; None where there never was one; an error where none is whole.

    Beginning again in silence would throw away a run that a copy might save.
    """
    return _first_whole(folder, sorted(_found(folder).items(), reverse=True))


def best(folder: str | Path) -> Checkpoint | None:
    """The whole one of the highest figure, the earliest of equals; None where none has a figure."""
    scored = [(score, step, path) for step, path in _found(folder).items() if (score := _score(path)) is not None]
    return _first_whole(folder, [(step, path) for _, step, path in sorted(scored, key=lambda s: (-s[0], s[1]))])


def load(path: str | Path) -> Checkpoint:
    """Read one file, every value checked."""
    path = Path(path)
    arrays = read_arrays(path, kind="checkpoint")
    try:
        header = json.loads(str(arrays.pop(HEADER)))
        digest, step, facts, score = (header.pop(key) for key in ("digest", "step", "facts", "score"))
        proved = digest == _digest({**header, "step": step, "facts": facts, "score": score}, arrays)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        raise UnreadableFile(path, "is no checkpoint of qk-unet", "its header is damaged or foreign") from None
    if not proved or header != {"version": VERSION}:
        raise AlteredFile(path, "is not what was once written (its digest or version differs)", "use another one")
    if (name := NAME.fullmatch(path.name)) and int(name[1]) != step:
        raise AlteredFile(path, f"holds step {step}", "give it back its name")
    return Checkpoint(path, step, arrays, facts, score)


def _first_whole(folder: str | Path, files: list[tuple[int, Path]]) -> Checkpoint | None:
    passed: list[FileError] = []
    for _, path in files:
        try:
            return replace(load(path), passed_over=tuple(passed))
        except FileError as error:
            passed.append(error)
    if passed:
        names = ", ".join(error.path.name for error in passed)
        raise UnreadableFile(folder, f"has no whole checkpoint (tried {names})", "delete them to begin again")
    return None


def _found(folder: str | Path) -> dict[int, Path]:
    """The files that are checkpoints by their name, by their step."""
    folder = Path(folder)
    names = [(NAME.fullmatch(path.name), path) for path in folder.iterdir()] if folder.is_dir() else []
    return {int(match[1]): path for match, path in names if match}


def _score(path: Path) -> float | None:
    """The figure in a header, without reading what else the file holds; None if there is none to be had."""
    try:
        with np.load(path, allow_pickle=False) as file:
            score = json.loads(str(file[HEADER]))["score"]
    except Exception:  # as in `load`
        return None
    return score if isinstance(score, float) else None


def _tidy(folder: Path, step: int, keep: int) -> None:
    """Delete old ones, and the halves that killed runs left."""
    past = {number: path for number, path in _found(folder).items() if number <= step}
    scores = {number: score for number, path in past.items() if (score := _score(path)) is not None}
    kept = set(sorted(past)[-keep:])
    if scores:
        kept.add(min(scores, key=lambda number: (-scores[number], number)))
    halves = [path for path in folder.iterdir() if PART.fullmatch(path.name)]
    for path in [*(path for number, path in past.items() if number not in kept), *halves]:
        with contextlib.suppress(OSError):
            path.unlink()


def _check(step: int, arrays: Mapping[str, Array], keep: int) -> None:
    """Raise ValueError for what could be written but not be read back."""
    if step < 0 or keep < 1:
        raise ValueError(f"step {step}, keep {keep}")
    for name, array in arrays.items():
        if name in RESERVED or name.endswith(".npy") or not re.fullmatch(r"[\w./:-]+", name, re.ASCII):
            raise ValueError(f"no array can be named {name!r}")
        if array.dtype.kind not in KINDS:
            raise ValueError(f"{name} is of type {array.dtype}, which .npy does not keep")


def _digest(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    """SHA-256 over the header and every array, names and shapes included, in the order of the names."""
    sha = hashlib.sha256(json.dumps(header, sort_keys=True, allow_nan=False).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha.update(f"\n{name} {array.dtype.str} {arrays[name].shape}\n".encode())
        sha.update(array.reshape(-1).view(np.uint8).data)
    return sha.hexdigest()
