"""Weights and nothing but weights: arrays in an .npz, with the contract that says which network they belong to.

Keras' own model files run code when they are loaded; here a network is built from the zoo and then filled.
Everything is checked before the first weight is set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_models.parents import located
from keras_models.zoo import build, completed
from runtime.arrays import read_arrays
from runtime.atomic import writing
from runtime.contract import Contract, digest
from runtime.errors import AlteredFile, Error, WrongNetwork

if TYPE_CHECKING:
    import numpy as np
    import tf_keras

__all__ = ["load", "read", "restore", "save"]

CONTRACT = "contract"
Arrays = dict[str, "np.ndarray[Any, Any]"]


def save(model: tf_keras.Model, contract: Contract, path: str | Path) -> Contract:
    """Write all weights and the contract; returns the contract with the digest of what was written."""
    import numpy as np  # here, so that no command's --help waits for it

    arrays = {name: weight.numpy() for name, weight in _named(model).items()}
    contract = replace(contract, digest=digest(contract, arrays))
    with writing(path) as file:
        np.savez(file, **{CONTRACT: np.array(contract.to_json()), **arrays})
    return contract


def load(path: str | Path) -> tuple[tf_keras.Model, Contract]:
    """Build the network that the contract of a file, or of a model that ships, names; and fill it."""
    path = located(path)
    contract, arrays = read(path)
    try:
        model, _ = build(contract.network, **contract.options)
    except Error as error:
        raise _unbuildable(path, error) from None
    _fill(model, arrays, path)
    return model, contract


def restore(model: tf_keras.Model, contract: Contract, path: str | Path) -> Contract:
    """Fill a built network from a file of the same network and options; returns the file's contract."""
    found, arrays = read(path)
    _agree("network", found.network, contract.network, path)
    _agree("options", _all_options(found, path), contract.options, path)
    _fill(model, arrays, path)
    return found


def read(path: str | Path) -> tuple[Contract, Arrays]:
    """The contract and the arrays of a weights file, every byte checked, no code run, no TensorFlow needed."""
    arrays = read_arrays(path, kind="weights file")
    text = arrays.pop(CONTRACT, None)
    plain = text is not None and text.dtype.kind == "U" and text.shape == ()
    contract = Contract.from_json(str(text) if plain else None, source=path)
    if contract.digest != digest(contract, arrays):
        raise AlteredFile(path, "is not what was once written (its digest differs)", "fetch or write it again")
    return contract, arrays


def _agree(what: str, theirs: object, ours: object, path: str | Path) -> None:
    if theirs != ours:
        raise WrongNetwork(path, f"is for {what} {_words(theirs)}", f"it was asked to fill {_words(ours)}")


def _all_options(contract: Contract, path: str | Path) -> Mapping[str, Any]:
    """Those that a file names, and those that networks had not yet when it was written."""
    try:
        return completed(contract.network, contract.options)
    except Error as error:
        raise _unbuildable(path, error) from None


def _unbuildable(path: str | Path, error: Error) -> WrongNetwork:
    return WrongNetwork(path, f"holds a network that cannot be built here ({error.problem})", error.remedy)


def _fill(model: tf_keras.Model, arrays: Mapping[str, Any], path: str | Path) -> None:
    """Set every weight, once names and shapes are known to agree."""
    weights = _named(model)
    if missing := weights.keys() - arrays.keys():
        raise WrongNetwork(path, f"lacks {_some(missing)}", "use the weights of this very network")
    if unknown := arrays.keys() - weights.keys():
        raise WrongNetwork(
            path, f"holds {_some(unknown)}, which the network lacks", "use the weights of this very network"
        )
    for name, weight in weights.items():
        if arrays[name].shape != weight.shape or arrays[name].dtype != weight.dtype.as_numpy_dtype:
            found, wanted = (f"{a.dtype} {tuple(a.shape)}" for a in (arrays[name], weight.numpy()))
            raise WrongNetwork(path, f"has {name} as {found}, not {wanted}", "use the weights of this very network")
    for name, weight in weights.items():
        weight.assign(arrays[name])


def _named(model: tf_keras.Model) -> dict[str, Any]:
    """Every weight by its name; two of one name would overwrite each other in a file."""
    named = {weight.name.removesuffix(":0"): weight for weight in model.weights}
    if len(named) != len(model.weights):
        raise ValueError(f"two weights of {model.name!r} share a name")
    return named


def _some(names: set[str]) -> str:
    first, *rest = sorted(names)
    return f"{first} and {len(rest)} more" if rest else first


def _words(value: object) -> str:
    return ", ".join(f"{k}={v}" for k, v in sorted(value.items())) if isinstance(value, Mapping) else repr(value)
