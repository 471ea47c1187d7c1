"""One frame from file to picture."""

import numpy as np
import pytest
import rawpy
import tifffile
from PIL import Image
from raw_files import ABOUT, BAYER, X_TRANS, dng, scene
from tiny_model import tiny

import runtime
from runtime import account, develop
from runtime.canvas import band
from runtime.decode import read
from runtime.enhancing import Enhancer
from runtime.errors import BadOption, EngineFailed, FileError, TooLittleMemory, UnsupportedRaw
from runtime.job import Wish
from runtime.picture import FORMATS, suffix
from runtime.shipped import FOLDER
from runtime.tiles import plans

ONE_LEVEL = 1  # of 65535: each picture is rounded once
NOISE = 0.02  # of a mean: 20 levels of 16383 a pixel, over a thousand pixels far less; a wrong gain is 60 % off
UPRIGHT = ABOUT.__class__(**{**ABOUT.__dict__, "orientation": 1})


def night(path, height=96, width=128, *, pattern="RGGB", about=UPRIGHT, light=(0.003, 0.005, 0.002), **options):
    dng(path, scene(height, width, pattern=BAYER[pattern], light=light, **options), pattern=BAYER[pattern], about=about)
    return path


@pytest.fixture(scope="module")
def session():
    return runtime.open(tiny(), threads=2)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_comes_out_in_full_size_with_what_the_camera_said(kind, session, tmp_path):
    raw = read(night(tmp_path / "a.dng"))
    enhancer = Enhancer(session, Wish(format=kind, ratio="40"))
    job = enhancer.prepare(raw)
    enhancer.infer(job)
    out = tmp_path / f"out{suffix(kind)}"
    enhancer.save(job, out)
    assert job.pixels.shape == (96, 128, 3)
    assert 1000 < job.pixels.mean() < 64000
    if kind == "dng":
        with rawpy.imread(str(out)) as opened:
            assert opened.raw_image.shape[:2] == (96, 128)
        return
    with Image.open(out) as image:
        assert image.size == (128, 96)
        assert "ratio 40" in image.getexif()[270]
        assert image.getexif()[272] == ABOUT.model
        assert image.info.get("icc_profile")


def test_odd_sizes_and_every_phase_come_out_whole(session, tmp_path):
    for pattern in BAYER:
        for height, width in ((97, 129), (64, 66), (30, 33)):
            path = night(tmp_path / f"{pattern}{height}.dng", height, width, pattern=pattern)
            result = runtime.enhance(path, tmp_path / "o.tif", model=session)
            assert (result.height, result.width) == (height, width)
            assert tifffile.imread(tmp_path / "o.tif").shape == (height, width, 3)


@pytest.mark.parametrize("pattern", BAYER)
def test_a_frame_from_memory_gives_the_picture_of_its_file(pattern, tmp_path):
    raw = read(night(tmp_path / "a.dng", pattern=pattern))
    enhancer = Enhancer(runtime.open("fast", threads=2), Wish(ratio="40"))
    levels = {"black": [level for row in raw.black for level in row], "white": raw.white}
    same = runtime.Raw.bayer(raw.mosaic, pattern, **levels, wb=[2 * gain for gain in raw.wb], cam2rgb=raw.cam2rgb)
    first = enhancer.picture(same)
    assert first.shape == (96, 128, 3)
    np.testing.assert_array_equal(first, enhancer.picture(raw))
    np.testing.assert_array_equal(first, enhancer.picture(same))  # nothing is left of the one before
    other = runtime.Raw.bayer(raw.mosaic, pattern, **levels)  # without its colours it is another picture
    assert np.abs(first.astype(int) - enhancer.picture(other)).mean() > 100


def test_a_frame_that_is_shifted_with_its_pattern_gives_the_same_picture_shifted(session, tmp_path):
    """The control of phases: a mosaic begun one pixel later is another pattern, and the same scene."""
    mosaic = scene(130, 134, light=(0.3, 0.5, 0.2), seed=3)
    pictures = []
    for name, down, right in (("RGGB", 0, 0), ("GRBG", 0, 1), ("GBRG", 1, 0), ("BGGR", 1, 1)):
        dng(tmp_path / "a.dng", mosaic[down : down + 128, right : right + 128], pattern=BAYER[name], about=UPRIGHT)
        runtime.enhance(tmp_path / "a.dng", tmp_path / "o.tif", model=session, ratio=1)
        pictures.append(tifffile.imread(tmp_path / "o.tif")[40 - down : 88 - down, 40 - right : 88 - right])
    for other in pictures[1:]:
        np.testing.assert_allclose(other.astype(int), pictures[0], atol=1)  # sums in another order at the borders


def test_the_picture_is_turned_as_the_camera_was_held(session, tmp_path):
    upright = night(tmp_path / "a.dng")
    turned = night(tmp_path / "b.dng", about=ABOUT)  # 6: turn it clockwise
    runtime.enhance(upright, tmp_path / "a.tif", model=session)
    runtime.enhance(turned, tmp_path / "b.tif", model=session)
    np.testing.assert_array_equal(
        np.rot90(tifffile.imread(tmp_path / "a.tif"), -1), tifffile.imread(tmp_path / "b.tif")
    )


def test_little_memory_gives_the_same_picture_in_more_windows(session, tmp_path):
    raw = read(night(tmp_path / "a.dng", 640, 900))
    pictures = {}
    free = Enhancer(session, Wish())
    # The whole frame without six tenths of what the network would take.
    little = int(free.prepare(raw).peak - 0.6 * 640 * 900 / 4 * free.per_pixel)
    for enhancer in (free, Enhancer(session, Wish(max_memory=little))):
        job = enhancer.prepare(raw)
        enhancer.infer(job)
        pictures[len(job.plan.rows) * len(job.plan.columns)] = job.pixels
    (one, whole), (many, parts) = sorted(pictures.items())
    assert (one, many > 1) == (1, True)
    # Float sums in windows of another size may differ in the last bit.
    assert np.abs(whole.astype(int) - parts).max() <= 1


@pytest.mark.parametrize("turn", [1, 6, 3])
def test_a_picture_that_memory_has_no_room_for_lies_in_a_folder_and_is_the_same(turn, session, tmp_path, monkeypatch):
    monkeypatch.setattr(develop, "BLOCK", 2**12)  # several strips of each window
    about = ABOUT.__class__(**{**ABOUT.__dict__, "orientation": turn})
    raw = read(night(tmp_path / "a.dng", 640, 900, about=about))
    promised = Enhancer(session, Wish(max_memory=2**33, ratio="40", format="tiff"))
    here, there = promised.prepare(raw), promised.prepare(raw)
    there.folder = tmp_path / "out"
    there.plan = next(p for p in plans(there.frame.height, there.frame.width, session.contract) if len(p.rows) == 3)
    here.plan = there.plan
    for job in (here, there):
        promised.infer(job)
    assert (here.pixels.flags.owndata, there.pixels.flags.owndata) == (True, False)
    np.testing.assert_array_equal(here.pixels, there.pixels)
    promised.save(there, tmp_path / "out" / "a.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "a.tif"), here.pixels)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.tif"]


@pytest.mark.parametrize(("kind", "turn"), [("tiff", 1), ("tiff8", 1), ("tiff", 6), ("png", 1)])
def test_a_picture_that_is_written_while_it_is_made_is_the_same_file(kind, turn, session, tmp_path):
    about = ABOUT.__class__(**{**ABOUT.__dict__, "orientation": turn})
    raw = read(night(tmp_path / "a.dng", 353, 500, about=about))
    enhancer = Enhancer(session, Wish(ratio="40", format=kind))
    files = []
    for at_once in (False, True):
        job = enhancer.prepare(raw, at_once=at_once)
        every = list(plans(job.frame.height, job.frame.width, session.contract))
        job.plan = next(plan for plan in every if (len(plan.rows), len(plan.columns)) == (3, 2))
        enhancer.infer(job)
        assert (job.pixels is None) == (at_once and kind != "png" and turn == 1)
        files.append(tmp_path / f"{at_once}{suffix(kind)}")
        enhancer.save(job, files[-1])
        assert set(job.seconds) == {"pack", "infer", "develop", "encode"}
        assert min(job.seconds.values()) >= 0
        size = (353, 500) if turn == 1 else (500, 353)
        result = account.result("a.dng", files[-1], job, session)
        assert (result.height, result.width) == size
    assert files[0].read_bytes() == files[1].read_bytes()


def test_what_is_written_while_it_is_made_leaves_memory_to_the_network(session, tmp_path):
    raw = read(night(tmp_path / "a.dng", 1280, 1800))
    enhancer = Enhancer(session, Wish(format="tiff", max_memory=2**21))
    with pytest.raises(TooLittleMemory) as caught:
        enhancer.prepare(raw)
    enhancer.wish = Wish(format="tiff", max_memory=caught.value.least)
    at_once, whole = enhancer.prepare(raw, at_once=True), enhancer.prepare(raw)
    assert at_once.plan.pixels < whole.plan.pixels
    assert at_once.peak <= caught.value.least
    for plan in plans(at_once.frame.height, at_once.frame.width, session.contract):
        rows = max(row.keep_end - row.keep_begin for row in plan.rows) * session.contract.scale
        assert band(raw, session.contract, plan) >= 6 * 1800 * min(rows, 1280), "what is held is what is counted"


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_both_engines_make_the_same_picture_in_windows_whole_or_streamed(strength, tmp_path):
    raw = read(night(tmp_path / "a.dng", 353, 500))
    files = []
    for end in (".onnx", ".tflite"):
        enhancer = Enhancer(
            runtime.open(FOLDER / f"fast{end}", threads=2), Wish(ratio="40", format="tiff", strength=strength)
        )
        for at_once, rows in ((False, 1), (False, 3), (True, 3)):
            job = enhancer.prepare(raw, at_once=at_once)
            every = plans(job.frame.height, job.frame.width, enhancer.contract)
            job.plan = next(plan for plan in every if (len(plan.rows), len(plan.columns)) == (rows, rows))
            enhancer.infer(job)
            files.append(tmp_path / f"{len(files)}.tif")
            enhancer.save(job, files[-1])
    first, *others = (tifffile.imread(path) for path in files)
    assert np.ptp(first) > 1000
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_an_error_that_is_kept_keeps_no_memory_that_an_engine_lent(tmp_path):
    raw = read(night(tmp_path / "a.dng"))
    enhancer = Enhancer(runtime.open(FOLDER / "fast.tflite"), Wish(ratio="40"))
    kept = []

    def fails(made, top, left):
        raise FileError(tmp_path, "is full", "make room")

    try:
        enhancer.stream(enhancer.prepare(raw), fails)
    except FileError as error:
        kept.append(error)
    enhancer.infer(enhancer.prepare(raw))
    assert kept[0].__traceback__ is not None


def test_a_network_that_makes_no_picture_in_full_size_is_refused():
    with pytest.raises(BadOption, match="a colour for each pixel"):
        Enhancer(runtime.open(tiny(upscale=1)), Wish())


def test_a_picture_cut_short_while_it_is_made_is_no_file(session, tmp_path, monkeypatch):
    raw = read(night(tmp_path / "a.dng", 353, 500))
    enhancer = Enhancer(session, Wish(ratio="40", format="tiff"))
    job = enhancer.prepare(raw, at_once=True)
    every = list(plans(job.frame.height, job.frame.width, session.contract))
    job.plan = next(plan for plan in every if len(plan.rows) == 3)
    (tmp_path / "out").mkdir()
    run, seen = session.run, []

    def fails(*words, **options):
        seen.append(len(list((tmp_path / "out").iterdir())))
        if len(seen) > 2:
            raise EngineFailed("an engine", "no more")
        return run(*words, **options)

    monkeypatch.setattr(session, "run", fails)
    with pytest.raises(EngineFailed):
        enhancer.save(job, tmp_path / "out" / "a.tif")
    assert seen == [1] * 3, "it was being written"
    assert not list((tmp_path / "out").iterdir())


def test_too_little_memory_is_said_with_the_least(session, tmp_path):
    raw = read(night(tmp_path / "a.dng", 640, 900))
    with pytest.raises(TooLittleMemory, match="--max-memory") as caught:
        Enhancer(session, Wish(max_memory=2**21)).prepare(raw)
    least = Enhancer(session, Wish(max_memory=caught.value.least + 2**23))
    assert least.prepare(raw).peak <= caught.value.least + 2**23
    # With a folder to lay the picture in, what it does not take the network has.
    some = Enhancer(session, Wish(max_memory=2**21))
    with pytest.raises(TooLittleMemory) as caught:
        some.prepare(raw)
    some.wish = Wish(max_memory=caught.value.least)
    here, there = some.prepare(raw), some.prepare(raw, folder=tmp_path)
    assert there.plan.pixels < here.plan.pixels
    assert (here.folder, here.release, there.folder, there.release) == (None, False, tmp_path, True)
    plenty = Enhancer(session, Wish(max_memory=2**33))
    assert plenty.prepare(raw, folder=tmp_path).folder is None, "a disk is slower than memory"


def test_parts_come_row_by_row_and_put_together_are_what_is_developed(tmp_path):
    raw = read(night(tmp_path / "a.dng", 97, 129, pattern="BGGR"))
    enhancer = Enhancer(runtime.open(tiny(output="camera-linear")), Wish(format="dng", ratio="40"))
    job = enhancer.prepare(raw)
    job.plan = next(p for p in plans(job.frame.height, job.frame.width, enhancer.contract) if len(p.rows) > 1)
    light, seen = np.full((3, 97, 129), np.nan, np.float32), []

    def take(made, top, left):
        seen.append((top, left))
        light[:, top : top + made.shape[1], left : left + made.shape[2]] = made

    enhancer.stream(job, take, doing="look")
    assert seen == sorted(seen)
    assert set(job.seconds) == {"pack", "look", "infer"}
    enhancer.infer(job)
    assert np.abs(light.clip(0, 1).transpose(1, 2, 0) * 65535 - job.pixels).max() <= ONE_LEVEL


def test_what_is_kept_of_the_answer_is_counted_instead_of_a_picture(session, tmp_path):
    raw = read(night(tmp_path / "a.dng"))
    enhancer = Enhancer(session, Wish(ratio="40"))
    plain, much = (enhancer.prepare(raw, held=held).peak for held in (None, lambda plan: 2**30))
    assert much - plain == pytest.approx(2**30 - 6 * raw.mosaic.size, abs=1)
    assert enhancer.prepare(raw, ratio="7").ratio.value == 7


def test_strength_goes_from_amplified_to_enhanced(session, tmp_path):
    raw = read(night(tmp_path / "a.dng", 320, 300))
    pictures = []
    for strength in (0.0, 0.5, 1.0):
        enhancer = Enhancer(session, Wish(strength=strength, ratio="50"))
        job = enhancer.prepare(raw)
        enhancer.infer(job)
        pictures.append(job.pixels.astype(float))
    np.testing.assert_allclose(pictures[1], (pictures[0] + pictures[2]) / 2, atol=ONE_LEVEL)
    assert np.abs(pictures[0] - pictures[2]).mean() > 100


def test_a_network_in_camera_colours_is_developed_with_the_files_own(tmp_path):
    path = night(tmp_path / "a.dng", light=(0.2, 0.4, 0.25))  # grey, by the neutral of the file
    runtime.enhance(path, tmp_path / "o.tif", model=tiny(output="camera-linear"), strength=0, ratio=1)
    mean = tifffile.imread(tmp_path / "o.tif")[8:-8, 8:-8].reshape(-1, 3).mean(axis=0)
    assert np.ptp(mean) / mean.mean() < 0.01
    runtime.enhance(path, tmp_path / "o.dng", model=tiny(output="camera-linear"), strength=0, ratio=1)
    with rawpy.imread(str(tmp_path / "o.dng")) as opened:
        linear = opened.raw_image[8:-8, 8:-8, :3].reshape(-1, 3).mean(axis=0) / 65535
    np.testing.assert_allclose(linear, [0.2, 0.4, 0.25], rtol=NOISE)


def test_a_sweep_is_one_sheet(session, tmp_path):
    raw = read(night(tmp_path / "a.dng"))
    enhancer = Enhancer(session, Wish(ratio="sweep"))
    job = enhancer.prepare(raw)
    enhancer.infer(job)
    assert job.pixels.dtype == np.uint16
    assert job.pixels.shape[1] > 2 * 128


def test_what_cannot_be_asked_is_refused(session, tmp_path):
    for wish in (Wish(format="gif"), Wish(strength=1.5), Wish(strength=float("nan"))):
        with pytest.raises(BadOption):
            Enhancer(session, wish)
    with pytest.raises(BadOption, match="enhances"):
        Enhancer(runtime.open(tiny(name="effnet-ffnet")), Wish())
    with pytest.raises(BadOption):
        runtime.enhance(tmp_path / "a.dng", tmp_path / "a.gif", model=session)


def test_a_raw_file_is_not_written_over(session, tmp_path):
    path = night(tmp_path / "a.dng")
    before = path.read_bytes()
    for out in (path, tmp_path / ".." / tmp_path.name / "a.dng"):
        with pytest.raises(BadOption, match="not the RAW file"):
            runtime.enhance(path, out, model=session)
    assert path.read_bytes() == before


def test_an_x_trans_frame_wants_a_model_made_for_it(session, tmp_path):
    dng(tmp_path / "a.dng", scene(96, 108, pattern=X_TRANS), pattern=X_TRANS, about=UPRIGHT)
    with pytest.raises(UnsupportedRaw):
        runtime.enhance(tmp_path / "a.dng", tmp_path / "o.png", model=session)
    result = runtime.enhance(tmp_path / "a.dng", tmp_path / "o.png", model=tiny(in_channels=9))
    assert (result.height, result.width) == (96, 108)


def test_the_result_says_what_was_done(session, tmp_path):
    result = runtime.enhance(night(tmp_path / "a.dng"), tmp_path / "o.png", model=session)
    told = result.as_dict()
    assert told["engine"].startswith("ONNX Runtime")
    assert (told["provider"], told["status"], len(told["model"])) == ("cpu", "done", 64)
    assert set(told["seconds"]) == {"decode", "pack", "infer", "develop", "encode"}
    assert told["ratio"] >= 1
    assert told["peak"] > 0


def test_an_engine_that_lays_out_much_memory_gets_windows_and_makes_the_same_picture(session, tmp_path, monkeypatch):
    raw = read(night(tmp_path / "a.dng", 480, 640))
    made = []
    for fresh in (0.0, 1.0):
        monkeypatch.setattr(session, "fresh", fresh)
        enhancer = Enhancer(session, Wish(ratio="40"))
        job = enhancer.prepare(raw)
        enhancer.infer(job)
        made.append((len(list(job.plan)), job.pixels))
    assert made[0][0] == 1 < made[1][0]
    assert np.abs(made[0][1].astype(int) - made[1][1]).max() <= ONE_LEVEL
