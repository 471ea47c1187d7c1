"""Two workers take the steps of one. What needs two real ones is done in one launch: TensorFlow is slow to start."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from test_fit import Noisy, course, network, thin, weights
from test_launch import runs

from quant.fit import fit
from quant.launch import launch
from quant.workers import ALONE, Team, join, place
from runtime.errors import BadOption, Error

pytestmark = pytest.mark.xdist_group("workers")  # one launch serves them all
STEPS = 6
HARD = {"batch": 8, "clip": 0.5, "ema": 0.9, "weight_decay": 1e-2}  # all that must come after the average
# Sums over a batch in another order differ in the last bits of a float32: 3e-8 for the weights here. Adam divides by
# the gradient's own size, and where that is near zero the bits grow; this is a ten-thousandth of what six steps change.
ORDER = 2e-6
# Seconds for the launch, most of them TensorFlow's start; a collective that nobody ends would wait forever.
LONG = 120.0

WORKER = """
import sys
sys.path.insert(0, sys.argv[2])
from keras_models.quiet import import_tensorflow
import_tensorflow()
from quant.workers import join
team = join()  # before anything is computed
from test_workers import *
work(team, Path(sys.argv[1]))
"""


def work(team, folder):
    """What each of the two does; the second ends badly."""
    (folder / f"{team.number}.pid").write_text(str(os.getpid()))

    def done(name, model):
        np.savez(folder / f"{name}-{team.number}.npz", *weights(model))

    whole = network()
    fit(whole, Noisy(), course(STEPS, **HARD), folder=folder / "whole", team=team)
    done("whole", whole)
    for steps in (4, STEPS):
        again = network()
        if not team.leads:  # the first one's state is that of all, whatever they begin with and read
            again.set_weights([w + 1 for w in again.get_weights()])
        here = folder / f"parts-{team.number}"
        began = fit(again, Noisy(), course(steps, **HARD), folder=here, team=team).began
    assert began == 4
    done("parts", again)
    dropping = thin()
    fit(dropping, Noisy(), course(2, batch=4), folder=folder / "thin", team=team)
    done("thin", dropping)
    try:
        fit(network(), Noisy(poison=11), course(STEPS, batch=8), folder=folder / "nan", team=team)
    except Error as error:
        (folder / f"nan-{team.number}.txt").write_text(str(error))

    def fall(_):
        if team.number == 1:
            os._exit(7)
        return 3e-3

    fit(
        network(),
        Noisy(),
        course(STEPS, rate=lambda step: fall(step) if step == 2 else 3e-3),
        folder=folder / "x",
        team=team,
    )


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder that two workers left, the error of the launch, and how long it took."""
    folder, begin = tmp_path_factory.mktemp("two"), time.monotonic()
    with pytest.raises(Error) as caught:
        launch([sys.executable, "-c", WORKER, str(folder), str(Path(__file__).parent)], workers=2)
    return folder, caught.value, time.monotonic() - begin


def left(folder, name, number=0):
    with np.load(folder / f"{name}-{number}.npz") as file:
        return [file[key] for key in file.files]


def apart(a, b):
    return max(float(np.abs(x - y).max()) for x, y in zip(a, b, strict=True))


def test_two_workers_take_the_steps_of_one_with_the_whole_batch(two, tmp_path):
    one, less = network(), network()
    fit(one, Noisy(), course(STEPS, **HARD), folder=tmp_path / "one")
    fit(less, Noisy(), course(STEPS, **{**HARD, "batch": 4}), folder=tmp_path / "less")
    assert apart(left(two[0], "whole"), weights(one)) < ORDER
    assert apart(left(two[0], "whole"), weights(less)) > 1000 * ORDER, "half the batch is another training"


def test_whatever_they_begin_with_both_hold_the_same_bits(two):
    for name in ("whole", "parts", "thin"):
        assert apart(left(two[0], name, 0), left(two[0], name, 1)) == 0, name


def test_two_workers_that_go_on_end_with_the_same_bits(two):
    """The second one's folder is empty: it goes on from what the first one read."""
    assert apart(left(two[0], "whole"), left(two[0], "parts")) == 0
    assert [path.name for path in two[0].glob("parts-*") if path.is_dir()] == ["parts-0"]


def test_a_share_whose_loss_is_no_number_stops_both_at_the_same_step(two):
    said = [(two[0] / f"nan-{number}.txt").read_text() for number in range(2)]
    assert said[0] == said[1]
    assert "step 1, batch [8, 9, 10, 11, 12, 13, 14, 15]" in said[0]


def test_when_a_worker_dies_in_a_step_the_launch_ends_and_leaves_no_process(two):
    folder, error, seconds = two
    assert "worker 1 of 2 ended with exit code 7" in str(error)
    assert seconds < LONG
    assert not any(runs(int((folder / f"{number}.pid").read_text())) for number in range(2))


def test_a_worker_that_lost_another_says_so_in_a_line():
    lost = tf.errors.UnavailableError(None, None, "Collective ops is aborted by: ...\nAdditional information")
    with pytest.raises(Error, match="^worker 1 of 3 lost another one: .*start all again.*$"), Team(1, 3).minding():
        raise lost
    with pytest.raises(tf.errors.UnavailableError), ALONE.minding():
        raise lost


def test_a_batch_that_does_not_divide_is_refused(tmp_path):
    with pytest.raises(BadOption, match="batch cannot be 7: use a multiple of 2, the number of workers"):
        fit(network(), Noisy(), course(1, batch=7), folder=tmp_path, team=Team(1, 2))


def test_the_shares_are_the_batch_in_order():
    shares = [Team(number, 3).share(range(30, 36)) for number in range(3)]
    assert shares == [[30, 31], [32, 33], [34, 35]]


HOSTS = ["a:1", "a:2", "b:1"]


@pytest.mark.parametrize(
    "cluster, task, found",
    [
        ({"worker": HOSTS}, {"type": "worker", "index": 2}, (2, 3)),
        ({"worker": HOSTS[1:], "chief": HOSTS[:1]}, {"type": "worker", "index": 0}, (1, 3)),
        ({"worker": HOSTS[1:], "chief": HOSTS[:1]}, {"type": "chief", "index": "0"}, (0, 3)),
        ({"worker": HOSTS[:1]}, {}, (0, 1)),
        ({}, {}, (0, 1)),
    ],
)
def test_tf_config_says_which_worker_this_is(cluster, task, found, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    assert place() == found


def test_without_tf_config_a_worker_is_alone(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert place() == (0, 1)
    assert join() is ALONE


BAD = ["{", "[]", "3", '{"cluster": 3}', '{"cluster": {"worker": 3}}', '{"cluster": {"worker": ["a:1", "b:1"]}}']
TASKS = [{"type": "worker", "index": 2}, {"type": "worker", "index": -1}, {"type": "ps", "index": 0}, {"index": 0}, 3]


@pytest.mark.parametrize("text", BAD + [json.dumps({"cluster": {"worker": HOSTS[:2]}, "task": task}) for task in TASKS])
def test_a_tf_config_that_names_no_worker_is_refused(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(BadOption, match="TF_CONFIG cannot be .*use workers and one of them"):
        place()


def gpus(monkeypatch, *names):
    """A machine with these, and what is taken of them."""
    taken = []
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: list(names))
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda gpus, kind: taken.append(gpus))
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", lambda: "strategy")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return taken


def config(number, *hosts):
    return json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": number}})


@pytest.mark.parametrize("number, own", [(0, "gpu0"), (1, "gpu1"), (2, "gpu0")])
def test_a_worker_takes_one_gpu_of_its_host(number, own, monkeypatch):
    taken = gpus(monkeypatch, "gpu0", "gpu1")
    monkeypatch.setenv("TF_CONFIG", config(number, *HOSTS))
    assert join() == Team(number, 3, "strategy")
    assert taken == [[own]]


def test_more_workers_than_gpus_on_a_host_are_refused_unless_each_was_given_its_own(monkeypatch):
    taken = gpus(monkeypatch, "gpu0")
    monkeypatch.setenv("TF_CONFIG", config(1, "a:1", "a:2"))
    with pytest.raises(BadOption, match="--workers cannot be 2: use at most 1 on a, a GPU each"):
        join()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert join().number == 1
    assert taken == []
