"""Distillation: which maps are compared, by what weight, and that a student comes nearer to its teacher."""

import json
import shutil
from collections import namedtuple

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import keras_models
from quant.distill import Taught, distilled, map_shapes, map_weights, tapped
from quant.fit import Course, fit
from quant.fixed_point import fixed_point, paper_fixed_point
from quant.losses import l1
from quant.map_cache import HEADER, SEALS
from quant.qat import quantization_aware
from runtime.errors import BadOption, FileError, UnknownName

SIDE, SAMPLES = 16, 6
MAPS = ("down1_act2", "bottom_act2", "out1_act2")
ALIKE = 0.7  # the correlation of a map with what 8 bits, untrained, leave of it is above; with another map far below
SCHEMES = {
    "float": lambda model, x: model,
    "qat": lambda model, x: quantization_aware(model, samples=x),
    "fixed-point": lambda model, x: fixed_point(model, samples=x),
    "paper": lambda model, x: paper_fixed_point(model, weights=(2, 8), activations=(4, 8)),
}


class Squares:
    """Pictures by number, so many different ones in turn."""

    def __init__(self, samples=SAMPLES, seed=0):
        self.samples, self.seed = samples, seed

    def batch(self, numbers):
        drawn = [np.random.default_rng([self.seed, n % self.samples]).random((SIDE, SIDE, 4)) for n in numbers]
        x = np.float32(drawn)
        return x, x[..., :3].repeat(2, axis=1).repeat(2, axis=2)


def network(name, seed=1, **options):
    tf_keras.utils.set_random_seed(seed)
    model, _ = keras_models.build(name, width=4, in_channels=4, **{"levels": 2, **options})
    rng = np.random.default_rng(seed)
    for weight in model.weights:  # He's scale: so narrow a network would die of Glorot's
        if "kernel" in weight.name:
            ins = np.prod(weight.shape[:2]) * (1 if "depthwise" in weight.name else weight.shape[2])
            weight.assign(rng.normal(0, np.sqrt(2 / ins), weight.shape))
    return model


def taught(tmp_path, *, teacher=None, seed=0, samples=SAMPLES, name="maps"):
    folder = None if name is None else tmp_path / name
    return Taught(Squares(seed=seed), tapped(teacher or network("thin"), MAPS), samples=samples, cache=folder)


def flat(batch):
    x, y = batch
    return [x, *y]


def assert_same(a, b):
    for one, other in zip(flat(a), flat(b), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def course(loss, steps=40):
    return Course(steps=steps, batch=2, rate=lambda step: 3e-3, loss=loss, checkpoint_every=steps)


def alike(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_map_is_found_by_its_name_under_every_scheme_and_all_weights_stay(scheme):
    model = network("thin-student")
    x, _ = Squares().batch(range(4))
    wanted = tapped(model, MAPS)(x)[1:]
    quantized = SCHEMES[scheme](model, x)
    learner = tapped(quantized, MAPS)
    picture, *found = learner(x, training=False)
    assert picture.shape == (4, 2 * SIDE, 2 * SIDE, 3)
    for name, one, other in zip(MAPS, wanted, found, strict=True):
        assert alike(one, other) > ALIKE, name
    assert alike(wanted[0], found[2]) < ALIKE
    # Checkpoints know a weight by its place.
    assert [id(w) for w in learner.weights] == [id(w) for w in quantized.weights]


def test_a_map_that_is_rounded_is_the_rounded_one():
    x, _ = Squares().batch(range(2))
    fixed = fixed_point(network("unet", activation="leaky-relu"), activation_bits=4, samples=x)
    (_, found) = tapped(fixed, ["down1_act2"])(x)
    assert len(np.unique(found)) <= 16


def test_a_map_of_no_layer_is_named_with_the_layers_there_are():
    with pytest.raises(UnknownName, match="'down1_akt2'.*did you mean 'down1_act2'"):
        tapped(network("thin"), ["down1_akt2"])
    # The sums in front of a ReLU inside its convolution cannot be had.
    aware = quantization_aware(network("thin"))
    with pytest.raises(UnknownName, match="down1_conv2"):
        tapped(aware, ["down1_conv2"])
    assert tapped(aware, ["down1_act2"]).output_names[1] == "quant_down1_conv2"


def test_maps_of_other_sizes_or_channels_are_refused_by_name():
    student = tapped(network("thin-student"), ["down1_act2", "bottom_act2"])
    assert map_shapes(tapped(network("thin"), ["down1_act2", "bottom_act2"]), student, size=SIDE) == [
        (SIDE, SIDE, 4),
        (SIDE // 4, SIDE // 4, 4),
    ]
    with pytest.raises(BadOption, match=r"'bottom_act2' \(4, 4, 4\) beside the student's 'down1_act2' \(16, 16, 4\)"):
        map_shapes(tapped(network("thin"), ["bottom_act2", "bottom_act2"]), student, size=SIDE)
    tf_keras.utils.set_random_seed(1)
    wide, _ = keras_models.build("thin", width=6, levels=2, in_channels=4)
    with pytest.raises(BadOption, match=r"\(16, 16, 6\) beside"):
        map_shapes(tapped(wide, ["down1_act2", "bottom_act2"]), student, size=SIDE)
    other, _ = keras_models.build("thin", width=4, levels=2)
    with pytest.raises(BadOption, match="one of 1 planes"):
        map_shapes(tapped(other, ["down1_act2", "bottom_act2"]), student, size=SIDE)


def test_the_weights_are_in_proportion_to_one_over_the_area_and_add_up_to_ten():
    found = map_weights([(4, 4, 8), (2, 2, 8), (1, 4, 3)], total=10)
    # 1/16, 1/4, 1/4: nine sixteenths in all.
    np.testing.assert_allclose(found, [10 / 9, 40 / 9, 40 / 9], rtol=1e-12)  # float64
    assert sum(map_weights([(64, 64, 1), (3, 5, 1)], total=10)) == pytest.approx(10)


def test_the_loss_is_the_tasks_and_each_maps_mean_difference_by_its_weight():
    rng = np.random.default_rng(0)
    target, picture = rng.random((2, 1, 4, 4, 3), np.float32)
    theirs = [rng.random((1, side, side, 2)).astype(np.float16) for side in (4, 2)]
    ours = [rng.random((1, side, side, 2)).astype(np.float32) for side in (4, 2)]
    y, prediction = (target, *theirs), [picture, *ours]
    by_hand = [np.abs(np.float64(a) - b).mean() for a, b in zip(theirs, ours, strict=True)]
    found = float(distilled(l1, (2.0, 8.0))(y, prediction))
    assert found == pytest.approx(float(l1(target, picture)) + 2 * by_hand[0] + 8 * by_hand[1], rel=1e-5)  # float32
    assert float(distilled(l1, (0.0, 0.0))(y, prediction)) == float(l1(target, picture))
    with pytest.raises(ValueError, match="longer"):
        distilled(l1, (1.0,))(y, prediction)


def test_the_gradient_reaches_the_student_and_never_the_teacher(tmp_path):
    teacher, student = network("thin"), network("thin-student", seed=2)
    data = taught(tmp_path, teacher=teacher)
    before = [weight.numpy() for weight in teacher.weights]
    x, y = data.batch([0, 1])
    learner = tapped(student, MAPS)
    with tf.GradientTape(persistent=True) as tape:
        loss = distilled(lambda y, p: 0.0, map_weights(data.shapes, total=10))(y, learner(x, training=True))
    assert tape.gradient(loss, teacher.trainable_variables) == [None] * len(teacher.trainable_variables)
    gradients = dict(zip((w.name for w in student.weights), tape.gradient(loss, student.weights), strict=True))
    assert np.abs(gradients["down1_conv1_pointwise/kernel:0"]).max() > 0
    assert gradients["picture_conv/kernel:0"] is None  # behind the last map
    fit(learner, data, course(distilled(l1, (1.0, 1.0, 1.0)), steps=3), folder=tmp_path / "run")
    for weight, value in zip(teacher.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_the_teacher_is_asked_as_at_inference(tmp_path):
    teacher = network("thin")
    x, (_, *maps) = taught(tmp_path, teacher=teacher).batch([0, 3])
    for one, other in zip(tapped(teacher, MAPS)(x, training=False)[1:], maps, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)  # float16 has 11 bits
    trains = tapped(teacher, MAPS)(x, training=True)[2]
    assert np.abs(trains.numpy() - maps[1]).max() > 1e-2


def test_kept_maps_are_those_that_are_not_kept_bit_for_bit(tmp_path):
    without, kept = taught(tmp_path, name=None), taught(tmp_path)
    endless = taught(tmp_path, samples=0)
    for numbers in ([0, 1, 2], [2, 5, 2 + SAMPLES], [1, 0]):
        wanted = without.batch(numbers)
        for data in (kept, taught(tmp_path), endless):  # as made, as read, and made anew each time
            assert_same(data.batch(numbers), wanted)


def asked(data):
    """How often the teacher is asked from now on."""
    calls, ask = [], data._ask
    data._ask = lambda x: calls.append(len(x)) or ask(x)
    return calls


def test_a_sample_passes_the_teacher_once(tmp_path):
    data = taught(tmp_path)
    calls = asked(data)
    for numbers in ([0, 1], [1, 2], [SAMPLES, SAMPLES + 1]):
        data.batch(numbers)
    assert calls == [1, 1, 1]
    again = taught(tmp_path)
    calls = asked(again)
    again.batch([0, 1, 2])
    assert calls == []


def test_what_a_killed_run_left_without_a_seal_is_made_again(tmp_path):
    whole = taught(tmp_path).batch(range(SAMPLES))
    seals = np.memmap(tmp_path / "maps" / SEALS, "<u8", "r+")
    maps = np.memmap(tmp_path / "maps" / "map1.f16", "<f2", "r+").reshape(SAMPLES, -1)
    seals[2], maps[2] = 0, 7  # written in part, never sealed
    seals[4] ^= 1 << 20  # a seal cut short
    maps[3, 0] += 1  # behind a seal nothing is looked at: the control
    for one in (seals, maps):
        one.base.flush() if hasattr(one.base, "flush") else one.flush()
    data = taught(tmp_path)
    calls = asked(data)
    x, y = data.batch(range(SAMPLES))
    assert calls == [1, 1]
    assert y[2][3].ravel()[0] != whole[1][2][3].ravel()[0]
    y[2][3].ravel()[0] = whole[1][2][3].ravel()[0]
    assert_same((x, y), whole)


@pytest.mark.parametrize("cut", [HEADER, SEALS, "map0.f16"])
def test_a_folder_with_a_file_missing_or_cut_short_is_begun_again(cut, tmp_path):
    whole = taught(tmp_path).batch(range(SAMPLES))
    path = tmp_path / "maps" / cut
    path.write_bytes(path.read_bytes()[:-2])
    data = taught(tmp_path)
    calls = asked(data)
    assert_same(data.batch(range(SAMPLES)), whole)
    assert len(calls) == SAMPLES


def test_maps_of_another_teacher_or_of_other_data_are_not_taken(tmp_path):
    first = taught(tmp_path)
    first.batch(range(SAMPLES))
    key = json.loads((tmp_path / "maps" / HEADER).read_text())["key"]
    for changed in ({"teacher": network("thin", seed=9)}, {"seed": 5}):
        data = taught(tmp_path, **changed)
        calls = asked(data)
        assert_same(data.batch([0, 1]), taught(tmp_path, name=None, **changed).batch([0, 1]))
        assert calls == [1, 1]
    assert json.loads((tmp_path / "maps" / HEADER).read_text())["key"] == key  # other data, the first teacher again


def test_a_disk_without_room_is_said_before_anything_is_computed(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10_000))
    with pytest.raises(FileError, match=r"0.00 GB free, and the teacher's maps take 0.0\d GB: make room"):
        taught(tmp_path, samples=2000)
    assert not (tmp_path / "maps" / HEADER).exists()


def test_values_beyond_float16_are_its_largest(tmp_path):
    teacher = network("thin")
    teacher.get_layer("down1_conv2").bias.assign([1e6] * 4)
    _, (_, first, *_) = taught(tmp_path, teacher=teacher).batch([0])
    assert np.isfinite(first).all()
    assert first.max() == np.finfo(np.float16).max


@pytest.mark.parametrize("scheme", ["float", "qat"])
def test_a_student_that_is_taught_comes_nearer_to_its_teachers_maps(scheme, tmp_path):
    x, _ = Squares().batch(range(SAMPLES))
    far = {}
    for total in (0.0, 10.0):
        data = taught(tmp_path)
        student = SCHEMES[scheme](network("thin-student", seed=2), x)
        weights = map_weights(data.shapes, total=total)
        fit(tapped(student, MAPS), data, course(distilled(l1, weights)), folder=tmp_path / f"{scheme}-{total}")
        _, (_, *theirs) = data.batch(range(SAMPLES))
        ours = tapped(student, MAPS)(x, training=True)[1:]
        pairs = zip(map_weights(data.shapes, total=10), theirs, ours, strict=True)
        far[total] = sum(w * np.abs(a - b.numpy()).mean() for w, a, b in pairs)
    assert far[10.0] < 0.8 * far[0.0], far
