"""bfloat16, where the machine has it."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import keras_models
from quant.precision import available, halved

X86 = "processor\t: 0\nflags\t\t: fpu sse2 avx512f {}\nbugs\t\t: spectre_v1\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd {} crc32\n"
NEAR = 2**-8 * 8  # bfloat16 keeps 8 bits; a handful of layers add their errors up


def policy():
    return tf_keras.mixed_precision.global_policy().name


@pytest.fixture
def graphics(monkeypatch):
    """Graphics cards of such capabilities; a machine's own are not looked at."""

    def these(*capabilities):
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(capabilities))
        details = lambda one: {} if one is None else {"compute_capability": one}  # noqa: E731
        monkeypatch.setattr(tf.config.experimental, "get_device_details", details)

    these()
    return these


@pytest.mark.parametrize(
    ("text", "has"),
    [
        (X86.format("avx512_bf16"), True),
        (X86.format("amx_bf16 amx_int8"), True),
        (ARM.format("bf16"), True),
        (X86.format(""), False),
        (X86.format("avx512_bf16x"), False),
        (X86.format("").replace("spectre_v1", "avx512_bf16"), False),
        (ARM.format("svebf17"), False),
        ("", False),
    ],
)
def test_a_processor_has_it_if_its_flags_say_so(tmp_path, graphics, text, has):
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert available(path) is has


def test_a_machine_that_tells_nothing_of_its_processor_has_it_not(tmp_path, graphics):
    assert available(tmp_path / "missing") is False


@pytest.mark.parametrize(
    ("capabilities", "has"), [([(8, 0)], True), ([(9, 0), (8, 6)], True), ([(9, 0), (7, 5)], False), ([None], False)]
)
def test_with_graphics_cards_the_oldest_decides(tmp_path, graphics, capabilities, has):
    graphics(*capabilities)
    (tmp_path / "cpuinfo").write_text(X86.format("" if has else "avx512_bf16"))
    assert available(tmp_path / "cpuinfo") is has


def test_the_policy_is_that_of_before_also_after_an_error():
    before = policy()
    with halved(wanted=True):
        assert policy() == "mixed_bfloat16"
        with halved(wanted=False):
            assert policy() == "mixed_bfloat16", "what is not wanted changes nothing"
        assert policy() == "mixed_bfloat16"
    assert policy() == before
    with pytest.raises(KeyError), halved(wanted=True):
        raise KeyError
    assert policy() == before == "float32"


def built():
    return keras_models.build("unet", width=4, levels=2, activation="relu")[0]


def test_what_is_built_within_computes_in_bfloat16_with_float32_weights():
    plain = built()
    with halved(wanted=True):
        half = built()
    x = np.random.default_rng(0).random((1, 16, 16, 4), np.float32)
    for model, name in ((plain, "float32"), (half, "bfloat16")):
        convs = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.Conv2D)]
        assert convs
        assert {layer.compute_dtype for layer in convs} == {name}
        assert {weight.dtype for weight in model.weights} == {tf.float32}
        assert {layer(tf.zeros((1, 4, 4, layer.input_shape[-1]))).dtype.name for layer in convs} == {name}
    half.set_weights(plain.get_weights())
    full, other = (np.asarray(tf.cast(model(x), tf.float32)) for model in (plain, half))
    assert 0 < np.abs(full - other).max() < NEAR * np.abs(full).max(), "nearly the same, and not the same"
