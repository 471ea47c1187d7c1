import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from runtime import icc


def opened(data):
    return ImageCms.ImageCmsProfile(io.BytesIO(data))


def farthest(data):
    """How far colours move, in levels of 255, from that profile to Pillow's own sRGB."""
    levels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    levels[0, :, :] = np.linspace(0, 255, 64)[:, None]
    moved = ImageCms.profileToProfile(Image.fromarray(levels), opened(data), ImageCms.createProfile("sRGB"))
    return np.abs(np.asarray(moved).astype(int) - levels).max()


def test_the_profile_is_srgb_to_one_level():
    assert farthest(icc.srgb()) <= 1
    dull = bytearray(icc.srgb())
    dull[dull.index(b"para") + 12 : dull.index(b"para") + 16] = struct.pack(">i", 2 * 65536)  # another exponent
    assert farthest(bytes(dull)) > 5


def test_the_profile_is_small_and_says_what_it_is():
    data = icc.srgb()
    assert len(data) == struct.unpack(">I", data[:4])[0] <= 512
    profile = opened(data).profile
    assert profile.profile_description == "sRGB"
    assert profile.xcolor_space.strip() == "RGB"
    assert profile.version == pytest.approx(4.3)
    assert ImageCms.isIntentSupported(opened(data), 0, ImageCms.Direction.INPUT) == 1


def test_the_matrix_is_the_published_one():
    published = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]  # IEC 61966-2-1
    last_digit = 0.00006
    assert np.abs(icc.SRGB2XYZ - published).max() < last_digit


def test_together_the_primaries_are_the_daylight_where_profiles_meet():
    data = icc.srgb()
    count = struct.unpack_from(">I", data, 128)[0]
    tags = {name: at for name, at, _ in (struct.unpack_from(">4sII", data, 132 + 12 * i) for i in range(count))}
    points = {name: np.array(struct.unpack_from(">3i", data, tags[name] + 8)) for name in tags if name[1:] == b"XYZ"}
    white = np.array(struct.unpack_from(">3i", data, tags[b"wtpt"] + 8))
    three_roundings = 1.5
    assert np.abs(sum(points.values()) - white).max() <= three_roundings
    assert tags[b"rTRC"] == tags[b"gTRC"] == tags[b"bTRC"]
