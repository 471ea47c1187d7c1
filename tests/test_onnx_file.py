import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from runtime.errors import UnreadableFile
from runtime.onnx_file import look


def model(constant, *, attribute=None):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    if attribute is not None:
        nodes.insert(0, helper.make_node("Constant", [], ["c"], value=attribute))
    made = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], [constant]), opset_imports=[helper.make_opsetid("", 21)]
    )
    helper.set_model_props(made, {"a": "b", "naïve": "ü"})
    return made


def constant(*values):
    return numpy_helper.from_array(np.array(values, np.float32), "w")


def test_a_file_gives_its_own_account(tmp_path):
    onnx.save(model(constant(1, 2)), tmp_path / "a.onnx")
    found = look(tmp_path / "a.onnx")
    assert (found.opset, dict(found.nodes), found.constants) == (21, {"Add": 1}, 1)
    assert found.metadata == {"a": "b", "naïve": "ü"}


@pytest.mark.parametrize(
    "bad",
    [
        constant(1, np.nan),
        constant(np.inf, 1),
        helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, float("nan")]),
        numpy_helper.from_array(np.array([1, np.nan], np.float16), "w"),
        helper.make_tensor("w", TensorProto.DOUBLE, [1], [float("inf")]),
    ],
    ids=["raw NaN", "raw infinity", "listed NaN", "half", "double"],
)
def test_numbers_that_are_none_are_found_and_named(bad, tmp_path):
    onnx.save(model(bad), tmp_path / "a.onnx")
    with pytest.raises(UnreadableFile, match="NaN or infinity in 'w'"):
        look(tmp_path / "a.onnx")


def test_constants_within_nodes_are_looked_at_too(tmp_path):
    onnx.save(
        model(constant(1, 2), attribute=numpy_helper.from_array(np.float32([np.nan]), "inner")), tmp_path / "a.onnx"
    )
    with pytest.raises(UnreadableFile, match="'inner'"):
        look(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("name", "fine"), [("w.bin", True), ("sub/w.bin", True), ("../w.bin", False), ("/etc/x", False)]
)
def test_weights_outside_the_folder_are_refused(name, fine, tmp_path):
    tensor = constant(1, 2)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=name)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a.onnx").write_bytes(model(tensor).SerializeToString())
    if fine:
        assert look(tmp_path / "m" / "a.onnx").outside == [name]
    else:
        with pytest.raises(UnreadableFile, match="outside its folder"):
            look(tmp_path / "m" / "a.onnx")


@pytest.mark.parametrize("data", [b"", b"\0", b"PK\3\4", b"not a model at all", b"\x3a\xff\xff\xff\xff\x7f"])
def test_what_is_no_model_is_said_to_be_none(data, tmp_path):
    (tmp_path / "a.onnx").write_bytes(data)
    with pytest.raises(UnreadableFile):
        look(tmp_path / "a.onnx")


def test_a_missing_file_and_a_folder_are_said_to_be_so(tmp_path):
    for path in (tmp_path, tmp_path / "none.onnx"):
        with pytest.raises(UnreadableFile, match="cannot be read"):
            look(path)


@settings(max_examples=150, deadline=None)
@given(cut=st.integers(0, 400), flips=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(cut, flips, tmp_path_factory):
    data = bytearray(model(constant(1, 2)).SerializeToString())
    for at, value in flips:
        data[at % len(data)] = value
    path = tmp_path_factory.mktemp("damaged") / "a.onnx"
    path.write_bytes(data[: max(len(data) - cut, 0)])
    try:
        look(path)
    except UnreadableFile as error:
        assert "\n" not in str(error)
