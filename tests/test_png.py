import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from runtime import png

PICTURES = hnp.arrays(
    np.uint16,
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])),
    elements=st.one_of(st.integers(0, 65535), st.sampled_from([0, 255, 256, 65535])),
).map(lambda a: a[..., 0] if a.shape[2] == 1 else a)


def written(pixels, **options):
    file = io.BytesIO()
    png.write(file, pixels, **options)
    return file.getvalue()


def chunks(data):
    """Every chunk, its check sum checked."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, found = 8, []
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(name + body)
        found.append((name, body))
        at += 12 + length
    return found


def decoded(data):
    """A reader of what the standard says, byte by byte, for filters 0 and 1."""
    found = chunks(data)
    assert (found[0][0], found[-1]) == (b"IHDR", (b"IEND", b""))
    width, height, bits, colour, *rest = struct.unpack(">IIBBBBB", found[0][1])
    assert rest == [0, 0, 0]
    stream = b"".join(body for name, body in found if name == b"IDAT")
    assert int.from_bytes(stream[:2], "big") % 31 == 0
    rows = zlib.decompress(stream)  # checks Adler-32
    channels = {0: 1, 2: 3}[colour]
    step, length = channels * bits // 8, width * channels * bits // 8
    assert len(rows) == height * (length + 1)
    out = bytearray()
    for top in range(0, len(rows), length + 1):
        row = bytearray(rows[top + 1 : top + 1 + length])
        if rows[top] == 1:
            for i in range(step, length):
                row[i] = (row[i] + row[i - step]) & 255
        else:
            assert rows[top] == 0
        out += row
    shape = (height, width, 3) if channels == 3 else (height, width)
    return np.frombuffer(bytes(out), ">u2" if bits == 16 else np.uint8).reshape(shape)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(pixels=PICTURES, block=st.sampled_from([1, 40, 2**20]), threads=st.integers(1, 3))
def test_every_picture_comes_back_to_the_bit(pixels, block, threads):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png, "BLOCK", block)
        sixteen, eight = (written(pixels, bits=bits, threads=threads) for bits in (16, 8))
    assert np.array_equal(decoded(sixteen), pixels)
    low = (pixels.astype(int) + 128) // 257
    assert np.array_equal(decoded(eight), low)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(eight))), low)
    with Image.open(io.BytesIO(sixteen)) as image:
        image.load()
        assert image.size == pixels.shape[1::-1]
        if pixels.ndim == 2:
            assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize(
    "turn", [lambda a: a[::-1], lambda a: a.swapaxes(0, 1), lambda a: a[:, ::2], lambda a: a[..., 0]]
)
def test_a_view_is_written_as_what_it_shows(turn):
    pixels = turn(np.random.default_rng(0).integers(0, 65536, (30, 20, 3)).astype(np.uint16))
    assert np.array_equal(decoded(written(pixels)), pixels)


def test_the_bytes_do_not_depend_on_the_threads():
    pixels = np.random.default_rng(0).integers(0, 65536, (700, 500, 3)).astype(np.uint16)
    one = written(pixels, threads=1)
    assert one == written(pixels, threads=3) == written(pixels)
    assert sum(name == b"IDAT" for name, _ in chunks(one)) > 3  # several blocks, or the test shows nothing
    assert np.array_equal(decoded(one), pixels)


def test_what_is_even_becomes_small():
    assert len(written(np.full((1000, 1000, 3), 12345, np.uint16))) < 6_000_000 / 100


def test_a_flipped_bit_is_seen_by_the_reader_of_these_tests():
    data = bytearray(written(np.zeros((4, 4, 3), np.uint16)))
    for at in (20, len(data) // 2, len(data) - 20):
        broken = bytes([*data[:at], data[at] ^ 1, *data[at + 1 :]])
        with pytest.raises((AssertionError, zlib.error)):
            decoded(broken)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(first=st.binary(max_size=300), second=st.binary(max_size=300), times=st.integers(1, 400))
def test_the_check_sum_of_two_pieces_is_that_of_both(first, second, times):
    second = second * times
    both = png.adler_of_both(zlib.adler32(first), zlib.adler32(second), len(second))
    assert both == zlib.adler32(first + second)
    if len(second) % png.BASE and first.strip(b"\0"):
        assert png.adler_of_both(zlib.adler32(first), zlib.adler32(second), len(second) + 1) != both


def test_the_nearest_of_256_levels_is_taken_for_all_65536():
    levels = np.arange(65536, dtype=np.uint16)
    low = png.eight(levels)
    assert np.array_equal(low, (levels.astype(int) + 128) // 257)
    assert np.array_equal(low, np.round(levels / 257))
    assert np.array_equal(png.eight(np.arange(256, dtype=np.uint16) * 257), np.arange(256))
    assert not np.array_equal(low, levels >> 8)


def test_chunks_stand_before_the_picture_and_words_are_read_back():
    words = {"Description": "ratio 100\nexposure", "Comment": "größer", "Title": "写真 \udcff"}
    extra = [png.text(key, value) for key, value in words.items()]
    data = written(np.zeros((2, 2, 3), np.uint16), chunks=extra)
    assert [name for name, _ in chunks(data)][1:5] == [b"tEXt", b"tEXt", b"iTXt", b"IDAT"]
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.text == {**words, "Title": "写真 ?"}
    assert png.text("A", "b\0c") == (b"tEXt", b"A\0bc")
