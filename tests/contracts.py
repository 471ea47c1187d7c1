"""The contract of a U-Net for RAW frames and a frame that says nothing, for tests that need no network."""

from fractions import Fraction

import numpy as np

from runtime.contract import Contract
from runtime.raw import About, Raw

UNET = Contract(
    network="unet",
    task="enhance",
    cfa="bayer",
    planes=("R", "G1", "B", "G2"),
    pack=2,
    range="black-to-white",
    ratio_max=300.0,
    output="camera-linear",
    channels=3,
    scale=Fraction(2),
    multiple=16,
    halo=96,
    activation_bytes_per_pixel=512,
)
EMPTY = Raw(
    mosaic=np.zeros((2, 2), np.uint16),
    cfa="bayer",
    pattern=((0, 1), (1, 2)),
    black=((0.0, 0.0), (0.0, 0.0)),
    white=1.0,
    wb=(2.0, 1.0, 1.6),
    wb_known=True,
    cam2rgb=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    xyz2cam=None,
    about=About(),
)
