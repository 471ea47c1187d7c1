from export import write as module


def test_the_longest_name_that_a_disk_takes_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setitem(module.WRITERS, ".onnx", lambda lowered, contract, path: path.write_bytes(b"a network"))
    monkeypatch.setattr(module, "described", lambda lowered, contract: contract)
    monkeypatch.setattr(module, "prove", lambda lowered, path: path.read_bytes())
    path = tmp_path / ("夜" * 83 + ".onnx")
    assert module.write(None, None, path) == b"a network"
    assert list(tmp_path.iterdir()) == [path]
