import json
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

import keras_models
from export.cli import main
from keras_models import parents
from keras_models.cli import main as qk_models
from runtime.ort import OnnxRuntime


@pytest.fixture
def weights(tmp_path):
    """A trained network: it has figures."""
    model, contract = keras_models.build("c-unet++", width=2)
    keras_models.save(model, replace(contract, figures={"psnr": 30.0}), tmp_path / "tiny.npz")
    return tmp_path / "tiny.npz"


def test_figures_of_the_float_network_are_not_said_of_its_rounded_kernels(weights, tmp_path):
    for words, figures, scheme in (([], {"psnr": 30.0}, "float"), (["--bits", "2"], {}, "float, kernels rounded")):
        done = CliRunner().invoke(main, [str(weights), "--to", "onnx", "--json", *words])
        contract = OnnxRuntime(json.loads(done.stdout)["file"]).contract
        assert (contract.figures, contract.scheme) == (figures, scheme)


def test_the_parent_of_a_model_that_ships_is_written_under_the_name_asked_for_and_said_to_be_the_parent(
    weights, tmp_path, monkeypatch
):
    monkeypatch.setattr(parents, "FOLDER", tmp_path)
    monkeypatch.setattr(parents, "PARENTS", {"tiny": "tiny", "its-4-bits": "tiny"})
    words = ["its-4-bits", "--to", "onnx", "--out", str(tmp_path / "out")]
    first = CliRunner().invoke(main, words)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["its-4-bits.onnx"]
    assert "float parent of its-4-bits" in first.stderr
    assert "took the place" not in first.stdout
    again = CliRunner().invoke(main, words)
    assert "took the place of a file of that name" in " ".join(again.stdout.split())


@pytest.mark.parametrize("words", [["--bits", "4"], ["--out", "folder"]])
def test_an_option_without_a_format_would_write_nothing_and_is_refused(words, weights):
    done = CliRunner().invoke(main, [str(weights), *words])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert f"{words[0]} cannot be" in done.stderr
    assert "--to" in done.stderr


@pytest.mark.parametrize("library", ["onnx", "tf_keras", "tensorflow"])
def test_a_library_that_is_missing_is_named_with_the_line_that_brings_it(library, weights, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    done = CliRunner().invoke(main, [str(weights), "--to", "onnx"])
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert f"{library} is not installed: pip install 'qk-unet[train]'" in done.stderr
    if library != "onnx":
        assert CliRunner().invoke(qk_models, ["unet"]).exit_code == 3
