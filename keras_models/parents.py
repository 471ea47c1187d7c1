"""The float weights of the models that ship, by name: to be exported again, measured against, or trained on."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FOLDER", "NAMES", "located"]

FOLDER = Path(__file__).with_name("parents")
NAMES = ("fast",)


def located(weights: str | Path) -> Path:
    """The file that is meant: one of that path, or else the weights of that name."""
    path = Path(weights)
    return FOLDER / f"{weights}.npz" if str(weights) in NAMES and not path.exists() else path
