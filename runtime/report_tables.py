"""The tables of a report as HTML that needs no script: every number stands there, and what is missing is said."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat

from runtime.measure import Mean
from runtime.report_cells import Cell, count, number, table, word
from runtime.report_data import Bench, Figures, Judged
from runtime.report_models import SPACES, Subject, average, figures, inside, over_scenes, spaces
from runtime.scores import LIGHTS, TIMED
from runtime.viewer import escaped

__all__ = ["benches", "failures", "files", "frames_of", "images", "means", "ratios", "stages", "worst"]

MOST_RATIOS = 8  # columns; more ratios than these are put together between 1, 2 and 5 times powers of ten
FEW = 20  # rounds below which the slowest twentieth is less than one of them


def means(models: Sequence[Subject]) -> str:
    """A line for each model: how good on average, and how sure that is."""
    known = spaces(models)
    heads = ["model", "network", "bits", "engine", "frames", "scenes"]
    heads += [f"{SPACES[space]}, {figure}" for space in known for figure in ("dB", "SSIM")]
    rows = []
    for one in models:
        cells = [word(one.name), *map(word, (one.who.network, one.who.bits)), word(_ran(one))]
        cells += [count(len(one.judged)), count(len({line.scene for line in one.judged}))]
        for space in known:
            found = [(line, figures(line, space)) for line in inside(one.judged, space)]
            cells.append(_mean([(line, figure.psnr) for line, figure in found], digits=2))
            cells.append(_mean([(line, figure.ssim) for line, figure in found], digits=4))
        rows.append(cells)
    return table("means", heads, rows, "Means over scenes, each the mean of its frames, ± half of the 95 % interval.")


def ratios(models: Sequence[Subject]) -> str:
    """How good at each ratio of exposures, developed and linear."""
    known = {line.ratio for one in models for line in one.judged if math.isfinite(line.ratio)}
    band: Callable[[float], tuple[float, float]] = (lambda r: (r, r)) if len(known) <= MOST_RATIOS else _band
    bands = sorted({band(ratio) for ratio in known})
    told = [f"x{low:g}" if low == high else f"x{low:g} to x{high:g}" for low, high in bands]
    judged = [one for one in models if one.judged]
    if not judged or not bands:
        return '<p class="none">No ratio of exposures was told.</p>'
    made = []
    for space in spaces(models):
        rows = []
        for one in judged:
            found = [(line, figures(line, space).psnr) for line in inside(one.judged, space)]
            banded = [[each for each in found if _within(each[0], wanted, band)] for wanted in bands]
            rows.append([word(one.name), *(_mean(some, digits=2) for some in banded)])
        caption = f"dB by how many times brighter: {SPACES[space]}."
        made.append(table(f"ratios-{space}", ["model", *told], rows, caption))
    return "\n".join(made)


def images(models: Sequence[Subject]) -> str:
    """A line for each frame through each model."""
    heads = ["frame", "model", "ratio", "pixels", "developed, dB", "developed, SSIM", "linear, dB", "linear, SSIM"]
    heads += ["light", f"s, {' and '.join(TIMED)}"]
    rows = [
        [
            word(frame_name(line)),
            word(one.name),
            number(line.ratio, told=f"x{line.ratio:g}"),
            word(line.size),
            *(cell for found in (line.developed, line.linear) for cell in _both(found)),
            word(LIGHTS.get(line.light, "")),
            number(sum(line.seconds.get(name, math.nan) for name in TIMED)),
        ]
        for one in models
        for line in one.judged
    ]
    return table("images", heads, rows, "Every frame through every model.")


def worst(models: Sequence[Subject], *, most: int = 5) -> str:
    """The frames that came out worst, in a sentence."""
    all_lines = [(line.developed.psnr, frame_name(line), one.name) for one in models for line in one.judged]
    least = sorted(entry for entry in all_lines if math.isfinite(entry[0]))[:most]
    return escaped("; ".join(f"{frame} with {model}, {psnr:.2f} dB" for psnr, frame, model in least))


def benches(models: Sequence[Subject]) -> str:
    """A line for each row of the benches."""
    heads = ["model", "engine", "bench", "MB", "load, ms", "median, ms", "95 %, ms", "a second", "times the first"]
    heads += ["peak, MB", "int8", "on provider", "mJ", "largest error", "mean error", "against"]
    rows = []
    for one, (bench, row) in chain.from_iterable(zip(repeat(model), model.rows) for model in models):
        n = row.numbers
        why = "not measurable" if row.energy_why else "not measured"  # the reason stands under the table
        rows.append(
            [
                *(word(one.name), word(_ran(one)), word(bench.path.stem), number(n["size_bytes"] / 1e6)),
                *(number(n[name]) for name in ("load_ms", "median_ms")),
                Cell("too few rounds") if _few(bench) else number(n["p95_ms"]),
                *(number(n[name]) for name in ("per_second", "times_first")),
                number(n["peak_bytes"] / 1e6, missing="not measured"),
                *(number(n[name], told=f"{n[name]:.1%}") for name in ("int8_share", "provider_share")),
                number(n["energy_mj"], missing=why),
                *(number(n[name], missing="not compared") for name in ("max_error", "mean_error")),
                word(row.error_against, missing="nothing"),
            ]
        )
    return table("bench", heads, rows, "One network run at a time; 95 %: one of twenty runs took longer.")


def stages(models: Sequence[Subject], given: Sequence[Bench]) -> str:
    """Where the time goes: the evaluations' means of what is not judging, and whole frames of the benches."""
    rows = [
        [word(one.name), *(_ms(average(line.seconds.get(name, math.nan) for line in one.judged)) for name in TIMED)]
        for one in models
        if any(line.seconds for line in one.judged)
    ]
    caption = "Milliseconds a frame in the evaluations, on average, from the mosaic to the network's answer."
    made = [table("stages", ["model", *TIMED], rows, caption)]
    frames = [frame for bench in given for frame in bench.frames]
    names = _known(frame.seconds for frame in frames)
    rows = [
        [
            *map(word, (frame.who.model, f"{frame.who.engine} {frame.who.provider}".strip(), frame.size, frame.format)),
            *(_ms(average([frame.seconds.get(name, math.nan)])) for name in names),
            *(_ms(average([frame.numbers[name]]), missing="not measured") for name in ("total_s", "overlapped_s")),
            number(frame.numbers["peak_bytes"] / 1e6, missing="not measured"),
            number(frame.numbers["energy_mj"], missing="not measured"),
        ]
        for frame in frames
    ]
    heads = ["model", "engine", "pixels", "format", *names, "one by one", "overlapped", "peak, MB", "mJ"]
    return "\n".join([*made, table("frames", heads, rows, "Milliseconds a whole frame in the benches.")])


def failures(models: Sequence[Subject]) -> str:
    """What a model made nothing of, and why."""
    rows = [
        [word(line.pair or line.dark), word(one.name), word(line.dark), word(line.error)]
        for one in models
        for line in one.failed
    ]
    if not rows:
        return "<p>None: every frame that was tried was judged.</p>"
    return table("failures", ["frame", "model", "dark", "why"], rows, "Frames that no figure above counts.")


def files(models: Sequence[Subject]) -> str:
    """Which files these are, to the bit."""
    rows = [[word(one.name), word(one.who.model), word(one.who.file), word(one.who.digest)] for one in models]
    return table("files", ["model", "asked for as", "file", "digest"], rows, "The files the figures are of.")


def frames_of(models: Sequence[Subject]) -> str:
    """How many frames models were judged on, of how many scenes, and whether all on the same."""
    sets = [{(line.pair, line.dark) for line in one.judged} for one in models]
    counts = sorted({len(some) for some in sets})
    if all(some == sets[0] for some in sets):
        scenes = len({line.scene for line in models[0].judged})
        of = f" of {_counted(scenes, 'scene')}" if scenes != counts[0] else ""
        return _counted(counts[0], "frame") + of
    common = len(set.intersection(*sets))
    return f"{counts[0]} to {counts[-1]} frames, not all on the same ({common} in common)"


def frame_name(line: Judged) -> str:
    """What a frame is called."""
    return line.pair or line.dark


def _both(found: Figures) -> Iterator[Cell]:
    if found.psnr == math.inf:
        yield Cell("no difference", math.inf)
    else:
        yield number(found.psnr, told=f"{found.psnr:.2f}")
    yield number(found.ssim, told=f"{found.ssim:.4f}")


def _mean(found: Sequence[tuple[Judged, float]], *, digits: int) -> Cell:
    """A mean over scenes with its interval; what could not be counted is said."""
    values = [value for _, value in found]
    mean, exact, lost = over_scenes(found), values.count(math.inf), sum(map(math.isnan, values))
    also = f" and {exact} without any difference" if exact else ""
    also += f" and {lost} not told" if lost else ""
    if not mean.count:
        return Cell(also.removeprefix(" and ") or "not judged", math.inf if exact else None)
    if mean.count == 1:
        alone = "one frame" if sum(map(math.isfinite, values)) == 1 else "one scene"
        return Cell(f"{mean.mean:.{digits}f}, {alone}{also}", mean.mean)
    return Cell(f"{mean.mean:.{digits}f} ± {mean.interval[1] - mean.mean:.{digits}f}{also}", mean.mean)


def _few(bench: Bench) -> bool:
    """Whether a bench tells that it ran too few rounds to know its slowest twentieth."""
    return bench.rounds.isdecimal() and int(bench.rounds) < FEW


def _counted(many: int, what: str) -> str:
    return f"{many} {what}{'s' if many != 1 else ''}"


def _ms(seconds: Mean, *, missing: str = "not told") -> Cell:
    return number(1e3 * seconds.mean, missing=missing)


def _ran(one: Subject) -> str:
    return " ".join(part for part in (one.who.engine, one.who.provider) if part)


def _known(given: Iterable[Mapping[str, float]]) -> list[str]:
    """The names of stages in the order they were met."""
    return list(dict.fromkeys(chain.from_iterable(given)))


def _within(line: Judged, wanted: tuple[float, float], band: Callable[[float], tuple[float, float]]) -> bool:
    return math.isfinite(line.ratio) and band(line.ratio) == wanted


def _band(ratio: float) -> tuple[float, float]:
    """Between which of 1, 2, 5, 10 and so on a ratio lies."""
    if ratio <= 0:
        return 0.0, 0.0
    power = 10.0 ** math.floor(math.log10(ratio))
    low = max(f for f in (1, 2, 5) if f * power <= ratio * (1 + 1e-9))
    return low * power, {1: 2, 2: 5, 5: 10}[low] * power
