import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import raw_files
from PIL import Image
from raw_files import ABOUT, BAYER, MATRIX, QUAD, X_TRANS, arw, dng, linear, monochrome, raf, scene

from runtime import decode, sensor
from runtime.decode import Decoder
from runtime.errors import Error, NoPicture, SetupError, UnreadableFile, UnsupportedRaw
from runtime.raw import About, Raw

DATA = Path(os.environ.get("QK_DATA", Path(__file__).parent.parent / ".." / "shared" / "data"))
# DNG keeps the matrix in ten-thousandths and LibRaw in float32.
MATRIX_STEP = 1e-4


@pytest.fixture(scope="module")
def decoder():
    with Decoder() as one:
        yield one


def facts(**changes):
    """What LibRaw says of an ordinary file."""
    plain = {
        "height": 24,
        "width": 36,
        "flip": 0,
        "colours": "RGBG",
        "pattern": [[0, 1], [3, 2]],
        "black": [512.0] * 4,
        "white": 16383.0,
        "white_per_channel": [],
        "wb": [2.0, 1.0, 1.5, 0.0],
        "daylight": [2.2, 0.9, 1.1, 0.0],
        "xyz2cam": MATRIX,
        "cam2rgb": [[0.0] * 3] * 3,
        **dict.fromkeys(("iso", "exposure", "aperture", "focal_length", "taken", "lens")),
    }
    return {**plain, **changes}


def raw_of(*, mosaic=None, about=ABOUT, **changes):
    mosaic = scene(24, 36) if mosaic is None else mosaic
    return sensor.to_raw("a.dng", facts(**changes), mosaic, about=about, dng=True)


# What is read.


@pytest.mark.parametrize("name", BAYER)
def test_every_bayer_order_is_read_bit_for_bit_with_its_colours(decoder, tmp_path, name):
    mosaic = scene(41, 63, pattern=BAYER[name])
    dng(tmp_path / "a.dng", mosaic, pattern=BAYER[name])
    raw = decoder.read(tmp_path / "a.dng")
    assert np.array_equal(raw.mosaic, mosaic)
    assert (raw.cfa, raw.pattern, raw.about) == ("bayer", BAYER[name], ABOUT)
    assert (raw.black, raw.white) == (((512.0, 512.0), (512.0, 512.0)), 16383.0)
    assert (np.float32(raw.wb).tolist(), raw.wb_known) == (np.float32([2.0, 1.0, 1.6]).tolist(), True)


def test_sony_and_fuji_files_are_read(decoder, tmp_path):
    mosaic = scene(40, 60)
    arw(tmp_path / "a.arw", mosaic)
    raw = decoder.read(tmp_path / "a.arw")
    assert np.array_equal(raw.mosaic, mosaic)
    assert (raw.pattern, raw.black[1][1], raw.about) == (BAYER["RGGB"], 512.0, ABOUT)
    assert raw.wb == (2400 / 1024, 1.0, 1800 / 1024)
    mosaic = scene(60, 66, pattern=X_TRANS, black=1022)
    raf(tmp_path / "a.raf", mosaic)
    raw = decoder.read(tmp_path / "a.raf")
    assert np.array_equal(raw.mosaic, mosaic)
    assert (raw.cfa, raw.pattern) == ("x-trans", X_TRANS)
    assert raw.wb == (2.0, 1.0, 483 / 302)
    assert {level for row in raw.black for level in row} == {1022.0}


@pytest.mark.parametrize("name", BAYER)
def test_black_comes_site_by_site_whatever_the_order(decoder, tmp_path, name):
    dng(tmp_path / "a.dng", scene(40, 60, pattern=BAYER[name]), pattern=BAYER[name], black=(400, 410, 420, 430))
    assert decoder.read(tmp_path / "a.dng").black == ((400.0, 410.0), (420.0, 430.0))


@pytest.mark.parametrize("pattern", [BAYER["RGGB"], BAYER["GBRG"], X_TRANS], ids=["rggb", "gbrg", "x-trans"])
@pytest.mark.parametrize("origin", [(0, 0), (1, 0), (0, 1), (3, 2), (5, 5)])
def test_wherever_the_visible_area_begins_each_pixel_has_its_colour(decoder, tmp_path, pattern, origin):
    size = len(pattern)
    shifted = tuple(map(tuple, np.roll(np.array(pattern), origin, axis=(0, 1)).tolist()))  # the tag counts from there
    mosaic = scene(60, 66, pattern=shifted, light=(0.25, 0.5, 0.75))
    dng(tmp_path / "a.dng", mosaic, pattern=pattern, area=(*origin, 58, 64))
    raw = decoder.read(tmp_path / "a.dng")
    y, x = np.indices(raw.mosaic.shape)
    colours = np.array(raw.pattern)[y % size, x % size]
    assert np.array_equal(np.round((raw.mosaic - 512.0) / 15871 * 4) - 1, colours)
    assert raw.mosaic.shape[0] in (58 - origin[0], 57 - origin[0])


def test_a_file_without_white_balance_gets_daylights_and_says_so(decoder, tmp_path):
    dng(tmp_path / "a.dng", scene(40, 60), neutral=None)
    raw = decoder.read(tmp_path / "a.dng")
    assert not raw.wb_known
    assert raw.wb[1] == 1.0
    assert raw.wb != (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    "wb", [[-1.0] * 4, [0.0, 1.0, 0.0, 0.0], [0.0] * 4, [float("nan"), 1.0, 1.0, 1.0], [1e9, 1.0, 1.0, 1.0]]
)
def test_a_white_balance_that_cannot_be_is_none(wb):
    raw = raw_of(wb=wb)
    assert (raw.wb, raw.wb_known) == ((2.2 / 0.9, 1.0, 1.1 / 0.9), False)
    raw = raw_of(wb=wb, daylight=wb)
    assert (raw.wb, raw.wb_known) == ((1.0, 1.0, 1.0), False)
    assert raw_of().wb_known  # the check can fail


def test_the_matrix_is_the_cameras_inverted_so_that_white_stays_white(decoder, tmp_path):
    dng(tmp_path / "a.dng", scene(40, 60))
    raw = decoder.read(tmp_path / "a.dng")
    np.testing.assert_allclose(raw.xyz2cam, MATRIX, atol=MATRIX_STEP)
    np.testing.assert_allclose(np.sum(raw.cam2rgb, axis=1), 1)
    camera = np.array(MATRIX) @ sensor.SRGB2XYZ
    for colour in np.eye(3):  # red, green and blue as the camera sees them, white-balanced, become themselves
        balanced = camera @ colour / camera.sum(axis=1)
        np.testing.assert_allclose(np.array(raw.cam2rgb) @ balanced, colour, atol=10 * MATRIX_STEP)


def test_a_camera_nobody_knows_keeps_its_colours():
    nothing = [[0.0] * 3] * 3
    raw = raw_of(xyz2cam=nothing)
    assert (np.array(raw.cam2rgb) == np.eye(3)).all()
    assert raw.xyz2cam is None
    for bad in ([[float("nan")] * 3] * 3, [[1.0] * 3] * 3, (-np.array(MATRIX)).tolist()):
        assert raw_of(xyz2cam=bad).xyz2cam is None


def test_the_matrix_of_an_unknown_dng_is_regained_from_what_libraw_keeps_of_it():
    camera = np.array(MATRIX) @ sensor.SRGB2XYZ
    sums = camera.sum(axis=1)
    kept = {"cam2rgb": np.linalg.inv(camera / sums[:, None]), "daylight": [*(1 / sums), 0.0]}
    raw = raw_of(xyz2cam=[[0.0] * 3] * 3, **kept)
    np.testing.assert_allclose(raw.xyz2cam, MATRIX)
    np.testing.assert_allclose(raw.cam2rgb, kept["cam2rgb"])


def test_the_white_of_the_channels_goes_before_the_general_one():
    assert raw_of(white_per_channel=[15000.0, 15100.0, 0.0, 15000.0]).white == 15000.0
    assert raw_of(white_per_channel=[0.0] * 4).white == 16383.0


def test_libraw_fills_in_what_exif_does_not_say():
    known = {"iso": 50.0, "exposure": 0.25, "aperture": 2.8, "focal_length": 7.0, "lens": "zoom", "flip": 5}
    raw = raw_of(about=About(), taken="2021:03:26 21:16:32", **known)
    wanted = {**known, "taken": "2021:03:26 21:16:32", "orientation": 8}
    del wanted["flip"]
    assert raw.about == About(**wanted)
    assert raw_of(taken="2021:03:26 21:16:32", **known).about == ABOUT
    assert raw_of(about=About(), exposure=0.0, iso=float("nan")).about == About()


@pytest.mark.parametrize(("exposure", "iso"), [(None, None), (0.0, None), (0.0, 0)])
def test_a_file_with_zero_or_no_exposure_is_read(decoder, tmp_path, exposure, iso):
    dng(tmp_path / "a.dng", scene(40, 60), about=replace(ABOUT, exposure=exposure, iso=iso))
    about = decoder.read(tmp_path / "a.dng").about
    assert (about.exposure, about.iso) == (None, None)


def test_a_saturated_frame_is_a_frame(decoder, tmp_path):
    dng(tmp_path / "a.dng", np.full((40, 60), 16383, np.uint16))
    assert decoder.read(tmp_path / "a.dng").mosaic.min() == 16383


@pytest.mark.parametrize("shape", [(22, 22), (23, 25), (22, 64000), (301, 203)])
def test_odd_small_and_wide_frames_are_read(decoder, tmp_path, shape):
    mosaic = scene(*shape)
    dng(tmp_path / "a.dng", mosaic)
    assert np.array_equal(decoder.read(tmp_path / "a.dng").mosaic, mosaic)


@pytest.mark.parametrize(
    "name", [b"a\nb.dng", b"-rf.dng", b"--", b"sub/../a.dng", b"\xff\xfe.dng", b"\xc3\xa9 \xf0\x9f\x93\xb7"]
)
def test_a_file_may_have_any_name(decoder, tmp_path, monkeypatch, name):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)  # after the decoder's child has started elsewhere
    dng(tmp_path / "some.dng", scene(24, 36))
    Path("some.dng").rename(os.fsdecode(name))
    path = os.fsdecode(name)
    assert decoder.read(path).mosaic.shape == (24, 36)
    os.truncate(name, 400)
    with pytest.raises(UnreadableFile) as caught:
        decoder.read(path)
    assert "\n" not in str(caught.value)
    assert caught.value.path == Path(path)


# What is refused.


def test_missing_empty_folders_and_pipes_are_refused_at_once(tmp_path):
    (tmp_path / "empty.dng").touch()
    os.mkfifo(tmp_path / "pipe.dng")
    whys = {
        "missing.dng": "does not exist",
        "empty.dng": "is empty",
        ".": "is a folder",
        "pipe.dng": "no ordinary file",
    }
    for name, why in {**whys, "a\0b": "cannot be opened"}.items():
        with pytest.raises(UnreadableFile, match=why):
            Decoder().read(tmp_path / name)


def test_what_is_no_raw_file_is_refused(decoder, tmp_path):
    (tmp_path / "a.txt").write_text("a text\n" * 100)
    (tmp_path / "noise.dng").write_bytes(np.random.default_rng(0).bytes(5000))
    Image.new("RGB", (64, 64)).save(tmp_path / "a.jpg")
    Image.new("RGB", (64, 64)).save(tmp_path / "a.tiff")
    for name in ("a.txt", "noise.dng", "a.jpg", "a.tiff"):
        with pytest.raises(UnreadableFile, match="is no RAW file"):
            decoder.read(tmp_path / name)


@pytest.mark.parametrize("write", [dng, arw, raf])
def test_a_file_cut_at_any_tenth_is_refused(decoder, tmp_path, write):
    pattern = X_TRANS if write is raf else BAYER["RGGB"]
    write(tmp_path / "whole", scene(240, 318, pattern=pattern, black=1022))
    data = (tmp_path / "whole").read_bytes()
    assert decoder.read(tmp_path / "whole").mosaic.shape == (240, 318)
    for tenth in range(10):
        (tmp_path / "cut").write_bytes(data[: len(data) * tenth // 10])
        with pytest.raises(UnreadableFile):
            decoder.read(tmp_path / "cut")


def test_other_kinds_are_refused_by_name(decoder, tmp_path):
    picture = np.full((40, 60, 3), 3000, np.uint16)
    linear(tmp_path / "linear.dng", picture)
    monochrome(tmp_path / "mono.dng", picture[..., 0])
    dng(tmp_path / "quad.dng", scene(40, 60), pattern=QUAD)
    dng(tmp_path / "cmyg.dng", scene(40, 60), pattern=((0, 1), (2, 3)), planes="CMYG")
    dng(tmp_path / "rows.dng", scene(40, 60), pattern=((0, 0), (1, 1)))
    dng(tmp_path / "float.dng", scene(40, 60).astype(np.float32))
    (tmp_path / "a.x3f").write_bytes(b"FOVb" + bytes(1000))
    whys = {
        "linear.dng": "is a linear DNG",
        "mono.dng": "is a monochrome RAW",
        "quad.dng": "is a Quad-Bayer mosaic",
        "rows.dng": "neither Bayer nor X-Trans",
        "float.dng": "is a floating-point RAW",
        "a.x3f": "is a Foveon RAW",
        "cmyg.dng": "a mosaic of the colours",
    }
    for name, why in whys.items():
        with pytest.raises(UnsupportedRaw, match=f"{why}.*: Bayer and X-Trans mosaics can be enhanced"):
            decoder.read(tmp_path / name)


def test_kinds_no_file_of_which_can_be_made_here_are_refused_by_name_too():
    with pytest.raises(UnsupportedRaw, match="is an sRAW"):
        sensor.to_raw("a.cr2", facts(pattern=None), None, about=ABOUT, dng=False)
    with pytest.raises(UnsupportedRaw, match="colours GMCY"):
        raw_of(colours="GMCY")
    with pytest.raises(UnsupportedRaw, match="4 x 4 cell"):
        raw_of(pattern=[list(row) for row in QUAD])


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (21, 40), (40, 5)])
def test_a_frame_too_small_for_a_picture_is_none(decoder, tmp_path, shape):
    dng(tmp_path / "a.dng", scene(*shape))
    with pytest.raises(NoPicture, match=f"has {shape[1]} x {shape[0]} pixels"):
        decoder.read(tmp_path / "a.dng")


def test_a_visible_area_smaller_than_a_cell_is_no_picture():
    with pytest.raises(NoPicture, match="1 x 1 visible"):
        raw_of(mosaic=scene(1, 1), height=1, width=1)


def test_a_black_frame_is_no_picture(decoder, tmp_path):
    for level in (0, 300, 512):
        dng(tmp_path / "a.dng", np.full((40, 60), level, np.uint16))
        with pytest.raises(NoPicture, match="black all over"):
            decoder.read(tmp_path / "a.dng")
    black = np.tile(np.array([[400, 410], [420, 430]], np.uint16), (20, 30))
    dng(tmp_path / "a.dng", black, black=(400, 410, 420, 430))
    with pytest.raises(NoPicture, match="black all over"):
        decoder.read(tmp_path / "a.dng")
    black[11, 10] += 1  # one electron of light
    dng(tmp_path / "a.dng", black, black=(400, 410, 420, 430))
    assert decoder.read(tmp_path / "a.dng").mosaic[11, 10] == 421


@pytest.mark.parametrize(("black", "white"), [(16383, 16383), (20000, 16383), (512, 0)])
def test_a_white_that_is_not_above_black_is_refused(black, white):
    with pytest.raises(NoPicture, match=f"a white level of {white} and a black level of {black}"):
        raw_of(black=[float(black)] * 4, white=float(white))


def test_a_file_whose_white_is_black_is_refused(decoder, tmp_path):
    dng(tmp_path / "a.dng", scene(40, 60, black=3000, white=4000), black=(3000,), white=2000)
    with pytest.raises(NoPicture, match="a white level of 2000 and a black level of 3000"):
        decoder.read(tmp_path / "a.dng")


@pytest.mark.parametrize("size", [(1_000_000, 1_000_000), (30, 65_000), (60_000, 60_000), (20_000, 20_000)])
def test_a_header_that_promises_too_much_is_refused_quickly(decoder, tmp_path, size):
    dng(tmp_path / "a.dng", scene(40, 60))
    raw_files.retell(tmp_path / "a.dng", height=size[0], width=size[1])
    begun = time.monotonic()
    with pytest.raises(UnreadableFile) as caught:
        decoder.read(tmp_path / "a.dng")
    assert time.monotonic() - begun < 2
    if max(size) > 64000:
        assert f"{size[1]} x {size[0]} pixels" in str(caught.value)


# The child.


def with_child(monkeypatch, code):
    """Let the child do something else than decode, from its first job on."""
    monkeypatch.setattr(decode, "CHILD", f"import sys, os, signal, time; sys.stdin.readline(); {code}")


@pytest.fixture
def frame(tmp_path):
    dng(tmp_path / "a.dng", scene(24, 36))
    return tmp_path / "a.dng"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"crashed its decoder \(SIGSEGV\)"),
        ("os.abort()", r"crashed its decoder \(SIGABRT\)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "its decoder was killed"),
        ("sys.exit(3)", r"ended its decoder early \(code 3\)"),
        ("sys.stdout.buffer.write(b'\\xff' * 1000)", "ended its decoder|was killed"),
        ("sys.stdout.buffer.write(bytes(4))", "ended its decoder|was killed"),
        ("sys.stdout.buffer.write(b'\\2\\0\\0\\0{}'[:5])", "ended its decoder"),
    ],
)
def test_a_decoder_that_dies_is_one_line_and_the_next_file_is_read(monkeypatch, capfd, frame, code, why):
    with Decoder() as decoder:
        with_child(monkeypatch, code)
        decoder.close()
        with pytest.raises(UnreadableFile, match=why) as caught:
            decoder.read(frame)
        assert "\n" not in str(caught.value)
        monkeypatch.undo()
        assert isinstance(decoder.read(frame), Raw)
    assert capfd.readouterr() == ("", "")


def test_a_decoder_that_hangs_is_stopped(monkeypatch, frame):
    with Decoder(timeout=0.3) as decoder:
        with_child(monkeypatch, "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(100)")
        decoder.close()
        begun = time.monotonic()
        with pytest.raises(UnreadableFile, match=r"not decoded within 0\.3 s"):
            decoder.read(frame)
        assert time.monotonic() - begun < 5


def test_a_decoder_that_hangs_in_the_midst_of_the_pixels_is_stopped(monkeypatch, frame):
    text = json.dumps({"pattern": [[0]], "height": 1000, "width": 1000})
    half = f"o = sys.stdout.buffer; o.write(({len(text)}).to_bytes(4, 'little') + {text.encode()!r} + bytes(999))"
    with_child(monkeypatch, f"{half}; o.flush(); time.sleep(100)")
    with pytest.raises(UnreadableFile, match="not decoded within"):
        decode.read(frame, timeout=0.5)


def test_a_child_that_died_while_it_was_idle_is_replaced(frame):
    with Decoder() as decoder:
        decoder.read(frame)
        first = decoder._child
        first.kill()
        first.wait()
        assert isinstance(decoder.read(frame), Raw)


def test_a_child_is_kept_or_not_as_asked(frame):
    with Decoder() as decoder:
        decoder.read(frame)
        first = decoder._child
        decoder.read(frame)
        assert decoder._child is first
    assert first.poll() is not None
    with Decoder(keep=False) as decoder:
        first = decoder._child
        decoder.read(frame)
        assert decoder._child is None
        assert first.poll() is not None
        decoder.read(frame)


def test_another_thread_may_close_while_one_waits(monkeypatch, frame):
    with_child(monkeypatch, "time.sleep(100)")
    caught = []

    def wait():
        try:
            decoder.read(frame)
        except Error as error:
            caught.append(error)

    with Decoder() as decoder:
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.3)
        decoder.close()
        thread.join(5)
    assert not thread.is_alive()
    assert len(caught) == 1


def test_a_python_or_rawpy_that_does_not_start_is_the_machines_fault(monkeypatch, frame):
    broken = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); sys.modules['rawpy'] = None; "
    monkeypatch.setattr(decode, "CHILD", broken + "from runtime.unpack import serve; serve()")
    with pytest.raises(SetupError, match="rawpy cannot be loaded"):
        decode.read(frame)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(SetupError, match="cannot be started"):
        decode.read(frame)


def test_memory_is_bounded_by_the_size_of_the_file(monkeypatch, frame):
    mosaic = scene(600, 800)
    dng(frame, mosaic)
    assert decode.read(frame).mosaic.shape == (600, 800)
    monkeypatch.setattr(decode, "LEAST_MEMORY", 0)
    monkeypatch.setattr(decode, "MEMORY_PER_BYTE", 0)
    with pytest.raises(UnreadableFile, match="more pixels than a file of its size can hold|crashed its decoder"):
        decode.read(frame)


def test_the_child_ends_when_its_parent_is_killed_and_ctrl_c_leaves_it_alone(frame):
    script = f"""
        import sys, time
        from runtime.decode import Decoder
        decoder = Decoder()
        decoder.read({str(frame)!r})
        print(decoder._child.pid, flush=True)
        time.sleep(100)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        os.kill(child, signal.SIGINT)
        time.sleep(0.2)
        os.kill(child, 0)
        parent.kill()
        _, errors = parent.communicate()
    assert errors == ""
    for _ in range(50):
        if not _runs(child):
            break
        time.sleep(0.1)
    assert not _runs(child)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_callers_module_that_shadows_one_of_ours_is_not_imported(tmp_path, frame, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    assert isinstance(decode.read(frame.name), Raw)


# Files of real cameras.


def real(folder):
    if not (DATA / folder).is_dir():
        pytest.skip(f"no {folder} in {DATA}: set QK_DATA")
    return sorted((DATA / folder).iterdir())


def test_every_real_bayer_file_is_read_and_the_others_are_refused_by_name(decoder):
    for path in real("raw"):
        if "eos_6d" in path.name:
            with pytest.raises(UnsupportedRaw, match="linear DNG"):
                decoder.read(path)
            continue
        raw = decoder.read(path)
        assert (raw.pattern, raw.wb_known) == (BAYER["RGGB"], True)
        assert (raw.black[0][0], raw.white) == ((2056, 15000) if path.suffix == ".dng" else (32, 1023))
        assert raw.xyz2cam is not None
    for path in real("raw_bad"):
        with pytest.raises(UnreadableFile):
            decoder.read(path)


def test_real_files_cut_at_any_tenth_are_refused(decoder, tmp_path):
    for path in real("raw"):
        if path.name in ("dc_CRW_0101.CRW", "tinydng_colorchart.dng"):
            data = path.read_bytes()
            for tenth in range(10):
                cut = tmp_path / f"cut{path.suffix}"
                cut.write_bytes(data[: len(data) * tenth // 10])
                with pytest.raises(UnreadableFile):
                    decoder.read(cut)
