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
import tf_keras

import keras_models
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


@pytest.mark.parametrize("options", [{}, {"ema": 0.9, "clip": 0.5, "weight_decay": 1e-2}], ids=["adam", "all"])
def test_a_run_that_goes_on_ends_with_the_same_bits(options, tmp_path):
    whole, parts = network(), network()
    fit(whole, Noisy(), course(10, **options), folder=tmp_path / "whole")

    class Enough(Exception):
        pass

    def stop(step, _):
        if step.number == 6:
            raise Enough

    with pytest.raises(Enough):
        fit(parts, Noisy(), course(10, **options), folder=tmp_path / "parts", watch=stop)
    again = network()
    fitted = fit(again, Noisy(), course(10, **options), folder=tmp_path / "parts")
    assert fitted.began == 4
    assert same(whole, again)
    other = network()
    fit(other, Noisy(), course(10, **{**options, "batch": 3}), folder=tmp_path / "other")
    assert not same(whole, other), "the comparison can fail"


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
    with pytest.raises(FileError, match=r"step 5, batch \[10, 11\].*last good weights"):
        fit(model, Noisy(poison=11), course(10), folder=tmp_path)
    assert all(np.isfinite(w).all() for w in weights(model))
    good = network()
    fit(good, Noisy(), course(5), folder=tmp_path / "good")
    assert same(model, good)


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
                watch=lambda step, _: print("step", step.number, flush=True))
            np.savez(sys.argv[2], *weights(model))
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
"""


def test_killed_at_ten_instants_a_run_ends_with_the_same_bits(tmp_path):
    """A fresh process would pay for TensorFlow each time: children are forked from one that has imported it."""
    whole = network()
    fit(whole, Noisy(), course(40), folder=tmp_path / "whole")
    words = [sys.executable, "-c", KILLED, tmp_path / "parts", tmp_path / "end.npz"]
    rng, killed, statuses, steps, child = np.random.default_rng(5), 0, [], 0, 0
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as run:
        for line in run.stdout:
            word, *number = line.split()
            match word:
                case "child":
                    child = int(number[0])
                case "step":
                    steps += 1
                    if killed < 12 and steps % 2 == 0:
                        time.sleep(rng.uniform(0, 0.03))
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(child, signal.SIGKILL)
                        killed += 1
                case status:
                    statuses.append(int(status))
    assert run.returncode == 0
    assert statuses.count(int(signal.SIGKILL)) >= 10
    assert statuses[-1] == 0
    with np.load(tmp_path / "end.npz") as end:
        assert all(np.array_equal(end[name], w) for name, w in zip(end.files, weights(whole), strict=True))
