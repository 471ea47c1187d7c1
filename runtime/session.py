"""A model opened on an engine of this machine: the same face whatever runs it, and whole frames of any size."""

from __future__ import annotations

import functools
import hashlib
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from runtime.contract import Contract
from runtime.errors import BadOption, EngineFailed, SetupError, UnreadableFile
from runtime.memory import peak_of, resident, trim
from runtime.shipped import NAMES, located
from runtime.tiles import Plan, Window

if TYPE_CHECKING:
    from runtime.ort import OnnxRuntime

__all__ = ["Backend", "Ran", "Session", "open"]

Array = np.ndarray[Any, Any]
Read = Callable[[Window, Window], Array]
Write = Callable[[Array, int, int], None]
LONGEST = 200  # letters of an engine's own words
SIDES = 192, 448  # of the frames that memory is measured with: the larger takes 60 to 130 MiB for an int8 U-Net


class Backend(Protocol):
    """One file each: ort.py, litert.py, fake.py."""

    contract: Contract

    def run(self, batch: Array, *, out: Array | None = None) -> dict[str, Array]:
        """Each exit's output for a float32 batch in the contract's layout; the first may be written to `out`.

        That one has its planes first, whatever the layout.
        """
        ...

    def release(self) -> None:
        """Keep no memory of the runs there were."""
        ...


@dataclass(frozen=True)
class Ran:
    """What executes a model, and why it was taken."""

    engine: str
    provider: str
    why: str


@dataclass(frozen=True)
class Memory:
    """Bytes a process needs for any run, and bytes a run takes besides for each pixel of its input."""

    base: int
    per_pixel: float


class Session:
    """A network ready to run."""

    def __init__(self, backend: Backend, *, ran: Ran, digest: str = "") -> None:
        self.backend, self.contract, self.ran, self.digest = backend, backend.contract, ran, digest
        self.fresh: float = getattr(backend, "fresh", 0.0)  # see `tiles.best`
        # Some engines lend an answer that lies in their own memory, until the next run.
        self._lend: Callable[[Array], Array] | None = getattr(backend, "lend", None)

    def run(self, planes: Array, *, out: Array | None = None) -> Array:
        """The first exit (channels, height, width) for float32 planes (planes, height, width)."""
        with self._engine():
            made = self.backend.run(self._batch(planes), out=out)[self.contract.exits[0]]
        return made[0] if made is out else self._planes_first(made)

    def _batch(self, planes: Array) -> Array:
        return (planes.transpose(1, 2, 0) if self.contract.layout == "NHWC" else np.ascontiguousarray(planes))[None]

    def _planes_first(self, made: Array) -> Array:
        return np.moveaxis(made[0], -1, 0) if self.contract.layout == "NHWC" else made[0]

    @contextmanager
    def _engine(self) -> Iterator[None]:
        """What an engine raises becomes an `EngineFailed`."""
        try:
            yield
        except Exception as error:
            if not _of_an_engine(error):
                raise
            raise EngineFailed(self.ran.engine, str(error).strip().partition("\n")[0][:LONGEST]) from None

    def room(self, height: int, width: int) -> Array | None:
        """A buffer for the output of an input of that size, to be used again and again; None where an engine has it."""
        if self._lend is not None:
            return None
        up = self.contract.scale
        return np.empty((1, self.contract.channels, int(height * up), int(width * up)), np.float32)

    def release(self) -> None:
        """Give the system back what runs have taken."""
        with self._engine():
            self.backend.release()
        trim()

    def tiled(self, read: Read, plan: Plan, write: Write, *, release: bool = False) -> None:
        """Run a frame window by window.

        `read(rows, columns)` gives the planes of a window; `write(output, row, column)` takes each part that is kept,
        with where it begins in the output, and does not hold on to it. `release` gives the memory back at the end.
        """
        out = self.room(plan.height, plan.width)
        for row, column in plan:
            self._window(read(row, column), row, column, write, out=out)
        if release:
            self.release()

    def _window(self, planes: Array, row: Window, column: Window, write: Write, *, out: Array | None) -> None:
        """One window; nothing of it but `out` is alive when the next one runs."""
        up = self.contract.scale
        made = self.answer(planes, out)
        top, left = int((row.keep_begin - row.begin) * up), int((column.keep_begin - column.begin) * up)
        height, width = int((row.keep_end - row.keep_begin) * up), int((column.keep_end - column.keep_begin) * up)
        try:
            kept = (slice(None), slice(top, top + height), slice(left, left + width))
            write(made[kept], int(row.keep_begin * up), int(column.keep_begin * up))
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # one that is kept would keep memory that an engine lent
            raise
        finally:
            del made

    def answer(self, planes: Array, out: Array | None) -> Array:
        """What `run` gives, in memory that the next run takes again."""
        if self._lend is None:
            return self.run(planes, out=out)
        with self._engine():
            return self._planes_first(self._lend(self._batch(planes)))

    @functools.cached_property
    def memory(self) -> Memory:
        """What a run takes: measured with two frames, a small and a large one, or reckoned."""
        self.release()  # what another model left free would be taken without being seen
        before = resident()
        cell = self.contract.multiple
        least_cells, cells = (-(-side // cell) for side in SIDES)
        sides = [least_cells * cell, max(cells, least_cells + 1) * cell]  # two, however large a cell is
        small, large = (peak_of(functools.partial(self._measured, side)) - before for side in sides)
        if large + before == 0:
            return Memory(before, self.contract.activation_bytes_per_pixel * 1.5)
        # It may have lain in memory that was free already: never less than the numbers that go in and out.
        least = 4 * (len(self.contract.planes) + self.contract.channels * float(self.contract.scale) ** 2)
        slope = max((large - small) / (sides[1] ** 2 - sides[0] ** 2), least)
        return Memory(max(before + int(large - slope * sides[1] ** 2), resident()), slope)

    def _measured(self, side: int) -> None:
        planes = np.ones((len(self.contract.planes), side, side), np.float32)  # zeros would take no memory
        self.answer(planes, self.room(side, side))
        self.release()


def open(path: str | Path, *, provider: str = "auto", threads: int | None = None) -> Session:  # noqa: A001
    """Open a model, a file or the name of a shipped one, on the provider asked for.

    "auto" says which it took and why: for the name of a shipped model and for a .tflite file that is LiteRT on the CPU,
    for an .onnx file the best provider that starts. A GPU for a shipped model is asked for by name.
    """
    path = located(path, provider=provider)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _sha(file)
    except OSError as error:
        raise UnreadableFile(
            path, f"cannot be read ({error.strerror})", f"name a model file, or one of {', '.join(NAMES)}"
        ) from None
    if path.suffix == ".tflite":
        return _litert(path, provider, threads, digest)
    if path.suffix == ".onnx":
        return _onnx(path, provider, threads, digest)
    raise UnreadableFile(path, "is no model by its name", "name an .onnx or .tflite file")


def _of_an_engine(error: Exception) -> bool:
    """ONNX Runtime's exceptions share no base but Exception itself; LiteRT's are RuntimeError, and so are C++'s."""
    return isinstance(error, RuntimeError | MemoryError) or type(error).__module__.startswith("onnxruntime.")


def _onnx(path: Path, provider: str, threads: int | None, digest: str) -> Session:
    from runtime.ort import OnnxRuntime

    if provider == "auto":
        backend, why = _best(path, threads)
    else:
        backend, why = OnnxRuntime(path, provider=provider, threads=threads), "asked for"
    return Session(backend, ran=Ran(backend.ran.engine, backend.ran.provider, why), digest=digest)


def _best(path: Path, threads: int | None) -> tuple[OnnxRuntime, str]:
    """The first provider that starts, and why: an ONNX Runtime for GPUs lists them where none is, too."""
    from runtime.ort import OnnxRuntime, providers

    *better, last = providers()
    passed: list[str] = []
    for name in better:
        try:
            return OnnxRuntime(path, provider=name, threads=threads), _why(passed)
        except SetupError:
            passed.append(name)
    return OnnxRuntime(path, provider=last, threads=threads), _why(passed)


def _why(passed: list[str]) -> str:
    if not passed:
        return "the best this ONNX Runtime has"
    return f"the best that starts: {' and '.join(passed)} could not be started"


def _litert(path: Path, provider: str, threads: int | None, digest: str) -> Session:
    if provider not in ("auto", "cpu", "xnnpack"):
        raise BadOption("--provider", provider, "auto or cpu with a .tflite file, or export the model to ONNX")
    from runtime.litert import LiteRT

    backend = LiteRT(path, threads=threads)
    why = "asked for" if provider != "auto" else "the one LiteRT has here"
    return Session(backend, ran=Ran(backend.version, "xnnpack", why), digest=digest)


def _sha(file: Any) -> str:
    sha = hashlib.sha256()
    while block := file.read(1 << 20):
        sha.update(block)
    return sha.hexdigest()
