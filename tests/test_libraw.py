"""A long exposure as LibRaw develops it, in a child."""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import rawpy
from eval_pairs import SONY
from raw_files import arw, scene

from runtime import libraw
from runtime.errors import FileError, SetupError, UnreadableFile


def developed(path, **options):
    with tempfile.TemporaryFile() as file:
        height, width, start = libraw.developed(path, file, **options)
        file.seek(start)
        return np.frombuffer(file.read(), "<u2").reshape(height, width, 3)


def long(path, *, about=SONY):
    arw(path, scene(48, 64, light=(0.3, 0.5, 0.25)), about=about)
    return path


def test_the_picture_is_as_published(tmp_path):
    path = long(tmp_path / "a.ARW")
    with rawpy.imread(str(path)) as raw:
        wanted = raw.postprocess(use_camera_wb=True, half_size=False, no_auto_bright=True, output_bps=16)
        brightened = raw.postprocess(use_camera_wb=True, half_size=False, output_bps=16)
    np.testing.assert_array_equal(developed(path), wanted)
    assert not np.array_equal(wanted, brightened)  # the option counts


def test_the_picture_lies_as_the_sensor_does(tmp_path):
    turned = SONY.__class__(**{**SONY.__dict__, "orientation": 6})
    path = long(tmp_path / "b.ARW", about=turned)
    assert developed(path).shape == (48, 64, 3)
    np.testing.assert_array_equal(developed(path), developed(long(tmp_path / "a.ARW")))


def test_a_file_that_cannot_be_developed_is_named(tmp_path):
    path = long(tmp_path / "a.ARW")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UnreadableFile, match="a.ARW"):
        developed(path)
    with pytest.raises(UnreadableFile, match="within"):
        developed(long(tmp_path / "b.ARW"), timeout=0.001)


def test_a_child_that_dies_is_told_by_its_code(tmp_path, monkeypatch):
    monkeypatch.setattr(libraw, "CHILD", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(UnreadableFile, match="code -9"):
        developed(long(tmp_path / "a.ARW"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_is_not_the_files_fault(tmp_path):
    with Path("/dev/full").open("r+b", buffering=0) as full, pytest.raises(FileError, match="no room for a.ARW"):
        libraw.developed(long(tmp_path / "a.ARW"), full)


def test_a_child_that_cannot_load_rawpy_or_begin_is_the_machines_fault(tmp_path, monkeypatch):
    path = long(tmp_path / "a.ARW")
    monkeypatch.setattr(libraw, "CHILD", "print('[0, 0, \"ImportError: no rawpy\"]')")
    with pytest.raises(SetupError, match="rawpy cannot be loaded"):
        developed(path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with pytest.raises(SetupError, match="no child can be started"):
        developed(path)
