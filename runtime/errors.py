"""Everything a user can cause or cure, on one page.

    Error
    ├── UsageError                  exit 2: what was asked for cannot be
    │   ├── UnknownName             no network, provider, ... of that name
    │   ├── BadOption               the option exists, its value cannot be
    │   ├── BadRecipe               a key of a recipe that is unknown, missing or cannot be so
    │   ├── BadSize                 an image size the network cannot take
    │   ├── UnknownLayer            a network with a layer nobody here can count or write
    │   ├── BadNumbers              weights that are not finite
    │   ├── TooLittleMemory         no plan keeps the promise that was asked for
    │   └── BadGrid                 levels that cannot be: no bits, no range, not finite
    ├── FileError                   exit 1: this file cannot be used, others may
    │   ├── UnreadableFile          missing, empty, cut short, or of another format
    │   ├── UnsupportedRaw          a RAW file of a kind no network here takes: linear, monochrome, ...
    │   ├── NoPicture               a RAW file whose pixels show nothing, or whose levels cannot be
    │   ├── Busy                    another run is writing there
    │   ├── AlteredFile             readable, but not what was once written
    │   ├── BadContract             the contract is absent, foreign or of a later version
    │   ├── NotEqual                a file that does not compute what it was written from
    │   └── WrongNetwork            the weights of another network, or of other options
    ├── EngineFailed                exit 1: an engine gave up on one input; others may do
    └── SetupError                  exit 3: this machine lacks something
        └── MissingLibrary          a library that an extra brings

A message says what is wrong and how to mend it, in one line; the fields hold the same for a program.
A caller's bug is a ValueError or a TypeError and never an Error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "AlteredFile",
    "BadContract",
    "BadGrid",
    "BadNumbers",
    "BadOption",
    "BadRecipe",
    "BadSize",
    "Busy",
    "EngineFailed",
    "Error",
    "FileError",
    "MissingLibrary",
    "NoPicture",
    "NotEqual",
    "SetupError",
    "TooLittleMemory",
    "UnknownLayer",
    "UnknownName",
    "UnreadableFile",
    "UnsupportedRaw",
    "UsageError",
    "WrongNetwork",
]


class Error(Exception):
    """Something a user can cause or cure: what is wrong, and the remedy."""

    exit_code = 1

    def __init__(self, problem: str, remedy: str) -> None:
        self.problem, self.remedy = problem, remedy
        super().__init__(" ".join(f"{problem}: {remedy}".split()))

    def __reduce__(self) -> tuple[object, ...]:
        """Cross a process boundary whole: fields and message, whatever __init__ asks for."""
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[Error], args: tuple[object, ...], fields: dict[str, object]) -> Error:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class UsageError(Error):
    """What was asked for cannot be."""

    exit_code = 2


class UnknownName(UsageError):
    """No thing of that kind has that name."""

    def __init__(self, kind: str, name: object, allowed: Iterable[str]) -> None:
        self.kind, self.name, self.allowed = kind, name, tuple(allowed)
        close = difflib.get_close_matches(str(name), self.allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        super().__init__(f"no {kind} is named {str(name)!r}", f"{hint}there are {', '.join(self.allowed) or 'none'}")


class BadOption(UsageError):
    """An option that exists, with a value that cannot be."""

    def __init__(self, option: str, value: object, allowed: str) -> None:
        self.option, self.value, self.allowed = option, value, allowed
        super().__init__(f"{option} cannot be {value!r}", f"use {allowed}")


class BadRecipe(UsageError):
    """A key of a recipe that is unknown, missing or cannot be so."""

    def __init__(self, path: str | Path, key: str, problem: str, allowed: str) -> None:
        self.path, self.key, self.problem, self.allowed = str(path), key, problem, allowed
        super().__init__(f"{path}: {key} cannot be {problem}", f"use {allowed}")


class BadSize(UsageError):
    """An image size the network cannot take."""

    def __init__(self, height: int, width: int, multiple: int) -> None:
        self.height, self.width, self.multiple = height, width, multiple
        up = [max(-(-n // multiple), 1) * multiple for n in (height, width)]
        super().__init__(
            f"{height} x {width} is no multiple of {multiple}",
            f"both sides must be; the next size up is {up[0]} x {up[1]}",
        )


class UnknownLayer(UsageError):
    """A layer for which no rule is written: counting it as nothing would be a lie."""

    def __init__(self, layer: str, kind: str, doing: str) -> None:
        self.layer, self.kind, self.doing = layer, kind, doing
        super().__init__(
            f"layer {layer!r} of type {kind} is unknown to {doing}",
            "use layers the zoo uses, or add a rule for this one",
        )


class BadNumbers(UsageError):
    """Weights that are not finite."""

    def __init__(self, weight: str) -> None:
        self.weight = weight
        super().__init__(f"{weight} holds NaN or infinity", "train again from the last weights that were finite")


class BadGrid(UsageError):
    """Levels that cannot be."""

    def __init__(self, found: str, allowed: str) -> None:
        self.found, self.allowed = found, allowed
        super().__init__(f"no grid can have {found}", f"use {allowed}")


class TooLittleMemory(UsageError):
    """No plan keeps the promise that was asked for; sizes in bytes."""

    def __init__(self, asked: int, least: int) -> None:
        self.asked, self.least = asked, least
        super().__init__(
            f"{asked / 2**20:.0f} MiB are too little for this model and frame",
            f"use --max-memory {-(-least // 2**20)}M or more, or a smaller model",
        )


class FileError(Error):
    """This file cannot be used; others may."""

    def __init__(self, path: str | Path, problem: str, remedy: str) -> None:
        self.path = Path(path)
        super().__init__(f"{str(path)!r} {problem}", remedy)


class UnreadableFile(FileError):
    """Missing, empty, cut short, or of another format."""


class UnsupportedRaw(FileError):
    """A RAW file of a kind no network here takes."""

    def __init__(self, path: str | Path, kind: str, allowed: str) -> None:
        self.kind, self.allowed = kind, allowed
        super().__init__(path, f"is {kind}", f"{allowed} can be enhanced")


class NoPicture(FileError):
    """A RAW file whose pixels show nothing, or whose levels cannot be."""


class Busy(FileError):
    """Another run is writing there."""


class AlteredFile(FileError):
    """Readable, but not what was once written."""


class BadContract(FileError):
    """The contract is absent, foreign or of a later version."""


class NotEqual(FileError):
    """A file that does not compute what it was written from."""

    def __init__(self, path: str | Path, worst: float, exact: float, where: tuple[int, ...]) -> None:
        self.worst, self.exact, self.where = worst, exact, where
        super().__init__(
            path,
            f"differs from its network by up to {worst:.3g} steps, worst at {where}, {exact:.2%} of the values equal",
            "it was not kept; this engine's version computes something else: please report it",
        )


class WrongNetwork(FileError):
    """The weights of another network, or of the same one built with other options."""


class EngineFailed(Error):
    """An engine gave up on one input: out of memory, or a device that is gone."""

    def __init__(self, engine: str, words: str) -> None:
        self.engine, self.words = engine, words
        remedy = "give it less at a time (--max-memory, --side), or take another --provider"
        super().__init__(f"{engine} failed while it ran ({words})", remedy)


class SetupError(Error):
    """This machine lacks something."""

    exit_code = 3


class MissingLibrary(SetupError):
    """A library that one of the extras brings is not installed."""

    def __init__(self, library: str, extra: str) -> None:
        self.library, self.extra = library, extra
        super().__init__(f"{library} is not installed", f"pip install 'qk-unet[{extra}]'")
