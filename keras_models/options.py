"""The options of a network are the keyword-only parameters of its function; their annotations say what is allowed."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from runtime.contract import Option
from runtime.errors import BadOption, UnknownName

__all__ = [
    "Cell",
    "Channels",
    "Levels",
    "Span",
    "Surround",
    "Upscale",
    "Width",
    "allowed",
    "check",
    "defaults",
    "parse",
]


@dataclass(frozen=True)
class Span:
    """The whole numbers from `low` to `high`."""

    low: int
    high: int


Channels = Annotated[int, Span(1, 1024)]
Width = Annotated[int, Span(1, 1024)]
Upscale = Annotated[int, Span(1, 8)]
Cell = Annotated[int, Span(1, 2)]
Surround = Annotated[int, Span(0, 1)]
Levels = Annotated[int, Span(2, 8)]


def allowed(function: Callable[..., Any]) -> dict[str, Any]:
    """Every option of a network's function, with the annotation that bounds it."""
    hints = typing.get_type_hints(function, include_extras=True)
    return {name: hints[name] for name in inspect.signature(function).parameters}


def defaults(function: Callable[..., Any]) -> dict[str, Option]:
    """Every option of a network's function, with its default."""
    return {name: p.default for name, p in inspect.signature(function).parameters.items()}


def check(options: Mapping[str, Any], hints: Mapping[str, Any], *, of: str) -> None:
    """Raise an `Error` that names what is allowed unless every option exists and its value is possible."""
    for name, value in options.items():
        if name not in hints:
            raise UnknownName(f"option of {of}", name, hints)
        if not _fits(value, hints[name]):
            raise BadOption(name, value, _words(hints[name]))


def parse(text: str, hint: Any) -> Option:
    """The value that `text`, typed on a command line, has for an option; text that does not fit comes back as it is."""
    if typing.get_origin(hint) is Annotated and re.fullmatch(r"-?[0-9]{1,9}", text):
        return int(text)
    if hint is bool and text in ("true", "false"):
        return text == "true"
    return text


def _fits(value: Any, hint: Any) -> bool:
    match typing.get_origin(hint), typing.get_args(hint):
        case origin, (base, span) if origin is Annotated:
            return type(value) is base and span.low <= value <= span.high
        case origin, choices if origin is Literal:
            return isinstance(value, str) and value in choices
    return type(value) is hint


def _words(hint: Any) -> str:
    match typing.get_origin(hint), typing.get_args(hint):
        case origin, (_, span) if origin is Annotated:
            return f"a whole number from {span.low} to {span.high}"
        case origin, choices if origin is Literal:
            return " or ".join(repr(choice) for choice in choices)
    return "true or false" if hint is bool else f"a value of type {hint.__name__}"
