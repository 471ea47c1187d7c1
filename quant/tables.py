"""Plain tables, as TOML or JSON gives them, to frozen dataclasses and back; annotations say what is allowed.

A union of dataclasses is a table whose `kind` is the class' name, in lower case and with hyphens.
"""

from __future__ import annotations

import difflib
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from runtime.errors import BadRecipe

__all__ = ["Between", "Count", "Positive", "Share", "Whole", "one_of", "plain", "refuse", "table"]


@dataclass(frozen=True)
class Between:
    """The numbers from `low` to `high`."""

    low: float
    high: float


Whole = Annotated[int, Between(0, 10**9)]
Count = Annotated[int, Between(1, 10**9)]
Share = Annotated[float, Between(0, 1)]
Positive = Annotated[float, Between(1e-9, 1e9)]


def refuse(path: str | Path, key: str, problem: str, allowed: str) -> BadRecipe:
    """The one error of a recipe: which file, which key, what is wrong with it, what may stand there."""
    return BadRecipe(path, key, problem, allowed)


def table(cls: type, values: object, *, key: str, source: str | Path, base: Any = None) -> Any:
    """A dataclass from a table; what the table lacks comes from `base`, or from the class' defaults."""
    if not isinstance(values, dict):
        raise refuse(source, key, repr(values), _words(cls))
    hints = typing.get_type_hints(cls, include_extras=True)
    for name in values:
        if name not in hints:
            raise refuse(source, _dot(key, name), "unknown", one_of(name, hints))
    for f in fields(cls):
        needed = base is None and f.default is MISSING and f.default_factory is MISSING
        if needed and f.name not in values:
            raise refuse(source, _dot(key, f.name), "missing", _words(hints[f.name]))
    read = {name: _value(value, hints[name], _dot(key, name), source) for name, value in values.items()}
    return cls(**read) if base is None else replace(base, **read)


def plain(value: Any, *, kind: bool = False) -> Any:
    """The table that a dataclass came from, defaults and all; with its `kind`, if it is one of a union."""
    if is_dataclass(value):
        hints = typing.get_type_hints(type(value), include_extras=True)
        found = {f.name: plain(getattr(value, f.name), kind=bool(_kinds(hints[f.name]))) for f in fields(value)}
        return {"kind": _kind(type(value)), **found} if kind else found
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def one_of(wrong: object, allowed: Iterable[str]) -> str:
    """The names there are, the likeliest first."""
    allowed = list(allowed)
    close = difflib.get_close_matches(str(wrong), allowed, n=1)
    return (f"{close[0]!r}? There are " if close else "one of ") + ", ".join(allowed)


def _value(value: Any, hint: Any, key: str, source: str | Path) -> Any:
    """`value` as the type that `hint` names, or the error that says what it must be."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if kinds := _kinds(hint):
        return _variant(value, kinds, key, source)
    if is_dataclass(hint):
        return table(typing.cast(type, hint), value, key=key, source=source)
    if origin is Annotated:
        number = float(value) if args[0] is float and type(value) is int else value
        if type(number) is args[0] and args[1].low <= number <= args[1].high:
            return number
    elif origin is Literal and isinstance(value, str) and value in args:
        return value
    elif origin in (types.UnionType, typing.Union):
        return _choice(value, hint, key, source)
    elif origin is tuple and isinstance(value, list) and (args[-1] is ... or len(value) == len(args)):
        items = [args[0]] * len(value) if args[-1] is ... else args
        return tuple(_value(v, h, f"{key}[{i}]", source) for i, (v, h) in enumerate(zip(value, items, strict=True)))
    elif origin is Mapping and isinstance(value, dict):
        return {name: _value(item, args[1], _dot(key, name), source) for name, item in value.items()}
    elif hint is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    elif type(value) is hint and hint is not float:
        return value
    wanted = one_of(value, args) if origin is Literal and isinstance(value, str) else _words(hint)
    raise refuse(source, key, repr(value), wanted)


def _choice(value: Any, hint: Any, key: str, source: str | Path) -> Any:
    """Of a union: the plain type that fits exactly, or else the first, which says what is wrong."""
    args = typing.get_args(hint)
    if value is None and types.NoneType in args:
        return None
    if type(value) in args:
        return _value(value, type(value), key, source)
    if len([arg for arg in args if arg is not types.NoneType]) > 1:
        raise refuse(source, key, repr(value), _words(hint))
    return _value(value, args[0], key, source)


def _variant(value: Any, kinds: dict[str, type], key: str, source: str | Path) -> Any:
    if not isinstance(value, dict):
        raise refuse(source, key, repr(value), f'a table such as {{kind = "{next(iter(kinds))}"}}')
    if "kind" not in value:
        raise refuse(source, _dot(key, "kind"), "missing", one_of(None, kinds))
    kind = value["kind"]
    if not (isinstance(kind, str) and kind in kinds):
        raise refuse(source, _dot(key, "kind"), repr(kind), one_of(kind, kinds))
    rest = {name: item for name, item in value.items() if name != "kind"}
    return table(kinds[kind], rest, key=key, source=source)


def _kinds(hint: Any) -> dict[str, type]:
    """The classes of a union of dataclasses by their kind; empty for any other annotation."""
    args = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else ()
    return {_kind(arg): arg for arg in args} if args and all(is_dataclass(arg) for arg in args) else {}


def _kind(cls: type) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower()


def _dot(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _words(hint: Any) -> str:
    """What an annotation allows."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return f"a table of {', '.join(f.name for f in fields(hint))}"
    if origin is Annotated:
        number = "a whole number" if args[0] is int else "a number"
        return f"{number} from {args[1].low:.10g} to {args[1].high:.10g}"
    if origin is Literal:
        return " or ".join(repr(choice) for choice in args)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_words(arg) for arg in args if arg is not types.NoneType)
    if origin is tuple:
        count = "" if args[-1] is ... else f"{len(args)} items, "
        return f"a list: {count}each {_words(args[0])}"
    if origin is Mapping:
        return "a table"
    return {bool: "true or false", int: "a whole number", float: "a finite number", str: "text in quotes"}[hint]
