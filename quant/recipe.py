"""A recipe is data: which network, trained how, on what, made small by which scheme, written to which formats.

It is read from TOML and says only what differs from a default. Every key is checked before anything is computed; the
variants of a scheme or a schedule are tables with a `kind`, and classes here. `like` names another file of its folder
or of this project: what this one does not say is as it stands there.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from keras_models.zoo import names as networks
from quant.data import Data, Nyu, Rooms, Shapes, Sid, Synthetic, data_clashes
from quant.scheme import Bits, FixedPoint, Float, PaperFixedPoint, Ptq, Qat, Scheme, scheme_clashes
from quant.tables import Between, Count, Positive, Share, Whole, one_of, plain, refuse, table
from runtime.contract import Option
from runtime.errors import UnknownName, UnreadableFile
from runtime.library import need

__all__ = [
    "Constant",
    "Cosine",
    "Data",
    "Distill",
    "Export",
    "Fit",
    "FixedPoint",
    "Float",
    "Model",
    "Nyu",
    "PaperFixedPoint",
    "Ptq",
    "Qat",
    "Recipe",
    "Rooms",
    "Scheme",
    "Shapes",
    "Sid",
    "Steps",
    "Synthetic",
    "from_json",
    "names",
    "read",
    "tables",
    "to_json",
]

FOLDER = Path(__file__).parent / "recipes"
WINDOW = 11  # of SSIM, in losses.py
# Python 3.10 has no reader of TOML; its place there takes `tomli`, the same one before it joined the library.
TOML = "tomllib" if sys.version_info >= (3, 11) else "tomli"


Rate = Annotated[float, Between(1e-9, 1)]
Seed = Annotated[int, Between(0, 2**31 - 1)]  # from there on are those of held-out pairs: see sources.py


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network of the zoo, and the options that it is built with."""

    network: str
    options: Mapping[str, Option] = field(default_factory=dict)


@dataclass(frozen=True)
class Constant:
    """The same rate throughout."""


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The rate times `factor` from each boundary on."""

    boundaries: tuple[Count, ...]
    factor: Rate = 0.1


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Up in a straight line, then down half a wave to the share `last` of the rate (Loshchilov and Hutter, 2017)."""

    warm_up: Whole = 0
    last: Share = 0.0


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A training; `size` is the side of a patch in pixels of the network's input, which are packed ones for RAW."""

    steps: Whole
    batch: Annotated[int, Between(1, 4096)] = 16
    size: Annotated[int, Between(1, 4096)] = 64
    loss: Literal["l1", "l1-light", "l1-level", "l2", "ssim", "ms-ssim-l1", "dice", "depth"] = "l1"
    optimizer: Literal["adam", "adamw"] = "adam"
    rate: Rate = 1e-4
    schedule: Constant | Steps | Cosine = field(default_factory=Constant)
    weight_decay: Share | None = None
    clip: Positive | None = None
    ema: Share | None = None
    seed: Seed = 0
    validate_every: Count = 1000
    checkpoint_every: Count = 500
    mixed_precision: bool = False  # where the machine has it, and in float fits alone: see precision.py

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, the first being 0."""
        match self.schedule:
            case Constant():
                return self.rate
            case Steps(boundaries=boundaries, factor=factor):
                return self.rate * factor ** sum(step >= boundary for boundary in boundaries)
            case Cosine(warm_up=warm_up) if step < warm_up:
                return self.rate * (step + 1) / warm_up
            case Cosine(warm_up=warm_up, last=last):
                share = min((step - warm_up) / max(self.steps - warm_up, 1), 1)
                return self.rate * (last + (1 - last) * (1 + math.cos(math.pi * share)) / 2)

    def shortened(self, most: int) -> Fit:
        """At most so many steps, and in them the whole of the schedule; what becomes no step of it is left out."""
        few, schedule = min(most, self.steps), self.schedule
        if few in (0, self.steps):
            return replace(self, steps=few)
        match schedule:
            case Steps(boundaries=boundaries):
                at = sorted({boundary * few // self.steps for boundary in boundaries} - {0})
                schedule = replace(schedule, boundaries=tuple(at)) if at else Constant()
            case Cosine(warm_up=warm_up):
                schedule = replace(schedule, warm_up=warm_up * few // self.steps)
        return replace(self, steps=few, schedule=schedule)


@dataclass(frozen=True, kw_only=True)
class Export:
    """A file to write; `bits` rounds a float network's kernels."""

    format: Literal["onnx", "tflite"]
    bits: Bits | None = None


@dataclass(frozen=True, kw_only=True)
class Distill:
    """A teacher, by its run folder or the name of one beside this run's; and which layers are compared, in pairs."""

    teacher: str
    teacher_maps: tuple[str, ...]
    student_maps: tuple[str, ...]
    weight: Positive = 10.0  # what the weights of all maps add up to, as published


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All of it; what `fine_tune` does not say it takes from `fit`, but for its steps (0) and schedule (constant)."""

    name: str
    model: Model
    scheme: Scheme = field(default_factory=Float)
    fit: Fit
    fine_tune: Fit
    data: Data = field(default_factory=Synthetic)
    exports: tuple[Export, ...] = (Export(format="onnx"), Export(format="tflite"))
    distill: Distill | None = None
    warm_start: str | None = None


def names() -> list[str]:
    """The recipes that come with the project, each for itself."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def tables() -> dict[str, list[str]]:
    """Those that belong together, a folder each: its name, and theirs."""
    folders = sorted(path for path in FOLDER.iterdir() if path.is_dir())
    return {folder.name: sorted(f"{folder.name}/{path.stem}" for path in folder.glob("*.toml")) for folder in folders}


def read(path_or_name: str | Path) -> Recipe:
    """A recipe of this project by its name, or one's own by its path."""
    known = FOLDER / f"{path_or_name}.toml"
    path = known if known.is_file() else Path(path_or_name)
    if path.suffix != ".toml":
        raise UnknownName("recipe", path_or_name, [*names(), *tables()["shipped"]])
    return _recipe(_values(path), path.stem, path)


def _values(path: Path, *, behind: tuple[Path, ...] = ()) -> dict[str, Any]:
    """What a file says, over what it takes from the one it is like; `behind` are those that are like it."""
    toml = need(TOML, library=TOML, extra="train")
    try:
        values = toml.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableFile(path, f"cannot be read ({error.strerror})", "name a recipe that exists") from None
    except (ValueError, RecursionError) as error:
        raise refuse(path, "the file", f"not TOML ({error})", "tables of key = value") from None
    if (like := values.pop("like", None)) is None:
        return values
    beside, known = (folder / f"{like}.toml" for folder in (path.parent, FOLDER))
    other = next((file for file in (beside, known) if file.is_file() and file not in (path, *behind)), None)
    if other is None:
        others = {file.stem for file in path.parent.glob("*.toml")} - {file.stem for file in (path, *behind)}
        raise refuse(path, "like", repr(like), one_of(str(like), sorted(others.union(names(), *tables().values()))))
    return _over(_values(other, behind=(path, *behind)), values)


def _over(known: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """One table over another, key by key; a variant over another variant as a whole."""
    made = dict(known)
    for key, value in own.items():
        under: Any = made.get(key)
        tables = isinstance(under, dict) and isinstance(value, dict)
        same = tables and value.get("kind", under.get("kind")) == under.get("kind")
        made[key] = _over(under, value) if same else value
    return made


def to_json(recipe: Recipe) -> str:
    """A recipe as text, defaults and all."""
    return json.dumps(plain(recipe), sort_keys=True, allow_nan=False)


def from_json(text: str, *, source: str | Path) -> Recipe:
    """What `to_json` wrote, checked as a file is."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise refuse(source, "the file", "not JSON", "what a run wrote") from None
    if not isinstance(values, dict):
        raise refuse(source, "the file", "not a JSON object", "what a run wrote")
    return _recipe(values, str(values.pop("name", "unnamed")), source)


def _recipe(values: dict[str, Any], name: str, source: str | Path) -> Recipe:
    """A checked recipe from what a file holds; its name is the file's."""
    if "name" in values:
        raise refuse(source, "name", "unknown", "the file's own name instead")
    known = {"name": name, "fine_tune": {"steps": 0}, **values}
    recipe: Recipe = table(Recipe, {**known, "fine_tune": {"steps": 0}}, key="", source=source)
    base = replace(recipe.fit, steps=0, schedule=Constant(), mixed_precision=False)
    recipe = replace(recipe, fine_tune=table(Fit, known["fine_tune"], key="fine_tune", source=source, base=base))
    for key, problem, allowed in _clashes(recipe):
        raise refuse(source, key, problem, allowed)
    return recipe


def _clashes(recipe: Recipe) -> Iterator[tuple[str, str, str]]:
    """What is wrong between keys that are each right: the key, the problem, what may stand there."""
    if recipe.model.network not in networks():
        yield "model.network", repr(recipe.model.network), one_of(recipe.model.network, networks())
    for key, fit in (("fit", recipe.fit), ("fine_tune", recipe.fine_tune)):
        yield from _fit_clashes(key, fit, recipe.data)
    yield from data_clashes(recipe.data)
    if not recipe.exports:
        yield "exports", "empty", "one format or more"
    if len(set(recipe.exports)) < len(recipe.exports):
        yield "exports", "twice the same", "each format and number of bits once"
    if recipe.fine_tune.mixed_precision and not isinstance(recipe.scheme, Float):
        yield "fine_tune.mixed_precision", "true under a scheme", "false: rounding is trained in float32"
    if not isinstance(recipe.scheme, Float) and any(export.bits for export in recipe.exports):
        yield "exports.bits", "set for a scheme that has its own", "it with the float scheme alone"
    yield from scheme_clashes(recipe.scheme, trains=recipe.fine_tune.steps > 0)
    if (d := recipe.distill) and (not d.teacher_maps or len(d.teacher_maps) != len(d.student_maps)):
        yield "distill.student_maps", f"{len(d.student_maps)} names", f"as many as teacher_maps, {len(d.teacher_maps)}"


def _fit_clashes(key: str, fit: Fit, data: Data) -> Iterator[tuple[str, str, str]]:
    kinds: tuple[type, ...] = {"dice": (Shapes,), "depth": (Nyu, Rooms)}.get(fit.loss, (type(data),))
    if not isinstance(data, kinds):
        names = " or ".join(kind.__name__.lower() for kind in kinds)
        yield (
            f"{key}.loss",
            f"{fit.loss!r} with {type(data).__name__.lower()} data",
            f"it with {names} data, or another",
        )
    if fit.weight_decay is not None and fit.optimizer != "adamw":
        yield f"{key}.weight_decay", f"set for {fit.optimizer!r}", "it with 'adamw'"
    if fit.optimizer == "adamw" and fit.weight_decay is None:
        yield f"{key}.optimizer", "'adamw' without weight_decay", "both, or 'adam', which is the same without"
    if fit.loss in ("l1-light", "l1-level") and getattr(data, "output", None) != "camera-root":
        yield f"{key}.loss", f"{fit.loss!r} where no root is told", "it with the output camera-root, or another"
    if fit.loss in ("ssim", "ms-ssim-l1") and fit.size < WINDOW:
        yield f"{key}.size", str(fit.size), f"{WINDOW} or more: SSIM's window must fit"
    match fit.schedule:
        case Steps(boundaries=at) if at != tuple(sorted(set(at))) or not at or (fit.steps and at[-1] >= fit.steps):
            yield f"{key}.schedule.boundaries", str(list(at)), f"rising steps below {fit.steps}"
        case Cosine(warm_up=warm_up) if fit.steps and warm_up >= fit.steps:
            yield f"{key}.schedule.warm_up", str(warm_up), f"less than the {fit.steps} steps"
