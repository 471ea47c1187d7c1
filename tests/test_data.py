"""What a recipe may learn from, in words and from another folder."""

from dataclasses import replace

import pytest

from quant.data import Nyu, Rooms, Shapes, Sid, Synthetic, described, in_folder
from runtime.errors import BadOption

WORDS = [
    (Synthetic(), "synthetic pairs at x100 to x300: dead leaves, any camera"),
    (Synthetic(ratio=(1.0, 2.5)), "synthetic pairs at x1 to x2.5: dead leaves, any camera"),
    (
        Synthetic(photographs="/p", raw_files="/r", noise="/a/sony.csv"),
        "synthetic pairs at x100 to x300: dead leaves and photographs and RAW files, the sensor of sony.csv",
    ),
    (Synthetic(leaves=False, raw_files="/r"), "synthetic pairs at x100 to x300: RAW files, any camera"),
    (Sid(), "See in the Dark (Sony)"),
    (Sid(camera="Fuji", folder="/home/me/sid"), "See in the Dark (Fuji)"),
    (Nyu(folder="/home/me/nyu"), "NYU Depth v2"),
    (Rooms(), "rendered rooms"),
    (Shapes(), "rendered shapes"),
]


@pytest.mark.parametrize(("data", "words"), WORDS)
def test_data_are_described_in_words_that_tell_no_folder(data, words):
    assert described(data) == words


@pytest.fixture
def folder(tmp_path):
    """A folder with files of such names."""

    def holding(*names):
        for name in names:
            (tmp_path / name).write_bytes(b"")
        return str(tmp_path)

    return holding


@pytest.mark.parametrize("data", [Sid(camera="Fuji", folder="/other", cache="/fast"), Nyu()])
def test_a_real_set_is_looked_for_in_the_folder(data, folder):
    assert in_folder(data, folder()) == replace(data, folder=folder())


@pytest.mark.parametrize(
    ("names", "photographs", "raw_files"),
    [
        (("a.JPG", "readme.txt"), True, False),
        (("a.ARW", "b.dng", "readme.txt"), False, True),
        (("a.png", "b.raf"), True, True),
    ],
)
def test_a_folder_of_clean_scenes_is_taken_by_what_lies_in_it(folder, names, photographs, raw_files):
    data = Synthetic(ratio=(50.0, 60.0), photographs="/old", raw_files="/old", samples=3)
    there = folder(*names)
    wanted = {"photographs": there if photographs else None, "raw_files": there if raw_files else None}
    assert in_folder(data, there) == replace(data, **wanted)


@pytest.mark.parametrize("names", [(), ("readme.txt", "jpg", ".hidden")])
def test_a_folder_with_no_scenes_is_refused(folder, names):
    for there in (folder(*names), folder() + "/nowhere"):
        with pytest.raises(BadOption, match="use a folder of photographs or RAW files"):
            in_folder(Synthetic(), there)


@pytest.mark.parametrize(("data", "kind"), [(Rooms(), "rendered rooms"), (Shapes(), "rendered shapes")])
def test_what_is_rendered_takes_no_folder(folder, data, kind):
    with pytest.raises(BadOption, match=f"--data cannot be .*: use it with another recipe: {kind} need no files"):
        in_folder(data, folder("a.jpg"))
