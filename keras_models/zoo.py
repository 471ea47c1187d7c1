"""The zoo: every network by name, and the one way to build it, with its contract.

A network is a function of keyword-only options that returns a Keras model. Its row here says where the function
is, which options the name fixes, and whose work it is. The contract is computed from the built graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from keras_models.mosaic import MOSAICS
from keras_models.options import allowed, check, defaults, parse
from runtime.contract import Contract, Option
from runtime.errors import BadOption, UnknownName
from runtime.library import need

if TYPE_CHECKING:
    import tf_keras

__all__ = ["Network", "add", "build", "completed", "find", "names", "options_of"]

Task = Literal["enhance", "depth", "segment"]


@dataclass(frozen=True)
class Network:
    """A row: `function` is the builder, or "module:name" of one not imported yet."""

    function: Callable[..., Any] | str
    authors: str
    year: int
    task: Task = "enhance"
    fixed: Mapping[str, Option] = field(default_factory=dict)

    def load(self) -> Callable[..., tf_keras.Model]:
        """The function, its module imported now (and TensorFlow with it)."""
        if callable(self.function):
            return self.function
        module, _, name = self.function.partition(":")
        need("tf_keras", library="tf_keras", extra="train")
        return getattr(need(f"keras_models.{module}", library="tensorflow", extra="train"), name)


_ZOO: dict[str, Network] = {
    "unet": Network("unet:unet", "Chen et al.", 2018),
    "light": Network("unet:unet", "Chen et al., Howard et al.", 2018, fixed={"separable_convs": "second"}),
    "lighter": Network("unet:unet", "Chen et al., Howard et al.", 2018, fixed={"separable_convs": "both"}),
    "squeeze": Network("squeeze:squeeze", "Beheshti and Johnsson", 2020, "segment"),
    "c-unet": Network("cunet:cunet", "Bahl et al.", 2019, "segment", fixed={"plan": "c-unet"}),
    "c-unet++": Network("cunet:cunet", "Bahl et al.", 2019, "segment", fixed={"plan": "c-unet++"}),
    "thin": Network("thin:thin", "Vaze et al.", 2020, "segment", fixed={"convs": "regular"}),
    "thin-separable": Network("thin:thin", "Vaze et al.", 2020, "segment", fixed={"convs": "separable"}),
    "thin-student": Network(
        "thin:thin", "Vaze et al.", 2020, "segment", fixed={"convs": "separable", "last_down_convs": 3}
    ),
    "fixed-unet": Network("fixed_unet:fixed_unet", "AskariHemmat et al.", 2019, "segment"),
    "effnet-ffnet": Network("effnet_ffnet:effnet_ffnet", "Tan and Le, Mehta et al.", 2022, "depth"),
}


def names() -> tuple[str, ...]:
    """Every network that `build` knows."""
    return tuple(_ZOO)


def find(name: str) -> Network:
    """The row of that name, or an `Error` that lists them."""
    if name not in _ZOO:
        raise UnknownName("network", name, _ZOO)
    return _ZOO[name]


def add(name: str, function: Callable[..., Any], *, authors: str, year: int, task: Task = "enhance") -> None:
    """Put a network of one's own into the zoo: whatever works on a name works on it from now on."""
    if name in _ZOO:
        raise ValueError(f"{name!r} is in the zoo already")
    _ZOO[name] = Network(function, authors, year, task)


def build(name: str, **options: Option) -> tuple[tf_keras.Model, Contract]:
    """Build a network with random weights, and the contract its graph implies."""
    row, chosen = find(name), completed(name, options)
    function = row.load()
    from keras_models.limit import limited

    with limited(name):
        model = function(**{**chosen, **row.fixed})
    return model, _contract(name, row, chosen, model)


def completed(name: str, options: Mapping[str, Option]) -> dict[str, Option]:
    """All options of a network, those that are not given as they are by themselves."""
    row = find(name)
    function = row.load()
    hints = {key: hint for key, hint in allowed(function).items() if key not in row.fixed}
    check(options, hints, of=name)
    chosen = _ends(options, defaults(function) | dict(row.fixed))
    return {key: chosen[key] for key in hints}


def options_of(name: str, texts: Iterable[str]) -> dict[str, Option]:
    """The options of a network as typed on a command line, each NAME=VALUE; `build` checks them."""
    hints = allowed(find(name).load())
    chosen: dict[str, Option] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise BadOption("option", text, "NAME=VALUE")
        chosen[key] = parse(value, hints.get(key, str))
    return chosen


def _ends(options: Mapping[str, Option], default: Mapping[str, Option]) -> dict[str, Option]:
    """All options, the two ends made to suit each other: a packed mosaic comes out at full size, in colour."""
    chosen: dict[str, Any] = {**default, **options}
    ins = chosen["in_channels"]
    if "upscale" not in chosen:
        return chosen
    if "in_channels" in options and "upscale" not in options:
        chosen["upscale"] = MOSAICS[ins].pack if ins in MOSAICS else 1
    cell = chosen["upscale"] ** 2
    if "in_channels" in options and "out_channels" not in options:
        if ins not in MOSAICS:
            raise BadOption(
                "in_channels",
                ins,
                f"out_channels with it, unless it is {' or '.join(map(str, MOSAICS))} (a mosaic)",
            )
        chosen["out_channels"] = 3 * cell
    if chosen["out_channels"] % cell:
        raise BadOption(
            "out_channels",
            chosen["out_channels"],
            f"a multiple of {cell}, since upscale is {chosen['upscale']}",
        )
    return chosen


def _contract(name: str, row: Network, options: Mapping[str, Option], model: tf_keras.Model) -> Contract:
    """What the graph, the row and the channel counts promise together."""
    from keras_models.counting import peak_activations
    from keras_models.geometry import sight

    seen = sight(model)
    ins, outs = model.inputs[0].shape[-1], model.outputs[0].shape[-1]
    mosaic = MOSAICS.get(ins)
    rgb = {1: ("Y",), 3: ("R", "G", "B")}.get(ins, tuple(f"plane{i}" for i in range(ins)))
    # A mosaic that becomes a picture of its own size is enhanced, whatever the network was made for.
    task: Task = "enhance" if mosaic and outs == 3 and seen.scale == mosaic.pack else row.task
    return Contract(
        network=name,
        options=dict(options),
        task=task,
        cfa=mosaic.cfa if mosaic else "none",
        planes=mosaic.planes if mosaic else rgb,
        pack=mosaic.pack if mosaic else 1,
        range="black-to-white" if mosaic else "unit",
        ratio_max=300.0 if mosaic else 1.0,
        output={"enhance": "srgb", "depth": "depth", "segment": "mask"}[task],  # type: ignore[arg-type]
        channels=outs,
        scale=seen.scale,
        multiple=seen.multiple,
        halo=seen.halo,
        # Memory grows with the area: one multiple of every side is enough to know by how much.
        activation_bytes_per_pixel=-(-peak_activations(model, seen.multiple, seen.multiple) // seen.multiple**2),
    )
