"""The key of a survey: which picture of the page is whose. It stays with who asks; the page knows opaque ids alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import AlteredFile, UnreadableFile

__all__ = ["KEY", "RESULT", "VERSION", "Key", "key_path", "load"]

KEY, RESULT = "qk-survey-key", "qk-survey-result"  # what the files say they are
VERSION = 1
MOST = 2**26  # bytes; no answers are longer


@dataclass(frozen=True)
class Key:
    """A survey's id, its models and scenes, and of each picture's id the scene and the model."""

    survey: str
    models: tuple[str, ...]
    scenes: tuple[str, ...]
    pictures: Mapping[str, tuple[str, str]]
    seed: int

    def text(self) -> str:
        """The file."""
        fields = {"survey": self.survey, "seed": self.seed, "models": self.models, "scenes": self.scenes}
        return json.dumps({"kind": KEY, "version": VERSION, **fields, "pictures": dict(self.pictures)}, indent=1) + "\n"

    @classmethod
    def read(cls, path: str | Path) -> Key:
        """The key in a file, or an `Error` that says why there is none."""
        found = load(path, KEY, "the key that qk-run survey wrote beside the page")
        try:
            models, scenes = (tuple(map(_text, found[name])) for name in ("models", "scenes"))
            pictures = {_text(name): (_text(scene), _text(model)) for name, (scene, model) in found["pictures"].items()}
            known = all(scene in scenes and model in models for scene, model in pictures.values())
            if known and len(set(models)) == len(models) > 1:
                return cls(_text(found["survey"]), models, scenes, pictures, int(found["seed"]))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            pass
        raise AlteredFile(path, "is a key that was changed", "use the file as qk-run survey wrote it")


def key_path(page: str | Path) -> Path:
    """Where the key of a page lies: beside it."""
    page = Path(page)
    return page.with_name(f"{page.stem}-key.json")


def load(path: str | Path, kind: str, wanted: str) -> dict[str, Any]:
    """The JSON object of that kind in a file, or an `Error` in words."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(MOST)
        found = json.loads(text.decode("utf-8-sig"))
    except OSError as error:
        raise UnreadableFile(path, f"cannot be read ({error.strerror})", f"name {wanted}") from None
    except (ValueError, RecursionError):
        raise UnreadableFile(path, "is cut short, or is no JSON", f"name {wanted}, whole") from None
    said = found.get("kind") if isinstance(found, dict) else None
    if said != kind:
        is_key = "is the key of a survey" if said == KEY else "is the answers of a judge" if said == RESULT else None
        raise UnreadableFile(path, is_key or "holds something else", f"name {wanted}")
    if found.get("version") != VERSION:
        problem = f"is of version {str(found.get('version'))[:20]}, and this program knows version {VERSION}"
        raise UnreadableFile(path, problem, "use the version of qk-unet that wrote the page")
    return dict(found)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
