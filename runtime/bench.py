"""`qk-run bench`: models and engines side by side on this machine, in numbers that hold on a noisy one.

All models are opened in one process and run in turn (timing.py), on the same numbers. Memory is that of a process of
each model's own (cost.py), energy that of the machine's meters (energy.py), and what ran in integers and where is read
off the engine (shares.py). Errors are against another model's answer to the same input, of the same network in float
unless one is named.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from runtime.bench_frames import measured_frames, readable
from runtime.bench_models import Contestant, Problems, opened, reference
from runtime.contract import Contract
from runtime.cost import call, peak
from runtime.doctor import machine
from runtime.energy import Energy, measured
from runtime.job import Wish
from runtime.rails import meters
from runtime.root import CUT, root
from runtime.session import Session
from runtime.shares import Shares, shares
from runtime.timing import Times, interleaved

__all__ = ["VERSION", "bench", "errors", "planes"]

Array = np.ndarray[Any, Any]
VERSION = 1
SEEDS = (1, 2)  # of the inputs on which answers are compared
NOISE = 0.05  # of full light: that of a frame amplified some hundred times
WAVES = 4  # that make a picture of broad shapes


def bench(
    models: Sequence[str],
    *,
    providers: Sequence[str] = ("auto",),
    side: int = 512,
    rounds: int = 50,
    threads: int | None = None,
    frames: Sequence[str | Path] = (),
    format: str = "tiff",  # noqa: A002 (the name of the option)
    against: str | None = None,
    said: Callable[[str], object] = lambda words: None,
) -> dict[str, Any]:
    """Everything, ready for JSON. `side` is of the network's input: a Bayer mosaic is twice as large."""
    wish = Wish(format=format, threads=threads)
    wish.check()  # what is wrong is said before, not after, all else is measured
    readable(frames)
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    problems = Problems()
    found = opened(models, providers=providers, threads=threads, problems=problems, said=said)
    if not found:
        raise problems.errors[0]
    able = [one for one in found if problems.tried(one.label, _first, one, side)]
    held_against = reference(able, against)
    said(f"{len(able)} in turn, {rounds} rounds at {side} x {side}")
    times = interleaved({str(i): call(one.session, side) for i, one in enumerate(able)}, rounds=rounds) if able else {}
    rows = []
    for i, one in enumerate(able):
        said(f"{one.label}: memory, shares, errors, energy")
        other = held_against(one)
        rows.append(_row(one, times[str(i)], times["0"], other, side=side, threads=threads, problems=problems))
    made = measured_frames(found, frames, wish=wish, problems=problems, said=said)
    return {
        "kind": "bench",
        "version": VERSION,
        "machine": asdict(machine()),
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "load_average": busy,
        "threads": threads,
        "side": side,
        "rounds": rounds,
        "rows": rows,
        "frames": made,
        "problems": problems.found,
    }


def planes(contract: Contract, side: int, *, seed: int) -> Array:
    """A picture of broad shapes with noise on it, as the network is fed: the same on every machine."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side].astype(np.float32) / np.float32(side)
    shapes = np.zeros((side, side), np.float32)
    for down, across, phase in rng.uniform(1, 9, (WAVES, 3)).astype(np.float32):
        shapes += np.sin(6 * (down * y + across * x) + phase) / WAVES
    gains = dict(zip("RGB", rng.uniform(0.4, 1, 3).astype(np.float32), strict=True))
    light = np.stack([gains.get(name[0].upper(), np.float32(1)) * shapes for name in contract.planes])
    light = light**2 + rng.normal(0, NOISE, light.shape).astype(np.float32)
    return np.clip(root(light), *CUT) if contract.range == "root" else np.clip(light, 0, 1)


def errors(session: Session, reference: Session, side: int) -> tuple[float, float] | None:
    """The greatest and the mean difference of two networks' answers; None where they are not of the same."""
    if (session.contract.planes, session.contract.range) != (reference.contract.planes, reference.contract.range):
        return None
    worst: float = 0.0
    means: list[float] = []
    for seed in SEEDS:
        x = planes(session.contract, side, seed=seed)
        ours, theirs = session.run(x), reference.run(x)
        if ours.shape != theirs.shape:
            return None
        far = np.abs(ours - theirs)
        worst = max(worst, float(far.max()))
        means.append(float(far.mean()))
    return worst, sum(means) / len(means)


def _first(one: Contestant, side: int) -> bool:
    """Run once: whether it can at all shows before it runs in turn with others."""
    one.session.contract.require_size(side, side)
    call(one.session, side)()
    return True


def _row(
    one: Contestant,
    times: Times,
    first: Times,
    other: Contestant | None,
    *,
    side: int,
    threads: int | None,
    problems: Problems,
) -> dict[str, Any]:
    """All that is known of one model on one provider."""
    session, contract = one.session, one.session.contract
    share = problems.tried(one.label, shares, session, one.path) or Shares(None, None)
    far = problems.tried(one.label, errors, session, other.session, side) if other else None
    there = meters(session.ran.provider)
    energy = problems.tried(one.label, measured, call(session, side), there) or Energy(None, "its engine failed")
    return {
        "model": one.model,
        "file": str(one.path),
        "digest": session.digest,
        "network": contract.network,
        "bits": contract.bits,
        "engine": session.ran.engine,
        "provider": session.ran.provider,
        "size_bytes": one.path.stat().st_size,
        "load_ms": 1e3 * one.load,
        "median_ms": 1e3 * times.median,
        "best_ms": 1e3 * times.seconds[0],
        "p95_ms": 1e3 * times.p95,
        "per_second": 1 / times.median,
        "times_first": first.median / times.median,
        "peak_bytes": problems.tried(one.label, peak, one.path, side=side, threads=threads, provider=one.asked),
        "int8_share": share.integers,
        "provider_share": share.provider,
        "energy_mj": None if energy.joules is None else 1e3 * energy.joules,
        "energy_why": energy.why,
        "max_error": far[0] if far else None,
        "mean_error": far[1] if far else None,
        "error_against": other.label if other and far else None,
    }
