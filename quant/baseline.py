"""What a learned denoiser has to beat: the best that classical ones do when they are told the sensor and tuned.

A mosaic, amplified and not cut, has its noise made even (generalised Anscombe transform; Foi et al. 2008), is smoothed
as four planes, brought back without bias (Makitalo and Foi 2013) and demosaiced (Malvar, He and Cutler 2004). It is
given what a network is not: the true gain, read noise and white balance, and values below black.
The smoothers are scikit-image's: non-local means, wavelets, total variation; the mean of several is better than each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from quant.noise import Sensor, amplified
from quant.pairs import Pairs, Sample
from runtime.errors import BadOption
from runtime.library import need
from runtime.measure import psnr

__all__ = [
    "Bilateral",
    "Means",
    "Method",
    "Noise",
    "Nothing",
    "Part",
    "Smoother",
    "Tried",
    "Tuned",
    "Variation",
    "Wavelets",
    "demosaiced",
    "denoised",
    "evened",
    "noise",
    "picture",
    "tune",
    "unevened",
]

Array = np.ndarray[Any, Any]

SITES = ((0, 0), (0, 1), (1, 0), (1, 1))  # of red, green, green and blue in the cell
HALF, ROOT = 0.5, math.sqrt(0.5)
OPPONENT = np.array(  # brightness, red and blue against green, and two differences: orthonormal, so noise stays even
    [[HALF, HALF, HALF, HALF], [HALF, -HALF, -HALF, HALF], [ROOT, 0, 0, -ROOT], [0, ROOT, -ROOT, 0]]
)
SHIFTS = 4  # a wavelet's grid begins at each of 4 x 4 places: its blocks do not show in the mean

# What is nearest, and what the colour that was measured here adds to it: Malvar, He and Cutler's alpha, beta, gamma.
CROSS = np.array([[0, 0, 0, 0, 0], [0, 0, 2, 0, 0], [0, 2, 0, 2, 0], [0, 0, 2, 0, 0], [0, 0, 0, 0, 0]]) / 8
CROSS_MORE = np.array([[0, 0, -1, 0, 0], [0, 0, 0, 0, 0], [-1, 0, 4, 0, -1], [0, 0, 0, 0, 0], [0, 0, -1, 0, 0]]) / 8
ROW = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 4, 0, 4, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]) / 8
ROW_MORE = np.array([[0, 0, 1, 0, 0], [0, -2, 0, -2, 0], [-2, 0, 10, 0, -2], [0, -2, 0, -2, 0], [0, 0, 1, 0, 0]]) / 16
CORNERS = np.array([[0, 0, 0, 0, 0], [0, 2, 0, 2, 0], [0, 0, 0, 0, 0], [0, 2, 0, 2, 0], [0, 0, 0, 0, 0]]) / 8
CORNERS_MORE = CROSS_MORE * 1.5


@dataclass(frozen=True)
class Nothing:
    """No smoothing: how good the rest is."""

    def __call__(self, planes: Array) -> Array:
        """The planes as they are."""
        return planes


@dataclass(frozen=True)
class Means:
    """Non-local means of all planes together (Buades, Coll and Morel 2005)."""

    h: float  # how unlike two patches may be, in deviations of the noise
    patch: int
    reach: int

    def __call__(self, planes: Array) -> Array:
        """Smooth planes (h, w, 4) whose noise has a deviation of 1."""
        smooth = need("skimage.restoration", library="skimage", extra="demo").denoise_nl_means
        options = {"patch_size": self.patch, "patch_distance": self.reach, "h": self.h, "sigma": 1.0}
        return np.asarray(smooth(planes, fast_mode=True, channel_axis=-1, **options))


@dataclass(frozen=True)
class Wavelets:
    """Haar wavelets of opponent colours, each band shrunk by BayesShrink (Chang et al. 2000), from every place."""

    sigma: float  # what the noise's deviation is taken for
    levels: int

    def __call__(self, planes: Array) -> Array:
        """Smooth planes (h, w, 4) whose noise has a deviation of 1."""
        need("pywt", library="pywt", extra="train")  # scikit-image asks for it only when it is called
        height, width, _ = planes.shape
        padded = np.pad(planes @ OPPONENT.T, ((SHIFTS, SHIFTS), (SHIFTS, SHIFTS), (0, 0)), mode="reflect")
        total = np.zeros(planes.shape)
        for y, x in np.ndindex(SHIFTS, SHIFTS):
            smooth = self._shrunk(padded[y : y + height + SHIFTS, x : x + width + SHIFTS])
            total += smooth[SHIFTS - y :, SHIFTS - x :][:height, :width]
        return total @ OPPONENT / SHIFTS**2

    def _shrunk(self, planes: Array) -> Array:
        smooth = need("skimage.restoration", library="skimage", extra="train").denoise_wavelet
        options = {"sigma": self.sigma, "wavelet": "haar", "wavelet_levels": self.levels}
        return _apart(planes, lambda plane: smooth(plane, method="BayesShrink", rescale_sigma=False, **options))


@dataclass(frozen=True)
class Variation:
    """The least total variation of opponent colours (Rudin, Osher and Fatemi 1992)."""

    weight: float  # of brightness; differences of colour bear twice as much

    def __call__(self, planes: Array) -> Array:
        """Smooth planes (h, w, 4) whose noise has a deviation of 1."""
        smooth = need("skimage.restoration", library="skimage", extra="train").denoise_tv_chambolle
        weights = iter((self.weight, *[2 * self.weight] * 3))
        return _apart(planes @ OPPONENT.T, lambda plane: smooth(plane, weight=next(weights))) @ OPPONENT


@dataclass(frozen=True)
class Bilateral:
    """The bilateral filter of all planes together (Tomasi and Manduchi 1998)."""

    unlike: float  # how unlike the colours of two pixels may be, in deviations of the noise
    spread: float  # how far apart they may lie, in pixels

    def __call__(self, planes: Array) -> Array:
        """Smooth planes (h, w, 4) whose noise has a deviation of 1."""
        smooth = need("skimage.restoration", library="skimage", extra="train").denoise_bilateral
        least, unlike = planes.min(), self.unlike / planes.shape[-1]  # it divides differences by how many planes it has
        options = {"sigma_color": unlike, "sigma_spatial": self.spread, "mode": "reflect", "channel_axis": -1}
        return np.asarray(smooth(planes - least, **options)) + least  # for values from 0 up its table of them is right


def _apart(planes: Array, smooth: Callable[[Array], Array]) -> Array:
    """Each plane on its own."""
    return np.stack([smooth(planes[..., plane]) for plane in range(planes.shape[-1])], axis=-1)


Smoother = Nothing | Means | Wavelets | Variation | Bilateral


@dataclass(frozen=True)
class Part:
    """A smoother, and what it smooths."""

    smoother: Smoother
    evened: bool = True  # or as it is, and the noise is taken to be the same everywhere


@dataclass(frozen=True)
class Method:
    """One way from a mosaic to a picture."""

    parts: tuple[Part, ...]  # the mean of them is taken: what only one of them makes up is halved
    correction: float = 1.0  # how much of what was measured at a pixel goes into its other colours; 0: bilinear


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The variance of an amplified mosaic at a value: gain x value + variance."""

    gain: float
    variance: float


def noise(sensor: Sensor, *, ratio: float) -> Noise:
    """The noise of a sensor's mosaic from black to white, times the ratio; what rows share is counted to all pixels."""
    scale = ratio / (sensor.white - sensor.black)
    variance = sensor.read.sigma**2 + sensor.row**2 + 1 / 12  # whole numbers: a uniform error of one level
    return Noise(gain=sensor.K * scale, variance=variance * scale**2)


def evened(values: Array, *, noise: Noise) -> Array:
    """Values whose noise has a deviation of about 1 everywhere: the generalised Anscombe transform."""
    inside = noise.gain * values.astype(np.float64) + 0.375 * noise.gain**2 + noise.variance
    return 2 / noise.gain * np.sqrt(np.maximum(inside, 0))


def unevened(values: Array, *, noise: Noise) -> Array:
    """The value whose evened noise has this mean: Makitalo and Foi's closed form, not the bare inverse of the root."""
    d = np.maximum(values, math.sqrt(1.5))  # what complete darkness has without read noise
    electrons = d**2 / 4 + math.sqrt(1.5) / 4 / d - 11 / 8 / d**2 + 5 / 8 * math.sqrt(1.5) / d**3 - 1 / 8
    return np.maximum(electrons * noise.gain - noise.variance / noise.gain, 0)


def denoised(
    mosaic: Array, *, method: Method, noise: Noise, gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> Array:
    """The full colours (h, w, 3), 0 to 1, of a mosaic (h, w) that begins with red: black at 0, amplified, better uncut.

    `gains` are those of white balance: where they make white white, what one colour does tells of the others.
    """
    planes = np.stack([mosaic[y::2, x::2] for y, x in SITES], axis=-1).astype(np.float64)
    smooth = np.mean([_smoothed(planes, part, noise) for part in method.parts], axis=0)
    whole = np.empty(mosaic.shape)
    for plane, (y, x) in enumerate(SITES):
        whole[y::2, x::2] = smooth[..., plane]
    return np.clip(demosaiced(whole, gains=gains, correction=method.correction), 0, 1).astype(np.float32)


def _smoothed(planes: Array, part: Part, noise: Noise) -> Array:
    if part.evened:
        return unevened(part.smoother(evened(planes, noise=noise)), noise=noise)
    deviation = math.sqrt(noise.gain * max(float(planes.mean()), 0) + noise.variance)
    return part.smoother(planes / deviation) * deviation


def demosaiced(mosaic: Array, *, gains: tuple[float, float, float], correction: float = 1.0) -> Array:
    """Full colours (h, w, 3) of a mosaic (h, w) that begins with red; a colour stays where it was measured."""
    red, green, blue = gains
    balance = np.array([[red, green], [green, blue]])
    balanced = mosaic * np.tile(balance, (mosaic.shape[0] // 2, mosaic.shape[1] // 2))
    pairs = ((CROSS, CROSS_MORE), (ROW, ROW_MORE), (ROW.T, ROW_MORE.T), (CORNERS, CORNERS_MORE))
    cross, row, column, corners = (_filtered(balanced, plain + correction * more) for plain, more in pairs)
    picture = np.repeat(balanced[..., None], 3, axis=-1)
    for (y, x), others in {
        (0, 0): {1: cross, 2: corners},
        (0, 1): {0: row, 2: column},
        (1, 0): {0: column, 2: row},
        (1, 1): {0: corners, 1: cross},
    }.items():
        for colour, filtered in others.items():
            picture[y::2, x::2, colour] = filtered[y::2, x::2]
    return picture / np.array(gains)


def _filtered(mosaic: Array, kernel: Array) -> Array:
    """The mosaic under a symmetric kernel; mirrored about its outermost pixels, it keeps its pattern."""
    height, width = mosaic.shape
    around = np.pad(mosaic, 2, mode="reflect")
    parts = (k * around[y : y + height, x : x + width] for (y, x), k in np.ndenumerate(kernel) if k)
    return sum(parts, start=np.zeros(mosaic.shape))


def picture(sample: Sample, *, method: Method) -> Array:
    """The picture of a sample, float32 (h, w, 3), the camera's own colours: all that is known of the shot is used."""
    if sample.raw.cfa != "bayer":
        raise BadOption("the mosaic", sample.raw.cfa, "bayer: the classical denoiser knows no other")
    sensor = sample.camera.sensor
    mosaic = amplified(sample.raw.mosaic, sensor, ratio=sample.ratio)
    return denoised(mosaic, method=method, noise=noise(sensor, ratio=sample.ratio), gains=sample.camera.wb)


@dataclass(frozen=True)
class Tried:
    """A method, and its mean PSNR on the pairs it was tried on."""

    method: Method
    psnr: float


@dataclass(frozen=True)
class Tuned:
    """The method that was best, and all that were tried."""

    best: Tried
    tried: tuple[Tried, ...]


Figure = Callable[[Sample, Array], float]  # a PSNR of a sample's picture (h, w, 3)
Grids = Sequence[Sequence[Smoother]]
GRIDS: Grids = (  # without the bilateral filter: others are better
    tuple(Means(h, *sizes) for h in (0.3, 0.4, 0.5, 0.6, 0.8) for sizes in ((3, 5), (3, 9), (5, 7), (5, 11))),
    tuple(Wavelets(sigma, levels) for sigma in (0.8, 1.0, 1.2) for levels in (2, 3, 4)),
    tuple(Variation(weight) for weight in (0.1, 0.2, 0.3, 0.5, 0.8)),
)


def _psnr(sample: Sample, made: Array) -> float:
    return psnr(sample.colours.transpose(1, 2, 0), made, data_range=1.0)


def tune(pairs: Pairs, numbers: Iterable[int], *, grids: Grids = GRIDS, figure: Figure = _psnr) -> Tuned:
    """Try everything on these samples; those that figures are made of should have another seed, so other scenes.

    What counts is the mean of `figure`. First the best smoother of each kind, with even noise or without; then their
    means; then demosaicing from bilinear up.
    """
    samples = [pairs.sample(number) for number in numbers]
    tried: list[Tried] = []

    def best(methods: Iterable[Method]) -> Tried:
        made = ((method, [figure(one, picture(one, method=method)) for one in samples]) for method in methods)
        new = [Tried(method, float(np.mean(figures))) for method, figures in made]
        tried.extend(new)
        return max(new, key=lambda one: one.psnr)

    nothing = best(Method((Part(Nothing(), False),), correction) for correction in (0.0, 1.0))
    kinds = [best(Method((Part(one, even),)) for even in (True, False) for one in grid) for grid in grids]
    sets = [chosen for count in range(2, len(kinds) + 1) for chosen in combinations(kinds, count)]
    mixed = [best([Method(tuple(part for kind in chosen for part in kind.method.parts))]) for chosen in sets]
    winner = max([nothing, *kinds, *mixed], key=lambda one: one.psnr)
    rest = best(replace(winner.method, correction=correction) for correction in (0.0, 0.5))
    return Tuned(max(winner, rest, key=lambda one: one.psnr), tuple(tried))
