import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rawpy
from hypothesis import given
from hypothesis import strategies as st
from raw_files import ABOUT, X_TRANS, arw, raf, scene
from test_pack import contract

from quant import sid
from runtime import pack
from runtime.decode import read
from runtime.errors import BadOption, UnreadableFile
from runtime.pairing import MISALIGNED

DATA = Path(os.environ.get("QK_DATA", "no data")) / "sid_lists"
PUBLISHED = {
    ("Sony", "train"): (1865, 161),
    ("Sony", "val"): (234, 20),
    ("Sony", "test"): (598, 50),
    ("Fuji", "train"): (1655, 135),
    ("Fuji", "val"): (218, 17),
    ("Fuji", "test"): (524, 41),
}

# By this name LibRaw knows the levels of the camera of See in the Dark.
SONY = replace(ABOUT, make="SONY", model="ILCE-7SM2")


def dark(height, width, *, light, seed=0, black=512, **changes):
    return scene(height, width, light=tuple(light * c for c in (0.5, 0.8, 0.4)), seed=seed, black=black, **changes)


def sony(folder, *, shorts, longs=("00001_00_10s",), split="train", prefix="", size=(48, 64)):
    """The published layout, with files of its format."""
    rows = []
    for kind, names in (("short", shorts), ("long", longs)):
        (folder / "Sony" / kind).mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(names):
            mosaic = dark(*size, light=0.01 if kind == "short" else 0.6, seed=number)
            arw(folder / f"Sony/{kind}/{name}.ARW", mosaic, about=SONY)
    for name in shorts:
        long = next(other for other in longs if other[:5] == name[:5])
        rows.append(f"./Sony/short/{name}.ARW ./Sony/long/{long}.ARW ISO200 F8\n")
    (folder / f"{prefix}Sony_{split}_list.txt").write_text("".join(rows))
    return folder


SHORTS = ("00001_00_0.04s", "00001_00_0.1s", "00001_01_0.04s")


def test_the_rows_are_those_of_the_list_and_the_times_those_of_the_names(tmp_path):
    rows = sid.listed(sony(tmp_path, shorts=SHORTS), camera="Sony", split="train")
    assert [(row.short_seconds, row.long_seconds, row.burst) for row in rows] == [
        (0.04, 10, 0),
        (0.1, 10, 0),
        (0.04, 10, 1),
    ]
    assert [row.ratio for row in rows] == pytest.approx([250, 100, 250])
    assert {(row.iso, row.f, row.id, row.misaligned) for row in rows} == {(200, 8.0, "00001", False)}
    assert all(row.short.is_file() and row.long.is_file() for row in rows)


def test_a_list_with_a_name_before_its_name_is_the_same(tmp_path):
    assert len(sid.listed(sony(tmp_path, shorts=SHORTS, prefix="SID_"))) == 3


@given(st.sampled_from([0.033, 0.04, 0.1, 1.0]), st.sampled_from([10.0, 30.0]))
def test_the_ratio_is_never_more_than_300(short, long):
    row = sid.Exposure(
        short=Path("a"), long=Path("b"), short_seconds=short, long_seconds=long, iso=100, f=8.0, id="00001", burst=0
    )
    assert row.ratio == min(long / short, 300)


@pytest.mark.parametrize(("camera", "split"), PUBLISHED)
def test_the_published_lists_have_the_published_counts(camera, split):
    lists = sorted(DATA.glob(f"*{camera}_{split}_list.txt"))
    if not lists:
        pytest.skip(f"no list of {camera} {split} in {DATA}: set QK_DATA")
    rows = sid.read_list(lists[0], split=split)
    assert (len(rows), len({row.id for row in rows})) == PUBLISHED[camera, split]
    assert {row.ratio for row in rows} <= {100, 250, 300}
    first = sid.for_training(rows)
    assert 0 < len(first) < len(rows)
    assert {row.id for row in first} == {row.id for row in rows}
    lost = {row.id for row in rows} - {row.id for row in sid.for_figures(rows)}
    assert lost == set(MISALIGNED) & {row.id for row in rows}
    assert len(lost) == {("Sony", "test"): 3, ("Fuji", "test"): 1}.get((camera, split), 0)


def test_missing_files_are_counted_and_the_first_are_named_before_anything_is_read(tmp_path):
    folder = sony(tmp_path, shorts=[f"00001_{burst:02d}_0.1s" for burst in range(6)])
    for burst in range(1, 6):
        (folder / f"Sony/short/00001_{burst:02d}_0.1s.ARW").unlink()
    with pytest.raises(
        UnreadableFile, match=r"lacks 5 of the 7 files of Sony_train_list.txt \(\S*01_0.1s.ARW, .*, \.\.\.\)"
    ):
        sid.listed(folder)


def test_no_list_and_unknown_names_are_told(tmp_path):
    with pytest.raises(UnreadableFile, match="has no Sony_val_list.txt"):
        sid.listed(tmp_path, split="val")
    with pytest.raises(BadOption, match="use Sony or Fuji"):
        sid.listed(tmp_path, camera="Nikon")
    with pytest.raises(BadOption, match="use train or test or val"):
        sid.listed(tmp_path, split="all")


GOOD = "./Sony/short/00001_00_0.1s.ARW ./Sony/long/00001_00_10s.ARW ISO200 F8"


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        GOOD.replace("ISO200", "200"),
        GOOD.replace("0.1s", "0s"),
        GOOD.replace("long/00001", "long/00002"),
        GOOD.replace("00001", "10001"),  # of another split
        GOOD.replace("./Sony/short", "../../etc"),
        GOOD.replace("./Sony/short", "/etc"),
        GOOD.replace("_00_", "_"),
    ],
)
def test_a_line_that_is_no_row_is_named(tmp_path, line):
    path = tmp_path / "Sony_train_list.txt"
    path.write_text(f"{GOOD}\n\n{GOOD}\n")
    assert len(sid.read_list(path, split="train")) == 2
    path.write_text(f"{GOOD}\n{line}\n")
    with pytest.raises(UnreadableFile, match="has a line 2 that is no row of train"):
        sid.read_list(path, split="train")


def test_a_list_of_other_bytes_is_no_list(tmp_path):
    path = tmp_path / "Sony_train_list.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnreadableFile, match="cannot be read"):
        sid.read_list(path, split="train")


def test_an_epoch_has_every_scene_once_and_all_exposures_in_time(tmp_path):
    shorts = (*SHORTS, "00002_00_0.1s", "00003_00_0.04s", "00003_00_0.1s")
    rows = sid.listed(sony(tmp_path, shorts=shorts, longs=("00001_00_10s", "00002_00_10s", "00003_00_30s")))
    epochs = [sid.one_each(rows, rng=np.random.default_rng((0, epoch))) for epoch in range(30)]
    assert all(sorted(row.id for row in epoch) == ["00001", "00002", "00003"] for epoch in epochs)
    assert {row.short for epoch in epochs for row in epoch} == {row.short for row in rows}
    assert len({tuple(row.id for row in epoch) for epoch in epochs}) == 6
    assert sid.one_each(rows, rng=np.random.default_rng((0, 3))) == epochs[3]
    made = sid.scenes(rows)
    assert [(one.name, len(one.shorts)) for one in made] == [
        ("00001_00_10s", 3),
        ("00002_00_10s", 1),
        ("00003_00_30s", 2),
    ]
    assert made[2].shorts[1].ratio == 300


def test_a_sony_pair_is_the_runtimes_planes_and_rawpys_picture(tmp_path):
    row = sid.listed(sony(tmp_path, shorts=SHORTS))[1]
    x, y = sid.pair(row, contract=contract(multiple=16))
    raw = read(row.short)
    asked = contract(multiple=1)
    expected = pack.planes(raw, pack.frame(raw, asked), asked, ratio=100.0)
    assert np.array_equal(x, expected.transpose(1, 2, 0))
    # The formula of See in the Dark, pixel by pixel.
    level = np.minimum(np.maximum(raw.mosaic.astype(np.float32) - 512, 0) / (16383 - 512) * 100, 1)
    np.testing.assert_allclose(x[..., 2], level[1::2, 1::2], atol=2e-5)  # 100 times two roundings of float32
    with rawpy.imread(str(row.long)) as long:
        expected = long.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=16, user_flip=0)
        upright = long.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=16)
    assert upright.shape == (64, 48, 3)  # the file says it was held upright: as it comes, it would not fit the mosaic
    assert np.array_equal(y, expected / np.float32(65535))
    assert (x.dtype, y.dtype, x.shape, y.shape) == (np.float32, np.float32, (24, 32, 4), (48, 64, 3))


def test_a_fuji_pair_has_nine_planes_at_a_third_of_the_size(tmp_path):
    for kind, name, light in (("short", "00001_00_0.1s", 0.01), ("long", "00001_00_10s", 0.6)):
        (tmp_path / "Fuji" / kind).mkdir(parents=True)
        mosaic = dark(518, 520, light=light, pattern=X_TRANS, black=1022)
        raf(tmp_path / f"Fuji/{kind}/{name}.RAF", mosaic)
    line = "./Fuji/short/00001_00_0.1s.RAF ./Fuji/long/00001_00_10s.RAF ISO1000 F3.6\n"
    (tmp_path / "Fuji_train_list.txt").write_text(line)
    (row,) = sid.listed(tmp_path, camera="Fuji")
    x, y = sid.pair(row, contract=contract("x-trans"))
    assert (x.shape, y.shape) == ((172, 172, 9), (516, 516, 3))
    assert (row.f, row.iso) == (3.6, 1000)
    assert np.array_equal(sid.develop(row.long), sid.develop(row.long))


def test_a_long_exposure_of_another_size_is_named(tmp_path):
    folder = sony(tmp_path, shorts=SHORTS)
    arw(folder / "Sony/long/00001_00_10s.ARW", dark(50, 64, light=0.5), about=SONY)
    with pytest.raises(UnreadableFile, match="another size than 00001_00_0.04s.ARW"):
        sid.pair(sid.listed(folder)[0], contract=contract())


def test_what_cannot_be_developed_is_named(tmp_path):
    good = sony(tmp_path, shorts=SHORTS) / "Sony/long/00001_00_10s.ARW"
    bad = tmp_path / "bad.ARW"
    bad.write_bytes(good.read_bytes()[:3000])
    with pytest.raises(UnreadableFile, match="cannot be developed"):
        sid.develop(bad)
    with pytest.raises(UnreadableFile, match="not developed within"):
        sid.develop(good, timeout=0.01)


def test_the_child_loads_no_tensorflow():
    script = "import sys, quant.sid, quant.shards, quant.augment; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(sid.__file__).parent.parent
    )
    assert not {"tensorflow", "tf_keras", "h5py"} & set(done.stdout.split())
