"""The folder of a run: it says what it is of, refuses to become another's, and can be begun from."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from export.parity import Parity
from keras_models import parents
from quant.recipe import Recipe, from_json, to_json
from runtime.atomic import writing
from runtime.errors import BadRecipe, FileError, UnreadableFile

__all__ = ["MASTER", "Result", "claim", "commit", "finish", "finished", "master", "recipe_of"]

NOTE, RESULT, MASTER = "run.json", "result.json", "master.npz"
LIBRARIES = ("qk-unet", "tensorflow", "tf_keras", "tensorflow-model-optimization", "qkeras", "numpy", "onnx", "rawpy")


@dataclass(frozen=True)
class Result:
    """What a training left: figures on held-out pairs after each fit, every file with its proof, what was skipped."""

    folder: Path
    figures: dict[str, dict[str, float]]
    files: dict[str, Parity]
    skipped: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        files = {name: parity.as_dict() for name, parity in self.files.items()}
        return {"folder": str(self.folder), "figures": self.figures, "files": files, "skipped": list(self.skipped)}


def claim(out: Path, recipe: Recipe, **facts: Any) -> None:
    """Say in the folder what it is of; refuse one of another recipe."""
    note = out / NOTE
    if note.exists():
        if recipe_of(out) != recipe:
            raise FileError(out, "holds a run of another recipe", "name another folder")
        return
    told = {
        "recipe": json.loads(to_json(recipe)),
        "commit": commit(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        "begun": time.strftime("%Y-%m-%d %H:%M:%S"),
        "machine": platform.platform(),
        **facts,
    }
    out.mkdir(parents=True, exist_ok=True)
    with writing(note) as file:
        file.write(json.dumps(told, indent=1).encode())


def recipe_of(out: Path) -> Recipe | None:
    """What the folder is of; what a recipe could not say yet when the run began has its default."""
    try:
        return from_json(json.dumps(_read(out / NOTE).get("recipe")), source=out / NOTE)
    except BadRecipe:
        return None


def finish(result: Result) -> None:
    """Note that a run is done, with what it reached."""
    with writing(result.folder / RESULT) as file:
        file.write(json.dumps(result.as_dict(), indent=1).encode())


def finished(out: Path, recipe: Recipe) -> bool:
    """Whether a run of this very recipe ended well there, and its files and weights are where it wrote them."""
    if recipe_of(out) != recipe:
        return False
    files = _read(out / RESULT).get("files")
    return isinstance(files, dict) and all((out / name).is_file() for name in (MASTER, *files))


def master(run: str, *, beside: Path) -> Path:
    """The float weights of a finished run, a folder or the name of one beside this run's own; or those that ship."""
    for folder in (Path(run), beside.parent / run):
        if (folder / RESULT).is_file() and (folder / MASTER).is_file():
            return folder / MASTER
    if run in parents.PARENTS:
        return parents.located(run)
    wanted = beside.parent / run
    raise UnreadableFile(wanted, "is no finished run", f"train {Path(run).name!r} first, with --out {wanted}")


def commit() -> str | None:
    """Which commit of this project's code runs, with a mark if files were changed since; None outside a clone."""
    here = Path(__file__).parent.parent
    if not (here / ".git").exists():
        return None
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=here, capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() or None


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
