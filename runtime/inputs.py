"""What is named on a command line, as files, each with an output of its own that is the same at every run."""

from __future__ import annotations

import glob
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import UnreadableFile

__all__ = ["RAW", "Item", "collect"]

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
    """Files, folders and patterns as files; those of a folder keep their place in it."""
    found: dict[Path, Path] = {}  # input -> where its output goes, without its end
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            found |= {inside: inside.relative_to(path).with_suffix("") for inside in _within(path)}
        elif glob.has_magic(str(text)) and not path.exists():
            found |= {inside: Path(inside.stem) for inside in _matching(str(text))}
        else:
            found[path] = Path(path.stem or "picture")
    return [Item(path, Path(out) / f"{name}{suffix}") for path, name in _apart(found).items()]


def _within(folder: Path) -> list[Path]:
    inside = sorted(p for p in folder.rglob("*") if p.suffix.lower() in RAW and not p.name.startswith("."))
    if not inside:
        raise UnreadableFile(folder, "holds no RAW files", "name another folder, or the files themselves")
    return inside


def _matching(pattern: str) -> list[Path]:
    # Path.glob takes no pattern that begins at the root.
    inside = [Path(name) for name in sorted(glob.glob(pattern, recursive=True)) if Path(name).is_file()]  # noqa: PTH207
    if not inside:
        raise UnreadableFile(pattern, "matches no file", "mend the pattern, or name the files themselves")
    return inside


def _apart(found: dict[Path, Path]) -> dict[Path, Path]:
    """Of those with one name each keeps the end of its file; if that is the same too, a digest of its path."""

    def ended(path: Path) -> Path:
        return found[path].with_name(f"{found[path].name}-{path.suffix.removeprefix('.').lower() or 'raw'}")

    plain, longer = Counter(found.values()), Counter(map(ended, found))
    named = {}
    for path, name in found.items():
        if plain[name] == 1:
            named[path] = name
        elif longer[ended(path)] == 1:
            named[path] = ended(path)
        else:
            digest = hashlib.sha256(bytes(path.absolute())).hexdigest()[:8]
            named[path] = name.with_name(f"{name.name}-{digest}")
    return named
