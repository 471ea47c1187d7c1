import io
import struct
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from raw_files import ABOUT, arw, directory, dng, raf, scene

from runtime import exif, ifd
from runtime.raw import About

LONG_ENOUGH = 0.5  # seconds; a file takes a millisecond, one that is followed for ever takes all
SIX_DIGITS = 1e-6  # of a fraction of two 32-bit numbers: for the fractions cameras write it is exact


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exif")


def read_bytes(data, folder):
    (folder / "some").write_bytes(data)
    return exif.read(folder / "some")


@pytest.mark.parametrize("write", [dng, arw])
def test_what_a_file_says_is_read(write, folder):
    write(folder / "a", scene(40, 60))
    assert exif.read(folder / "a") == ABOUT


def test_a_fuji_file_speaks_through_its_picture(folder):
    raf(folder / "a.raf", scene(60, 60))
    about = exif.read(folder / "a.raf")
    silent = dict.fromkeys(("aperture", "focal_length", "fraction", "artist", "copyright"))
    assert about == replace(ABOUT, make="FUJIFILM", model="X-T2", gps={}, **silent)


def test_what_a_file_does_not_say_is_none(folder):
    silent = About(make=ABOUT.make, model=ABOUT.model, orientation=ABOUT.orientation)
    dng(folder / "a", scene(40, 60), about=silent)
    assert exif.read(folder / "a") == silent


@pytest.mark.parametrize("exposure", [0.0, 1e-5, 3600.0])
def test_a_zero_exposure_is_none_and_others_stand(folder, exposure):
    dng(folder / "a", scene(40, 60), about=replace(ABOUT, exposure=exposure))
    assert exif.read(folder / "a").exposure == (exposure or None)


def test_missing_files_folders_and_pictures_without_a_word_say_nothing(folder):
    (folder / "empty").touch()
    Image.new("RGB", (8, 8)).save(folder / "plain.jpg")
    for name in ("missing", "empty", "plain.jpg", "."):
        assert exif.read(folder / name) == About()
    assert exif.read("a\0b") == About()


def big_endian():
    photo = [(33434, 5, struct.pack(">2I", 1, 25)), (36867, 2, b"2026:01:02 03:04:05\0")]
    pointer = 8 + 2 + 2 * 12 + 4 + 6
    first = [(271, 2, b"Nikon\0"), (34665, 4, struct.pack(">I", pointer))]
    head = directory(first, 8, order=">")
    return struct.pack(">I", 8) + head + directory(photo, pointer, order=">")


@pytest.mark.parametrize("magic", [b"MM\0*", b"MMOR"])
def test_both_byte_orders_are_read(folder, magic):
    about = read_bytes(magic + big_endian(), folder)
    assert (about.make, about.exposure, about.taken) == ("Nikon", 0.04, "2026:01:02 03:04:05")
    assert read_bytes(b"II*\0" + big_endian(), folder).make is None  # the check can fail


def test_the_boxes_of_a_cr3_are_opened(folder):
    def box(name, content):
        return struct.pack(">I", len(content) + 8) + name + content

    def block(*entries):
        return b"II*\0" + struct.pack("<I", 8) + directory(entries, 8)

    inner = box(b"CMT1", block((271, 2, b"Canon\0"))) + box(b"CMT2", block((33434, 5, struct.pack("<2I", 1, 4))))
    inner += box(b"CMT4", block((1, 2, b"S\0")))
    data = box(b"ftyp", b"crx \0\0\0\1") + box(b"moov", box(b"uuid", exif.CANON + inner))
    about = read_bytes(data, folder)
    assert (about.make, about.exposure, about.gps) == ("Canon", 0.25, {1: "S"})


def test_directories_that_point_at_each_other_are_read_once(folder):
    data = bytearray(b"II*\0" + struct.pack("<I", 8) + directory([(271, 2, b"abc\0"), (330, 4, bytes(4))], 8))
    struct.pack_into("<I", data, 8 + 2 + 12 + 8, 8)  # its sub-directory is itself
    struct.pack_into("<I", data, 8 + 2 + 24, 8)  # and so is the next
    with io.BytesIO(data) as file:
        assert len(ifd.walk(file).images) == 1


def test_no_more_is_read_than_the_budget():
    class Counting(io.BytesIO):
        total = 0

        def read(self, size=-1):
            self.total += size
            return super().read(size)

    entries = [(tag, 4, struct.pack("<16000I", *range(16000))) for tag in range(1000, 1300)]
    file = Counting(b"II*\0" + struct.pack("<I", 8) + directory(entries, 8))
    assert len(file.getvalue()) > 10 * ifd.BUDGET
    found = ifd.walk(file).images[0]
    assert 0 < len(found) < 300
    assert file.total <= ifd.BUDGET


words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=40)
positive = st.floats(1e-3, 1e5)
pairs = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
places = st.one_of(
    st.binary(min_size=1, max_size=20),
    words,
    st.lists(pairs, min_size=1, max_size=4).map(tuple),
    st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4).map(tuple),
)
abouts = st.builds(
    About,
    make=st.none() | words,
    model=st.none() | words,
    lens=st.none() | words,
    exposure=st.none() | positive,
    iso=st.none() | st.integers(1, 10_000_000).map(float),
    aperture=st.none() | positive,
    focal_length=st.none() | positive,
    taken=st.none() | st.just("2026:01:02 03:04:05"),
    fraction=st.none() | st.text("0123456789", min_size=1, max_size=9),
    artist=st.none() | words,
    copyright=st.none() | words,
    gps=st.dictionaries(st.integers(0, 31), places, max_size=6),
    orientation=st.integers(1, 8),
)


@settings(max_examples=200, deadline=None)
@given(abouts, st.none() | words)
@example(ABOUT, "ratio 100")
@example(About(), None)
def test_what_is_written_is_read_back_upright(folder, about, description):
    block = exif.write(about, software="qk-unet", description=description)
    again = read_bytes(block, folder)
    for name in ("exposure", "aperture", "focal_length"):
        assert getattr(again, name) == (getattr(about, name) and pytest.approx(getattr(about, name), rel=SIX_DIGITS))
    same = {name: getattr(about, name) for name in ("exposure", "aperture", "focal_length")}
    assert replace(again, **same) == replace(about, orientation=1)
    tiff = exif.header(folder / "some")
    assert tiff.images[0][305] == "qk-unet"
    assert tiff.images[0].get(270) == description


@pytest.mark.parametrize("exposure", [0.0, -1.0, float("nan"), float("inf"), 1e12, 1e-12])
def test_numbers_that_cannot_be_written_are_left_out(folder, exposure):
    assert read_bytes(exif.write(About(exposure=exposure), software="a"), folder) == About()


def test_values_of_the_place_that_make_no_sense_are_left_out(folder):
    odd = {1: "N", 2: 3.5, 3: (-1,), 4: None, 5: (), 6: ((1, -1),), 40: "x"}
    assert read_bytes(exif.write(About(gps=odd), software="a"), folder).gps == {1: "N"}


def test_a_place_that_takes_more_than_a_jpeg_has_room_for_is_left_out(folder):
    place = {1: "N", 27: bytes(4000), **dict.fromkeys((2, 4), ((52, 1),) * 4000)}
    block = exif.write(replace(ABOUT, gps=place), software="a")
    assert len(block) <= exif.LONGEST
    assert read_bytes(block, folder) == replace(ABOUT, gps={}, orientation=1)
    del place[4]
    assert read_bytes(exif.write(replace(ABOUT, gps=place), software="a"), folder).gps == place  # half of it fits


def test_others_understand_what_is_written():
    read = Image.Exif()
    read.load(exif.write(ABOUT, software="qk-unet", description="ratio 100"))
    assert (read[270], read[271], read[274], read[305]) == ("ratio 100", "Maker", 1, "qk-unet")
    assert [read[tag].encode("latin-1").decode() for tag in (315, 33432)] == ["Åsa", "2026 Åsa"]
    photo = read.get_ifd(34665)
    assert (float(photo[33434]), photo[34855], photo[37521], photo[42036]) == (0.04, 6400, "07", "35mm f/2")
    assert read.get_ifd(34853)[2] == (52.0, 31.0, 12.34)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([b"", *ifd.MAGIC, b"\xff\xd8\xff\xe1", b"FUJIFILMCCD-RAW " + bytes(68)]), st.binary(max_size=600)
)
def test_random_bytes_never_raise_and_never_take_long(folder, start, data):
    begun = time.process_time()
    assert isinstance(read_bytes(start + data, folder), About)
    assert time.process_time() - begun < LONG_ENOUGH


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_and_truncated_files_never_raise(folder, data):
    good = Path(_example(folder)).read_bytes()
    damaged = bytearray(good[: data.draw(st.integers(0, len(good)))])
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=8)):
        if at < len(damaged):
            damaged[at] = value
    begun = time.process_time()
    assert isinstance(read_bytes(bytes(damaged), folder), About)
    assert time.process_time() - begun < LONG_ENOUGH


def _example(folder):
    if not (folder / "example.dng").exists():
        dng(folder / "example.dng", scene(22, 24))
    return folder / "example.dng"
