"""Pictures side by side in one HTML file that needs nothing else: a line to wipe with, zoom, and what they are."""

from __future__ import annotations

import re
from pathlib import Path

from runtime.atomic import writing
from runtime.inputs import spare
from runtime.viewer import Shown, escaped, image, labels, part, read, shown, stage

__all__ = ["compare"]


def compare(before: str | Path, after: str | Path, *more: str | Path, out: str | Path) -> Path:
    """Write one HTML file that shows any two of the pictures, and return its path."""
    out, paths = Path(out), [Path(path) for path in (before, after, *more)]
    spare(paths, [out], allowed="a file that is not one of the pictures")
    page = _page([(label, shown(picture)) for label, picture in zip(labels(paths), read(paths), strict=True)])
    with writing(out) as file:
        file.write(page.encode())
    return out


def _page(pictures: list[tuple[str, Shown]]) -> str:
    rows = [
        f'<tr><th scope="row">{escaped(label)}</th>{"".join(f"<td>{fact}</td>" for fact in one.facts)}</tr>'
        for label, one in pictures
    ]
    first = pictures[0][1]
    note = f"Shown smaller than they are: no side is longer than {max(first.size)} pixels here, 100 % is of that size."
    holes = {
        "title": escaped(" | ".join(label for label, _ in pictures)),
        "style": part("viewer.css"),
        "viewer": stage(image(label, one) for label, one in pictures),
        "script": part("viewer.js"),
        "rows": "\n".join(rows),
        "note": note if first.smaller else "Shown in their own size.",
    }
    # In one pass, so that no file can be named for a hole.
    return re.sub(f"@({'|'.join(holes)})@", lambda hole: holes[hole[1]], part("compare.html"))
