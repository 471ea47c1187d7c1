import sys

import pytest

from runtime.doctor import engines, machine
from runtime.errors import MissingLibrary
from runtime.library import need


def test_the_doctor_knows_this_machine():
    here = machine()
    assert here.cores >= 1
    assert here.memory > 2**28
    assert {"numpy", "rawpy"} <= here.libraries.keys()


def test_an_engine_is_found_with_its_providers_or_comes_with_its_pip_line(monkeypatch):
    for engine in engines():
        assert (engine.version is None) == (engine.remedy is not None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # what Python does for a module that is not there
    missing = engines()[0]
    assert (missing.version, missing.remedy) == (None, "pip install 'qk-unet[cpu]'")


def test_a_library_that_is_there_but_broken_is_not_called_missing(monkeypatch, tmp_path):
    (tmp_path / "broken_engine.py").write_text("import a_part_that_is_gone")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_part_that_is_gone"):
        need("broken_engine", library="broken_engine", extra="cpu")
    with pytest.raises(MissingLibrary, match="pip install 'qk-unet\\[cpu\\]'"):
        need("no_such_engine", library="no_such_engine", extra="cpu")
