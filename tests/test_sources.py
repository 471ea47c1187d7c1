import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
import raw_files
from contracts import UNET
from PIL import Image
from test_nyu import folders, scenes
from test_sid import dark, sony

from quant import frames, nyu, sid
from quant.data import Nyu, Rooms, Shapes, Sid, Synthetic
from quant.noise import LEVELS, calibrated
from quant.pairs import AnyCamera, Pairs
from quant.recipe import Seed
from quant.shards import Shards
from quant.sources import HELD_OUT, meant, require_suits, source
from quant.synthetic import pairs
from runtime.errors import BadOption, BadSize, UnreadableFile
from runtime.pack import GRIDS

SRGB = dataclasses.replace(UNET, output="srgb")
X_TRANS = dataclasses.replace(UNET, cfa="x-trans", planes=tuple(GRIDS["x-trans"]), pack=3, scale=Fraction(3))
DEPTH = dataclasses.replace(
    UNET, task="depth", cfa="none", planes=("R", "G", "B"), pack=1, channels=1, scale=Fraction(1, 4), output="depth"
)
MASKS = dataclasses.replace(DEPTH, task="segment", planes=("Y",), scale=Fraction(1), output="mask")
CONTRACTS = {"synthetic": UNET, "sid": UNET, "nyu": DEPTH, "rooms": DEPTH, "shapes": MASKS}
SIZES = {"synthetic": 16, "sid": 16, "nyu": 32, "rooms": 32, "shapes": 16}
SHAPES = {
    "synthetic": ((16, 16, 4), (32, 32, 3)),
    "sid": ((16, 16, 4), (32, 32, 3)),
    "nyu": ((32, 32, 3), (8, 8, 1)),
    "rooms": ((32, 32, 3), (8, 8, 1)),
    "shapes": ((16, 16, 1), (16, 16, 1)),
}
TRAIN = ("00001_00_0.04s", "00001_00_0.1s", "00001_01_0.04s", "00002_00_0.1s", "00003_00_0.04s", "00003_00_0.1s")
VAL = ("20001_00_0.04s", "20001_00_0.1s", "20002_00_0.04s", "20002_00_0.1s")
LONGS = {"train": ("00001_00_10s", "00002_00_10s", "00003_00_30s"), "val": ("20001_00_10s", "20002_00_10s")}
DAMAGED = "00003_00_0.04s"
HEADER = "iso,Kmax,sigGs,sigTL,lam,sigR,bl,wp"


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A set in the layout of See in the Dark, one of its files damaged, and where it is decoded to."""
    root = tmp_path_factory.mktemp("sid")
    sony(root / "sid", shorts=TRAIN, longs=LONGS["train"])
    sony(root / "sid", shorts=VAL, longs=LONGS["val"], split="val")
    path = root / f"sid/Sony/short/{DAMAGED}.ARW"
    path.write_bytes(path.read_bytes()[:3000])
    return Sid(folder=str(root / "sid"), cache=str(root / "cache"))


@pytest.fixture(scope="module")
def kinds(tmp_path_factory, night):
    return {
        "synthetic": Synthetic(),
        "sid": night,
        "nyu": Nyu(folder=pictures(tmp_path_factory.mktemp("nyu"))),
        "rooms": Rooms(),
        "shapes": Shapes(),
    }


def made(kinds, kind, *, part="train", seed=3, **changes):
    data = dataclasses.replace(kinds[kind], **changes)
    return source(data, CONTRACTS[kind], seed=seed, size=SIZES[kind], part=part)


def pictures(root):
    """The published layout of NYU with no two pictures alike."""
    for number, row in enumerate(nyu.listed(folders(root))):
        Image.fromarray(scenes(40 * number)[0]).save(row.rgb, quality=95)
    return str(root)


def same(a, b):
    return all(np.array_equal(one, other) for one, other in zip(a, b, strict=True))


@pytest.mark.parametrize("part", ["train", "held"])
@pytest.mark.parametrize("kind", CONTRACTS)
def test_a_number_is_the_same_pair_in_any_order_and_from_a_fresh_source(kinds, kind, part):
    first = made(kinds, kind, part=part)
    x, y = first.batch(range(5))
    assert (x.shape[1:], y.shape[1:]) == SHAPES[kind]
    for values in (x, y):
        assert (len(values), values.dtype) == (5, np.float32)
        assert 0 <= values.min() < values.max() <= 1
    fresh = made(kinds, kind, part=part)
    for number in (4, 0, 3, 3, 1):
        assert same(fresh.batch([number]), (x[number : number + 1], y[number : number + 1]))
    assert same(first.batch(iter(range(5))), (x, y))
    assert not same(first.batch([0]), first.batch([1]))


@pytest.mark.parametrize("kind", CONTRACTS)
def test_held_out_pairs_are_others_and_another_seed_learns_from_others(kinds, kind):
    learnt = {pair.tobytes() for pair in made(kinds, kind).batch(range(12))[0]}
    held = {pair.tobytes() for pair in made(kinds, kind, part="held").batch(range(4))[0]}
    assert not learnt & held
    assert learnt != {pair.tobytes() for pair in made(kinds, kind, seed=4).batch(range(12))[0]}


@pytest.mark.parametrize("kind", ["synthetic", "rooms", "shapes"])
def test_so_many_samples_come_in_turn_and_held_out_ones_do_not(kinds, kind):
    few, endless = made(kinds, kind, samples=3), made(kinds, kind)
    assert same(few.batch([7, 0, 4]), endless.batch([1, 0, 1]))
    assert not same(endless.batch([7]), endless.batch([1]))
    held = made(kinds, kind, samples=3, part="held")
    assert same(held.batch([7]), made(kinds, kind, part="held").batch([7]))
    assert few.skipped == held.skipped == ()


def test_synthetic_pairs_are_those_of_any_camera_and_the_seed():
    x = source(Synthetic(), UNET, seed=7, size=16, part="train").batch([0, 5])
    assert same(x, Pairs(UNET, seed=7, size=16, shots=AnyCamera(100, 300)).batch([0, 5]))
    x = source(Synthetic(output="srgb"), UNET, seed=7, size=16, part="held").batch([1])
    assert same(x, Pairs(SRGB, seed=7 + HELD_OUT, size=16, shots=AnyCamera(100, 300)).batch([1]))


def test_a_gain_that_is_asked_for_is_that_of_every_camera():
    shots = pairs(Synthetic(gain=(2.0, 4.0)), UNET, seed=0, size=16, held=False).shots
    rng = np.random.default_rng(0)
    cameras = [shots(rng).camera for _ in range(60)]
    gains = [camera.sensor.K * LEVELS / (camera.white - camera.black) for camera in cameras]
    assert 2 <= min(gains) < 2.2
    assert 3.6 < max(gains) <= 4
    assert AnyCamera()(np.random.default_rng(1)) == AnyCamera(gain=(0.094, 30.0))(np.random.default_rng(1))


def table(folder):
    path = folder / "noise.csv"
    lines = [f"{iso},{iso / 1000},1.0,0.7,0.14,0.2,512,16383" for iso in (100, 200, 1600)]
    path.write_text("\n".join([HEADER, *lines]))
    return path


def exposures(folder, *, name="Sony_train_list.txt"):
    rows = [("0.1", 200), ("0.1", 200), ("0.04", 700), ("0.1", 25600), ("0.04", 320)]
    line = "./Sony/short/00001_00_{}s.ARW ./Sony/long/00001_00_10s.ARW ISO{} F8\n"
    (folder / name).write_text("".join(line.format(*row) for row in rows))
    return folder / name


def test_a_measured_sensor_is_used_at_the_isos_and_ratios_of_a_list_as_often_as_there(tmp_path):
    sensors = calibrated(table(tmp_path))
    data = Synthetic(noise=str(table(tmp_path)), exposures=str(exposures(tmp_path)))

    def used(data):
        shots = pairs(data, UNET, seed=0, size=16, held=False).shots.shots
        return [(shot.camera.sensor, shot.ratio) for shot in shots]

    # 700 lies between 200 and 1600: 1.8 stops above the one, 1.2 below the other.
    wanted = [(200, 100), (200, 100), (1600, 250), (1600, 100), (200, 250)]
    assert used(data) == [(sensors[iso], ratio) for iso, ratio in wanted]
    assert used(dataclasses.replace(data, ratio=(200.0, 300.0))) == [(sensors[1600], 250), (sensors[200], 250)]
    with pytest.raises(BadOption, match=r"ratio.*use one with ratios of Sony_train_list.txt: 100, 250"):
        used(dataclasses.replace(data, ratio=(110.0, 120.0)))
    other = exposures(tmp_path, name="mine.txt")
    with pytest.raises(UnreadableFile, match="not the name of a list"):
        used(dataclasses.replace(data, exposures=str(other)))
    assert source(data, UNET, seed=1, size=16, part="train").batch([0])[0].shape == (1, 16, 16, 4)


def test_a_measured_sensor_without_a_list_is_used_at_any_iso_and_ratio(tmp_path):
    sensors = calibrated(table(tmp_path))
    data = Synthetic(noise=str(table(tmp_path)), ratio=(50.0, 200.0))
    shots = pairs(data, UNET, seed=0, size=16, held=False).shots
    rng = np.random.default_rng(0)
    taken = [shots(rng) for _ in range(200)]
    assert {shot.camera.sensor for shot in taken} == set(sensors.values())
    middle = np.mean([math.log(shot.ratio) for shot in taken])
    assert middle == pytest.approx(math.log(100), abs=0.15)  # 5 deviations of the mean; that of the ratios is log 125
    assert 50 <= min(shot.ratio for shot in taken) < max(shot.ratio for shot in taken) <= 200
    exact = dataclasses.replace(data, ratio=(100.0, 100.0))  # exp(log(100)) is above 100
    assert pairs(exact, UNET, seed=0, size=16, held=False).shots(rng).ratio == 100


def photographs(folder, count, *, side=80):
    folder.mkdir(exist_ok=True)
    for number in range(count):
        level = np.full((side, side, 3), 20 + 20 * number, np.uint8)
        Image.fromarray(level).save(folder / f"{number}.png")
    return folder


def levels(found):
    """How light the scenes were, one each: their pixels are all alike."""
    return {round(float(scene.mean()), 4) for scene in (found._scene(number) for number in range(40))}


def test_of_a_folder_every_fifth_file_is_kept_apart_for_held_out_pairs(tmp_path):
    data = Synthetic(leaves=False, photographs=str(photographs(tmp_path / "photos", 7)))
    learnt, held = (pairs(data, UNET, seed=0, size=16, held=held) for held in (False, True))
    assert [[path.stem for path in one.scenes[0].files] for one in (learnt, held)] == [list("12346"), list("05")]
    assert (len(levels(learnt)), len(levels(held))) == (5, 2)
    assert not levels(learnt) & levels(held)


def test_a_raw_file_and_all_photographs_of_its_shot_are_held_out_together(tmp_path):
    photographs(tmp_path, 7)
    (tmp_path / "0.png").rename(tmp_path / "0.bmp")
    for name in ("0.jpg", "2.dng", "3.dng", "8.dng"):
        (tmp_path / name).write_bytes(b"never opened")
    data = Synthetic(leaves=False, photographs=str(tmp_path), raw_files=str(tmp_path))
    learnt, held = (
        [path.name for scene in pairs(data, UNET, seed=0, size=16, held=held).scenes for path in scene.files]
        for held in (False, True)
    )
    # Of the photographs the first and the sixth file are kept apart, of the RAW files the first.
    assert held == ["0.bmp", "0.jpg", "2.png", "4.png", "2.dng"]
    assert learnt == ["1.png", "3.png", "5.png", "6.png", "3.dng", "8.dng"]


def test_a_folder_of_one_file_cannot_be_measured_on(tmp_path):
    data = Synthetic(photographs=str(photographs(tmp_path / "photos", 1)))
    for part in ("train", "held"):
        with pytest.raises(UnreadableFile, match="holds too few photographs"):
            source(data, UNET, seed=0, size=16, part=part)
    photographs(tmp_path / "photos", 2)
    assert len(pairs(data, UNET, seed=0, size=16, held=True).scenes) == 2  # leaves, and the folder


def test_a_raw_file_is_a_scene_and_what_cannot_be_used_is_named(tmp_path):
    for number in range(3):
        raw_files.dng(tmp_path / f"{number}.dng", raw_files.scene(100, 100, seed=number))
    (tmp_path / "2.dng").write_bytes(b"no RAW file")
    data = Synthetic(leaves=False, raw_files=str(tmp_path))
    learnt = source(data, UNET, seed=0, size=16, part="train")
    assert learnt.skipped == ()
    assert learnt.batch(range(8))[0].shape == (8, 16, 16, 4)
    assert len(learnt.skipped) == 1
    assert "2.dng" in learnt.skipped[0]


def test_every_scene_of_see_in_the_dark_comes_once_an_epoch(night, monkeypatch):
    seen, crop = [], Shards.crop

    def watched(shards, frame, **place):
        seen.append((shards.frames[frame].scene, shards.frames[frame].name, place["top"], place["left"]))
        return crop(shards, frame, **place)

    monkeypatch.setattr(Shards, "crop", watched)
    learnt = source(night, UNET, seed=1, size=16, part="train")
    learnt.batch(range(60))
    epochs = [tuple(scene for scene, *_ in seen[first : first + 3]) for first in range(0, 60, 3)]
    assert all(sorted(epoch) == sorted(LONGS["train"]) for epoch in epochs)
    assert len(set(epochs)) > 3
    assert {name for _, name, *_ in seen} == set(TRAIN) - {"00001_01_0.04s", DAMAGED}  # the first of every burst
    assert len({(top, left) for *_, top, left in seen}) > 20


def test_a_file_that_cannot_be_read_is_skipped_and_told(night):
    learnt, held = (source(night, UNET, seed=1, size=16, part=part) for part in ("train", "held"))
    assert len(learnt.skipped) == 1
    assert f"{DAMAGED}.ARW" in learnt.skipped[0]
    assert held.skipped == ()


def test_held_out_frames_are_the_centres_of_another_split_and_go_round_its_scenes(night):
    held = source(night, UNET, seed=1, size=16, part="held")
    x, y = held.batch(range(6))
    rows = {row.short.stem: row for row in sid.listed(night.folder, split="val")}
    # One scene after the other, in each round with the next exposure, and in none all with the same.
    names = [VAL[0], VAL[3], VAL[1], VAL[2], VAL[0], VAL[3]]
    for number, name in enumerate(names):
        whole = sid.pair(rows[name], contract=SRGB)
        assert np.array_equal(x[number], whole[0][4:20, 8:24])
        assert np.array_equal(y[number], whole[1][8:40, 16:48])
    assert same(source(night, UNET, seed=2, size=16, part="held").batch(range(6)), (x, y))


def test_fuji_frames_are_cropped_and_turned_as_x_trans(tmp_path):
    for split, name in (("train", "00001"), ("val", "20001")):
        for kind, file, light in (("short", f"{name}_00_0.1s", 0.01), ("long", f"{name}_00_10s", 0.6)):
            (tmp_path / "Fuji" / kind).mkdir(parents=True, exist_ok=True)
            mosaic = dark(518, 520, light=light, pattern=raw_files.X_TRANS, black=1022)
            raw_files.raf(tmp_path / f"Fuji/{kind}/{file}.RAF", mosaic)
        line = f"./Fuji/short/{name}_00_0.1s.RAF ./Fuji/long/{name}_00_10s.RAF ISO1000 F3.6\n"
        (tmp_path / f"Fuji_{split}_list.txt").write_text(line)
    data = Sid(camera="Fuji", folder=str(tmp_path), cache=str(tmp_path / "kept"))
    learnt, held = (source(data, X_TRANS, seed=0, size=16, part=part) for part in ("train", "held"))
    for one in (learnt, held):
        x, y = one.batch(range(3))
        assert (x.shape, y.shape) == ((3, 16, 16, 9), (3, 48, 48, 3))
    assert not same(learnt.batch([0]), learnt.batch([1]))
    assert same(held.batch([0]), held.batch([1]))


def test_without_a_list_for_it_the_test_split_is_held_out_and_misaligned_scenes_are_not(tmp_path):
    longs = ("10001_00_10s", "10034_00_10s")
    sony(tmp_path / "sid", shorts=("10001_00_0.1s", "10034_00_0.1s"), longs=longs, split="test")
    (tmp_path / "sid/Sony_train_list.txt").write_text("")
    held = source(Sid(folder=str(tmp_path / "sid")), UNET, seed=1, size=16, part="held", cache=tmp_path / "kept")
    assert same(held.batch([0]), held.batch([1]))
    assert [path.name for path in (tmp_path / "kept/Sony_test").glob("*.bin")] == ["10001_00_10s.bin"]


def test_a_set_is_decoded_where_the_data_say_else_where_the_caller_says_else_beside_it(tmp_path):
    folder = sony(tmp_path / "sid", shorts=("00001_00_0.1s",))
    told = []
    for own, cache in ((str(tmp_path / "a"), tmp_path / "b"), (None, tmp_path / "b"), (None, None)):
        data = Sid(folder=str(folder), cache=own)
        source(data, UNET, seed=0, size=16, part="train", cache=cache, progress=lambda *at: told.append(at))
    found = {path.parent.parent.name for path in tmp_path.rglob("index.json")}
    assert (found, told) == ({"a", "b", "sid-shards"}, [(1, 1)] * 3)


def test_a_crop_without_room_and_files_that_are_missing_are_named_before_anything_is_decoded(tmp_path, monkeypatch):
    folder = sony(tmp_path / "sid", shorts=TRAIN, longs=LONGS["train"])
    data = Sid(folder=str(folder))
    monkeypatch.setattr(frames, "build", lambda *args, **options: pytest.fail("it is decoded"))
    with pytest.raises(BadOption, match="size cannot be 32: use up to 16: 00001_00_0.04s is 24 x 32 packed pixels"):
        source(data, UNET, seed=0, size=32, part="train")
    (folder / f"Sony/short/{TRAIN[3]}.ARW").unlink()
    with pytest.raises(UnreadableFile, match="lacks 1 of the 9 files"):
        source(data, UNET, seed=0, size=16, part="train")


def test_a_frame_smaller_than_the_others_is_named_before_the_first_step(tmp_path):
    folder = sony(tmp_path / "sid", shorts=("00001_00_0.1s", "00002_00_0.1s"), longs=LONGS["train"][:2])
    for path in folder.glob("Sony/*/00002*"):
        raw_files.arw(path, dark(32, 64, light=0.02))
    with pytest.raises(BadOption, match="use up to 0: 00002_00_0.1s is 16 x 32"):
        source(Sid(folder=str(folder)), UNET, seed=0, size=16, part="train")


def found(pair, rows):
    """Which of the rows it is, and whether it is mirrored."""
    mirrored = [[values[:, ::-1] for values in row] for row in rows]
    (place,) = (n for n, row in enumerate([*rows, *mirrored]) if same(row, pair))
    return place % len(rows), place >= len(rows)


def test_pictures_come_once_an_epoch_half_of_them_mirrored_and_held_out_ones_never(kinds):
    learnt, held = made(kinds, "nyu"), made(kinds, "nyu", part="held")
    listed = {split: nyu.listed(kinds["nyu"].folder, split=split) for split in ("train", "test")}
    rows = {split: [nyu.pair(row, size=32, out=8) for row in listed[split]] for split in listed}
    seen = [found(pair, rows["train"]) for pair in zip(*learnt.batch(range(40)), strict=True)]
    epochs = [tuple(row for row, _ in seen[first : first + 4]) for first in range(0, 40, 4)]
    assert all(sorted(epoch) == [0, 1, 2, 3] for epoch in epochs)
    assert len(set(epochs)) > 3
    assert 10 < sum(mirrored for _, mirrored in seen) < 30  # of 40 coins
    kept = [found(pair, rows["test"]) for pair in zip(*held.batch(range(4)), strict=True)]
    assert sorted(kept) == [(0, False), (0, False), (1, False), (1, False)]


def test_a_picture_that_cannot_be_read_is_replaced_by_the_next_and_named(tmp_path):
    data = Nyu(folder=pictures(tmp_path))
    whole = source(data, DEPTH, seed=0, size=32, part="train").batch(range(8))
    rows = nyu.listed(tmp_path)
    rows[1].rgb.write_bytes(b"no picture")
    learnt = source(data, DEPTH, seed=0, size=32, part="train")
    found = learnt.batch(range(8))
    assert len(learnt.skipped) == 1
    assert str(rows[1].rgb) in learnt.skipped[0]
    assert sum(not np.array_equal(a, b) for a, b in zip(whole[0], found[0], strict=True)) == 2  # once an epoch
    assert same(source(data, DEPTH, seed=0, size=32, part="train").batch([7]), learnt.batch([7]))
    for row in rows:
        row.depth.write_bytes(b"no picture")
    with pytest.raises(UnreadableFile, match="holds no pair that can be used"):
        source(data, DEPTH, seed=0, size=32, part="train").batch([0])


def test_what_comes_out_of_a_network_is_what_the_data_have():
    assert meant(Synthetic(), SRGB) == UNET
    assert meant(Synthetic(output="srgb"), UNET) == meant(Sid(), UNET) == SRGB
    assert meant(Nyu(), DEPTH) == meant(Rooms(), DEPTH) == dataclasses.replace(DEPTH, metres_per_unit=10.0)
    assert meant(Synthetic(), DEPTH) == DEPTH


SUITED = [(Synthetic(), UNET), (Synthetic(), X_TRANS), (Sid(), UNET), (Sid(camera="Fuji"), X_TRANS)]
SUITED += [(Nyu(), DEPTH), (Rooms(), DEPTH), (Shapes(), MASKS)]


@pytest.mark.parametrize("data", [Synthetic(), Sid(), Sid(camera="Fuji"), Nyu(), Rooms(), Shapes()], ids=repr)
@pytest.mark.parametrize("contract", [UNET, X_TRANS, DEPTH, MASKS], ids=lambda one: f"{one.task}-{one.cfa}")
def test_a_network_learns_from_data_of_its_task_alone(data, contract):
    if (data, contract) in SUITED:
        require_suits(data, contract)
    else:
        with pytest.raises(BadOption, match=f"the network cannot be 'unet': use with {type(data).__name__.lower()}"):
            require_suits(data, contract)


def test_masks_of_colour_pictures_are_not_what_shapes_are():
    with pytest.raises(BadOption, match="grey pictures"):
        require_suits(Shapes(), dataclasses.replace(MASKS, planes=("R", "G", "B")))


def test_what_cannot_be_is_said_at_once():
    for data, contract in ((Sid(), UNET), (Nyu(), DEPTH)):
        with pytest.raises(BadOption, match="--data FOLDER"):
            source(data, contract, seed=0, size=32, part="train")
    with pytest.raises(BadOption, match="the network"):
        source(Rooms(), UNET, seed=0, size=32, part="train")
    with pytest.raises(BadSize):
        source(Rooms(), DEPTH, seed=0, size=40, part="train")
    with pytest.raises(BadOption, match=r"data.ratio cannot be \[100.0, 400.0\]: use up to 300"):
        source(Synthetic(ratio=(100.0, 400.0)), UNET, seed=0, size=16, part="train")


def test_a_list_of_ratios_beyond_the_networks_is_refused(night):
    with pytest.raises(BadOption, match="one made for ratios up to 300"):
        source(night, dataclasses.replace(UNET, ratio_max=250.0), seed=0, size=16, part="train")


def test_the_seed_of_held_out_pairs_is_no_seed_of_a_recipe():
    (limits,) = Seed.__metadata__
    assert limits.high < HELD_OUT
