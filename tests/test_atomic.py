import errno
import os

import pytest

from runtime.atomic import left_behind, neighbour, writing
from runtime.errors import FileError


def test_a_file_appears_whole_with_ordinary_rights(tmp_path):
    target = tmp_path / "new" / "a.bin"
    with writing(target) as file:
        file.write(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert os.listdir(target.parent) == ["a.bin"]


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    "failure", [KeyboardInterrupt(), ValueError("bug"), OSError(errno.ENOSPC, "No space left on device")]
)
def test_a_failure_leaves_what_was_there(tmp_path, failure):
    target = tmp_path / "a.bin"
    target.write_bytes(b"before")
    wanted = FileError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(wanted) as caught, writing(target) as file:
        file.write(b"half")
        raise failure
    assert target.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["a.bin"]
    if isinstance(failure, OSError):
        assert "No space left" in str(caught.value)


def test_a_folder_that_cannot_be_is_an_error_in_words(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot be written"), writing(tmp_path / "file" / "a.bin"):
        pass


@pytest.mark.parametrize("name", ["夜" * 83 + ".png", "x" * 251 + ".png", "é" * 125 + ".tiff"])
def test_the_longest_name_that_a_disk_takes_can_be_written(name, tmp_path):
    with writing(tmp_path / name) as file:
        assert 1 <= len(os.fsencode(file.name.rpartition("/")[2])) <= 255
    assert os.listdir(tmp_path) == [name]


def test_a_name_that_is_no_text_can_be_written(tmp_path):
    name = os.fsdecode(b"\xff\xfe.png")
    with writing(tmp_path / name):
        pass
    assert os.listdir(tmp_path) == [name]


def test_only_what_nobody_writes_any_more_is_left_behind(tmp_path):
    killed = [neighbour(tmp_path / name) for name in ("a.png", "two\nlines.png", "夜" * 83)]
    for path in [*killed, tmp_path / ".download.iso.part", tmp_path / "a.01234567.part", tmp_path / ".b.0123.part"]:
        path.touch()
    with writing(tmp_path / "c.png"):
        assert set(left_behind(tmp_path)) == set(killed)
    assert list(left_behind(tmp_path / "missing")) == []
