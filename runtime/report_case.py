"""What is the case: two sentences out of the figures, and the fronts of quality against time, size and energy."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from runtime.measure import Mean
from runtime.plot import Mark, Series, scatter
from runtime.report_cells import short
from runtime.report_data import Bench, Judged, Row
from runtime.report_models import Subject, over_scenes
from runtime.report_tables import frames_of
from runtime.viewer import escaped

__all__ = ["case", "plots", "why_no_energy"]

FRONT = '<polyline class="front"'  # what a drawing has where two or more are beaten by none
LIT = {"camera": "the camera's linear light", "srgb": "sRGB's linear light", "linear": "linear light"}

Frame = tuple[str, str]
Known = tuple[Judged, float]
Measured = tuple[Subject, Bench, Row]


def case(models: Sequence[Subject]) -> str:
    """The best, the fastest and the smallest, in two sentences."""
    return escaped(f"{_quality(models)} {_speed(models)}")


def _quality(models: Sequence[Subject]) -> str:
    """The best on the frames that all were judged on: one that had the easier ones would lead by them."""
    judged = [one for one in models if one.judged and one.developed.count]
    if not judged:
        return "No picture was judged."
    seen = [_by_frame(one) for one in judged]
    common = set.intersection(*map(set, seen))
    among = f"Of {len(judged)} models judged on {frames_of(judged)}"
    if not common:
        return f"{among}, none can be called the best: there is no frame on which all can be compared."
    means = [_mean(psnr, common) for psnr in seen]
    first, *others = sorted(range(len(judged)), key=lambda i: -means[i].mean)
    best, told = judged[first].name, _told(means[first], list(seen[first].values()), common)
    if not others:
        return f"On {frames_of(judged)}, {best} reaches {told}."
    after = others[0]
    where = f" on the {len(common)} that can be compared" if any(psnr.keys() != common for psnr in seen) else ""
    lead = over_scenes((seen[first][frame][0], seen[first][frame][1] - seen[after][frame][1]) for frame in common)
    claim, why = _lead(lead, best, judged[after].name)
    return f"{among}, {claim}{where}: {told}; {why}."


def _by_frame(one: Subject) -> dict[Frame, Known]:
    """The PSNR of the developed picture of each frame that has one."""
    return {(x.pair, x.dark): (x, x.developed.psnr) for x in one.judged if math.isfinite(x.developed.psnr)}


def _mean(psnr: Mapping[Frame, Known], frames: Iterable[Frame]) -> Mean:
    return over_scenes(psnr[frame] for frame in frames)


def _told(developed: Mean, lines: Sequence[Known], frames: Collection[Frame]) -> str:
    """What a model reaches on these frames."""
    low, high = developed.interval
    sure = f", with 95 % confidence between {low:.2f} and {high:.2f}" if developed.count > 1 else ""
    told = [f"{developed.mean:.2f} dB developed{sure}"]
    for light, name in LIT.items():
        found = [line for line, _ in lines if (line.pair, line.dark) in frames and line.light == light]
        linear = over_scenes((line, line.linear.psnr) for line in found)
        told += [f"{linear.mean:.2f} dB in {name}"] if linear.count else []
    return ", and ".join(told)


def _lead(ahead: Mean, best: str, after: str) -> tuple[str, str]:
    """What can be claimed of the best, and how far it is ahead of the next, frame by frame."""
    low, high = ahead.interval
    apart = f"{ahead.mean:.2f}" + (f" ± {high - ahead.mean:.2f}" if ahead.count > 1 else "")
    if float(f"{ahead.mean:.2f}") == 0:
        return f"{best} and {after} are level", f"frame by frame {apart} dB apart"
    why = f"frame by frame {apart} dB ahead of {after}"
    if ahead.count == 1:
        return f"{best} is ahead", f"{why}, and one scene tells nothing of others"
    if not low > 0:
        return f"{best} is ahead", f"{why}, which may be chance"
    return f"{best} makes the best pictures", why


def _speed(models: Sequence[Subject]) -> str:
    measured = list(_measured(models))
    if not measured:
        return "Neither speed nor size was measured: no bench was given."
    same = [one for one in measured if _alike(one[1]) == _alike(measured[0][1])]
    one, bench, row = min(same, key=lambda each: each[2].numbers["median_ms"])
    place = " in the first bench" if len(same) < len(measured) else ""
    size = f" for {bench.side} x {bench.side} pixels" if bench.side else ""
    machine = str(bench.machine.get("processor") or "a machine that was not named")
    time = f"{short(row.numbers['median_ms'])} ms{size} on {machine}"
    sized = [each for each in measured if math.isfinite(each[2].numbers["size_bytes"])]
    if not sized:
        return f"The fastest{place} is {one.name}, {time}; no size was told."
    small, _, least = min(sized, key=lambda each: each[2].numbers["size_bytes"])
    megabytes = f"{short(least.numbers['size_bytes'] / 1e6)} MB"
    if small is one:
        return f"The fastest{place} and the smallest is {one.name}, {time} and {megabytes}."
    return f"The fastest{place} is {one.name}, {time}; the smallest is {small.name}, {megabytes}."


def _measured(models: Sequence[Subject]) -> Iterator[Measured]:
    return ((one, bench, row) for one in models for bench, row in one.rows)


def _alike(bench: Bench) -> tuple[str, ...]:
    """Times of two benches can be compared where these are equal."""
    return bench.side, bench.threads, str(bench.machine.get("processor"))


def why_no_energy(models: Sequence[Subject]) -> str:
    """Why energy is missing, as the benches tell it; "" where every row has it."""
    rows = [row for _, _, row in _measured(models)]
    if not rows:
        return "no bench was given"
    whys = [row.energy_why or "no reason was written" for row in rows if not math.isfinite(row.numbers["energy_mj"])]
    return "; ".join(dict.fromkeys(whys))


def plots(models: Sequence[Subject]) -> str:
    """Three fronts as figures; where nothing was measured a sentence says so."""
    why = why_no_energy(models)
    return "\n".join(
        (
            _plot(models, "Time", "ms, median of a run", lambda row: row.numbers["median_ms"], "no bench was given"),
            _plot(models, "Size", "MB", lambda row: row.numbers["size_bytes"] / 1e6, "no bench told it"),
            _plot(models, "Energy", "mJ a run", lambda row: row.numbers["energy_mj"], why),
        )
    )


def _plot(models: Sequence[Subject], title: str, unit: str, value: Callable[[Row], float], why: str) -> str:
    points = [each for each in _measured(models) if math.isfinite(value(each[2])) and value(each[2]) > 0]
    shown = [each for each in points if each[0].developed.count]
    if not shown:
        missing = why if not points else "none of the models that were measured was judged"
        return f'<p class="none"><strong>{title.lower()}:</strong> {escaped(missing)}</p>'
    kinds: dict[str, list[Mark]] = {}
    for one, bench, row in shown:
        mark = Mark(value(row), one.developed.mean, one.name)
        kinds.setdefault(_kind(bench, row, [each[1] for each in shown]), []).append(mark)
    alike = len({_alike(bench) for _, bench, _ in shown}) == 1 or title == "Size"
    series = [Series(name, marks) for name, marks in kinds.items()]
    drawing = scatter(series, x=unit, y="dB, developed", title=f"{title} and quality", log_x=True, pareto=alike)
    inside = {one.name for one, _, _ in shown}
    outside = [one.name for one in models if one.name not in inside]
    note = f"Not in the plot, for want of one of the two: {', '.join(outside)}." if outside else ""
    note = " ".join(("" if alike else "Benches of several machines or sizes: no line is drawn through them.", note))
    line = "The dashed line goes through what no other beats." if FRONT in drawing else ""
    return (
        f'<figure class="plot"><div class="wide" tabindex="0" role="group" aria-label="{title} and quality">'
        f"{drawing}</div><figcaption>{escaped(f'{line} {note}'.strip())}</figcaption></figure>"
    )


def _kind(bench: Bench, row: Row, benches: Sequence[Bench]) -> str:
    """What ran it, and in which bench where they differ."""
    ran = " ".join(part for part in (row.who.engine, row.who.provider) if part) or "an engine that was not named"
    if len({_alike(one) for one in benches}) == 1:
        return ran
    return f"{ran}, {bench.path.stem}"
