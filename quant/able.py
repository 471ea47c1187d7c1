"""What a recipe may ask for that this version cannot do yet: said before anything is begun."""

from __future__ import annotations

from quant.recipe import Qat, Recipe
from runtime.errors import BadOption

__all__ = ["lacking", "require"]


def lacking(recipe: Recipe) -> str | None:
    """The first key that asks for too much; None if all of it can be done."""
    asked = {
        "data.kind": recipe.data.kind != "synthetic",
        "data.folder": recipe.data.folder is not None,
        "data.options": bool(recipe.data.options),
        "distill": recipe.distill is not None,
        "warm_start": recipe.warm_start is not None,
        "scheme.skip": isinstance(recipe.scheme, Qat) and bool(recipe.scheme.skip),
        "mixed_precision": recipe.fit.mixed_precision or recipe.fine_tune.mixed_precision,
    }
    return next((key for key, much in asked.items() if much), None)


def require(recipe: Recipe) -> None:
    """Raise `BadOption` for the first key that asks for too much."""
    if (key := lacking(recipe)) is not None:
        raise BadOption(f"{key} of {recipe.name!r}", "what it is", "another recipe: this version cannot do that yet")
