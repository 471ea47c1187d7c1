"""The LiteRT backend, on files the writer has just written."""

import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import tf_keras

import keras_models
from export.to_tflite import to_tflite
from keras_models.fold import plain
from runtime.errors import AlteredFile, BadContract, BadSize, MissingLibrary, UnreadableFile
from runtime.litert import LiteRT
from runtime.shipped import FOLDER as MODELS
from runtime.tflite import appended, read, unpacked


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    tf_keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("litert") / "a.tflite"
    model, contract = keras_models.build("c-unet++", width=4)
    to_tflite(plain(model), contract, path)
    return path, contract


def batch(n, height, width, planes=4):
    return np.random.default_rng(0).uniform(0, 1, (n, height, width, planes)).astype(np.float32)


def test_the_contract_comes_back_as_it_was_written(made):
    path, contract = made
    assert LiteRT(path).contract == replace(contract, layout="NHWC")
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["contract.json"]


def test_sizes_and_batches_may_change_from_call_to_call(made):
    backend = LiteRT(made[0])
    first = backend.run(batch(1, 16, 24))["picture"]
    assert backend.run(batch(3, 8, 8))["picture"].shape == (3, 16, 16, 3)
    np.testing.assert_array_equal(backend.run(batch(1, 16, 24))["picture"], first)


def test_memory_is_laid_out_once_for_each_shape(made, monkeypatch):
    backend = LiteRT(made[0])
    calls = []
    allocate = backend._interpreter.allocate_tensors
    monkeypatch.setattr(backend._interpreter, "allocate_tensors", lambda: calls.append(1) or allocate())
    for _ in range(3):
        backend.run(batch(1, 8, 8))
    assert len(calls) == 1


def test_memory_that_was_given_back_is_taken_again(made):
    backend, x = LiteRT(made[0]), batch(1, 16, 24)
    first = backend.run(x)["picture"]
    backend.release()
    assert backend._shape[1:3] == (backend.contract.multiple,) * 2
    np.testing.assert_array_equal(backend.run(x)["picture"], first)


def test_a_size_that_there_is_no_memory_for_is_forgotten(made, monkeypatch):
    backend, x = LiteRT(made[0]), batch(1, 16, 24)
    first = backend.run(x)["picture"]

    def full():
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="out of memory"):
        patched.setattr(backend._interpreter, "allocate_tensors", full)
        backend.run(batch(1, 32, 32))
    np.testing.assert_array_equal(backend.run(x)["picture"], first)


def test_nothing_is_said_of_how_it_runs(made):
    code = f"from runtime.litert import LiteRT; LiteRT({str(made[0])!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=MODELS.parent.parent)
    assert done.stderr == b""


def test_a_lent_output_is_the_engines_own_memory_and_wants_to_be_forgotten(made):
    backend, x = LiteRT(made[0]), batch(1, 16, 24)
    wanted = backend.run(x)["picture"]
    lent = backend.lend(x)
    assert not lent.flags.owndata
    np.testing.assert_array_equal(lent, wanted)
    with pytest.raises(RuntimeError, match="reference to internal data"):
        backend.run(x)
    del lent
    np.testing.assert_array_equal(backend.run(x)["picture"], wanted)


def test_an_output_stays_what_it_was_when_the_next_one_is_computed(made):
    backend = LiteRT(made[0])
    first = backend.run(batch(1, 8, 8))["picture"]
    before = first.copy()
    backend.run(1 - batch(1, 8, 8))
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize("source", ["float", "int8"])
def test_an_output_written_into_a_buffer_is_the_same_with_its_planes_first(made, source):
    path = made[0] if source == "float" else MODELS.parent / "selftest.tflite"
    backend = LiteRT(path)
    x = batch(2, 48, 32, planes=len(backend.contract.planes))
    wanted = next(iter(backend.run(x).values())).transpose(0, 3, 1, 2)
    out = np.full(wanted.shape, np.nan, np.float32)
    assert next(iter(backend.run(x, out=out).values())) is out
    np.testing.assert_array_equal(out, wanted)
    backend.run(1 - x, out=out)  # nothing holds on to the interpreter's own memory
    assert not np.array_equal(out, wanted)


def test_threads_change_no_number(made):
    one, two = (LiteRT(made[0], threads=threads).run(batch(2, 32, 32))["picture"] for threads in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_every_tensor_is_named_for_its_layer(made):
    kept = LiteRT(made[0], keep_all=True).run_all(batch(1, 8, 8))
    assert {"down1_act1", "pool1", "picture_conv", "picture"} <= set(kept)
    np.testing.assert_array_equal(kept["picture"], LiteRT(made[0]).run(batch(1, 8, 8))["picture"])
    with pytest.raises(ValueError, match="keep_all"):
        LiteRT(made[0]).run_all(batch(1, 8, 8))


def test_what_ran_says_what_xnnpack_took_and_what_it_left(made, tmp_path):
    assert LiteRT(made[0]).ran().left == {}
    assert LiteRT(made[0]).ran().delegates == 1
    model, contract = keras_models.build("fixed-unet", width=4)
    to_tflite(plain(model), contract, tmp_path / "a.tflite")
    ran = LiteRT(tmp_path / "a.tflite").ran()
    assert ran.left["RESIZE_BILINEAR"] == 3
    assert sum(ran.left.values()) < ran.operators


@pytest.mark.parametrize("x", [batch(1, 8, 8)[0], batch(1, 8, 8).astype(np.float64), batch(1, 8, 8, planes=3)])
def test_a_batch_of_another_kind_is_the_callers_bug(made, x):
    with pytest.raises(ValueError, match="a batch is"):
        LiteRT(made[0]).run(x)


def test_a_size_the_network_cannot_take_is_refused(made):
    with pytest.raises(BadSize, match="no multiple of 8"):
        LiteRT(made[0]).run(batch(1, 9, 8))


def test_a_file_that_is_missing_or_foreign_is_unreadable(tmp_path):
    with pytest.raises(UnreadableFile, match="cannot be read"):
        LiteRT(tmp_path / "none.tflite")
    for content in (b"", b"PK\x03\x04 something else entirely"):
        (tmp_path / "a.tflite").write_bytes(content)
        with pytest.raises(UnreadableFile, match="not a TFLite file"):
            LiteRT(tmp_path / "a.tflite")


def test_a_file_cut_short_or_without_a_contract_is_refused(made, tmp_path):
    content, (model, _) = made[0].read_bytes(), read(made[0])
    for short, kind in ((content[:-1], AlteredFile), (content[:5000], BadContract), (model, BadContract)):
        (tmp_path / "a.tflite").write_bytes(short)
        with pytest.raises(kind, match="no contract|not as it was"):
            LiteRT(tmp_path / "a.tflite")


@pytest.mark.parametrize("where", [100, 0.5, 0.99])
def test_a_file_with_one_byte_changed_never_reaches_litert(made, tmp_path, where):
    content, (model, _) = bytearray(made[0].read_bytes()), read(made[0])
    content[where if where > 1 else int(where * len(model))] ^= 1
    (tmp_path / "a.tflite").write_bytes(content)
    with pytest.raises(AlteredFile, match="has changed"):
        LiteRT(tmp_path / "a.tflite")


def test_a_contract_of_another_version_is_refused(made, tmp_path):
    class Foreign:
        def to_json(self):
            return '{"version": 999}'

    (tmp_path / "a.tflite").write_bytes(appended(read(made[0])[0], Foreign()))
    with pytest.raises(BadContract, match="not of version"):
        LiteRT(tmp_path / "a.tflite")


def test_without_the_library_the_message_is_the_line_that_installs_it(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(MissingLibrary, match=r"pip install 'qk-unet\[litert\]'"):
        LiteRT(made[0])


def test_a_model_without_packed_kernels_is_left_as_it_is(made):
    model, _ = read(made[0])
    assert unpacked(model) is model


def test_a_model_with_nan_weights_is_refused(tmp_path):
    model, contract = keras_models.build("c-unet++", width=2)
    to_tflite(plain(model), contract, tmp_path / "a.tflite")
    content, told = read(tmp_path / "a.tflite")
    kernel = next(w.numpy() for w in model.weights if "kernel" in w.name and w.shape[0] == 3)
    first = kernel.transpose(3, 0, 1, 2).astype("<f4").tobytes()[:16]
    assert content.count(first) == 1
    spoiled = content.replace(first, np.float32([np.nan]).tobytes() + first[4:])
    (tmp_path / "a.tflite").write_bytes(appended(spoiled, told))
    with pytest.raises(UnreadableFile, match="NaN or infinity"):
        LiteRT(tmp_path / "a.tflite")


ZIP_DAMAGE = {  # the field of the central directory, which stands last, that says otherwise
    "encrypted": (8, b"\x01\x00"),
    "compressed by what nobody knows": (10, b"\x63\x00"),
    "compressed, which it is not": (10, b"\x08\x00"),
}


@pytest.mark.parametrize("damage", ZIP_DAMAGE)
def test_a_damaged_zip_is_refused_in_words(damage, made, tmp_path):
    whole = made[0].read_bytes()
    at, field = ZIP_DAMAGE[damage]
    entry = whole.rindex(b"PK\x01\x02") + at
    path = tmp_path / "damaged.tflite"
    path.write_bytes(whole[:entry] + field + whole[entry + len(field) :])
    with pytest.raises(BadContract, match="has no contract"):
        read(path)
