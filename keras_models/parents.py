"""The float weights of the models that ship, by name: to be exported again, measured against, or trained on."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FOLDER", "PARENTS", "located"]

FOLDER = Path(__file__).with_name("parents")
# The float weights that each of the models was made of.
PARENTS = {"fast": "fast", "balanced": "balanced", "small": "fast"}


def located(weights: str | Path) -> Path:
    """The file that is meant: one of that path, or else what the model of that name was made of."""
    path = Path(weights)
    return FOLDER / f"{PARENTS[str(weights)]}.npz" if str(weights) in PARENTS and not path.is_file() else path
