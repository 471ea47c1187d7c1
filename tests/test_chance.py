"""What dropout draws depends on the step, and on nothing that happened before."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from quant.chance import drawn_by_step
from quant.qat import quantization_aware

K = tf_keras.layers
ONES = np.ones((2, 8, 8, 16), np.float32)


def network():
    """Three kinds of chance, one of them in a network inside."""
    x = start = tf_keras.Input((8, 8, 16))
    inside = tf_keras.Sequential([K.SpatialDropout2D(0.5)])
    return tf_keras.Model(start, [K.Dropout(0.5)(x), inside(x), K.GaussianNoise(1.0)(x), K.Dropout(0.5)(x)])


def draws(model, number, **options):
    """What a model makes of ones at a step, in a graph as in a training."""
    step = tf.Variable(0, dtype=tf.int64)
    run = tf.function(lambda: model(ONES, training=True))
    with drawn_by_step(model, step, **{"seed": 5, **options}):
        run()  # what was drawn before is no matter
        step.assign(number)
        return [np.asarray(made) for made in tf.nest.flatten(run())]


def equal(a, b):
    return [np.array_equal(x, y) for x, y in zip(a, b, strict=True)]


def test_the_same_step_draws_the_same_in_another_network_of_the_same_kind():
    assert all(equal(draws(network(), 7), draws(network(), 7)))


@pytest.mark.parametrize("change", [{"number": 8}, {"seed": 6}, {"worker": 1}], ids=str)
def test_another_step_seed_or_worker_draws_others(change):
    model = network()
    assert not any(equal(draws(model, 7), draws(model, **{"number": 7, **change})))


def test_two_layers_of_a_kind_drop_different_places():
    made = draws(network(), 7)
    assert not np.array_equal(made[0], made[3])


def test_half_is_dropped_and_the_rest_doubled():
    made = draws(network(), 7)[0]
    assert set(np.unique(made)) == {0, 2}
    assert abs(made.mean() - 1) < 4 / np.sqrt(made.size)  # four standard deviations of a mean of zeros and twos


def test_a_layer_that_quantization_wraps_draws_by_the_step_too():
    x = start = tf_keras.Input((8, 8, 16))
    model = quantization_aware(tf_keras.Model(start, K.Dropout(0.5)(K.Conv2D(4, 1)(x))))
    assert np.array_equal(draws(model, 7)[0] == 0, draws(model, 7)[0] == 0)
    assert not np.array_equal(draws(model, 7)[0] == 0, draws(model, 8)[0] == 0)


def test_afterwards_the_layers_draw_as_before():
    model = network()
    layer = model.layers[1]
    before = layer._random_generator
    with pytest.raises(KeyboardInterrupt), drawn_by_step(model, tf.Variable(0, dtype=tf.int64), seed=1):
        assert layer._random_generator is not before
        raise KeyboardInterrupt
    assert layer._random_generator is before
