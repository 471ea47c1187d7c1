"""Folders of pairs for tests: small, made in no time, in either layout and of either kind of reference."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import tifffile
from raw_files import ABOUT, BAYER, arw, dng, scene

from runtime.contract import Contract
from runtime.fake import Fake
from runtime.session import Session

UPRIGHT = replace(ABOUT, orientation=1)
SONY = replace(ABOUT, make="SONY", model="ILCE-7SM2", orientation=1)  # LibRaw knows its levels by this name
TOP = 65535


def colours(height, width, *, seed=0):
    """A scene in the camera's own colours, (h, w, 3) from 0 to 1: soft hills of light."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(y * a + x * b + c) for a, b, c in rng.uniform(0.02, 0.2, (3, 3))]
    return np.stack([0.25 + 0.2 * wave for wave in waves], axis=-1)


def mosaic(scene_colours, *, ratio, pattern=BAYER["RGGB"], black=512, white=16383, seed=0):
    """The scene as a sensor sees it with so many times too little light."""
    height, width, _ = scene_colours.shape
    y, x = np.mgrid[:height, :width]
    size = len(pattern)
    seen = np.take_along_axis(scene_colours, np.array(pattern)[y % size, x % size][..., None], axis=2)[..., 0]
    noise = np.random.default_rng(seed).normal(0, 3, seen.shape)
    return np.clip(np.rint(black + seen / ratio * (white - black) + noise), 0, TOP).astype(np.uint16)


def camera_tiff(path, seen):
    """The scene as a TIFF that says whose colours it holds."""
    tifffile.imwrite(path, levels(seen), photometric="rgb", description="camera-linear", metadata=None)


def levels(picture):
    """0 to 1 in 16 bits."""
    return np.rint(np.clip(picture, 0, 1) * TOP).astype(np.uint16)


def pairs(folder, count=3, *, size=(64, 96), ratio=20, camera=True):
    """dark/00000_x20.dng and clean/00000.tif, of the camera's colours or, named alike, of sRGB."""
    (folder / "dark").mkdir(parents=True)
    (folder / "clean").mkdir()
    for number in range(count):
        seen = colours(*size, seed=number)
        name = f"{number:05}_x{ratio:g}" if camera else f"{number:05}"
        dng(folder / f"dark/{name}.dng", mosaic(seen, ratio=ratio, seed=number), about=UPRIGHT)
        if camera:
            camera_tiff(folder / f"clean/{number:05}.tif", seen)
        else:
            tifffile.imwrite(folder / f"clean/{number:05}.tif", levels(seen**0.5), photometric="rgb", metadata=None)
    return folder


def in_the_dark(folder, *, size=(48, 64), shorts=("00001_00_0.1s", "00001_01_0.04s"), longs=("00001_00_10s",)):
    """The layout of See in the Dark."""
    for kind, names, light in (("short", shorts, 0.01), ("long", longs, 0.6)):
        (folder / kind).mkdir(parents=True)
        for number, name in enumerate(names):
            lit = tuple(light * c for c in (0.5, 0.8, 0.4))
            arw(folder / f"{kind}/{name}.ARW", scene(*size, light=lit, seed=number), about=SONY)
    return folder


def contract(**changes):
    """Of a network for Bayer frames that answers in the camera's colours."""
    plain = Contract(
        network="fake",
        task="enhance",
        cfa="bayer",
        planes=("R", "G1", "B", "G2"),
        pack=2,
        layout="NCHW",
        range="black-to-white",
        ratio_max=300.0,
        output="camera-linear",
        channels=3,
        scale=Fraction(2),
        multiple=4,
        halo=8,
        activation_bytes_per_pixel=64,
    )
    return replace(plain, **changes)


def fake(function=None, **changes):
    """A session of a network that is none: by default the mean of the planes in every colour."""
    backend = Fake(contract(**changes), function)
    return Session(backend, ran=backend.ran, digest="fake")
