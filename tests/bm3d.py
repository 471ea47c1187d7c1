"""Block matching and collaborative filtering, small: what classical denoising is measured by.

Written from the paper (Dabov, Foi, Katkovnik and Egiazarian 2007, and their CBM3D of the same year): similar blocks are
stacked and shrunk together in a transform of three dimensions, and a pixel is the weighted mean of all blocks it lies
in; first by a hard threshold, then by Wiener's filter, which takes the first result for the picture. Blocks are matched
by brightness, and all colours share the matches. Unlike there, all groups are of one size, and both steps take cosines.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import dct
from scipy.sparse import csr_matrix

from quant.baseline import OPPONENT

SIDE = 8  # of a block
REACH = 14  # how far a similar block is looked for
SIMILAR = (16, 32)  # blocks of a group, by the step: powers of two
THRESHOLD = 2.7  # of coefficients, in deviations of the noise
LEAST = np.float32(1e-3)  # a group's power: one that is shrunk to nothing must not outweigh all others
CHUNK = 512  # groups at a time: 32 MB of them
COSINES = dct(np.eye(SIDE), axis=0, norm="ortho").astype(np.float32)


@dataclass(frozen=True)
class Collaborative:
    """BM3D of opponent colours, in the manner of the smoothers of quant.baseline."""

    sigma: float = 1.0  # what the noise's deviation is taken for
    seen: float = 0.0  # deviations; coefficients below do not make two blocks unlike: 2 where noise is strong
    every: int = 3  # a group begins at each so many pixels

    def __call__(self, planes):
        """Smooth planes (h, w, 4) whose noise has a deviation of 1."""
        mixed = planes @ OPPONENT.T
        return filtered(mixed, sigma=self.sigma, seen=self.seen, every=self.every) @ OPPONENT


def filtered(planes, *, sigma, seen=0.0, every=3):
    """Planes (h, w, n) without their noise, brightness the first: an orthonormal mixture, so all have one sigma."""
    noisy = _blocks(planes)
    bright = noisy[..., 0, :]
    found = _matches(np.where(np.abs(bright) >= seen * sigma, bright, 0), every, SIMILAR[0])
    first = _collected(_groups(found, lambda one: _cut(one, sigma), noisy), planes.shape)
    pilot = _blocks(first)
    found = _matches(pilot[..., 0, :], every, SIMILAR[1])
    return _collected(_groups(found, lambda one, by: _wiener(one, by, sigma), noisy, pilot), planes.shape)


def _blocks(planes):
    """The cosine transform of the block that begins at each pixel: (h - 7, w - 7, n, 64)."""
    blocks = sliding_window_view(planes.astype(np.float32), (SIDE, SIDE), axis=(0, 1))
    return (COSINES @ blocks @ COSINES.T).reshape(*blocks.shape[:3], SIDE**2)


def _matches(guide, every, count):
    """For each block of a grid the numbers of the `count` blocks most like it, the likest (itself) first."""
    height, width, _ = guide.shape
    rows, columns = (np.unique(np.append(np.arange(0, n, every), n - 1)) for n in (height, width))
    own, moves = guide[np.ix_(rows, columns)], list(np.ndindex(2 * REACH + 1, 2 * REACH + 1))
    unlike = np.full((len(rows), len(columns), len(moves)), np.inf, np.float32)
    for number, (down, right) in enumerate(moves):
        y, x = rows + down - REACH, columns + right - REACH
        inside = np.ix_((y >= 0) & (y < height), (x >= 0) & (x < width))
        apart = own[inside] - guide[np.ix_(y[inside[0].ravel()], x[inside[1].ravel()])]
        unlike[..., number][inside] = np.einsum("yxc,yxc->yx", apart, apart)
    unlike[..., len(moves) // 2] = -1
    likest = np.argsort(unlike, axis=-1, kind="stable")[..., :count]
    down, right = np.array(moves).T[:, likest] - REACH
    return ((rows[:, None, None] + down) * width + columns[:, None] + right).reshape(-1, count)


def _groups(matches, shrunk, *sources):
    """Part by part: the numbers of each group's blocks, the blocks shrunk together, and how much they count."""
    planes, size = sources[0].shape[2:]
    mixed = _haar(matches.shape[1])
    for first in range(0, len(matches), CHUNK):
        part = matches[first : first + CHUNK]
        stacks = [mixed @ one.reshape(-1, planes * size)[part] for one in sources]
        made, weight = shrunk(*(one.reshape(*part.shape, planes, size) for one in stacks))
        made = (mixed.T @ made.reshape(*part.shape, -1)).reshape(*part.shape, planes, size)
        yield part, made * weight, np.broadcast_to(weight, (*part.shape, planes, 1))


def _haar(count):
    """The orthonormal Haar transform of so many numbers, a power of two."""
    rows = np.ones((1, 1))
    while len(rows) < count:
        rows = np.vstack([np.kron(rows, [1, 1]), np.kron(np.eye(len(rows)), [1, -1])])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _cut(stack, sigma):
    """What rises out of the noise; a plane of a group counts by how little it took."""
    kept = np.abs(stack) > THRESHOLD * sigma
    return stack * kept, 1 / np.maximum(kept.sum((1, 3), keepdims=True), 1).astype(np.float32)


def _wiener(stack, pilot, sigma):
    """What is left of each coefficient where so much of its power is the picture's."""
    factor = pilot**2 / (pilot**2 + np.float32(sigma**2))
    return stack * factor, 1 / np.maximum(np.square(factor).sum((1, 3), keepdims=True), LEAST)


def _collected(groups, shape):
    """The weighted mean of all blocks, where they were found."""
    height, width, planes = shape[0] - SIDE + 1, shape[1] - SIDE + 1, shape[2]
    made = np.zeros((height * width, planes * SIDE**2), np.float32)
    counted = np.zeros((height * width, planes), np.float32)
    for part, blocks, weights in groups:
        places, at = np.unique(part, return_inverse=True)
        sums = csr_matrix((np.ones(part.size, np.float32), (at.ravel(), np.arange(part.size))))
        made[places] += sums @ blocks.reshape(part.size, -1)
        counted[places] += sums @ weights.reshape(part.size, -1)
    blocks = COSINES.T @ made.reshape(height, width, planes, SIDE, SIDE) @ COSINES
    counted = counted.reshape(height, width, planes)
    total, weight = np.zeros(shape), np.zeros(shape)
    for y, x in np.ndindex(SIDE, SIDE):
        total[y : y + height, x : x + width] += blocks[..., y, x]
        weight[y : y + height, x : x + width] += counted
    return total / weight
