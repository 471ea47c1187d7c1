import re

import pytest
from PIL import Image
from reported import NASTY, RATIOS, evaluation, judged, line, lines_of, pictures, written
from test_compare import Page

from runtime import exif, report_pictures
from runtime.errors import BadOption, UnreadableFile
from runtime.raw import About


@pytest.fixture
def evaluated(tmp_path):
    """An evaluation of three models."""
    return evaluation(tmp_path / "eval.jsonl")


def test_a_nasty_folder_is_only_a_name(evaluated, tmp_path):
    name = NASTY.replace("/", "")
    text = written([evaluated], tmp_path, shown=pictures(tmp_path / "p", sides=("a", name), scenes=(name,)))
    page = Page(text)
    assert sorted(image["alt"][:10] for image in page.images) == sorted(["a", name[:10]])
    assert text.count('id="stage"') == 1
    assert len(page.scripts) == 1


def test_each_name_is_a_scene_and_each_folder_a_side_of_it(evaluated, tmp_path):
    folder = pictures(tmp_path / "p")
    (folder / "plain/00001.png").unlink()
    (folder / "plain/notes.txt").write_text("no picture")
    (folder / "plain/._00000.png").write_text("what another system leaves beside a picture")
    (folder / ".thumbnails").mkdir()
    text = written([evaluated], tmp_path, shown=folder)
    images = Page(text).images
    first = [image["alt"] for image in images if image["data-scene"] == "00000"]
    assert first == ["amplified", "fast", "lighter", "plain", "clean"], "what came in before, the truth behind"
    assert [image["alt"] for image in images if image["data-scene"] == "00001"] == [*first[:3], "clean"]
    assert "Not there: 00001 of plain." in text
    assert [bool(re.fullmatch(r"\d\d\.\d\d dB", image["data-note"])) for image in images[:5]] == [
        False,
        *[True] * 3,
        False,
    ]


def test_many_pictures_share_the_pixels_a_page_can_hold(monkeypatch, evaluated, tmp_path):
    folder = pictures(tmp_path / "p")
    assert "in their own size" in written([evaluated], tmp_path, shown=folder)
    monkeypatch.setattr(report_pictures, "PIXELS", 96 * 144 * 10 / 4)
    text = written([evaluated], tmp_path, shown=folder)
    assert {(image["width"], image["height"]) for image in Page(text).images} == {("72", "48")}
    assert "no side longer than 72 pixels" in text


def test_pictures_that_do_not_belong_together_are_refused(evaluated, tmp_path):
    with pytest.raises(UnreadableFile, match="folder of folders"):
        written([evaluated], tmp_path, shown=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableFile, match="holds no folder of pictures"):
        written([evaluated], tmp_path, shown=tmp_path / "empty")
    folder = pictures(tmp_path / "p")
    (folder / "fast/00000.jpg").write_bytes((folder / "fast/00000.png").read_bytes())
    with pytest.raises(BadOption, match="one picture"):
        written([evaluated], tmp_path, shown=folder)
    (folder / "fast/00000.jpg").unlink()
    (folder / "fast/00000.png").write_bytes((pictures(tmp_path / "q", height=50) / "fast/00000.png").read_bytes())
    with pytest.raises(BadOption, match="144 x 50"):
        written([evaluated], tmp_path, shown=folder)


def notes(text):
    return {(image["data-scene"], image["alt"]): image["data-note"] for image in Page(text).images}


def tell(path, words, *, software="qk-unet 0.1.0"):
    """Say so in a picture of how it was made."""
    with Image.open(path) as image:
        image.load()
    image.save(path, exif=exif.write(About(), software=software, description=words))


def test_a_picture_has_the_figure_of_its_own_ratio_strength_and_model_alone(tmp_path):
    folder = pictures(tmp_path / "p", sides=("fast", "lighter"), scenes=("0_x18.2", "0_x18.8"))
    told = {"0_x18.2": 31.0, "0_x18.8": 25.0}
    path = lines_of(tmp_path / "e.jsonl", *(judged("fast", name, float(name[3:]), psnr) for name, psnr in told.items()))
    for name in told:
        tell(folder / f"fast/{name}.png", line("fast", ratio=float(name[3:])))
        tell(folder / f"lighter/{name}.png", line("lighter", ratio=float(name[3:])))  # which nobody judged
    found = notes(written([path], tmp_path, shown=folder))
    assert found == {
        ("0_x18.2", "fast"): "31.00 dB",
        ("0_x18.8", "fast"): "25.00 dB",
        ("0_x18.2", "lighter"): "",
        ("0_x18.8", "lighter"): "",
    }
    for words in (line("fast", ratio=20.5), line("fast", ratio=18.2, strength=0.5), "", "a holiday"):
        tell(folder / "fast/0_x18.2.png", words)
        assert notes(written([path], tmp_path, shown=folder))["0_x18.2", "fast"] == ""


def test_what_is_amplified_is_so_by_any_model_whose_strength_is_0(tmp_path):
    folder = pictures(tmp_path / "p", sides=("amplified",), scenes=("0_x100",))
    path = lines_of(tmp_path / "e.jsonl", judged("amplified", "0_x100", 100, 12.0, digest="amplified-1"))
    tell(folder / "amplified/0_x100.png", line("fast", ratio=100, strength=0))
    assert notes(written([path], tmp_path, shown=folder)) == {("0_x100", "amplified"): "12.00 dB"}


def test_a_picture_of_two_frames_of_one_name_has_no_figure(tmp_path):
    folder = pictures(tmp_path / "p", sides=("fast",), scenes=("00000",))
    lines = [judged("fast", "00000", RATIOS[0], psnr, dark=f"{psnr}/00000.dng") for psnr in (30.0, 31.0)]
    assert notes(written([lines_of(tmp_path / "e", *lines)], tmp_path, shown=folder)) == {("00000", "fast"): ""}
    assert notes(written([lines_of(tmp_path / "e", *lines[:1])], tmp_path, shown=folder)) == {
        ("00000", "fast"): "30.00 dB"
    }
