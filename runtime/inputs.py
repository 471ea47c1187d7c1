"""What is named on a command line, as files, each with an output of its own that is the same at every run."""

from __future__ import annotations

import glob
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import BadOption, UnreadableFile

__all__ = ["RAW", "Item", "collect", "entries", "spare"]

# What is taken for a RAW file when a folder is named; a file that is named itself may be called anything.
RAW = frozenset(
    f".{end}"
    for end in (
        *("3fr", "ari", "arw", "bay", "cap", "cr2", "cr3", "crw", "dcr", "dcs", "dng", "drf", "eip", "erf", "fff"),
        *("gpr", "iiq", "k25", "kdc", "mef", "mos", "mrw", "nef", "nrw", "orf", "pef", "ptx", "pxn", "r3d", "raf"),
        *("raw", "rw2", "rwl", "rwz", "sr2", "srf", "srw", "x3f"),
    )
)


@dataclass(frozen=True)
class Item:
    """A file, and the picture it becomes."""

    input: Path
    output: Path


def collect(inputs: Sequence[str | Path], out: str | Path, *, suffix: str) -> list[Item]:
    """Files, folders and patterns as files; those of a folder keep their place in it.

    An `out` in a folder that is named holds what was made of it, and nothing to be made.
    """
    found: dict[Path, Path] = {}  # input -> where its output goes, without its end
    for text in inputs:
        path = Path(text)
        if os.path.isdir(path):  # noqa: PTH112 (Path's own raises for a locked folder or a name too long)
            found |= {inside: inside.relative_to(path).with_suffix("") for inside in _within(path, made=Path(out))}
        elif glob.has_magic(str(text)) and not os.path.exists(path):  # noqa: PTH110 (as above)
            found |= {inside: Path(inside.stem) for inside in _matching(str(text))}
        else:
            found[path] = Path(path.stem or "picture")
    once = {path.absolute(): path for path in found}  # it may be named from here and from the root
    named = _apart({path: found[path] for path in once.values()})
    return [Item(path, Path(out) / f"{name}{suffix}") for path, name in named.items()]


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, in the order of its names."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        problem = f"cannot be listed ({error.strerror})"
        raise UnreadableFile(folder, problem, "name a folder you may read") from None


def spare(inputs: Iterable[str | Path], outputs: Iterable[str | Path], *, allowed: str) -> None:
    """Refuse outputs of which one is an input, by whatever name: it would be lost."""
    originals = {_identity(path) for path in inputs} - {None}
    for path in outputs:
        if _identity(path) in originals:
            raise BadOption("the output", str(path), allowed)


def _identity(path: str | Path) -> tuple[int, int] | None:
    """What all names of one file have in common; None if there is no file."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _within(folder: Path, *, made: Path) -> list[Path]:
    """The RAW files in and below a folder; what was `made` there and folders nobody may read are passed over."""
    inside, skipped = [], _identity(made)
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if skipped is None or _identity(Path(place, name)) != skipped]
        inside += [path for name in names if _is_raw(path := Path(place, name))]
    if not inside:
        entries(folder)  # it says why, if nobody may read that one
        raise UnreadableFile(folder, "holds no RAW files", "name another folder, or the files themselves")
    return sorted(inside)


def _is_raw(path: Path) -> bool:
    visible = path.suffix.lower() in RAW and not path.name.startswith(".")
    return visible and os.path.isfile(path)  # noqa: PTH113 (Path's own may raise)


def _matching(pattern: str) -> list[Path]:
    names = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (Path.glob takes none that begins at the root)
    inside = [Path(name) for name in names if os.path.isfile(name)]  # noqa: PTH113 (Path's own may raise)
    if not inside:
        raise UnreadableFile(pattern, "matches no file", "mend the pattern, or name the files themselves")
    return inside


def _apart(found: dict[Path, Path]) -> dict[Path, Path]:
    """Names of which no two are the same, on disks that know no case either.

    Of those that share one, each takes the end of its file as well, and then a digest of its path.
    """
    steps = dict.fromkeys(found, 0)
    while True:
        named = {path: _longer(path, name, steps[path]) for path, name in found.items()}
        plain = {path: str(name).casefold() for path, name in named.items()}
        shared = {name for name, count in Counter(plain.values()).items() if count > 1}
        if not shared:
            return named
        for path, name in plain.items():
            steps[path] += name in shared


def _longer(path: Path, name: Path, steps: int) -> Path:
    """A name that is so many steps longer, and less likely to be another's."""
    if steps == 0:
        return name
    digest = hashlib.sha256(bytes(path.absolute())).hexdigest()
    more = (path.suffix.removeprefix(".").lower() or "raw") if steps == 1 else digest[: 8 * (steps - 1)]
    return name.with_name(f"{name.name}-{more}")
