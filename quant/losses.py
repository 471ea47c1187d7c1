"""What a training makes small: functions of the truth and the prediction, both NHWC, that give one number.

SSIM is that of Wang, Bovik, Sheikh and Simoncelli (2004), its many scales those of Wang, Simoncelli and Bovik (2003),
the mix that of Zhao, Gallo, Frosio and Kautz (2017), Dice that of Milletari, Navab and Ahmadi (2016). Pictures lie
between 0 and 1. All is computed in float32, whatever the network computes in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from runtime.errors import UnknownName

__all__ = ["LOSSES", "depth", "dice", "l1", "l1_level", "l1_light", "l2", "least_side", "loss", "ms_ssim_l1", "ssim"]

Tensor = Any
Loss = Callable[[Tensor, Tensor], Tensor]

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # how much each scale counts, from the finest
MIX = 0.84  # the share of MS-SSIM in the mix, as published
# The slope of x^0.0448 grows without bound at 0; below this a scale shows nothing alike, and has no slope.
LEAST = 1e-4
DIM = 0.05  # of white: in brighter boxes the share of light that is lost counts, in darker ones the light
BOX = 16  # pixels a side: what noise leaves of light in so many is the light
SMOOTH = 1.0  # pixels: with none in the truth, one predicted by mistake costs about a half and not everything


def l1(y: Tensor, prediction: Tensor) -> Tensor:
    """Mean absolute difference."""
    y, prediction = _pair(y, prediction)
    return tf.reduce_mean(tf.abs(y - prediction))


def l1_light(y: Tensor, prediction: Tensor) -> Tensor:
    """L1 of pictures that tell the root of light, and L1 of the light itself, as means over boxes.

    Alone, the first makes what is uncertain its median, which is darker than its mean: levels and colours shift.
    """
    light, predicted = _boxes(y, prediction)
    return l1(y, prediction) + tf.reduce_mean(tf.abs(light - predicted))


def l1_level(y: Tensor, prediction: Tensor) -> Tensor:
    """The same, the light of boxes in shares of itself: dim surfaces keep their level as bright ones do."""
    light, predicted = _boxes(y, prediction)
    return l1(y, prediction) + tf.reduce_mean(tf.abs(light - predicted) / (light + DIM))


def l2(y: Tensor, prediction: Tensor) -> Tensor:
    """Mean squared difference."""
    y, prediction = _pair(y, prediction)
    return tf.reduce_mean(tf.square(y - prediction))


def ssim(y: Tensor, prediction: Tensor) -> Tensor:
    """1 - SSIM, over the windows that lie inside."""
    y, prediction = _pair(y, prediction)
    _need(y, WINDOW)
    similar, _ = _similarity(y, prediction)
    return 1 - tf.reduce_mean(similar)


def ms_ssim_l1(y: Tensor, prediction: Tensor) -> Tensor:
    """0.84 of 1 - MS-SSIM and 0.16 of L1; of the five scales, those at which a window still fits."""
    y, prediction = _pair(y, prediction)
    _need(y, WINDOW)
    return MIX * (1 - tf.reduce_mean(_ms_ssim(y, prediction))) + (1 - MIX) * tf.reduce_mean(tf.abs(y - prediction))


def dice(y: Tensor, prediction: Tensor) -> Tensor:
    """1 - 2 |A and B| / (|A| + |B|) of each image, the mean over images; masks and probabilities, 0 to 1."""
    y, prediction = _pair(y, prediction)
    both = tf.reduce_sum(y * prediction, axis=[1, 2, 3])
    each = tf.reduce_sum(y + prediction, axis=[1, 2, 3])
    return tf.reduce_mean(1 - (2 * both + SMOOTH) / (each + SMOOTH))


def depth(y: Tensor, prediction: Tensor) -> Tensor:
    """Mean squared difference where the depth is known: where it is finite and above 0; 0 if it is nowhere."""
    y, prediction = _pair(y, prediction)
    known = tf.math.is_finite(y) & (y > 0)
    # Chosen, not multiplied by 0, and before the square: a NaN times 0 is a NaN, in the gradient too.
    difference = tf.where(known, prediction - y, tf.zeros_like(y))
    return tf.math.divide_no_nan(tf.reduce_sum(tf.square(difference)), tf.reduce_sum(tf.cast(known, tf.float32)))


LOSSES: dict[str, Loss] = {
    **{"l1": l1, "l1-light": l1_light, "l1-level": l1_level, "l2": l2, "ssim": ssim, "ms-ssim-l1": ms_ssim_l1},
    **{"dice": dice, "depth": depth},
}
LEAST_SIDES = {"l1-light": BOX, "l1-level": BOX, "ssim": WINDOW, "ms-ssim-l1": WINDOW}


def loss(name: str) -> Loss:
    """The loss that a recipe names."""
    if name not in LOSSES:
        raise UnknownName("loss", name, LOSSES)
    return LOSSES[name]


def least_side(name: str) -> int:
    """The fewest pixels a side that the loss of that name can compare."""
    return LEAST_SIDES.get(name, 1)


def _pair(y: Tensor, prediction: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float32, of one shape: two that differ would be broadcast without a word."""
    y, prediction = (tf.cast(tf.convert_to_tensor(x), tf.float32) for x in (y, prediction))
    y.shape.assert_is_compatible_with(prediction.shape)
    return y, prediction


def _boxes(y: Tensor, prediction: Tensor) -> tuple[Tensor, Tensor]:
    """The mean light of boxes, of pictures that tell its root."""
    y, prediction = _pair(y, prediction)
    _need(y, BOX)
    # A root below zero is that of light that is missing: see root.py.
    light, predicted = (tf.nn.avg_pool2d(x * tf.abs(x), BOX, BOX, "VALID") for x in (y, prediction))
    return light, predicted


def _need(y: Tensor, side: int) -> None:
    if any(n is not None and n < side for n in y.shape[1:3]):
        raise ValueError(f"this loss needs {side} x {side} pixels, not {y.shape[1]} x {y.shape[2]}")


def _similarity(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM and its factor of contrast and structure, of every image and channel, the mean over its windows."""
    mean_a, mean_b, squares, products = tf.split(_blur(tf.concat([a, b, a * a + b * b, a * b], axis=0)), 4, axis=0)
    product, sum_of_squares = mean_a * mean_b, mean_a**2 + mean_b**2
    structure = (2 * (products - product) + C2) / (squares - sum_of_squares + C2)
    light = (2 * product + C1) / (sum_of_squares + C1)
    return tf.reduce_mean(light * structure, axis=[1, 2]), tf.reduce_mean(structure, axis=[1, 2])


def _ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Of every image and channel."""
    sides = [n for n in a.shape[1:3] if n is not None]
    fits = [w for level, w in enumerate(SCALES) if all(n >> level >= WINDOW for n in sides)]
    result: Tensor = 1.0
    for level, weight in enumerate(fits, start=1):
        similar, structure = _similarity(a, b)
        factor = similar if level == len(fits) else structure
        result *= tf.maximum(factor, LEAST) ** (weight / sum(fits))
        if level < len(fits):
            a, b = (tf.nn.avg_pool2d(x, 2, 2, "VALID") for x in (a, b))
    return result


def _blur(x: Tensor) -> Tensor:
    """The Gaussian mean around each pixel whose window lies inside, a column and then a row at a time."""
    at = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(at**2) / (2 * SIGMA**2))
    line = tf.constant(weights / weights.sum(), tf.float32)
    for shape in ((WINDOW, 1, 1, 1), (1, WINDOW, 1, 1)):
        kernel = tf.tile(tf.reshape(line, shape), [1, 1, x.shape[-1], 1])
        x = tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "VALID")
    return x
