"""The colour profile of sRGB, computed from its definition: 480 bytes that say what the numbers of a picture mean.

A version 4 matrix profile (ICC.1:2010): the primaries of IEC 61966-2-1, seen in the daylight D50 in which profiles
meet, and the curve as a formula.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

__all__ = ["SRGB2XYZ", "srgb"]

Array = np.ndarray[Any, Any]

# Red, green, blue and white of sRGB, as x and y.
PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
WHITE = (0.3127, 0.3290)
D50 = (0.9642, 1.0, 0.8249)
# Of Bradford: the cone responses in which a change of daylight is a change of three gains.
CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def _xyz(x: float, y: float) -> Array:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _srgb2xyz() -> Array:
    """Linear sRGB to XYZ in daylight D65: the primaries, so much of each that together they are white."""
    columns = np.stack([_xyz(*xy) for xy in PRIMARIES], axis=1)
    return columns * np.linalg.solve(columns, _xyz(*WHITE))


SRGB2XYZ = _srgb2xyz()


@cache
def srgb() -> bytes:
    """The profile."""
    gains = (CONES @ D50) / (CONES @ _xyz(*WHITE))
    adapt = np.linalg.inv(CONES) @ np.diag(gains) @ CONES
    red, green, blue = (adapt @ SRGB2XYZ).T
    # y = (x / 1.055 + 0.055 / 1.055) ** 2.4 from 0.04045 on, x / 12.92 below: a formula of type 3.
    curve = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + _fixed((2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
    tags = {
        b"desc": _text("sRGB"),
        b"cprt": _text("CC0"),
        b"wtpt": _point(D50),
        b"chad": b"sf32" + bytes(4) + _fixed(adapt.ravel()),
        b"rXYZ": _point(red),
        b"gXYZ": _point(green),
        b"bXYZ": _point(blue),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    return _assembled(tags)


def _assembled(tags: dict[bytes, bytes]) -> bytes:
    """Header, table of tags, and what they hold; equal tags share a place."""
    start = 128 + 4 + 12 * len(tags)
    table, body, places = struct.pack(">I", len(tags)), b"", dict[bytes, int]()
    for name, data in tags.items():
        if data not in places:
            places[data] = start + len(body)
            body += data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, places[data], len(data))
    size = start + len(body)
    made = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    head = struct.pack(">I4sI4s4s4s12s4s", size, bytes(4), 0x04300000, b"mntr", b"RGB ", b"XYZ ", made, b"acsp")
    return (head + bytes(28) + _fixed(D50)).ljust(128, b"\0") + table + body


def _fixed(values: Iterable[float]) -> bytes:
    """Numbers with 16 bits before the point and 16 behind it."""
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def _point(xyz: Iterable[float]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(xyz)


def _text(words: str) -> bytes:
    text = words.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
