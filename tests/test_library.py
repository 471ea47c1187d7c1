import importlib.metadata

import pytest

from runtime.errors import MissingLibrary, SetupError
from runtime.library import engine, need


def test_a_library_that_is_missing_comes_with_its_pip_line():
    with pytest.raises(MissingLibrary, match=r"pip install 'qk-unet\[cpu\]'"):
        need("no_such_engine", library="no_such_engine", extra="cpu")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import a_part_that_is_gone", "No module named 'a_part_that_is_gone'"),
        ("raise ImportError('it was built\\nfor another NumPy')", "it was built for another NumPy"),
        ("raise OSError('version GLIBC_2.38 not found')", "version GLIBC_2.38 not found"),
    ],
)
def test_a_library_that_is_there_and_broken_is_not_called_missing(code, words, monkeypatch, tmp_path):
    (tmp_path / "broken_engine.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SetupError) as caught:
        need("broken_engine", library="broken_engine", extra="cpu")
    assert not isinstance(caught.value, MissingLibrary)
    assert caught.value.problem == f"broken_engine is installed but cannot be loaded ({words})"
    assert caught.value.remedy == "pip install --force-reinstall broken_engine"


def test_what_mends_it_is_called_as_pip_calls_it(monkeypatch, tmp_path):
    (tmp_path / "broken_engine.py").write_text("raise OSError")
    monkeypatch.syspath_prepend(tmp_path)
    brought = {"broken_engine": ["engine", "engine-gpu"]}
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: brought)
    with pytest.raises(SetupError, match="--force-reinstall engine-gpu$"):
        need("broken_engine", library="broken_engine", extra="cpu")


def test_an_engine_is_loaded_with_its_compiled_part():
    assert engine("onnxruntime").InferenceSession
    assert engine("ai_edge_litert").Interpreter
