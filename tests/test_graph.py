import numpy as np
import pytest
import tensorflow_model_optimization as tfmot
import tf_keras

import keras_models
from keras_models.graph import outputs, steps, unwrap
from runtime.errors import UnknownLayer

K = tf_keras.layers


@pytest.mark.parametrize("name", ["unet", "thin"])
def test_every_layer_is_one_step_and_reads_what_was_made_before(name):
    model, _ = keras_models.build(name, width=4)
    walk, made = steps(model), set()
    for step in walk:
        assert set(step.reads) <= made
        assert step.makes not in made
        made.add(step.makes)
    assert {step.name for step in walk} == {layer.name for layer in model.layers}
    assert outputs(model) == [walk[-1].makes]


def test_steps_run_one_by_one_compute_the_network():
    model, contract = keras_models.build("thin", width=4, levels=2)
    x = np.random.default_rng(0).random((1, contract.multiple, contract.multiple, 1)).astype(np.float32)
    tensors = {}
    for step in steps(model):
        reads = [tensors[tensor] for tensor in step.reads]
        tensors[step.makes] = step.layer(reads if len(reads) > 1 else reads[0]) if reads else x
    (end,) = outputs(model)
    np.testing.assert_array_equal(tensors[end].numpy(), model(x).numpy())


def test_a_model_inside_is_opened_each_time_it_is_called():
    inside = K.Input((None, None, 3))
    part = tf_keras.Model(inside, K.ReLU(name="relu")(inside))
    raw = K.Input((None, None, 3), name="raw")
    once = part(raw)
    walk = steps(tf_keras.Model(raw, K.Add(name="add")([part(once), once])))
    assert [(s.name, s.reads, s.makes) for s in walk] == [
        ("raw", (), 0),
        ("relu", (0,), 1),
        ("relu", (1,), 2),
        ("add", (2, 1), 3),
    ]


def test_outputs_are_in_the_models_order_and_may_repeat():
    raw = K.Input((None, None, 3))
    a = K.ReLU(name="a")(raw)
    b = K.ReLU(name="b")(a)
    model = tf_keras.Model(raw, [b, a, b, raw])
    number = {step.name: step.makes for step in steps(model)}
    assert outputs(model) == [number["b"], number["a"], number["b"], 0]


def test_what_has_no_graph_is_refused():
    class Bare(tf_keras.Model):
        def call(self, x):
            return x

    with pytest.raises(UnknownLayer, match="functional"):
        steps(Bare())
    raw = K.Input((4, 4, 3))
    two = K.Lambda(lambda x: (x, x), name="two")(raw)
    with pytest.raises(UnknownLayer, match="'two' .*one output"):
        steps(tf_keras.Model(raw, two))


def test_a_layer_is_taken_out_of_its_wrappers():
    layer = K.Conv2D(1, 1)
    wrapped = tfmot.quantization.keras.quantize_annotate_layer(layer)
    assert unwrap(wrapped) is unwrap(layer) is layer
