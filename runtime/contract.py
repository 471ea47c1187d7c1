"""What a model file promises: the only seam between Keras and the runtime.

It travels inside every file this project writes, as JSON, and holds all that is needed to feed the network and
to understand its answer. Sizes, halo and memory are in pixels of the network's input: for a Bayer frame packed
into four planes one such pixel is a 2x2 tile of the mosaic.
"""

from __future__ import annotations

import hashlib
import json
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runtime.errors import BadContract, BadSize

if TYPE_CHECKING:
    import numpy as np

__all__ = ["VERSION", "Contract", "digest"]

VERSION = 1
ABSENT = {"metres_per_unit"}  # fields that a text leaves out where they are None: those of older files never had them
Option = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What goes in, what comes out, and what the network needs around it."""

    network: str
    options: Mapping[str, Option] = field(default_factory=dict)
    task: Literal["enhance", "depth", "segment"]

    # What goes in: `planes` in this order, (value - black) / (white - black), times the ratio, cut at 0 and 1, or
    # the root of it (root.py).
    cfa: Literal["bayer", "x-trans", "none"]
    planes: tuple[str, ...]
    pack: int
    layout: Literal["NHWC", "NCHW"] = "NHWC"
    range: Literal["black-to-white", "root", "unit"]
    ratio_max: float

    # What comes out: `channels` planes at `scale` times the input's height and width; of a depth, how far 1 is.
    output: Literal["srgb", "camera-linear", "camera-root", "depth", "mask"]
    channels: int
    scale: Fraction
    exits: tuple[str, ...] = ("picture",)
    metres_per_unit: float | None = None

    # What it needs: sizes of this multiple, this many pixels around a tile (None: the whole frame at once),
    # and this much memory for float32 activations.
    multiple: int
    halo: int | None
    activation_bytes_per_pixel: int

    # How it was made, and how good it is.
    scheme: str = "float"
    weight_bits: int = 32
    activation_bits: int = 32
    trained_on: str = "nothing: random weights"
    figures: Mapping[str, float] = field(default_factory=dict)
    digest: str = ""

    @property
    def bits(self) -> str:
        """Of kernels and activations, in a word: w4a8, or float."""
        return "float" if self.weight_bits == 32 else f"w{self.weight_bits}a{self.activation_bits}"

    def to_json(self) -> str:
        """The contract as text: sorted, so that equal contracts are equal strings."""
        plain = {**asdict(self), "scale": str(self.scale), "version": VERSION}
        plain = {name: value for name, value in plain.items() if value is not None or name not in ABSENT}
        return json.dumps(plain, sort_keys=True, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | None, *, source: str | Path) -> Contract:
        """Read a contract that came out of `source`, or say in words why it cannot be."""

        def refuse(why: str) -> BadContract:
            return BadContract(
                source,
                f"has a contract that cannot be used ({why})",
                "write the file again with this version of qk-unet",
            )

        if text is None:
            raise BadContract(source, "has no contract", "only files written by qk-train or qk-export run here")
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError):
            raise refuse("it is not JSON") from None
        if not isinstance(plain, dict):
            raise refuse("it is not a JSON object")
        if plain.pop("version", None) != VERSION:
            raise refuse(f"it is not of version {VERSION}")
        hints = typing.get_type_hints(cls)
        known = {f.name for f in fields(cls)}
        if missing := known - ABSENT - plain.keys():
            raise refuse(f"it lacks {', '.join(sorted(missing))}")
        if unknown := plain.keys() - known:
            raise refuse(f"it holds {', '.join(sorted(unknown))}, which is unknown here")
        try:
            contract = cls(**{key: _read(key, value, hints[key]) for key, value in plain.items()})
            contract.check()
        except ValueError as error:
            raise refuse(str(error)) from None
        return contract

    def require_size(self, height: int, width: int) -> None:
        """Raise `BadSize` unless the network takes an input of that size."""
        if height < 1 or width < 1 or height % self.multiple or width % self.multiple:
            raise BadSize(height, width, self.multiple)

    def check(self) -> None:
        """Raise ValueError unless the numbers make sense together."""
        for name in (
            "pack",
            "channels",
            "multiple",
            "weight_bits",
            "activation_bits",
            "activation_bytes_per_pixel",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}")
        if not self.planes or not self.exits:
            raise ValueError("planes or exits are empty")
        if not 1 <= self.ratio_max < float("inf"):
            raise ValueError(f"ratio_max is {self.ratio_max}")
        if self.metres_per_unit is not None and (self.output != "depth" or not 0 < self.metres_per_unit < float("inf")):
            raise ValueError(f"metres_per_unit is {self.metres_per_unit}, and what comes out {self.output}")
        if self.halo is not None and (self.halo < 0 or self.halo % self.multiple):
            raise ValueError(f"the halo {self.halo} is no multiple of {self.multiple}")
        mosaic = {"bayer": (4, 2), "x-trans": (9, 3), "none": (len(self.planes), 1)}[self.cfa]
        if (len(self.planes), self.pack) != mosaic:
            raise ValueError(f"{len(self.planes)} planes packed by {self.pack} are no {self.cfa} mosaic")


def _read(key: str, value: Any, hint: Any) -> Any:
    """`value` as JSON gave it, as the type that `hint` names; ValueError if it is not one."""
    wrong = ValueError(f"{key} is {value!r}")
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value in args and type(value) in {type(a) for a in args}:
            return value
        raise ValueError(f"{key} is {value!r} and not one of {', '.join(map(str, args))}")
    if origin in (types.UnionType, typing.Union):
        if type(value) in args or (value is None and types.NoneType in args):
            return value
        raise wrong
    if origin is tuple and isinstance(value, list):
        return tuple(_read(key, item, args[0]) for item in value)
    if origin is Mapping and isinstance(value, dict):
        return {name: _read(f"{key}.{name}", item, args[1]) for name, item in value.items()}
    if hint is Fraction and isinstance(value, str) and re.fullmatch(r"[1-9]\d{0,3}(/[1-9]\d{0,3})?", value):
        return Fraction(value)
    if hint is float and type(value) in (int, float):
        return float(value)
    if type(value) is hint:
        return value
    raise wrong


def digest(contract: Contract, arrays: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """SHA-256 over the contract and every array, names and shapes included, in the order of the names."""
    sha = hashlib.sha256(replace(contract, digest="").to_json().encode())
    for name in sorted(arrays):
        array = arrays[name]
        sha.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()
