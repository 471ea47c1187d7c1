"""What model files cost to run: time side by side in one process, memory each in one of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from runtime.contract import Contract
from runtime.errors import SetupError
from runtime.memory import peak_of
from runtime.session import Session
from runtime.session import open as open_model
from runtime.timing import Times, interleaved

__all__ = ["Cost", "costs", "nearest"]

# A fresh interpreter that finds modules where this one does: it holds the runtime and one model.
CHILD = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from runtime.cost import alone; alone(*sys.argv[2:])"
SEED = 0


@dataclass(frozen=True)
class Cost:
    """One file: bytes on the disk, seconds to open it, seconds of each run, bytes a process of its own held at most."""

    size: int
    load: float
    run: Times
    peak: int | None  # None where the system does not tell


def costs(paths: Iterable[Path], *, side: int, rounds: int = 20, threads: int | None = None) -> dict[Path, Cost]:
    """Each file's cost for an input of about that side (`nearest`)."""
    sessions, loads = {}, {}
    for path in paths:
        begin = time.perf_counter()
        sessions[path] = open_model(path, threads=threads)
        loads[path] = time.perf_counter() - begin
    times = interleaved({str(path): _call(session, side) for path, session in sessions.items()}, rounds=rounds)
    return {
        path: Cost(path.stat().st_size, loads[path], times[str(path)], _peak(path, side=side, threads=threads))
        for path in sessions
    }


def nearest(contract: Contract, side: int) -> int:
    """The side that the network takes, not above the one wished for unless it must."""
    return max(side // contract.multiple, 1) * contract.multiple


def _call(session: Session, side: int) -> partial[np.ndarray[Any, Any]]:
    side = nearest(session.contract, side)
    planes = np.random.default_rng(SEED).random((len(session.contract.planes), side, side), np.float32)
    return partial(session.run, planes, out=session.room(side, side))


def _peak(path: Path, *, side: int, threads: int | None) -> int | None:
    """Bytes that a process which opens the file and runs it once holds at most."""
    words = [sys.executable, "-c", CHILD, json.dumps(sys.path), str(path), str(side), str(threads or 0)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.splitlines() or ["no word"])[-1]
        raise SetupError(f"{path} ran here, and not in a process of its own ({why})", "close other programs, try again")
    return int(done.stdout) or None


def alone(path: str, side: str, threads: str) -> None:
    """Print the most bytes this process holds from opening the file to the end of a run."""

    def all_of_it() -> None:
        _call(open_model(path, threads=int(threads) or None), int(side))()

    print(peak_of(all_of_it))
