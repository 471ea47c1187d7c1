"""Objects of a JSON file, whose fields are of the kind they should be or refused in words."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import UnreadableFile

__all__ = ["Fields", "shortened"]


@dataclass(frozen=True)
class Fields:
    """An object, and what to say of it: whose file, where in it, and what to give instead."""

    path: Path
    where: str
    remedy: str
    fields: Mapping[str, Any]

    def refuse(self, why: str) -> UnreadableFile:
        """The error that says why."""
        return UnreadableFile(self.path, f"cannot be reported: {self.where} {why}", self.remedy)

    def number(self, name: str, *, needed: bool = False, missing: float = math.nan) -> float:
        """A number, or `missing` where there is none."""
        found = self.fields.get(name)
        if found is None and (not needed or name in self.fields):  # null: what has no number
            return missing
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise self.refuse(f"has {shortened(found)} as {name}, no number")
        try:
            return float(found)
        except OverflowError:
            raise self.refuse(f"has a {name} beyond all numbers") from None

    def text(self, name: str, *, needed: bool = False) -> str:
        """A text, "" where there is none."""
        found = self.fields.get(name)
        if needed and (not isinstance(found, str) or not found):
            raise self.refuse(f"has {shortened(found)} as {name}, no text")
        if isinstance(found, (list, tuple)):
            return "/".join(map(str, found))
        return "" if found is None else str(found)

    def numbers(self, name: str) -> dict[str, float]:
        """An object of numbers."""
        inside = self.inside(name)
        return {key: inside.number(key) for key in inside.fields}

    def inside(self, name: str, *, needed: bool = False) -> Fields:
        """An object in this one, an empty one where there is none."""
        found = self.fields.get(name)
        if found is None and not needed:
            found = {}
        if not isinstance(found, dict):
            raise self.refuse(f"has {shortened(found)} as {name}, no object")
        return Fields(self.path, f"{self.where}, {name},", self.remedy, found)

    def each(self, name: str) -> list[Fields]:
        """A list of objects in this one."""
        found = self.fields.get(name) or []
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self.refuse(f"has no list of objects as {name}")
        return [Fields(self.path, f"{name}[{i}]", self.remedy, one) for i, one in enumerate(found)]


def shortened(value: object) -> str:
    """What was found, as a message can hold it."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else text[:39] + "…"
