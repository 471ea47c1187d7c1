import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from raw_files import X_TRANS, dng, scene

from runtime import decode
from runtime.decode import Decoder
from runtime.errors import Error, SetupError, UnreadableFile, UnsupportedRaw
from runtime.raw import Raw


def with_child(monkeypatch, code):
    """Let the child do something else than decode, from its first job on."""
    begin = "import sys, os, signal, time; o = sys.stdout.buffer; sys.stdin.readline(); o.write(b'\\n'); o.flush(); "
    monkeypatch.setattr(decode, "CHILD", begin + code)


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


@pytest.mark.parametrize("begin", ["print('hello')", "pass"])
def test_a_child_that_does_not_begin_as_it_should_is_none(monkeypatch, frame, begin):
    monkeypatch.setattr(decode, "CHILD", f"import sys; {begin}; sys.stdout.flush(); sys.stdin.readline()")
    why = "ended its decoder|was killed|not decoded within"
    with pytest.raises(UnreadableFile, match=why), Decoder(timeout=0.5) as decoder:
        decoder.wait()
        decoder.read(frame)


def test_who_waits_for_the_child_finds_it_loaded_and_reads_the_same(frame):
    with Decoder() as decoder:
        decoder.wait()
        decoder.wait()
        np.testing.assert_array_equal(decoder.read(frame).mosaic, decode.read(frame).mosaic)


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
    half = f"o.write(({len(text)}).to_bytes(4, 'little') + {text.encode()!r} + bytes(999))"
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
        assert os.getsid(first.pid) == first.pid  # where Ctrl-C on the terminal does not reach it, even as it starts
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


def test_a_child_that_outlives_its_parent_does_not_hang_for_ever(tmp_path):
    os.mkfifo(tmp_path / "a.dng")  # nobody will ever write into it
    command = [sys.executable, "-c", decode.CHILD, json.dumps(sys.path)]
    job = {"path": os.fsencode(tmp_path / "a.dng").hex(), "memory": 1 << 30, "seconds": 1}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdin.write(json.dumps(job).encode() + b"\n")
        child.stdin.flush()
        try:
            assert child.wait(10) == -signal.SIGALRM
        finally:
            child.kill()


def levelled(path, side, area=None, **options):
    """A file whose black levels differ and repeat after so many pixels a side, in light that is the same for all."""
    levels = 400 + 3 * np.arange(side * side).reshape(side, side)
    shifted = np.roll(levels, area[:2] if area else (0, 0), axis=(0, 1))  # the tag counts from there
    mosaic = np.tile(shifted, (72 // side, 72 // side)) + 1000
    dng(path, mosaic.astype(np.uint16), black=levels.ravel().tolist(), area=area, **options)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags[50713].overwrite((side, side))
    return path


@pytest.mark.parametrize("area", [None, (1, 1, 70, 70), (3, 2, 70, 70), (5, 5, 70, 70)])
@pytest.mark.parametrize("side", [3, 6])
def test_black_comes_site_by_site_for_x_trans_wherever_the_visible_area_begins(side, area, tmp_path):
    raw = decode.read(levelled(tmp_path / "a.dng", side, area, pattern=X_TRANS))
    y, x = np.indices(raw.mosaic.shape)
    assert len({level for row in raw.black for level in row}) == side * side
    np.testing.assert_array_equal(raw.mosaic - np.array(raw.black)[y % 6, x % 6], 1000)


def test_black_comes_site_by_site_where_libraw_begins_elsewhere_than_the_file(tmp_path):
    raw = decode.read(levelled(tmp_path / "a.dng", 2, (1, 1, 70, 70)))
    y, x = np.indices(raw.mosaic.shape)
    np.testing.assert_array_equal(raw.mosaic - np.array(raw.black)[y % 2, x % 2], 1000)


@pytest.mark.parametrize("side", [4, 6])
def test_black_levels_that_a_frame_cannot_hold_are_refused_in_words(side, tmp_path):
    with pytest.raises(UnsupportedRaw, match=f"black levels repeat after {side} x {side} pixels"):
        decode.read(levelled(tmp_path / "a.dng", side))
