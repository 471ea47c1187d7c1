"""What an export did, file by file: size, parity, what runs in integers, and how fast on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.coverage import coverage
from export.parity import compare, engine, output, samples
from export.round_kernels import round_kernels, rounded
from export.write import write
from keras_models.fold import plain
from keras_models.lowered import Lowered
from keras_models.plain_file import STEPS, load_plain
from keras_models.weights import load, read
from runtime.contract import Contract

__all__ = ["export_files", "load_any", "print_table"]

REPEATS = 7


def load_any(run: Path) -> tuple[Lowered, Contract]:
    """A network in the plain form, from a file of float weights or of a lowered network."""
    if STEPS in read(run)[1]:
        return load_plain(run)
    model, contract = load(run)
    return plain(model), contract


def export_files(
    run: Path, formats: Sequence[str], *, name: str, bits: int | None, out: Path, quiet: bool
) -> list[dict[str, Any]]:
    """Write and prove each format as `name`; returns a row a file, the second one's held against the first's too."""
    from rich.console import Console

    console = Console(stderr=True, quiet=quiet)
    with console.status(f"reading {run}"):
        lowered, contract = load_any(run)
        if bits is not None:
            lowered, contract = round_kernels(lowered, bits=bits), rounded(contract)
    float_bytes = 4 * sum(int(np.prod(w.shape)) for w in lowered.model.weights)
    rows = []
    for kind in dict.fromkeys(formats):
        path = out / f"{name}{'' if bits is None else f'-w{bits}'}.{kind}"
        stood = path.exists()
        with console.status(f"writing and proving {path}"):
            parity = write(lowered, contract, path)
            size = path.stat().st_size
            about = {"file": str(path), "replaced": stood, "bytes": size, "times_smaller": float_bytes / size}
            rows.append({**about, **parity.as_dict(), **_running(path, contract)})
    if len(rows) == 2:
        first, second = (output(engine(row["file"]), samples(contract)) for row in rows)
        rows[1]["between_formats"] = compare(second, first, unit=rows[0]["unit"]).as_dict()
    return rows


def _running(path: Path, contract: Contract) -> dict[str, Any]:
    """Milliseconds for a 512x512 mosaic or image (median), and what ONNX Runtime ran in integers."""
    cell = contract.pack * contract.multiple
    side = -(-512 // cell) * contract.multiple
    backend = engine(path, threads=2)
    x = np.random.default_rng(0).random((1, side, side, len(contract.planes)), np.float32)
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        output(backend, x)
        times.append(time.perf_counter() - begin)
    row: dict[str, Any] = {"milliseconds": 1e3 * statistics.median(times[1:]), "threads": 2}
    if path.suffix == ".onnx":
        found = coverage(path, height=2 * contract.multiple, width=2 * contract.multiple)
        row |= {"integer_share": found.share, "transposes": found.transposes, "floats": [list(n) for n in found.floats]}
    return row


def print_table(rows: list[dict[str, Any]]) -> None:
    """The rows for people; floats named when a quantized network left some."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    heads = ("file", "MB", "smaller", "worst steps", "dB", "exact", "integer", "ms")
    for head in heads:
        table.add_column(head, justify="left" if head == "file" else "right", overflow="fold")
    for row in rows:
        decibel, share = row["decibel"], row.get("integer_share")
        cells = (f"{row['worst']:.3g}", "equal" if decibel is None else f"{decibel:.1f}", f"{row['exact']:.2%}")
        runs = ("" if share is None else f"{share:.0%}", f"{row['milliseconds']:.1f}")
        table.add_row(row["file"], f"{row['bytes'] / 1e6:.2f}", f"{row['times_smaller']:.2f}x", *cells, *runs)
    Console(highlight=False).print(table)
    for row in rows:
        if row["replaced"]:
            Console(highlight=False).print(f"{row['file']} took the place of a file of that name")
        if between := row.get("between_formats"):
            worst, exact = between["worst"], between["exact"]
            Console(highlight=False).print(
                f"between the formats: {worst:.3g} steps at most, {exact:.2%} of the values equal"
            )
        if 0 < row.get("integer_share", 0) < 1:
            Console(highlight=False).print("in float: " + ", ".join(f"{name} ({kind})" for name, kind in row["floats"]))
