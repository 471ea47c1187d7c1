"""One HTML file of evaluations and benches that needs nothing else: what is the case, fronts, pictures, tables."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from runtime.atomic import writing
from runtime.errors import BadOption
from runtime.inputs import spare
from runtime.report_case import case, plots, why_no_energy
from runtime.report_cells import Cell, table, word
from runtime.report_data import Bench, Evaluation, read_bench, read_eval
from runtime.report_models import Subject, subjects
from runtime.report_pictures import Scene, pictures, scenes
from runtime.report_tables import benches as bench_table
from runtime.report_tables import failures, files, images, means, ratios, stages, worst
from runtime.viewer import escaped, part

__all__ = ["report"]


def report(
    evals: Iterable[str | Path] = (),
    *,
    benches: Iterable[str | Path] = (),
    shown: str | Path | None = None,
    out: str | Path,
    command: Sequence[str] = (),
    now: datetime | None = None,
) -> Path:
    """Write the page of these files and return its path; `shown` is a folder of folders of pictures."""
    out, judged, measured = Path(out), _once(evals), _once(benches)
    if not judged and not measured:
        raise BadOption("a report", "of nothing", "--eval, --bench or both")
    spare([*judged, *measured], [out], allowed="a file that is not one of those it reports")
    told = [read_eval(path) for path in judged]
    given = [read_bench(path) for path in measured]
    models = subjects([line for one in told for line in one.lines], given)
    page = _page(models, given, scenes(shown) if shown else [], _about(told, given, command, now or datetime.now()))
    with writing(out) as file:
        file.write(page.encode())
    return out


def _once(paths: Iterable[str | Path]) -> list[Path]:
    """Each file once, as it was first named: one that is given twice would count twice."""
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        found.setdefault(path.absolute(), path)
    return list(found.values())


def _page(models: Sequence[Subject], given: Sequence[Bench], seen: Sequence[Scene], about: dict[str, str]) -> str:
    viewer, note = pictures(seen, models) if seen else ("", "")
    energy = why_no_energy(models)
    bad = len({(line.pair, line.dark) for one in models for line in one.failed})
    holes = {
        **about,
        "title": f"{len(models)} model{'s' if len(models) != 1 else ''}, judged and measured",
        "case": case(models),
        "failed": f'<a href="#failed">{bad} frame{"s" if bad != 1 else ""} failed.</a>' if bad else "",
        "plots": plots(models),
        "means": means(models),
        "ratios": ratios(models),
        "worst": worst(models) or "nothing was judged",
        "images": images(models),
        "bench": bench_table(models),
        "energy": escaped(f"energy: {energy}") if energy else "",
        "stages": stages(models, given),
        "failures": failures(models),
        "machines": _machines(given),
        "files": files(models),
        "viewer": _framed(viewer, note)
        if seen
        else '<p class="none">No pictures were given: --pictures names a folder.</p>',
        "viewer-style": part("viewer.css"),
        "viewer-script": part("viewer.js") + part("report_panes.js") if seen else "",
    }
    return _filled(part("report.html"), holes)


def _framed(viewer: str, note: str) -> str:
    return _filled(part("report_viewer.html"), {"stage": viewer, "note": note})


def _filled(template: str, holes: Mapping[str, str]) -> str:
    """The template with its holes filled in one pass, so that no file can be named for a hole."""
    return re.sub(f"@({'|'.join(holes)})@", lambda hole: holes[hole[1]], template)


def _about(
    evals: Sequence[Evaluation], benches: Sequence[Bench], command: Sequence[str], now: datetime
) -> dict[str, str]:
    """When, by which version, from which files and with which line the report was made."""
    try:
        version = f"qk-unet {importlib.metadata.version('qk-unet')}"
    except importlib.metadata.PackageNotFoundError:
        version = "qk-unet from a folder, not installed"
    sources = [f"evaluation {one.path.name}{_torn(one.torn)}" for one in evals]
    sources += [f"bench {one.path.name}" for one in benches]
    return {
        "date": escaped(f"{now:%Y-%m-%d %H:%M}"),
        "version": escaped(version),
        "command": escaped(shlex.join(command)) or "not told",
        "sources": escaped(", ".join(sources)),
    }


def _torn(lines: int) -> str:
    """What is said of a file that a run that was killed wrote to: its pairs are judged again, its lines stay torn."""
    return f" ({lines} torn line{'s' if lines != 1 else ''} passed over)" if lines else ""


def _machines(given: Sequence[Bench]) -> str:
    """Where the benches ran, a column for each."""
    if not given:
        return '<p class="none">No bench was given: the machine that judged is not told.</p>'
    known = dict.fromkeys(name for bench in given for name in bench.machine)
    rows = [
        [word(name), *(word(getattr(bench, name), missing=missing) for bench in given)]
        for name, missing in (
            ("date", "not told"),
            ("threads", "as many as the engine takes"),
            ("side", "not told"),
            ("rounds", "not told"),
            ("command", "not told"),
        )
    ]
    rows += [[word(name), *(_fact(name, bench.machine.get(name)) for bench in given)] for name in known]
    return table("machines", ["fact", *(bench.path.name for bench in given)], rows, "Where and when the benches ran.")


def _fact(name: str, value: object) -> Cell:
    """A fact of a machine in words; memory is 0 where it cannot be told."""
    if isinstance(value, dict):
        return word(", ".join(f"{key} {one}" for key, one in value.items()))
    if name in ("memory", "available") and isinstance(value, (int, float)) and not isinstance(value, bool):
        return word(f"{value / 2**30:.1f} GiB" if value else "")
    return word("" if value is None else str(value))
