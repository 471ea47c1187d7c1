"""Sessions, and the promise that windows put together are the frame."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_to_onnx import broken, shaken
from tiny_model import tiny
from trained import CELLS, NETWORKS, trained

import keras_models
import runtime
from export.to_onnx import to_onnx
from export.to_tflite import to_tflite
from keras_models.fold import plain
from runtime import shipped
from runtime.errors import BadContract, BadOption, SetupError, UnreadableFile
from runtime.fake import Fake
from runtime.memory import resident
from runtime.ort import PROVIDERS
from runtime.session import Ran, Session
from runtime.tiles import Plan, windows

pytestmark = pytest.mark.xdist_group("trained")

FLOAT = 1e-6  # of the range: an engine may sum in another order in a window of another size
# Every network that has a halo, small.
FLOATS = {
    name: {"levels": 3} if name.startswith("thin") else {"levels": 2} if name in ("unet", "light", "lighter") else {}
    for name in keras_models.names()
    if name != "effnet-ffnet"
}


@functools.cache
def session(folder, name, kind, suffix):
    path = folder / f"{name}-{kind}{suffix}"
    if kind == "float":
        model, contract = shaken(name, width=4, **FLOATS[name])
        lowered = plain(model)
    else:
        network, options = CELLS if name == "cells" else (name, dict(NETWORKS[:-1])[name])
        _, lowered, contract = trained(network, **options)
    {".onnx": to_onnx, ".tflite": to_tflite}[suffix](lowered, contract, path)
    return runtime.open(path, threads=2)


def in_windows(opened, planes, down, across, *, halo=None):
    """The frame from `down` by `across` windows."""
    contract = opened.contract
    halo = contract.halo if halo is None else halo
    plan = Plan(*(
        windows(length, count, multiple=contract.multiple, halo=halo)
        for length, count in zip(planes.shape[1:], (down, across), strict=True)
    ))  # fmt: skip
    out = np.full((contract.channels, *(int(n * contract.scale) for n in planes.shape[1:])), np.nan, np.float32)

    def write(made, row, column):
        out[:, row : row + made.shape[1], column : column + made.shape[2]] = made

    opened.tiled(lambda rows, columns: planes[:, rows.begin : rows.end, columns.begin : columns.end], plan, write)
    return out


def frame(contract, height, width, seed=0):
    return np.random.default_rng(seed).random((len(contract.planes), height, width), np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sessions")


SIZES = {
    "cells": st.tuples(st.integers(1, 12), st.integers(1, 12)),
    "grid": st.tuples(st.integers(1, 4), st.integers(1, 4)),
}


@pytest.mark.parametrize("name", FLOATS)
def test_float_windows_are_the_frame(name, folder):
    opened = session(folder, name, "float", ".onnx")

    @settings(max_examples=6, deadline=None, derandomize=True)
    @given(**SIZES)
    def check(cells, grid):
        m, reach = opened.contract.multiple, 2 * opened.contract.halo
        planes = frame(opened.contract, cells[0] * m + reach, cells[1] * m)
        whole = opened.run(planes)
        assert np.abs(in_windows(opened, planes, *grid) - whole).max() <= FLOAT * np.ptp(whole)

    check()


@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
@pytest.mark.parametrize("name", ["unet", "cells", "light", "lighter", "squeeze"])
def test_int8_windows_are_the_frame_to_the_bit(name, suffix, folder):
    opened = session(folder, name, "int8", suffix)

    @settings(max_examples=5, deadline=None, derandomize=True)
    @given(**SIZES)
    def check(cells, grid):
        m, reach = opened.contract.multiple, 2 * opened.contract.halo
        planes = frame(opened.contract, cells[0] * m + reach, cells[1] * m)
        np.testing.assert_array_equal(in_windows(opened, planes, *grid), opened.run(planes))

    check()


@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
def test_memory_that_was_given_back_is_taken_again(suffix, folder):
    opened = session(folder, "unet", "int8", suffix)
    planes = frame(opened.contract, 512, 512)
    opened.release()
    least = resident()
    before = opened.run(planes)
    most = resident() - before.nbytes
    opened.release()
    assert resident() - before.nbytes - least < 0.5 * (most - least), "most of it is given back"
    np.testing.assert_array_equal(opened.run(planes), before)


def test_what_another_model_left_free_is_not_mistaken_for_nothing(folder):
    first, second = (runtime.open(shipped.FOLDER / f"{name}.onnx", threads=2) for name in ("fast", "small"))
    first.run(frame(first.contract, 768, 768))
    assert second.memory.per_pixel > 0.7 * first.memory.per_pixel


def test_a_halo_that_is_too_small_is_seen(folder):
    opened = session(folder, "unet", "int8", ".onnx")
    planes = frame(opened.contract, 4 * opened.contract.halo, 4 * opened.contract.halo)
    assert (in_windows(opened, planes, 3, 3, halo=0) != opened.run(planes)).any()


def test_both_engines_have_one_face(folder):
    planes = None
    for suffix in (".onnx", ".tflite"):
        opened = session(folder, "unet", "int8", suffix)
        planes = frame(opened.contract, 16, 24) if planes is None else planes
        made = opened.run(planes)
        assert made.shape == (3, 32, 48)
        assert opened.ran.why
    np.testing.assert_array_equal(made, session(folder, "unet", "int8", ".onnx").run(planes))


def test_memory_is_measured_and_is_what_a_run_takes(folder):
    opened = session(folder, "unet", "float", ".onnx")
    assert 0.3 < opened.memory.per_pixel / opened.contract.activation_bytes_per_pixel < 30


def test_a_fake_is_a_session_too():
    _, contract = keras_models.build("unet", width=2, levels=2)
    fake = Fake(contract)
    opened = Session(fake, ran=Ran("fake", "none", "for a test"))
    planes = frame(contract, 8 * contract.multiple, 6 * contract.multiple)
    np.testing.assert_array_equal(in_windows(opened, planes, 2, 3), opened.run(planes))
    assert fake.batches[-1] == (1, *planes.shape)


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_is_not_there_is_an_error_and_not_the_cpu(provider, folder):
    path = folder / "unet-float.onnx"
    session(folder, "unet", "float", ".onnx")
    with pytest.raises(SetupError, match="pip install"):
        runtime.open(path, provider=provider)
    with pytest.raises(BadOption, match="cpu or cuda or tensorrt"):
        runtime.open(path, provider="gpu")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_auto_passes_over_what_is_listed_and_does_not_start_and_says_so(monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(PROVIDERS.values()))
    opened = runtime.open(tiny())
    assert opened.ran.provider == "cpu"
    assert opened.ran.why == "the best that starts: tensorrt and cuda could not be started"
    with pytest.raises(SetupError, match="took CPUExecutionProvider where CUDAExecutionProvider was asked for"):
        runtime.open(tiny(), provider="cuda")


def test_what_is_no_model_to_run_is_refused_in_words(folder, tmp_path):
    session(folder, "unet", "float", ".onnx")
    whole = (folder / "unet-float.onnx").read_bytes()
    cases = {
        "empty.onnx": b"", "text.onnx": b"hello", "cut.onnx": whole[: len(whole) // 2], "none.xyz": whole,
        "empty.tflite": b"", "text.tflite": b"hello",
    }  # fmt: skip
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises((UnreadableFile, BadContract)) as caught:
            runtime.open(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(UnreadableFile, match="cannot be read"):
        runtime.open(tmp_path / "missing.onnx")


def test_a_model_with_nan_weights_is_refused(folder, tmp_path):
    session(folder, "unet", "float", ".onnx")
    (tmp_path / "a.onnx").write_bytes((folder / "unet-float.onnx").read_bytes())
    broken(tmp_path / "a.onnx", "down1_conv1_kernel", lambda kernel: kernel * np.nan)
    with pytest.raises(UnreadableFile, match="NaN or infinity in 'down1_conv1_kernel'"):
        runtime.open(tmp_path / "a.onnx")


def spoiled(folder, path, change):
    """The model again with its contract changed by hand."""
    import onnx

    from runtime.contract import Contract
    from runtime.ort import CONTRACT

    model = onnx.load(folder / "unet-float.onnx")
    (entry,) = (p for p in model.metadata_props if p.key == CONTRACT)
    entry.value = change(Contract.from_json(entry.value, source=path)).to_json()
    onnx.save(model, path)
    return path


def test_a_contract_that_is_not_the_graphs_is_refused(folder, tmp_path):
    session(folder, "unet", "float", ".onnx")
    for change in (
        lambda c: replace(c, exits=("other",)),
        lambda c: replace(c, cfa="x-trans", pack=3, planes=tuple("abcdefghi")),
    ):
        with pytest.raises(BadContract, match="what its contract says"):
            runtime.open(spoiled(folder, tmp_path / "a.onnx", change))
    assert runtime.open(spoiled(folder, tmp_path / "a.onnx", lambda c: c)).contract.exits == ("picture",)


def test_an_opset_of_the_future_is_said_to_be_too_new(folder, tmp_path):
    import onnx

    session(folder, "unet", "float", ".onnx")
    model = onnx.load(folder / "unet-float.onnx")
    model.opset_import[0].version = 99
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UnreadableFile, match="later onnxruntime"):
        runtime.open(tmp_path / "a.onnx")


def test_memory_is_measured_of_a_network_of_very_large_cells_too():
    opened = runtime.open(tiny())
    opened.contract = replace(opened.contract, multiple=512)
    assert opened.memory.per_pixel > 0
