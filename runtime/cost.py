"""What model files cost to run: time side by side in one process, memory each in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from runtime.contract import Contract
from runtime.errors import Error, SetupError
from runtime.library import engine
from runtime.memory import peak_of
from runtime.selftest import FOLDER, SELF_TESTS
from runtime.session import Session
from runtime.session import open as open_model
from runtime.shipped import ENGINES, located
from runtime.timing import Times, interleaved

__all__ = ["CHILD", "Cost", "Watched", "call", "costs", "loaded", "nearest", "peak", "watched"]

# A fresh interpreter that finds modules where this one does: it holds the runtime and one model.
CHILD = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from runtime.cost import alone; alone(*sys.argv[2:])"
SEED = 0
LOOK = 0.005  # seconds between two looks at the memory of other processes


@dataclass(frozen=True)
class Cost:
    """One file: bytes on the disk, seconds to open it, seconds of each run, bytes a process of its own held at most."""

    size: int
    load: float
    run: Times
    peak: int | None  # None where the system does not tell


@dataclass(frozen=True)
class Watched:
    """A program that has ended: its exit code, what it said, and the bytes that it and all it started held at most."""

    code: int
    said: str
    complained: str
    peak: int | None


def costs(paths: Iterable[Path], *, side: int, rounds: int = 20, threads: int | None = None) -> dict[Path, Cost]:
    """Each file's cost for an input of about that side (`nearest`)."""
    opened = {path: loaded(path, threads=threads) for path in paths}
    calls = {str(path): call(session, nearest(session.contract, side)) for path, (session, _) in opened.items()}
    times = interleaved(calls, rounds=rounds)
    return {
        path: Cost(
            size=path.stat().st_size,
            load=load,
            run=times[str(path)],
            peak=peak(path, side=nearest(session.contract, side), threads=threads),
        )
        for path, (session, load) in opened.items()
    }


def nearest(contract: Contract, side: int) -> int:
    """The side that the network takes, not above the one wished for unless it must."""
    return max(side // contract.multiple, 1) * contract.multiple


def loaded(model: str | Path, *, provider: str = "auto", threads: int | None = None) -> tuple[Session, float]:
    """A model opened, and the seconds that took; another was opened on the same provider before."""
    _ready(located(model, provider=provider).suffix, provider)
    begin = time.perf_counter()
    session = open_model(model, provider=provider, threads=threads)
    return session, time.perf_counter() - begin


@cache
def _ready(suffix: str, provider: str) -> None:
    """Open the self-test once: an engine's first model pays for what every other one finds loaded."""
    if suffix in ENGINES:
        engine(ENGINES[suffix])
        with suppress(Error):  # what is wrong the model itself will say
            open_model(FOLDER / SELF_TESTS[ENGINES[suffix]], provider=provider)


def call(session: Session, side: int) -> partial[np.ndarray[Any, Any]]:
    """One run on random planes of that side; it returns when the answer lies in this process' memory."""
    planes = np.random.default_rng(SEED).random((len(session.contract.planes), side, side), np.float32)
    return partial(session.answer, planes, session.room(side, side))


def peak(model: str | Path, *, side: int, threads: int | None = None, provider: str = "auto") -> int | None:
    """Bytes that a process which opens the model and runs it once holds at most."""
    words = [sys.executable, "-c", CHILD, json.dumps(sys.path), str(model), str(side), str(threads or 0), provider]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.splitlines() or ["no word"])[-1]
        raise SetupError(
            f"{model} ran here, and not in a process of its own ({why})", "close other programs, try again"
        )
    return int(done.stdout) or None


def alone(model: str, side: str, threads: str, provider: str) -> None:
    """Print the most bytes this process holds from opening the model to the end of a run."""

    def all_of_it() -> None:
        call(open_model(model, provider=provider, threads=int(threads) or None), int(side))()

    print(peak_of(all_of_it))


def watched(words: Sequence[str]) -> Watched:
    """Run a program to its end, and look at the memory of all its processes two hundred times a second.

    Pages that two of them share count twice.
    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:  # a pipe nobody reads may be full
        with subprocess.Popen(words, stdout=said, stderr=complained) as started:
            most = 0
            while started.poll() is None:
                most = max(most, sum(map(_held, _family(started.pid))))
                time.sleep(LOOK)
        return Watched(started.returncode, _told(said), _told(complained), most or None)


def _told(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _family(process: int) -> Iterator[int]:
    """A process and all it has started."""
    yield process
    for task in Path(f"/proc/{process}/task").glob("*"):
        try:
            children = (task / "children").read_text().split()
        except OSError:  # it has ended meanwhile
            continue
        for child in children:
            yield from _family(int(child))


def _held(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
