import errno
import io
import os
import resource
import subprocess
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from contracts import EMPTY
from PIL import Image, ImageCms

from runtime import exif, icc, picture, png
from runtime.errors import BadOption, FileError
from runtime.raw import About

ABOUT = About(make="SONY", model="ILCE-7SM2", exposure=0.04, iso=25600, taken="2026:11:21 08:00:00")
WORDS = "unet float, ratio 250 (clamped)"
EXIF = exif.write(ABOUT, software="qk-unet 0", description=WORDS)
RAW = replace(EMPTY, about=ABOUT)
DEEP, SHALLOW = ["png", "tiff"], ["png8", "tiff8", "jpeg"]


@pytest.fixture
def pixels():
    """Smooth, so that JPEG keeps it; 16 bits deep, wider than high."""
    down, right = np.mgrid[0:48, 0:64]
    return np.stack([down * 1200, right * 900, 20000 + 300 * right], -1).astype(np.uint16)


def saved(folder, pixels, kind, **options):
    path = folder / f"a{picture.suffix(kind)}"
    picture.save(pixels, path, format=kind, raw=RAW, **{"exif": EXIF, "description": WORDS, **options})
    assert os.listdir(folder) == [path.name]
    return path


@pytest.mark.parametrize("kind", picture.FORMATS)
def test_every_format_keeps_what_the_file_said_and_says_how_the_picture_was_made(kind, tmp_path, pixels):
    path = saved(tmp_path, pixels, kind)
    if kind == "dng":  # Pillow opens none
        with tifffile.TiffFile(path) as file:
            tags = {tag.code: tag.value for tag in file.pages[0].tags.values()}
        assert (tags[270], tags[274], tags[305]) == (WORDS, 1, "qk-unet 0")
        assert exif.read(path) == ABOUT
        return
    with Image.open(path) as image:
        found = image.getexif()
        assert (found[271], found[272], found[305], found[270]) == ("SONY", "ILCE-7SM2", "qk-unet 0", WORDS)
        assert found[274] == 1
        below = found.get_ifd(34665)
        assert (below[36867], float(below[33434])) == ("2026:11:21 08:00:00", pytest.approx(0.04))


@pytest.mark.parametrize("kind", [name for name in picture.FORMATS if name != "dng"])
def test_every_picture_says_that_it_is_srgb(kind, tmp_path, pixels):
    with Image.open(saved(tmp_path, pixels, kind)) as image:
        assert image.info["icc_profile"] == icc.srgb()
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        assert ImageCms.getProfileDescription(profile).strip() == "sRGB"


@pytest.mark.parametrize("kind", SHALLOW)
def test_eight_bits_are_the_nearest(kind, tmp_path, pixels):
    with Image.open(saved(tmp_path, pixels, kind)) as image:
        off = np.abs(np.asarray(image).astype(int) - (pixels.astype(int) + 128) // 257).max()
    assert off == 0 or (kind == "jpeg" and off <= 4)  # a smooth picture at quality 95


def test_sixteen_bits_are_kept(tmp_path, pixels):
    assert np.array_equal(tifffile.imread(saved(tmp_path, pixels, "tiff")), pixels)
    (tmp_path / "a.tif").unlink()
    plain = io.BytesIO()
    png.write(plain, pixels)
    stream = plain.getvalue().partition(b"IDAT")[2]
    assert saved(tmp_path, pixels, "png").read_bytes().endswith(stream)  # test_png reads that back


def test_a_jpeg_keeps_colours_as_fine_as_light(tmp_path, pixels):
    with Image.open(saved(tmp_path, pixels, "jpeg")) as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3


@pytest.mark.parametrize("over", [0, 1])
def test_a_jpeg_without_room_for_what_the_file_said_is_saved_without_it(over, tmp_path, pixels):
    block = EXIF.ljust(exif.LONGEST + over, b"\0")
    with Image.open(saved(tmp_path, pixels, "jpeg", exif=block)) as image:
        assert image.size == (64, 48)
        assert image.getexif().get(271) == (None if over else "SONY")


def test_a_jpeg_of_noise_takes_no_more_than_is_reckoned(tmp_path):
    shot = np.random.default_rng(0).normal(30000, 12000, (1000, 1500, 3))
    noisy = np.clip(shot, 0, 65535).astype(np.uint16)
    saved(tmp_path, noisy[:20, :20], "jpeg")  # what is made once is made
    tracemalloc.start()
    saved(tmp_path, noisy, "jpeg")
    traced = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    pillows = 4 * noisy[..., 0].size  # outside Python, and not traced
    assert 6 * noisy[..., 0].size < traced + pillows <= picture.JPEG_ROOM * noisy[..., 0].size


@pytest.mark.parametrize("kind", [*DEEP, *SHALLOW])
def test_a_grey_picture_stays_grey_and_has_no_profile_of_colours(kind, tmp_path, pixels):
    with Image.open(saved(tmp_path, pixels[..., 0], kind)) as image:
        assert image.mode in ("L", "I;16")
        assert "icc_profile" not in image.info
        off = np.abs(np.asarray(image).astype(int) * (1 if kind in DEEP else 257) - pixels[..., 0]).max()
    assert off <= {"png": 0, "tiff": 0, "jpeg": 4 * 257}.get(kind, 128)


@pytest.mark.parametrize("kind", [*DEEP, *SHALLOW])
def test_without_a_block_the_camera_and_the_words_make_one(kind, tmp_path, pixels):
    with Image.open(saved(tmp_path, pixels, kind, exif=None)) as image:
        assert (image.getexif()[271], image.getexif()[270]) == ("SONY", WORDS)


@pytest.mark.parametrize("name", ["two\nlines.png", "-dash.png", "--format.png", "größe 写.PNG", ("x" * 200) + ".png"])
def test_any_name_is_a_name(name, tmp_path, pixels, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture.save(pixels, name, format="png")
    assert os.listdir(tmp_path) == [name]
    with Image.open(tmp_path / name) as image:
        image.verify()


@pytest.mark.parametrize("kind", ["gif", "PNG", "", "png16"])
def test_an_unknown_format_is_refused_with_the_known_ones(kind, tmp_path, pixels):
    with pytest.raises(BadOption, match="png, png8, tiff, tiff8, jpeg, dng") as caught:
        picture.save(pixels, tmp_path / "a.gif", format=kind)
    assert caught.value.exit_code == 2
    assert not any(tmp_path.iterdir())


def test_a_name_that_says_another_format_is_refused(tmp_path, pixels):
    with pytest.raises(BadOption, match=r"\.jpg or \.jpeg at the end of 'a\.png'"):
        picture.save(pixels, tmp_path / "a.png", format="jpeg")
    picture.save(pixels, tmp_path / "a.JPEG", format="jpeg")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "png"),
        ("b/c.TIF", "tiff"),
        ("c.tiff", "tiff"),
        ("d.jpg", "jpeg"),
        ("e.jpeg", "jpeg"),
        ("f.dng", "dng"),
    ],
)
def test_the_name_of_a_file_tells_the_format(name, kind):
    assert picture.format_of(name) == kind


@pytest.mark.parametrize("name", ["a", "a.gif", ".png", "png"])
def test_a_name_that_tells_none_is_refused(name):
    with pytest.raises(BadOption, match=r"ends in \.dng, \.jpeg"):
        picture.format_of(name)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 2, 3), np.uint8),
        np.zeros((2, 2, 4), np.uint16),
        np.zeros(4, np.uint16),
        np.zeros((0, 2, 3), np.uint16),
    ],
)
def test_what_is_no_picture_is_a_callers_bug(wrong, tmp_path):
    with pytest.raises(ValueError, match="is no picture"):
        picture.save(wrong, tmp_path / "a.png", format="png")
    with pytest.raises(ValueError, match="needs it"):
        picture.save(np.zeros((2, 2, 3), np.uint16), tmp_path / "a.dng", format="dng")


def test_what_a_jpeg_cannot_hold_is_refused_in_words(tmp_path):
    wide = np.zeros((1, 65501, 3), np.uint16)
    with pytest.raises(FileError, match="JPEG ends at 65500: use --format png"):
        picture.save(wide, tmp_path / "a.jpg", format="jpeg")
    assert not any(tmp_path.iterdir())
    picture.save(wide[:, :65500], tmp_path / "a.jpg", format="jpeg")
    picture.save(wide, tmp_path / "a.png", format="png")


def refused(folder, kind):
    """The error of saving noise, which no format makes small, where it cannot be; nothing is left behind."""
    noise = np.random.default_rng(0).integers(0, 65536, (300, 300, 3)).astype(np.uint16)
    path = folder / f"a{picture.suffix(kind)}"
    with pytest.raises(FileError) as caught:
        picture.save(noise, path, format=kind, raw=RAW)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    return str(caught.value)


@pytest.mark.parametrize("kind", picture.FORMATS)
def test_a_folder_that_is_none_is_an_error_in_words(kind, tmp_path):
    (tmp_path / "file\nname").touch()
    assert "cannot be written (File exists)" in refused(tmp_path / "file\nname", kind)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_an_error_in_words(tmp_path):
    tmp_path.chmod(0o500)
    assert "Permission denied" in refused(tmp_path, "png")


@pytest.mark.parametrize("kind", picture.FORMATS)
def test_a_file_that_the_system_cuts_short_leaves_nothing(kind, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        assert "cannot be written (File too large)" in refused(tmp_path, kind)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("kind", picture.FORMATS)
def test_a_disk_that_is_found_full_at_the_end_leaves_what_was_there(kind, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / f"a{picture.suffix(kind)}"
    path.write_bytes(b"before")
    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device" in refused(tmp_path, kind)
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == [path.name]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 200 kB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(tmp_path)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip("mounting a small file system needs rights that this user has not")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("kind", ["png", "jpeg", "dng"])
def test_a_full_disk_is_an_error_in_words_and_nothing_is_left(kind, small_disk):
    if kind == "jpeg":
        (small_disk / "other").write_bytes(bytes(150_000))  # what is compressed is smaller than the disk
    before = sorted(os.listdir(small_disk))
    assert "No space left on device" in refused(small_disk, kind)
    assert sorted(os.listdir(small_disk)) == before
