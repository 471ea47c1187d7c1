import io
import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import tf_keras

import keras_models
from export.report import load_any
from keras_models.fixed_point import FixedPoint
from keras_models.fold import plain
from keras_models.graph import steps
from keras_models.grid import Grid
from keras_models.layers import AlignedUpsample, DepthToSpace
from keras_models.lowered import Lowered
from keras_models.plain_file import STEPS, load_plain, save_plain
from keras_models.quantize import Quantize
from keras_models.weights import read
from runtime.contract import digest
from runtime.errors import (
    AlteredFile,
    BadContract,
    BadNumbers,
    Error,
    UnknownLayer,
    UnreadableFile,
    WrongNetwork,
)

K = tf_keras.layers
_, CONTRACT = keras_models.build("unet", width=4)


def quantized():
    """Every layer of the plain form, two exits, one grid a kernel."""
    raw = K.Input((None, None, 4), name="raw")
    x = Quantize(Grid.from_range(-0.2, 1.1), name="raw_grid")(raw)
    a = K.LeakyReLU(0.2, name="leaky")(K.Conv2D(8, 3, 2, padding="same", name="conv")(x))
    a = FixedPoint(2, 3, name="fixed")(K.Conv2DTranspose(4, 2, 2, padding="same", name="up")(a))
    b = K.UpSampling2D(interpolation="bilinear", name="big")(K.MaxPooling2D(name="pool")(x))
    b = K.DepthwiseConv2D(3, dilation_rate=2, padding="same", use_bias=False, name="deep")(b)
    gate = K.Activation("sigmoid", name="gate")(K.GlobalAveragePooling2D(keepdims=True, name="mean")(b))
    y = K.Add(name="add")([K.Multiply(name="multiply")([b, gate]), a])
    y = Quantize(Grid.from_range(0, 0.9, bits=6), name="y_grid")(K.ReLU(max_value=6, name="relu")(y))
    y = K.Concatenate(name="join")([y, a])
    model = tf_keras.Model(raw, [DepthToSpace(2, name="picture")(y), AlignedUpsample(2, name="aligned")(gate)])
    rng, kernels = np.random.default_rng(0), {}
    for name, axis in (("conv", -1), ("up", 2), ("deep", 2)):
        layer = model.get_layer(name)
        kernel, *bias = (rng.normal(0, 0.3, w.shape) for w in layer.weights)
        kernels[name] = grid = Grid(
            rng.uniform(0.05, 0.1, kernel.shape[axis]), bits=4, signed=True, narrow=True, axis=axis
        )
        layer.set_weights([grid.dequantize(grid.quantize(kernel)), *bias])
    return Lowered(model, kernels)


def image(seed=0):
    return np.random.default_rng(seed).random((2, 16, 32, 4)).astype(np.float32)


def as_list(found):
    return [one.numpy() for one in (found if isinstance(found, list) else [found])]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    lowered, path = quantized(), tmp_path_factory.mktemp("plain") / "small.npz"
    return lowered, save_plain(lowered, CONTRACT, path), path


def forged(saved, path, change):
    """A file whose steps were changed by somebody who can compute a digest."""
    contract, arrays = read(saved[2])
    form = json.loads(arrays[STEPS].tobytes())
    form = change(form) or form
    text = form if isinstance(form, bytes) else json.dumps(form).encode()
    arrays[STEPS] = np.frombuffer(text, np.uint8)
    contract = replace(contract, digest=digest(contract, arrays))
    np.savez(path, contract=np.array(contract.to_json()), **arrays)
    return path


def step_of(form, name):
    return next(step for step in form["steps"] if step[1]["name"] == name)


def test_a_quantized_network_comes_back_to_the_bit(saved):
    lowered, contract, path = saved
    again, found = load_plain(path)
    assert found == contract
    assert len(contract.digest) == 64
    assert again.kernels == lowered.kernels
    assert [(s.name, type(s.layer), s.reads) for s in steps(again.model)] == [
        (s.name, type(s.layer), s.reads) for s in steps(lowered.model)
    ]
    for ours, theirs in zip(as_list(again(image())), as_list(lowered(image())), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["unet", "thin"])
def test_a_float_network_comes_back_to_the_bit(name, tmp_path):
    model, contract = keras_models.build(name, width=4)
    lowered = plain(model)
    save_plain(lowered, contract, tmp_path / "float.npz")
    again, _ = load_plain(tmp_path / "float.npz")
    x = np.random.default_rng(0).random((1, contract.multiple, contract.multiple, len(contract.planes)), np.float32)
    np.testing.assert_array_equal(again(x).numpy(), lowered(x).numpy())
    assert again.kernels == {}


def test_a_network_read_is_written_again_byte_for_byte(saved, tmp_path):
    again, contract = load_plain(saved[2])
    save_plain(again, contract, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == saved[2].read_bytes()


def doubled(x):
    return 2 * x


def test_what_cannot_be_read_again_is_not_written(tmp_path):
    raw = K.Input((4, 4, 3), name="raw")
    for layer, error in (
        (K.Activation("tanh", name="odd"), UnknownLayer),
        (K.Activation(doubled, name="odd"), UnknownLayer),
        (K.Lambda(lambda x: x, name="odd"), UnknownLayer),
    ):
        with pytest.raises(error, match="'odd'"):
            save_plain(Lowered(tf_keras.Model(raw, layer(raw))), CONTRACT, tmp_path / "odd.npz")
    broken = quantized()
    broken.model.get_layer("conv").bias[0].assign(np.nan)
    with pytest.raises(BadNumbers, match="conv/bias"):
        save_plain(broken, CONTRACT, tmp_path / "odd.npz")
    assert not list(tmp_path.iterdir())


def test_how_weights_began_or_were_held_small_is_not_in_the_file(tmp_path):
    raw = K.Input((4, 4, 3), name="raw")
    out = K.Conv2D(2, 1, kernel_regularizer="l2", kernel_constraint="non_neg", name="conv")(raw)
    lowered = Lowered(tf_keras.Model(raw, out))
    save_plain(lowered, CONTRACT, tmp_path / "small.npz")
    text = read(tmp_path / "small.npz")[1][STEPS].tobytes().decode()
    assert "class_name" not in text
    again, _ = load_plain(tmp_path / "small.npz")
    x = image()[:, :4, :4, :3]
    np.testing.assert_array_equal(again(x).numpy(), lowered(x).numpy())


@pytest.mark.parametrize("at", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_or_altered_file_is_refused(saved, tmp_path, at):
    whole, path = saved[2].read_bytes(), tmp_path / "bad.npz"
    cut = int(at * len(whole))
    path.write_bytes(whole[:cut])
    with pytest.raises(UnreadableFile, match=r"bad\.npz"):
        load_plain(path)
    contract, arrays = read(saved[2])
    arrays["conv/0"] = np.nextafter(arrays["conv/0"], np.float32(9))
    np.savez(path, contract=np.array(contract.to_json()), **arrays)
    with pytest.raises(AlteredFile, match="digest"):
        load_plain(path)


class Ran(Exception):
    pass


def put(name, key, value):
    return lambda form: step_of(form, name)[1].__setitem__(key, value)


def kind(name, value):
    return lambda form: step_of(form, name).__setitem__(0, value)


def code(name):
    """What Keras writes for a function, an object, and a Lambda's own bytes."""
    return {"module": "os", "class_name": "function", "config": name, "registered_name": "function"}


FORGERIES = {
    "unknown class": (kind("pool", "Sparkle"), "pool is of type Sparkle"),
    "Lambda": (kind("gate", "Lambda"), "gate is of type Lambda"),
    "model": (kind("gate", "Functional"), "gate is of type Functional"),
    "activation": (put("gate", "activation", "tanh"), "gate has the activation 'tanh'"),
    "activation inside": (put("conv", "activation", "exponential"), "conv has the activation 'exponential'"),
    "activation as code": (put("gate", "activation", code("abort")), "gate has the activation"),
    "activation as list": (put("gate", "activation", ["relu"]), "gate has the activation"),
    "initializer as code": (put("conv", "kernel_initializer", code("abort")), "conv has the object 'kernel_init"),
    "regularizer as code": (put("conv", "activity_regularizer", code("abort")), "conv has the object"),
    "type as code": (put("relu", "dtype", code("abort")), "relu has the object 'dtype'"),
    "unknown option": (put("pool", "sparkle", 1), "sparkle"),
    "reads what is not there": (lambda form: step_of(form, "pool").__setitem__(2, [99]), "99"),
    "no steps": (lambda form: form.pop("steps") and None, "steps"),
    "output not there": (lambda form: form.__setitem__("outputs", [99]), "99"),
    "other filters": (put("conv", "filters", 9), "conv"),
    "kernel of no layer": (lambda form: form["kernels"].__setitem__("gone", form["kernels"]["conv"]), "gone"),
    "kernel of fewer channels": (lambda form: form["kernels"]["conv"].__setitem__("scale", [0.1, 0.2]), "rebuilt"),
    "a scale that is no float": (lambda form: form["kernels"]["conv"].__setitem__("scale", [10**400]), "rebuilt"),
    "larger than can be counted": (put("aligned", "factor", -(2**70)), "aligned has the factor"),
    "filters without end": (put("conv", "kernel_size", [3, 2**70]), "conv has the kernel_size"),
    "a list": (lambda form: [form], "rebuilt"),
    "no JSON": (lambda form: b"\xff{", "rebuilt"),
    "nested too deep": (lambda form: b"[" * 100_000, "rebuilt"),
}  # fmt: skip


@pytest.mark.parametrize("change", FORGERIES)
def test_what_is_not_of_the_plain_form_is_refused_by_name_and_no_code_is_run(saved, tmp_path, monkeypatch, change):
    def ran(*_):
        raise Ran

    monkeypatch.setattr(tf_keras.layers.Lambda, "from_config", ran)
    monkeypatch.setattr(os, "abort", ran)
    alter, words = FORGERIES[change]
    path = forged(saved, tmp_path / "forged.npz", alter)
    with pytest.raises(BadContract, match=words) as caught:
        load_plain(path)
    assert "forged.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


GRIDS = {
    "9 bits": {"bits": 9},
    "scale -1": {"scale": -1.0},
    "zero point 300": {"zero": 300},
    "zero point 0.5": {"zero": 0.5},
}


@pytest.mark.parametrize("words", GRIDS)
def test_a_grid_that_cannot_be_is_refused_in_words(saved, tmp_path, words):
    def alter(form):
        step_of(form, "raw_grid")[1]["grid"].update(GRIDS[words])

    with pytest.raises(BadContract, match=rf"forged\.npz.*no grid can have {words}"):
        load_plain(forged(saved, tmp_path / "forged.npz", alter))


def test_a_kernel_off_its_grid_is_refused(saved, tmp_path):
    def shrink(form):
        form["kernels"]["conv"]["scale"] = [0.9 * s for s in form["kernels"]["conv"]["scale"]]

    with pytest.raises(BadContract, match=r"forged\.npz.*the kernel of 'conv'"):
        load_plain(forged(saved, tmp_path / "forged.npz", shrink))


def test_a_file_forged_without_change_is_read(saved, tmp_path):
    again, _ = load_plain(forged(saved, tmp_path / "forged.npz", lambda form: None))
    np.testing.assert_array_equal(as_list(again(image()))[0], as_list(saved[0](image()))[0])


def test_float_weights_and_lowered_networks_are_told_apart(saved, tmp_path):
    model, contract = keras_models.build("thin", width=4, levels=2)
    keras_models.save(model, contract, tmp_path / "float.npz")
    with pytest.raises(BadContract, match="no network in the plain form"):
        load_plain(tmp_path / "float.npz")
    with pytest.raises(WrongNetwork):
        keras_models.load(saved[2])
    lowered, found = load_any(tmp_path / "float.npz")
    x = np.random.default_rng(0).random((1, contract.multiple, contract.multiple, 1), np.float32)
    np.testing.assert_array_equal(lowered(x).numpy(), plain(model)(x).numpy())
    assert replace(found, digest="") == contract
    lowered, found = load_any(saved[2])
    assert found == saved[1]
    assert lowered.kernels == saved[0].kernels


def test_foreign_files_are_refused(tmp_path):
    file = tmp_path / "model.keras"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Lambda"}))
    empty = io.BytesIO()
    np.savez(empty, a=np.zeros(3))
    (tmp_path / "none.npz").write_bytes(empty.getvalue())
    for path in (file, tmp_path / "none.npz", tmp_path / "absent.npz"):
        with pytest.raises(Error, match=path.name):
            load_plain(path)
