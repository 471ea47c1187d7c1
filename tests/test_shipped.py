import re
from pathlib import Path

import numpy as np
import pytest

import runtime
from runtime import shipped
from runtime.errors import MissingLibrary, SetupError, UnknownName, UnreadableFile
from runtime.info import info

MOST = 12 * 2**20  # bytes of all models together: what a board's image can spare
ENDS = (".onnx", ".tflite")


@pytest.fixture
def installed(monkeypatch):
    def only(*names, broken=()):
        def engine(name):
            if name in broken:
                raise SetupError(f"{name} is installed but cannot be loaded", "pip install --force-reinstall")
            if name not in names:
                raise MissingLibrary(name, "cpu")

        monkeypatch.setattr(shipped, "engine", engine)

    return only


def test_of_two_engines_the_faster_is_taken_and_what_is_there_is_used(installed):
    installed("onnxruntime", "ai_edge_litert")
    assert shipped.find("fast").name == "fast.tflite"
    assert shipped.find("fast", provider="cuda").name == "fast.onnx"
    installed("onnxruntime")
    assert shipped.find("fast").name == "fast.onnx"
    installed("ai_edge_litert")
    with pytest.raises(MissingLibrary):
        shipped.find("fast", provider="tensorrt")


def test_of_two_engines_a_broken_one_is_left_to_the_other(installed):
    installed("onnxruntime", broken=["ai_edge_litert"])
    assert shipped.find("fast").name == "fast.onnx"
    for broken in ("ai_edge_litert", "onnxruntime"):
        installed(broken=[broken])
        with pytest.raises(SetupError, match=f"{broken} is installed but cannot be loaded"):
            shipped.find("fast")


def test_without_an_engine_the_line_that_installs_one_is_named(installed):
    installed()
    with pytest.raises(MissingLibrary, match=re.escape("qk-unet[cpu]")):
        shipped.find("fast")


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(UnknownName, match="there are fast, balanced, small"):
        shipped.find("slow")
    with pytest.raises(UnknownName):
        shipped.card("slow")
    with pytest.raises(UnreadableFile, match="one of fast, balanced, small"):
        runtime.open("slow")


def test_a_file_of_that_name_comes_first_a_folder_of_pictures_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped.located("fast").parent == shipped.FOLDER
    (tmp_path / "fast").mkdir()
    assert shipped.located("fast").parent == shipped.FOLDER
    (tmp_path / "fast").rmdir()
    (tmp_path / "fast").write_text("mine")
    assert str(shipped.located("fast")) == "fast"


def test_the_benches_and_the_report_are_of_all_of_them():
    said = re.search(r"^SHIPPED \?= (.*)$", (Path(__file__).parent.parent / "Makefile").read_text(), re.MULTILINE)
    assert said is not None
    assert tuple(said[1].split()) == shipped.NAMES


def test_the_models_are_small_enough_together_and_nothing_else_lies_there():
    files = {path.name: path.stat().st_size for path in shipped.FOLDER.iterdir()}
    assert set(files) == {f"{name}{end}" for name in shipped.NAMES for end in (*ENDS, ".md")}
    assert sum(files.values()) <= MOST


@pytest.mark.parametrize("name", shipped.NAMES)
def test_both_files_of_a_model_give_the_same_numbers(name):
    x = np.random.default_rng(0).random((4, 96, 64), np.float32)
    sessions = [runtime.open(shipped.FOLDER / f"{name}{end}") for end in ENDS]
    ours, other = (session.run(x) for session in sessions)
    steps = np.unique(ours)
    assert np.abs(ours - other).max() <= 1e-6 * np.ptp(ours)  # float32 behind equal integers; a step is 1 / 255
    assert 8 < len(steps) <= 256  # and a step it is: 8 bits, and not all the same


@pytest.mark.parametrize("name", shipped.NAMES)
def test_a_card_tells_the_file_it_is_of_and_what_it_is_good_for(name):
    card, contract = shipped.card(name), info(name)["contract"]
    assert contract["digest"][:12] in card
    assert contract["trained_on"] != "nothing: random weights"
    assert contract["trained_on"] in " ".join(card.split())
    assert f"{contract['figures']['psnr_fine']:.2f} dB" in card
    assert all(
        f"## {part}" in card for part in ("What it is for", "What it was trained on", "How good it is", "Limits")
    )
