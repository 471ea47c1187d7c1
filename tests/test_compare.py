import base64
import io
import re
import struct
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest
import tifffile
from PIL import Image

from runtime import viewer as module
from runtime.compare import compare
from runtime.errors import BadOption, FileError, UnreadableFile

VOID = {"meta", "link", "img", "input", "br"}
JPEG_ERROR = 4  # levels on average: quality 90 of a smooth picture stays far below, another picture far above
HIGH_BYTE = 1  # PIL keeps the high byte of 16 bits where rounding may give the next level
NASTY = "a<script>alert(1)<script>\"'&@rows@\n\u202e.png"


class Page(HTMLParser):
    """The elements of a page, checked to be closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.images, self.tags, self.scripts, self.cells = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


def decoded(image):
    kind, data = re.fullmatch(r"data:image/(png|jpeg);base64,(.*)", image["src"]).groups()
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert picture.format.lower() == kind
    return picture


def shown(*paths, out):
    """The page of these pictures, and what its images hold."""
    page = Page(compare(*paths, out=out).read_text("utf-8"))
    return page, [np.asarray(decoded(image)).astype(int) for image in page.images]


def ramp(height=40, width=60):
    y, x = np.mgrid[:height, :width]
    return np.stack([y / height, x / width, (x + y) / (height + width)], -1)


def eight():
    return np.rint(ramp() * 255).astype(np.uint8)


def sixteen():
    return np.rint(ramp() * 65535).astype(np.uint16)


def png16(path, array):
    """A 16-bit colour PNG, which PIL cannot write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = array.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


@pytest.fixture
def pair(tmp_path):
    """The same ramp in 8 bits and, as a negative, in 16."""
    Image.fromarray(eight()).save(tmp_path / "before.png")
    tifffile.imwrite(tmp_path / "after.tif", 65535 - sixteen(), photometric="rgb")
    return tmp_path / "before.png", tmp_path / "after.tif"


def test_both_pictures_are_in_the_page_as_they_are(pair, tmp_path):
    page, (before, after) = shown(*pair, out=tmp_path / "a.html")
    assert (before == eight()).all()
    assert (after == np.rint((65535 - sixteen()) / 257)).all(), "16 bits are rounded to 8, not cut"
    assert [image["alt"] for image in page.images] == ["before.png", "after.tif"]
    assert {"60 x 40", "PNG, 8 bit", "TIFF, 16 bit", f"{pair[0].stat().st_size:,} bytes"} <= set(page.cells)


def test_the_page_needs_nothing_but_itself(pair, tmp_path):
    text = compare(*pair, out=tmp_path / "a.html").read_text("utf-8")
    page = Page(text)
    assert "://" not in text
    assert not {"link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", text)
    assert "default-src 'none'" in text, "a browser holds the page to it"
    assert "@" not in re.sub(r"src=\"[^\"]*\"", "", text), "every hole is filled"


def test_everything_the_script_asks_for_is_in_the_page(pair, tmp_path):
    text = compare(*pair, out=tmp_path / "a.html").read_text("utf-8")
    (script,) = Page(text).scripts
    together = re.search(r"\[((?:\"\w+\", )+\"\w+\")\]\.map\(\$\)", script)[1]
    names = re.findall(r"\$\(\"([\w-]+)\"\)", script) + re.findall(r"\w+", together)
    assert len(names) > 8
    assert all(f'id="{name}"' in text for name in names)


def test_the_slider_can_be_reached_without_a_mouse(pair, tmp_path):
    text = compare(*pair, out=tmp_path / "a.html").read_text("utf-8")
    assert re.search(r'<input id="wipe" type="range"[^>]*aria-label="', text)
    assert re.search(r'<div id="stage" tabindex="0"', text)


def test_a_name_cannot_write_into_the_page(pair, tmp_path):
    nasty = tmp_path / NASTY
    pair[0].rename(nasty)
    plain = Page(compare(pair[1], pair[1], out=tmp_path / "b.html").read_text("utf-8"))
    page, pictures = shown(nasty, pair[1], out=tmp_path / "a.html")
    assert page.tags == plain.tags
    assert page.scripts == plain.scripts
    assert page.images[0]["alt"].startswith("a<script>alert(1)<script>")
    assert all(letter.isprintable() for letter in page.images[0]["alt"])
    assert (pictures[0] == eight()).all()


def test_a_name_that_is_no_text_becomes_one(pair, tmp_path):
    odd = tmp_path / "odd\udcff.png"
    try:
        pair[0].rename(odd)
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system takes only names that are text")
    assert shown(odd, pair[1], out=tmp_path / "a.html")[0].images[0]["alt"] == "odd?.png"


def test_pictures_of_one_name_are_told_apart_by_their_folders(pair, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        Image.fromarray(eight()).save(tmp_path / folder / "a.png")
    page, _ = shown(tmp_path / "one/a.png", tmp_path / "two/a.png", pair[0], out=tmp_path / "a.html")
    assert [image["alt"] for image in page.images][:2] == ["one/a.png", "two/a.png"]
    same, _ = shown(pair[0], pair[0], out=tmp_path / "a.html")
    assert [image["alt"] for image in same.images] == ["before.png"] * 2


def test_a_deep_png_is_the_picture_of_the_same_tiff(tmp_path):
    png16(tmp_path / "a.png", sixteen())
    tifffile.imwrite(tmp_path / "a.tif", sixteen(), photometric="rgb")
    page, (png, tiff) = shown(tmp_path / "a.png", tmp_path / "a.tif", out=tmp_path / "a.html")
    assert np.abs(png - tiff).max() <= HIGH_BYTE
    assert "PNG, 16 bit" in page.cells


@pytest.mark.parametrize("name", ["grey.png", "grey.tif", "alpha.png", "palette.png", "planar.tif", "lzw.tif"])
def test_every_ordinary_kind_of_picture_is_shown_in_colour(tmp_path, name):
    path, grey = tmp_path / name, eight()[:, :, 0]
    wanted = np.stack([grey] * 3, -1)
    match name:
        case "grey.png":
            Image.fromarray(grey.astype(np.uint16) * 257).save(path)
        case "grey.tif":
            tifffile.imwrite(path, grey.astype(np.uint16) * 257)
        case "alpha.png":
            Image.fromarray(np.dstack([wanted, grey])).save(path)
        case "palette.png":
            Image.fromarray(grey // 64 * 64).convert("P").save(path)
            wanted = wanted // 64 * 64
        case "planar.tif":
            tifffile.imwrite(path, np.moveaxis(sixteen(), -1, 0), photometric="rgb", planarconfig="separate")
            wanted = eight()
        case "lzw.tif":
            Image.fromarray(eight()).save(path, compression="tiff_lzw")
            wanted = eight()
    _, (picture, _) = shown(path, path, out=tmp_path / "a.html")
    assert np.abs(picture - wanted).max() <= HIGH_BYTE


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_is_shown_as_its_camera_was_held(tmp_path, turn):
    exif = Image.Exif()
    exif[274] = turn
    Image.fromarray(eight()).save(tmp_path / "a.png", exif=exif)
    tifffile.imwrite(tmp_path / "a.tif", eight(), photometric="rgb", extratags=[(274, 3, 1, turn, True)])
    _, (png, tiff) = shown(tmp_path / "a.png", tmp_path / "a.tif", out=tmp_path / "a.html")
    # EXIF's 1 to 8: where the first row and the first column of the file lie in the picture.
    x = eight()
    wanted = [x, x[:, ::-1], x[::-1, ::-1], x[::-1]]
    wanted += [x.swapaxes(0, 1), x[::-1].swapaxes(0, 1), x[::-1, ::-1].swapaxes(0, 1), x[:, ::-1].swapaxes(0, 1)]
    np.testing.assert_array_equal(png, wanted[turn - 1])
    np.testing.assert_array_equal(tiff, wanted[turn - 1])


def test_a_profile_of_colours_goes_along(tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(eight()).save(tmp_path / "a.png", icc_profile=profile)
    tifffile.imwrite(tmp_path / "a.tif", eight(), photometric="rgb", iccprofile=profile)
    page, _ = shown(tmp_path / "a.png", tmp_path / "a.tif", out=tmp_path / "a.html")
    assert [decoded(image).info["icc_profile"] for image in page.images] == [profile] * 2


def test_where_it_was_taken_stays_out_of_the_page(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "a secret camera"
    Image.fromarray(eight()).save(tmp_path / "a.jpg", exif=exif)
    page, _ = shown(tmp_path / "a.jpg", tmp_path / "a.jpg", out=tmp_path / "a.html")
    assert not decoded(page.images[0]).getexif()


def test_large_pictures_are_made_smaller_and_the_page_says_so(monkeypatch, pair, tmp_path):
    assert "own size" in compare(*pair, out=tmp_path / "a.html").read_text("utf-8")
    monkeypatch.setattr(module, "MAX_SIDE", 30)
    page, (before, _) = shown(*pair, out=tmp_path / "a.html")
    assert before.shape == (20, 30, 3)
    assert {"60 x 40", "30 x 20, PNG, 8 bit"} <= set(page.cells)
    assert "no side is longer than 30 pixels" in (tmp_path / "a.html").read_text("utf-8")


def test_pictures_too_large_for_png_are_jpegs_near_the_original(monkeypatch, pair, tmp_path):
    monkeypatch.setattr(module, "LOSSLESS", 100)
    page, (before, after) = shown(*pair, out=tmp_path / "a.html")
    assert decoded(page.images[0]).format == "JPEG"
    assert np.abs(before - eight()).mean() < JPEG_ERROR
    assert np.abs(after - eight()).mean() > JPEG_ERROR


def test_pictures_of_two_sizes_are_refused_with_both_sizes(pair, tmp_path):
    Image.fromarray(eight()[:, 1:]).save(tmp_path / "other.png")
    with pytest.raises(BadOption, match=r"59 x 40.*60 x 40"):
        compare(pair[0], tmp_path / "other.png", out=tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


@pytest.mark.parametrize("part", range(10))
@pytest.mark.parametrize("kind", ["png", "tif", "jpg"])
def test_a_picture_cut_short_is_unreadable(tmp_path, kind, part):
    path = tmp_path / f"a.{kind}"
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    if kind == "tif":
        tifffile.imwrite(path, noise, photometric="rgb")
    else:
        Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * part // 10])
    with pytest.raises(UnreadableFile, match="cut short"):
        compare(path, path, out=tmp_path / "a.html")


def test_what_is_no_picture_is_unreadable_in_words(pair, tmp_path):
    (tmp_path / "a.txt").write_text("words")
    tifffile.imwrite(tmp_path / "a.dng", sixteen(), photometric="rgb", extratags=[(50706, 1, 4, b"\1\4\0\0", True)])
    tifffile.imwrite(tmp_path / "cfa.tif", sixteen()[:, :, 0], photometric=32803)
    for name, why in (("a.txt", "no picture"), ("none.png", "No such"), ("a.dng", "RAW"), ("cfa.tif", "RAW")):
        with pytest.raises(UnreadableFile, match=f"{why}.*qk-run enhance"):
            compare(pair[0], tmp_path / name, out=tmp_path / "a.html")


def test_a_picture_is_never_written_over(pair, tmp_path):
    before = pair[0].read_bytes()
    (tmp_path / "link.html").symlink_to(pair[0])
    for out in (pair[0], tmp_path / "link.html"):
        with pytest.raises(BadOption, match="not one of the pictures"):
            compare(*pair, out=out)
    assert pair[0].read_bytes() == before


def test_a_page_that_cannot_be_written_is_an_error_in_words(pair, tmp_path):
    with pytest.raises(FileError, match="cannot be written"):
        compare(*pair, out=pair[0] / "a.html")
    with pytest.raises(FileError, match="File name too long"):
        compare(*pair, out=tmp_path / ("x" * 300))
