"""The training loop: what it learns, and that it goes on to the same bits from wherever it was stopped."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import keras_models
from quant import checkpoint
from quant.fit import Course, fit
from quant.losses import loss
from runtime.errors import FileError


class Noisy:
    """Pairs of a smooth target and it with noise, by number."""

    def __init__(self, poison=None):
        self.poison = poison

    def batch(self, numbers):
        xs, ys = [], []
        for number in numbers:
            rng = np.random.default_rng([7, number])
            tone = np.repeat(np.repeat(rng.random((4, 4, 4)), 4, 0), 4, 1)
            xs.append(tone + rng.normal(0, 0.1, tone.shape))
            ys.append(np.repeat(np.repeat(tone[..., [0, 1, 2]], 2, 0), 2, 1))
            if number == self.poison:
                xs[-1][0, 0, 0] = np.nan
        return np.float32(xs), np.float32(ys)


def network(**options):
    tf_keras.utils.set_random_seed(3)
    return keras_models.build("unet", width=4, levels=2, **options)[0]


def thin():
    """With dropout and BatchNorm."""
    tf_keras.utils.set_random_seed(3)
    return keras_models.build("thin", in_channels=4, out_channels=12, upscale=2, width=4, levels=2)[0]


def course(steps, **changes):
    plain = {"steps": steps, "batch": 2, "rate": lambda step: 3e-3, "loss": loss("l1"), "checkpoint_every": 4}
    return Course(**{**plain, **changes})


def weights(model):
    return [w.numpy() for w in model.weights]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def test_a_network_learns(tmp_path):
    seen = []
    fit(network(), Noisy(), course(120), folder=tmp_path, watch=lambda step, _: seen.append(step.loss))
    assert len(seen) == 120
    assert np.mean(seen[-10:]) < 0.6 * np.mean(seen[:5])


class Enough(Exception):
    pass


def stop(step, _):
    if step.number == 6:
        raise Enough


def stopped_and_taken_up(make, data, plan, folder, **options):
    """A network whose training was stopped after step 6, and begun again with another network object."""
    with pytest.raises(Enough):
        fit(make(), data, plan, folder=folder, watch=stop, **options)
    again = make()
    assert fit(again, data, plan, folder=folder, **options).began == 4
    return again


@pytest.mark.parametrize("options", [{}, {"ema": 0.9, "clip": 0.5, "weight_decay": 1e-2}], ids=["adam", "all"])
def test_a_run_that_goes_on_ends_with_the_same_bits(options, tmp_path):
    whole = network()
    fit(whole, Noisy(), course(10, **options), folder=tmp_path / "whole")
    assert same(whole, stopped_and_taken_up(network, Noisy(), course(10, **options), tmp_path / "parts"))
    other = network()
    fit(other, Noisy(), course(10, **{**options, "batch": 3}), folder=tmp_path / "other")
    assert not same(whole, other), "the comparison can fail"


def test_a_run_with_dropout_goes_on_to_the_same_bits(tmp_path):
    whole, other = thin(), thin()
    fit(whole, Noisy(), course(8), folder=tmp_path / "whole")
    assert same(whole, stopped_and_taken_up(thin, Noisy(), course(8), tmp_path / "parts"))
    fit(other, Noisy(), course(8, seed=1), folder=tmp_path / "other")
    assert not same(whole, other), "nothing but what is dropped depends on the seed here"


class Taught(Noisy):
    """Two inputs; the target and what a teacher's layer holds."""

    def batch(self, numbers):
        x, y = super().batch(numbers)
        return (x, 1 - x), (y, [x[..., :2]])


def student():
    tf_keras.utils.set_random_seed(3)
    a, b = (tf_keras.Input((16, 16, 4)) for _ in range(2))
    inner = tf_keras.layers.Conv2D(2, 3, padding="same")(a + b * a)
    outer = tf_keras.layers.Conv2DTranspose(3, 2, 2)(inner)
    return tf_keras.Model([a, b], [outer, inner])


def both(y, made):
    (target, (taught,)), (outer, inner) = y, made
    return loss("l1")(target, outer) + loss("l2")(taught, inner)


def test_several_inputs_and_outputs_are_learnt_and_taken_up(tmp_path):
    plan, losses = course(40, loss=both), []
    whole, half = student(), student()
    fit(whole, Taught(), plan, folder=tmp_path / "whole", watch=lambda step, _: losses.append(step.loss))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert same(whole, stopped_and_taken_up(student, Taught(), plan, tmp_path / "parts"))
    fit(half, Taught(), course(40, loss=lambda y, made: loss("l1")(y[0], made[0])), folder=tmp_path / "half")
    assert not same(whole, half), "the second output counts"


def test_a_judge_sees_the_weights_the_run_would_end_with_and_changes_nothing(tmp_path):
    seen, options = {}, {"ema": 0.9, "validate_every": 3}

    def judge(model):
        seen[len(seen)] = weights(model)
        return 0.0

    judged, plain = network(), network()
    fit(judged, Noisy(), course(8, **options), folder=tmp_path / "judged", judge=judge)
    fit(plain, Noisy(), course(8, **options), folder=tmp_path / "plain")
    assert same(judged, plain)
    for count, after in enumerate((3, 6, 8)):
        short = network()
        fit(short, Noisy(), course(after, **options), folder=tmp_path / f"{after}")
        assert all(np.array_equal(a, b) for a, b in zip(seen[count], weights(short), strict=True)), after
        assert not np.array_equal(seen[count][0], checkpoint.latest(tmp_path / f"{after}").arrays["weight/0"])


SCORES = {2: 20.0, 4: 31.0, 6: 30.0, 8: 29.0, 10: 28.0, 12: 30.5}


@pytest.mark.parametrize("stops", [[], [5, 9]], ids=["whole", "stopped"])
def test_the_last_three_checkpoints_and_the_best_are_kept_through_stops(stops, tmp_path):
    steps, stops = [], list(stops)

    def watch(step, model):
        steps.append((step.number, step.score))
        if stops and step.number == stops[0]:
            raise Enough(stops.pop(0))

    def judge(model):
        return SCORES[steps[-1][0] + 2]

    for _ in [*stops, None]:
        with contextlib.suppress(Enough):
            fit(network(), Noisy(), course(12, validate_every=2), folder=tmp_path, watch=watch, judge=judge)
    assert sorted(path.name for path in tmp_path.glob("step-*")) == [f"step-{n:08}.npz" for n in (4, 8, 10, 12)]
    assert (checkpoint.best(tmp_path).step, checkpoint.best(tmp_path).score) == (4, 31.0)
    assert steps[-2:] == [(10, None), (11, 30.5)]


def test_a_finished_run_is_not_trained_again(tmp_path):
    first, second = network(), network()
    fit(first, Noisy(), course(5), folder=tmp_path)
    steps = []
    fit(second, Noisy(), course(5), folder=tmp_path, watch=lambda step, _: steps.append(step))
    assert steps == []
    assert same(first, second)


def test_a_damaged_checkpoint_is_passed_over_and_said_so(tmp_path):
    whole, again = network(), network()
    fit(whole, Noisy(), course(10), folder=tmp_path)
    newest = max(tmp_path.glob("step-*"))
    newest.write_bytes(newest.read_bytes()[:-100])
    fitted = fit(again, Noisy(), course(10), folder=tmp_path)
    assert (fitted.began, len(fitted.passed_over)) == (8, 1)
    assert same(whole, again)


def test_a_loss_that_is_no_number_stops_with_step_and_batch_and_the_last_good_weights(tmp_path):
    model = network()
    with pytest.raises(FileError, match=r"step 5, batch \[10, 11\].*anew in another folder, with a lower rate"):
        fit(model, Noisy(poison=11), course(10), folder=tmp_path)
    assert all(np.isfinite(w).all() for w in weights(model))
    good = network()
    fit(good, Noisy(), course(5), folder=tmp_path / "good")
    assert same(model, good)


def test_a_picture_that_is_no_number_leaves_the_statistics_of_batchnorm_as_they_were(tmp_path):
    model = thin()
    with pytest.raises(FileError, match="step 5"):
        fit(model, Noisy(poison=11), course(10), folder=tmp_path)
    assert all(np.isfinite(w).all() for w in weights(model))


def test_a_gradient_that_is_no_number_stops_a_run_though_the_loss_is_one(tmp_path):
    def steep(y, made):
        return tf.reduce_mean(tf.sqrt(0 * made)) + 1  # the slope of the root at 0 is infinite, times 0 no number

    model = network()
    with pytest.raises(FileError, match="not finite at step 0"):
        fit(model, Noisy(), course(3, loss=steep), folder=tmp_path)
    assert same(model, network())
    assert checkpoint.latest(tmp_path) is None


def test_the_checkpoints_of_another_network_are_refused(tmp_path):
    fit(network(), Noisy(), course(4), folder=tmp_path)
    with pytest.raises(FileError, match="another network"):
        fit(network(go_up="shuffle"), Noisy(), course(8), folder=tmp_path)


KILLED = """
import os, sys
sys.path.insert(0, "tests")
from keras_models.quiet import import_tensorflow
import_tensorflow()
from test_fit import *
for _ in range(40):
    child = os.fork()
    if child:
        print("child", child, flush=True)
        _, status = os.waitpid(child, 0)
        print(status, flush=True)
        if status == 0:
            break
    else:
        try:
            model = network()
            fit(model, Noisy(), course(40, checkpoint_every=2), folder=sys.argv[1],
                watch=lambda step, _: (print("step", step.number, flush=True), os.read(0, 1)))
            np.savez(sys.argv[2], *weights(model))
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
"""


def test_killed_at_ten_instants_a_run_ends_with_the_same_bits(tmp_path):
    """A fresh process would pay for TensorFlow each time: children are forked from one that has imported it.

    Each waits for a word after every step: one that ran ahead would have ended before it is killed.
    """
    whole = network()
    fit(whole, Noisy(), course(40), folder=tmp_path / "whole")
    words = [sys.executable, "-c", KILLED, tmp_path / "parts", tmp_path / "end.npz"]
    rng, killed, statuses, steps, child = np.random.default_rng(5), 0, [], 0, 0  # steps of this child
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, **pipes, text=True, cwd=Path(__file__).parent.parent) as run:
        for line in run.stdout:
            word, *number = line.split()
            match word:
                case "child":
                    child, steps, last = int(number[0]), 0, 2 + killed % 2
                case "step" if killed == 12 or steps < last:
                    steps += 1
                    print(end=".", file=run.stdin, flush=True)
                    if killed < 12 and steps == last:
                        time.sleep(rng.uniform(0, 0.03))
                        os.kill(child, signal.SIGKILL)
                        killed += 1
                case "step":
                    pass  # what a child still said that was to be killed
                case status:
                    statuses.append(int(status))
    assert run.returncode == 0
    assert statuses.count(int(signal.SIGKILL)) >= 10
    assert statuses[-1] == 0
    with np.load(tmp_path / "end.npz") as end:
        assert all(np.array_equal(end[name], w) for name, w in zip(end.files, weights(whole), strict=True))
