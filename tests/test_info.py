import json
import os
import re
import shutil
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from depth_model import depth_model
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtime.errors import AlteredFile, Error, UnreadableFile
from runtime.info import info, lines
from runtime.raw import About, Raw
from runtime.selftest import FOLDER, SELF_TESTS
from runtime.tflite import read

DATA = Path(os.environ.get("QK_DATA", "no data"))
ONNX, TFLITE = FOLDER / SELF_TESTS["onnxruntime"], FOLDER / SELF_TESTS["ai_edge_litert"]
TIFF_HEAD = b"II*\0 a camera wrote this"
FRAME = Raw(
    mosaic=np.arange(6 * 8, dtype=np.uint16).reshape(6, 8) + 500,
    cfa="bayer",
    pattern=((0, 1), (1, 2)),
    black=((500.0, 500.0), (501.0, 500.5)),
    white=547.0,
    wb=(2.0, 1.0, 1.5),
    wb_known=True,
    cam2rgb=tuple(map(tuple, np.eye(3))),
    xyz2cam=None,
    about=About(make="SONY", exposure=0.04, iso=float("nan"), gps={2: (Fraction(47), b"\x01"), 1: "N"}),
)


@pytest.fixture
def decoder(monkeypatch):
    """In place of the decoder: it returns FRAME and keeps what it was asked for."""
    asked = []
    module = ModuleType("runtime.decode")
    module.read = lambda path, *, timeout=60.0: asked.append((path, timeout)) or FRAME
    monkeypatch.setitem(sys.modules, "runtime.decode", module)
    return asked


@pytest.mark.parametrize("path", [ONNX, TFLITE])
def test_a_model_tells_its_contract_and_its_operators(path):
    found = info(path)
    assert found["kind"] == path.suffix[1:]
    assert found["bytes"] == path.stat().st_size
    assert found["contract"]["network"] == "self-test"
    assert found["operators"] == sum(found["nodes"].values())
    assert {"Conv", "CONV_2D"} & found["nodes"].keys()
    assert found["problem"] is None


def test_the_operators_of_an_onnx_file_are_those_the_onnx_library_sees():
    model, found = onnx.load(ONNX), info(ONNX)
    assert found["operators"] == len(model.graph.node)
    assert found["opset"] == model.opset_import[0].version


@pytest.mark.parametrize("path", [ONNX, TFLITE])
@pytest.mark.parametrize("name", ["model", "model.dng", "model.onnx", "model.tflite"])
def test_the_content_and_not_the_name_tells_what_a_file_is(tmp_path, path, name):
    shutil.copy(path, tmp_path / name)
    assert info(tmp_path / name)["kind"] == path.suffix[1:]


def test_a_raw_frame_called_a_model_is_still_a_raw_frame(tmp_path, decoder):
    (tmp_path / "a.onnx").write_bytes(TIFF_HEAD)
    assert info(tmp_path / "a.onnx", timeout=3.0)["kind"] == "raw"
    assert decoder == [(tmp_path / "a.onnx", 3.0)]


def test_a_raw_frame_tells_all_that_is_known_in_json(tmp_path, decoder):
    (tmp_path / "a.arw").write_bytes(TIFF_HEAD)
    found = info(tmp_path / "a.arw")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["height"], found["width"], found["pattern"]) == (6, 8, ["RG", "GB"])
    assert (found["darkest"], found["median"], found["lightest"]) == (500, 523.5, 547)
    assert found["saturated"] == 1 / 48
    assert found["about"]["gps"] == {"2": [47.0, "01"], "1": "N"}
    assert found["about"]["iso"] is None


def test_the_table_has_a_line_for_what_is_known_and_none_for_what_is_not(tmp_path, decoder):
    (tmp_path / "a.arw").write_bytes(TIFF_HEAD)
    table = dict(line.split(maxsplit=1) for line in lines(info(tmp_path / "a.arw")))
    assert table["file"].endswith("a.arw, RAW frame")
    assert table["exposure"] == "0.04 s"
    assert table["pattern"] == "RG GB"
    assert table["black"] == "500 500 | 501 500.5"
    assert table["make"] == "SONY"
    assert not {"lens", "iso", "xyz2cam", "model"} & table.keys()


def test_of_a_depth_it_is_said_how_far_1_is_and_what_its_errors_are_in(tmp_path):
    said = "\n".join(lines(info(depth_model(tmp_path / "depth.onnx", figures={"mse_float": 0.1, "rmse_float": 3.2}))))
    for name, value in (("metres per unit", "10 m"), ("mse float", "0.1 (10 m)^2"), ("rmse float", "3.2 m")):
        assert re.search(rf"^{name} +{re.escape(value)}$", said, re.M), said
    assert "metres" not in "\n".join(lines(info(ONNX))), "a picture has none"


def test_a_name_with_a_newline_stays_on_its_line(tmp_path):
    path = tmp_path / "two\nlines\x1b[31m.onnx"
    shutil.copy(ONNX, path)
    assert "two\\nlines\\x1b" in lines(info(path))[0]
    assert all(line.isprintable() for line in lines(info(path)))


def test_a_model_without_a_contract_is_described_and_the_contract_is_missed(tmp_path):
    model = onnx.load(ONNX)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "a.onnx")
    (tmp_path / "a.tflite").write_bytes(read(TFLITE)[0])
    for path, known in ((tmp_path / "a.onnx", ONNX), (tmp_path / "a.tflite", TFLITE)):
        found = info(path)
        assert found["nodes"] == info(known)["nodes"]
        assert found["contract"] is None
        assert "has no contract" in found["problem"]
        assert any(line.startswith("problem") for line in lines(found))


def test_without_litert_its_operators_are_not_counted_and_the_pip_line_stands_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.schema_py_generated", None)
    found = info(TFLITE)
    assert (found["operators"], found["lacks"]) == (None, "pip install 'qk-unet[litert]'")
    assert found["contract"]["network"] == "self-test"


@pytest.mark.parametrize("part", range(1, 10))
@pytest.mark.parametrize("path", [ONNX, TFLITE])
def test_a_model_cut_short_is_refused_or_has_lost_its_contract(tmp_path, path, part):
    whole = path.read_bytes()
    (tmp_path / path.name).write_bytes(whole[: len(whole) * part // 10])
    try:
        found = info(tmp_path / path.name)
    except UnreadableFile as error:
        assert "cut short" in str(error)
    else:
        assert found["problem"]


def test_a_model_whose_weights_have_changed_is_refused(tmp_path):
    whole = bytearray(TFLITE.read_bytes())
    whole[2000] ^= 1
    (tmp_path / "a.tflite").write_bytes(whole)
    with pytest.raises(AlteredFile, match="has changed"):
        info(tmp_path / "a.tflite")


@settings(max_examples=200, deadline=None, derandomize=True)
@example(head=b"\x08\x0a", rest=b"@\0")  # a number where a message should be
@given(rest=st.binary(max_size=200), head=st.sampled_from([b"\x08\x0a", b"\x1c\0\0\0TFL3", b""]))
def test_any_bytes_that_call_themselves_a_model_are_described_or_refused_in_words(tmp_path_factory, head, rest):
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    path.write_bytes(head + rest)
    if not (head + rest).startswith((b"II", b"MM")):
        try:
            info(path)
        except Error as error:
            assert "any.onnx" in str(error)


@pytest.mark.parametrize(
    ("name", "why"), [("none.dng", "cannot be read"), ("empty.dng", "is empty"), (".", "Is a dir")]
)
def test_a_file_that_is_not_there_or_empty_is_unreadable(tmp_path, name, why):
    (tmp_path / "empty.dng").touch()
    with pytest.raises(UnreadableFile, match=why):
        info(tmp_path / name)


def test_a_name_no_file_can_have_is_unreadable():
    with pytest.raises(UnreadableFile, match="null"):
        info("a\0b")


def test_a_real_frame_tells_its_camera():
    if not (DATA / "raw").is_dir():
        pytest.skip(f"no real frames: QK_DATA is {DATA}")
    found = info(DATA / "raw" / "dc_CRW_0304.CRW")
    assert (found["height"], found["width"], found["pattern"]) == (1720, 2312, ["RG", "GB"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
