import pytest

from export import write as module
from runtime.errors import FileError, UnreadableFile


def test_the_longest_name_that_a_disk_takes_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setitem(module.WRITERS, ".onnx", lambda lowered, contract, path: path.write_bytes(b"a network"))
    monkeypatch.setattr(module, "described", lambda lowered, contract: contract)
    monkeypatch.setattr(module, "prove", lambda lowered, path: path.read_bytes())
    path = tmp_path / ("夜" * 83 + ".onnx")
    assert module.write(None, None, path) == b"a network"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_of_that_name_is_an_error_in_words(tmp_path, monkeypatch):
    monkeypatch.setitem(module.WRITERS, ".onnx", lambda lowered, contract, path: path.write_bytes(b"a network"))
    monkeypatch.setattr(module, "described", lambda lowered, contract: contract)
    monkeypatch.setattr(module, "prove", lambda lowered, path: None)
    (tmp_path / "a.onnx").mkdir()
    with pytest.raises(FileError, match=r"/a\.onnx' cannot be written \(Is a directory\)"):
        module.write(None, None, tmp_path / "a.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_what_is_wrong_is_said_of_the_file_asked_for(tmp_path, monkeypatch):
    def prove(lowered, path):
        raise UnreadableFile(path, "is no network", "write it again")

    monkeypatch.setitem(module.WRITERS, ".onnx", lambda lowered, contract, path: path.write_bytes(b"a network"))
    monkeypatch.setattr(module, "described", lambda lowered, contract: contract)
    monkeypatch.setattr(module, "prove", prove)
    with pytest.raises(FileError) as caught:
        module.write(None, None, tmp_path / "a.onnx")
    assert str(caught.value) == f"'{tmp_path / 'a.onnx'}' is no network: write it again"
