"""A PNG in bands of rows is the PNG."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from runtime import png
from runtime.errors import UnreadableFile
from runtime.png_rows import PngRows


def noise(height, width, *, bits=16, seed=0):
    top = 2**bits
    return (
        np.random.default_rng(seed).integers(0, top, (height, width, 3)).astype(np.uint16 if bits == 16 else np.uint8)
    )


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def filtered(line, above, kind, step):
    """One row filtered as the standard says, a byte at a time."""
    out = bytearray([kind])
    for i, value in enumerate(line):
        a = line[i - step] if i >= step else 0
        b, c = above[i], above[i - step] if i >= step else 0
        p = a + b - c
        near = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
        out.append((value - (0, a, b, (a + b) // 2, near)[kind]) & 255)
    return bytes(out)


def written(pixels, kinds, *, cut=1000, head=None):
    """A PNG with those filters in turn, its IDAT chunks of so many bytes, an empty one among them."""
    height, width, _ = pixels.shape
    lines = pixels.astype(">u2" if pixels.dtype == np.uint16 else np.uint8).reshape(height, -1)
    lines = [line.tobytes() for line in lines]
    step = len(lines[0]) // width
    above, data = bytes(len(lines[0])), b""
    for number, line in enumerate(lines):
        data += filtered(line, above, kinds[number % len(kinds)], step)
        above = line
    packed = zlib.compress(data)
    head = head or struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, 2, 0, 0, 0)
    parts = [packed[i : i + cut] for i in range(0, len(packed), cut)]
    body = b"".join(chunk(b"IDAT", part) for part in [*parts[:1], b"", *parts[1:]])
    return png.SIGNATURE + chunk(b"IHDR", head) + chunk(b"tEXt", b"a\0b") + body + chunk(b"IEND", b"")


def read(data, cuts=()):
    rows = PngRows(io.BytesIO(data), path="a.png")
    ends = [*cuts, rows.height]
    return np.concatenate([rows.read(end - begin) for begin, end in zip([0, *cuts], ends, strict=True) if end > begin])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data())
def test_all_filters_are_undone_wherever_the_bands_are_cut(data):
    bits = data.draw(st.sampled_from([8, 16]))
    height, width = data.draw(st.integers(1, 80)), data.draw(st.integers(1, 9))
    kinds = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=7))
    cuts = sorted(data.draw(st.lists(st.integers(0, height), max_size=4)))
    pixels = noise(height, width, bits=bits)
    found = read(written(pixels, kinds), cuts)
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels)


def test_files_of_this_project_and_of_pillow_are_read():
    pixels = noise(70, 30)
    file = io.BytesIO()
    png.write(file, pixels, threads=1)
    np.testing.assert_array_equal(read(file.getvalue(), [3, 68]), pixels)
    smooth = np.add.outer(np.arange(70), np.arange(30))[..., None] + np.array([0, 40, 80])  # libpng takes many filters
    file = io.BytesIO()
    Image.fromarray(smooth.astype(np.uint8)).save(file, "PNG")
    np.testing.assert_array_equal(read(file.getvalue()), smooth)


def test_a_file_that_is_cut_or_altered_anywhere_is_refused_in_words():
    pixels = noise(20, 20)
    whole = written(pixels, [4, 3])
    for length in (0, 4, 12, 30, 60, len(whole) // 2, len(whole) - 40):
        with pytest.raises(UnreadableFile):
            read(whole[:length])
    for at in (len(whole) // 2, len(whole) - 22, len(whole) - 14):  # pixels, deflate's checksum, the chunk's
        altered = bytearray(whole)
        altered[at] ^= 255
        with pytest.raises(UnreadableFile, match="damaged"):
            read(bytes(altered))


def test_a_filter_that_the_standard_does_not_have_is_refused():
    with pytest.raises(UnreadableFile, match="unknown filter 5"):
        read(_with_filter(noise(20, 20), 5))


def _with_filter(pixels, kind):
    lines = pixels.astype(">u2").reshape(len(pixels), -1)
    data = zlib.compress(b"".join(bytes([kind]) + line.tobytes() for line in lines))
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, 2, 0, 0, 0)
    return png.SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("change", [{"kind": 0}, {"kind": 6}, {"bits": 4}, {"interlaced": 1}, {"width": 0}])
def test_other_kinds_of_png_are_refused_with_the_kind_to_save(change):
    plain = {"width": 4, "height": 4, "bits": 16, "kind": 2, "a": 0, "b": 0, "interlaced": 0} | change
    head = struct.pack(">IIBBBBB", *plain.values())
    with pytest.raises(UnreadableFile, match="16 bits"):
        read(written(noise(4, 4), [0], head=head))


@pytest.mark.parametrize(("width", "height"), [(2**31 - 1, 4), (4, 2**31 - 1), (3000, 3000)])
def test_a_size_that_the_file_cannot_hold_takes_no_memory(width, height):
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    with pytest.raises(UnreadableFile, match="damaged"):
        PngRows(io.BytesIO(written(noise(4, 4), [0], head=head)), path="a.png")


def test_the_densest_file_there_is_is_read():
    black = np.zeros((900, 1000, 3), np.uint16)
    np.testing.assert_array_equal(read(written(black, [0])), black)


def test_no_more_rows_are_given_than_there_are():
    rows = PngRows(io.BytesIO(written(noise(4, 4), [1])), path="a.png")
    for count in (0, 5):
        with pytest.raises(ValueError, match="rows from row 0 of 4"):
            rows.read(count)
