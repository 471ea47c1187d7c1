import sys

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

from quant import nyu
from quant.nyu import Labelled, Picture
from runtime.errors import BadOption, MissingLibrary, UnreadableFile

ONE_LEVEL = 1 / 255 * 1.01  # a level of 8 bits; two would be a bug
HALF_MILLIMETRE = 0.5e-4 * 1.01  # in units of ten metres, as test depths are rounded
ROUNDING = 1e-6  # resampled in float32, values up to 1


def scenes(number, *, height=48, width=64):
    """Pictures with a red gradient down and green across, and depths that grow to the right."""
    y, x = np.mgrid[:height, :width]
    rgb = np.stack([y * 5 % 256, x * 4 % 256, y * 0 + number], axis=-1).astype(np.uint8)
    return rgb, (1 + number + 5 * x / width).astype(np.float32)


def folders(root, *, scenes_of=("living_room_0038_out", "kitchen_0001_out"), header=True):
    """The layout commonly published, with two pictures a scene."""
    rows = {"train": [], "test": []}
    for number, name in enumerate(scenes_of):
        (root / f"data/nyu2_train/{name}").mkdir(parents=True)
        for n in (1, 2):
            rgb, metres = scenes(number)
            paths = [f"data/nyu2_train/{name}/{n}.{kind}" for kind in ("jpg", "png")]
            Image.fromarray(rgb).save(root / paths[0], quality=95)
            Image.fromarray(np.round(metres / 10 * 255).astype(np.uint8)).save(root / paths[1])
            rows["train"].append(",".join(paths))
    (root / "data/nyu2_test").mkdir()
    for number in range(2):
        rgb, metres = scenes(number)
        paths = [f"data/nyu2_test/{number:05d}_{kind}.png" for kind in ("colors", "depth")]
        Image.fromarray(rgb).save(root / paths[0])
        Image.fromarray(np.round(metres * 1000).astype(np.uint16)).save(root / paths[1])
        rows["test"].append(",".join(paths))
    for split, lines in rows.items():
        text = "\n".join([*(["path_rgb,path_depth"] if header else []), *lines]) + "\n"
        (root / f"data/nyu2_{split}.csv").write_text(text)
    return root


def labelled(root, *, count=5, test=(2, 4)):
    """The `.mat`: an HDF5 file with MATLAB's order of axes."""
    made = [scenes(number) for number in range(count)]
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = np.stack([rgb.transpose(2, 1, 0) for rgb, _ in made])
        file["depths"] = np.stack([metres.T for _, metres in made])
    train = [n for n in range(1, count + 1) if n not in test]
    numbers = {"trainNdxs": np.array(train)[:, None], "testNdxs": np.array(test)[:, None]}
    scipy.io.savemat(root / "splits.mat", numbers)
    return root


def seen(number, *, size, out):
    rgb, metres = scenes(number)
    x = np.stack([nyu.shrunk(rgb[..., c] / 255, size) for c in range(3)], axis=-1)
    return x, nyu.shrunk(metres / 10, out)[..., None]


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("inside", ["", "data"])
def test_folders_are_listed_from_beside_and_from_within(tmp_path, header, inside):
    rows = nyu.listed(folders(tmp_path, header=header) / inside, split="train")
    assert len(rows) == 4
    assert rows[0] == Picture(
        tmp_path / "data/nyu2_train/living_room_0038_out/1.jpg", tmp_path / "data/nyu2_train/living_room_0038_out/1.png"
    )


def test_a_list_beside_the_folder_is_found_as_well(tmp_path):
    folders(tmp_path)
    (tmp_path / "data/nyu2_test.csv").rename(tmp_path / "nyu2_test.csv")
    assert len(nyu.listed(tmp_path, split="test")) == 2


def test_train_masks_and_test_depths_and_labelled_metres_are_the_same_depth(tmp_path):
    (tmp_path / "mat").mkdir()
    folders(tmp_path)
    train, test, mat = (
        nyu.listed(tmp_path, split="train")[2],
        nyu.listed(tmp_path, split="test")[1],
        nyu.listed(labelled(tmp_path / "mat"), split="test")[0],
    )
    assert mat == Labelled(tmp_path / "mat/nyu_depth_v2_labeled.mat", 1)  # MATLAB counts from 1
    x, y = seen(1, size=32, out=8)
    assert 0.2 < y.min() < y.max() < 0.7
    for row, tolerance in ((train, ONE_LEVEL), (test, HALF_MILLIMETRE), (mat, ROUNDING)):
        found_x, found_y = nyu.pair(row, size=32, out=8)
        assert (found_x.shape, found_y.shape) == ((32, 32, 3), (8, 8, 1))
        assert (found_x.dtype, found_y.dtype) == (np.float32, np.float32)
        np.testing.assert_allclose(found_y, y, atol=tolerance)
    np.testing.assert_allclose(nyu.pair(mat, size=32, out=8)[0], x, atol=ROUNDING)
    np.testing.assert_allclose(nyu.pair(test, size=32, out=8)[0], x, atol=ROUNDING)


def test_the_usual_sizes_and_range(tmp_path):
    x, y = nyu.pair(nyu.listed(folders(tmp_path))[0])
    assert (x.shape, y.shape) == ((224, 224, 3), (56, 56, 1))
    assert 0 <= x.min() <= x.max() <= 1
    assert y.max() <= 1


def test_shrinking_takes_means_and_no_single_pixels():
    board = np.indices((64, 64)).sum(axis=0) % 2
    small = nyu.shrunk(board, 16)
    assert np.abs(small[1:-1, 1:-1] - 0.5).max() < 0.01  # beside the edge the weights are one-sided
    assert np.array_equal(nyu.shrunk(np.full((5, 9), 0.25), 3), np.full((3, 3), 0.25, np.float32))


def test_the_splits_do_not_overlap(tmp_path):
    labelled(tmp_path)
    train, test = ({row.index for row in nyu.listed(tmp_path, split=split)} for split in ("train", "test"))
    assert (train, test) == ({0, 2, 4}, {1, 3})


def test_missing_files_and_bad_rows_are_named(tmp_path):
    folders(tmp_path)
    (tmp_path / "data/nyu2_train/kitchen_0001_out/2.png").unlink()
    with pytest.raises(UnreadableFile, match=r"1 of 8 files that are missing \(nyu2_train/kitchen_0001_out/2.png\)"):
        nyu.listed(tmp_path)
    for row in ("one", "a,b,c", "/etc/passwd,b", "data/../../x,b", ",b"):
        (tmp_path / "data/nyu2_train.csv").write_text(row + "\n")
        with pytest.raises(UnreadableFile, match="has a row 1 that is not two paths"):
            nyu.listed(tmp_path)
    (tmp_path / "data/nyu2_train.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(UnreadableFile, match="cannot be read"):
        nyu.listed(tmp_path)
    with pytest.raises(UnreadableFile, match=r"has no nyu2_train.csv and no nyu_depth_v2_labeled.mat"):
        nyu.listed(tmp_path / "elsewhere")
    with pytest.raises(BadOption, match="use train or test"):
        nyu.listed(tmp_path, split="val")


def test_pictures_that_are_none_are_named(tmp_path):
    row = nyu.listed(folders(tmp_path))[0]
    with pytest.raises(UnreadableFile, match="is a picture of kind RGB, not of depths"):
        nyu.pair(Picture(row.rgb, row.rgb))
    row.rgb.write_bytes(row.rgb.read_bytes()[:300])
    with pytest.raises(UnreadableFile, match="no picture that can be read"):
        nyu.pair(row)
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(row.depth)
    Image.fromarray(np.zeros((9, 10, 3), np.uint8)).save(row.rgb)
    with pytest.raises(UnreadableFile, match=r"depths for \(9, 10\) pixels"):
        nyu.pair(row)


def test_a_labelled_set_that_is_none_is_named(tmp_path):
    labelled(tmp_path)
    scipy.io.savemat(tmp_path / "splits.mat", {"trainNdxs": np.array([6]), "testNdxs": np.array([0])})
    for split in ("train", "test"):
        with pytest.raises(UnreadableFile, match="names pictures that"):
            nyu.listed(tmp_path, split=split)
    (tmp_path / "splits.mat").write_bytes(b"nothing")
    with pytest.raises(UnreadableFile, match="holds no split"):
        nyu.listed(tmp_path)
    (tmp_path / "splits.mat").unlink()
    with pytest.raises(UnreadableFile, match="splits.mat' does not exist"):
        nyu.listed(tmp_path)
    labelled(tmp_path)
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"], file["depths"] = np.zeros((2, 3, 4, 5)), np.zeros((2, 5, 4))
    with pytest.raises(UnreadableFile, match="holds images"):
        nyu.listed(tmp_path)
    (tmp_path / "nyu_depth_v2_labeled.mat").write_bytes(b"nothing")
    with pytest.raises(UnreadableFile, match="is not the labelled set"):
        nyu.listed(tmp_path)


def test_without_h5py_the_cure_is_named(tmp_path, monkeypatch):
    row = nyu.listed(labelled(tmp_path))[0]
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingLibrary, match="h5py is not installed"):
        nyu.pair(row)
