"""Workers on this machine: one command several times over, with one output, one end and one exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from quant.workers import VARIABLE
from runtime.errors import BadOption, Error

__all__ = ["launch"]

HOST = "127.0.0.1"
LOOK = 0.05  # seconds between two looks at who still runs
GRACE = 10.0  # seconds from being asked to end to being ended: enough to finish writing a checkpoint
# Seconds in which all may fail of one cause, such as a loss that is no number: the first one's own words tell it best.
TOGETHER = 3.0
REMEDY = "mend that and run the same line again: it goes on from the last checkpoint"


@dataclass(frozen=True)
class _Worker:
    """A process, and what it says where nobody looks; the first one says it to the user."""

    number: int
    process: subprocess.Popen[bytes]
    said: IO[bytes] | None

    def runs(self) -> bool:
        return self.process.poll() is None

    def failed(self) -> bool:
        return self.process.poll() not in (None, 0)

    def tell(self, signum: int) -> None:
        """Signal the process and those it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signum)


def launch(command: Sequence[str], *, workers: int) -> int:
    """Run a command as so many workers of one training; returns the exit code of the first, which alone is heard.

    A signal that asks to end is passed on to all. When one fails all are ended, and an error says which and how.
    """
    if workers < 1:
        raise BadOption("--workers", workers, "1 or more")
    with ExitStack() as stack:
        caught = stack.enter_context(_signals())
        team = [stack.enter_context(_worker(command, n, task)) for n, task in enumerate(_tasks(workers))]
        failed = _wait(team, caught)
        if failed is not None and failed is not team[0]:
            _until(lambda: not team[0].runs(), TOGETHER)
        heard = team[0].process.poll() or 0
        _end(team, caught[0] if caught else signal.SIGTERM)
        if caught:
            return 128 + caught[0]
        if failed is None or (heard == failed.process.returncode and heard > 0):
            return heard
        raise _error(failed, workers)


def _tasks(workers: int) -> list[str]:
    """TF_CONFIG for each, on ports that are free now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(workers)]
        for each in sockets:
            each.bind((HOST, 0))
        cluster = {"worker": [f"{HOST}:{each.getsockname()[1]}" for each in sockets]}
    return [json.dumps({"cluster": cluster, "task": {"type": "worker", "index": n}}) for n in range(workers)]


@contextmanager
def _worker(command: Sequence[str], number: int, task: str) -> Iterator[_Worker]:
    """One, in a session of its own: what the terminal sends reaches it once, by way of the launcher."""
    with tempfile.TemporaryFile() as said:
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": said} if number else {}
        environment = {**os.environ, VARIABLE: task}
        with subprocess.Popen(command, env=environment, start_new_session=True, **quiet) as process:  # type: ignore[call-overload]
            worker = _Worker(number, process, said if number else None)
            try:
                yield worker
            finally:
                worker.tell(signal.SIGKILL)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Those that asked to end, from now on."""
    caught: list[int] = []
    before = {
        n: signal.signal(n, lambda n, _: caught.append(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(team: Sequence[_Worker], caught: Sequence[int]) -> _Worker | None:
    """Until all have ended well, or one has not, or the user asks to end; returns the one that failed."""
    while not caught and any(worker.runs() for worker in team):
        for worker in team:
            if worker.failed():
                return worker
        time.sleep(LOOK)
    return None if caught else next((worker for worker in team if worker.failed()), None)


def _end(team: Sequence[_Worker], signum: int) -> None:
    """Ask those that still run, then end them."""
    for worker in team:
        if worker.runs():
            worker.tell(signum)
    _until(lambda: not any(worker.runs() for worker in team), GRACE)
    for worker in team:
        worker.tell(signal.SIGKILL)
        worker.process.wait()


def _until(done: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(LOOK)


def _error(worker: _Worker, workers: int) -> Error:
    code = worker.process.returncode
    how = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
    last = _last_line(worker)
    return Error(f"worker {worker.number} of {workers} ended with {how}{f' ({last})' if last else ''}", REMEDY)


def _last_line(worker: _Worker) -> str:
    """What it said last on stderr."""
    if worker.said is None:
        return ""
    worker.said.seek(0)
    lines = [line.strip() for line in worker.said.read().decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")
