import errno
import os

import numpy as np
import pytest

from runtime.errors import FileError
from runtime.memory import resident
from runtime.shelf import Shelf

MUCH = 40 * 2**20  # bytes: far more than a process grows by for other reasons meanwhile


def test_what_was_put_away_is_read_again_and_leaves_no_file(tmp_path):
    folder = tmp_path / "new" / "folder"
    shelf = Shelf((5, 700, 3), folder=folder)
    values = np.arange(5 * 700 * 3, dtype=np.uint16).reshape(5, 700, 3)
    shelf.pixels[:2] = values[:2]
    shelf.put_away()
    shelf.pixels[2:] = values[2:]
    shelf.put_away()
    np.testing.assert_array_equal(shelf.pixels, values)
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(not resident(), reason="the system does not tell what a process holds")
def test_what_was_put_away_is_not_in_memory(tmp_path):
    shelf = Shelf((MUCH // 2,), folder=tmp_path)
    before = resident()
    shelf.pixels[:] = 7
    assert resident() - before > 0.9 * MUCH
    shelf.put_away()
    assert resident() - before < 0.1 * MUCH


def test_a_full_disk_is_said_before_a_pixel_is_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(FileError, match="No space left"):
        Shelf((8,), folder=tmp_path)


@pytest.mark.parametrize("known", [True, False])
def test_where_no_room_can_be_reserved_it_is_written(known, tmp_path, monkeypatch):
    def not_here(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", not_here, raising=False)
    if not known:
        monkeypatch.delattr(os, "posix_fallocate")
    shelf = Shelf((3 * 2**19 + 5,), folder=tmp_path)  # three pieces and a bit
    shelf.pixels[-1] = 9
    assert shelf.pixels.sum() == 9
