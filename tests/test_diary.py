"""What a fit leaves for people to look at."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from quant.diary import EVENTS, EVERY, GAP, HISTORY, PICTURES, Diary, sheet
from runtime.png import eight

COLOURS = np.random.default_rng(0).random((8, 8, 3))
GREY = np.random.default_rng(1).random((4, 4, 1))
PATCHES = [[COLOURS, GREY]]


def lines(folder):
    return [json.loads(line) for line in (folder / HISTORY).read_text().splitlines()]


def written(folder, steps, *, loss=0.5):
    with Diary(folder) as diary:
        for step in steps:
            diary.note(step, loss, {})


def events(folder):
    """(step, name, plugin, value) of everything for TensorBoard, read by TensorFlow itself."""
    found = []
    for path in sorted((folder / EVENTS).iterdir()):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                plugin = value.metadata.plugin_data.plugin_name
                found.append((event.step, value.tag, plugin, tf.make_ndarray(value.tensor)))
    return found


def test_nothing_is_made_before_the_first_note(tmp_path):
    with Diary(tmp_path / "fit"):
        pass
    assert not (tmp_path / "fit").exists()
    written(tmp_path / "fit", [0])
    assert sorted(path.name for path in (tmp_path / "fit").iterdir()) == [HISTORY, EVENTS]


def test_a_line_is_a_step_its_loss_and_what_was_measured_after_it(tmp_path):
    with Diary(tmp_path) as diary:
        diary.note(0, 0.5, {})
        diary.note(1, 0.25, {"psnr": 30.0, "ssim": 0.75})
    assert lines(tmp_path) == [{"step": 0, "loss": 0.5}, {"step": 1, "loss": 0.25, "psnr": 30.0, "ssim": 0.75}]


def test_a_run_that_goes_on_strikes_out_what_it_wrote_beyond_its_checkpoint(tmp_path):
    written(tmp_path, range(7), loss=1.0)
    written(tmp_path, range(4, 6), loss=2.0)
    assert [(line["step"], line["loss"]) for line in lines(tmp_path)] == [
        *((step, 1.0) for step in range(4)),
        *((step, 2.0) for step in (4, 5)),
    ]
    written(tmp_path, range(6, 8))
    assert [line["step"] for line in lines(tmp_path)] == list(range(8)), "a run that was ended well loses nothing"


@pytest.mark.parametrize("torn", ['{"step": 3, "lo', "{", "3", "\n", '{"loss": 1}'])
def test_a_last_line_that_was_cut_short_is_struck_out(tmp_path, torn):
    written(tmp_path, range(3))
    with (tmp_path / HISTORY).open("a") as file:
        file.write(torn)
    written(tmp_path, range(3, 5))
    assert [line["step"] for line in lines(tmp_path)] == list(range(5))


def test_every_step_is_on_the_disk_when_its_note_is_made(tmp_path):
    """A run may be killed right after any checkpoint, and goes on from there."""
    with Diary(tmp_path) as diary:
        for step in range(3):
            diary.note(step, 0.5, {})
            assert [line["step"] for line in lines(tmp_path)] == list(range(step + 1))


def test_tensorboard_reads_the_curve_the_figures_and_the_patches(tmp_path):
    with Diary(tmp_path) as diary:
        for step in range(2 * EVERY + 1):
            diary.note(step, step / 4, {"psnr": 30.5} if step == EVERY + 1 else {})
            if step == EVERY + 1:
                diary.picture(step, PATCHES)
    found = events(tmp_path)
    scalars = {(step, name): value for step, name, plugin, value in found if plugin == "scalars"}
    assert all(value.dtype == np.float32 and value.shape == () for value in scalars.values())
    curve = {(step, "loss"): step / 4 for step in (0, EVERY, EVERY + 1, 2 * EVERY)}
    assert {key: float(value) for key, value in scalars.items()} == {**curve, (EVERY + 1, "psnr"): 30.5}
    [(step, name, _, told)] = [one for one in found if one[2] == "images"]
    assert (step, name, told.shape) == (EVERY + 1, "patches", (3,))
    wanted = eight(sheet(PATCHES))
    assert (int(told[1]), int(told[0])) == wanted.shape[:2], "width, then height"
    for data in (told[2], (tmp_path / PICTURES / f"{step:08}.png").read_bytes()):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), wanted)


def test_a_sheet_puts_rows_on_white(tmp_path):
    made = sheet([[COLOURS, COLOURS / 2], [COLOURS / 4, COLOURS + 2]])
    side = len(COLOURS)
    assert (made.dtype, made.shape) == (np.uint16, (2 * (side + GAP), 2 * (side + GAP), 3))
    outside = np.ones(made.shape[:2], bool)
    for row, column, wanted in ((0, 0, COLOURS), (0, 1, COLOURS / 2), (1, 0, COLOURS / 4), (1, 1, np.ones((8, 8, 3)))):
        place = tuple(slice(n * (side + GAP), n * (side + GAP) + side) for n in (row, column))
        assert np.array_equal(made[place], np.rint(wanted * 65535))
        outside[place] = False
    assert (made[outside] == 65535).all()
    assert (made[~outside] < 65535).any(), "not all is white"


def test_a_smaller_picture_is_enlarged_by_whole_factors_and_grey_becomes_colour():
    made = sheet([[GREY, COLOURS]])[: len(COLOURS), : len(COLOURS)]
    wanted = np.repeat(np.repeat(np.rint(GREY * 65535), 2, axis=0), 2, axis=1)
    assert np.array_equal(made, np.repeat(wanted, 3, axis=2))


def test_what_is_darker_than_black_or_brighter_than_white_is_cut():
    made = sheet([[np.full((2, 2, 3), level) for level in (-0.5, 0.5, 1.5)]])
    assert [int(made[0, column * (2 + GAP), 0]) for column in range(3)] == [0, 32768, 65535]
