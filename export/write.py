"""One way to a file: write, prove, keep. A file that is not proved equal is not there."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from export.parity import ROUNDS, Parity, prove
from export.to_onnx import to_onnx
from export.to_tflite import to_tflite
from keras_models.fold import CONVS
from keras_models.graph import steps
from keras_models.lowered import Lowered, kernel_of
from runtime.atomic import neighbour
from runtime.contract import Contract
from runtime.errors import BadOption, FileError, NotEqual

__all__ = ["WRITERS", "described", "write"]

WRITERS = {".onnx": to_onnx, ".tflite": to_tflite}


def write(lowered: Lowered, contract: Contract, path: str | Path) -> Parity:
    """Write a network to `path`, in the format its name says, run it, and leave it only if it is equal."""
    path = Path(path)
    if path.suffix not in WRITERS:
        raise BadOption("file name", path.name, f"one that ends in {' or '.join(WRITERS)}")
    part = neighbour(path, f".part{path.suffix}")
    with _as(path, part):
        WRITERS[path.suffix](lowered, described(lowered, contract), part)
        parity = prove(lowered, part)
        part.replace(path)
    return parity


@contextlib.contextmanager
def _as(path: Path, part: Path) -> Iterator[None]:
    """Leave nothing of a part behind, and let whatever is wrong with it be said of the file that it would become."""
    try:
        yield
    except NotEqual as error:
        raise NotEqual(path, error.worst, error.exact, error.where) from None
    except FileError as error:
        raise FileError(path, error.problem.removeprefix(f"{str(part)!r} "), error.remedy) from None
    except OSError as error:
        raise FileError(path, f"cannot be written ({error.strerror})", "choose another name or folder") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def described(lowered: Lowered, contract: Contract) -> Contract:
    """The contract with the bits the network really has: those of most weights, and of the widest activation."""
    weights: Counter[int] = Counter()
    for step in steps(lowered.model):
        if isinstance(step.layer, CONVS):
            grid = lowered.kernels.get(step.name)
            weights[32 if grid is None else grid.bits] += kernel_of(step.layer).size
    activations = [step.layer.grid.bits for step in steps(lowered.model) if isinstance(step.layer, ROUNDS)]
    most = max(weights, key=lambda bits: weights[bits], default=32)
    return replace(contract, weight_bits=most, activation_bits=max(activations, default=32))
