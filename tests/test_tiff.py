import io
import struct

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from runtime import tiff
from runtime.errors import FileError
from runtime.exif import write as exif_block
from runtime.raw import About

ABOUT = About(make="SONY", model="ILCE-7SM2", lens="FE 35mm", exposure=0.04, iso=25600, taken="2026:11:21 08:00:00")
PICTURES = hnp.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])))


def written(pixels, *, about=ABOUT, tags=None, description="how", **options):
    file = io.BytesIO()
    block = exif_block(about, software="qk-unet", description=description)
    tiff.write(file, pixels, path="a.tif", tags=tags or {}, exif=block, **options)
    return file.getvalue()


@settings(max_examples=80, deadline=None, derandomize=True)
@given(pixels=PICTURES, block=st.sampled_from([1, 2**20]), words=st.text(max_size=20))
def test_every_picture_comes_back_to_the_bit(pixels, block, words):
    pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiff, "ROWS", block)
        sixteen, eight = (written(pixels, bits=bits, description=words) for bits in (16, 8))
    assert np.array_equal(tifffile.imread(io.BytesIO(sixteen)), pixels)
    assert np.array_equal(tifffile.imread(io.BytesIO(eight)), (pixels.astype(int) + 128) // 257)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(eight))), (pixels.astype(int) + 128) // 257)


def test_the_entries_of_the_block_stay_true_and_the_pictures_are_added():
    pixels = np.arange(60, dtype=np.uint16).reshape(4, 5, 3)
    tags = {50708: tiff.text("a name"), 50721: tiff.rational([-0.5, 2.25], signed=True), 50728: tiff.rational([1 / 3])}
    data = written(pixels, tags=tags)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        (page,) = file.pages
        found = {tag.code: tag.value for tag in page.tags.values()}
        assert (found[270], found[271], found[272], found[305]) == ("how", "SONY", "ILCE-7SM2", "qk-unet")
        assert (found[50708], found[50721]) == ("a name", (-1, 2, 9, 4))
        assert found[50728] == (333333, 1000000)
        assert found[274] == 1
        assert list(found) == sorted(found)  # as the standard wants
        assert found[273][0] % 16 == 0
        assert found[34665]["LensModel"] == "FE 35mm"
    with Image.open(io.BytesIO(data)) as image:
        below = image.getexif().get_ifd(34665)
        assert (below[42036], below[36867]) == ("FE 35mm", "2026:11:21 08:00:00")
        assert float(below[33434]) == pytest.approx(0.04)


def test_a_picture_is_taken_through_a_function_block_by_block(monkeypatch):
    monkeypatch.setattr(tiff, "ROWS", 1)
    pixels = np.arange(60, dtype=np.uint16).reshape(4, 5, 3)
    seen = []
    data = written(pixels, through=lambda part: seen.append(len(part)) or part + np.uint16(7))
    assert np.array_equal(tifffile.imread(io.BytesIO(data)), pixels + 7)
    assert seen == [1, 1, 1, 1]


def test_a_view_is_written_as_what_it_shows():
    pixels = np.arange(60, dtype=np.uint16).reshape(4, 5, 3).swapaxes(0, 1)[::-1]
    assert np.array_equal(tifffile.imread(io.BytesIO(written(pixels))), pixels)


def test_more_than_offsets_of_32_bits_reach_is_refused_in_words():
    huge = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint16), (40000, 40000, 3), (0, 0, 0))
    with pytest.raises(FileError, match=r"would be 8.9 GiB .*--format png"):
        written(huge)


@pytest.mark.parametrize(
    "block", [b"", b"II*\0", b"MM\0*\0\0\0\x08\0\0\0\0\0\0", b"Exif\0\0II*\0" + struct.pack("<I", 8)]
)
def test_what_is_no_block_of_ours_is_a_callers_bug(block):
    with pytest.raises(ValueError, match="no EXIF block"):
        tiff.write(io.BytesIO(), np.zeros((1, 1, 3), np.uint16), path="a", tags={}, exif=block)
