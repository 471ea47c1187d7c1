"""Two engines and one pair of levels next to a tie."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import tf_keras
from tflite_nets import CONTRACT as RGB

from export import settle, to_onnx, to_tflite
from export.parity import engine, output
from export.reference import reference
from export.settle import MOVES, STEP, Pair, settled
from keras_models.graph import steps
from keras_models.grid import Grid
from keras_models.lowered import Lowered
from keras_models.quantize import Quantize
from keras_models.ready import ready

K = tf_keras.layers
# As a network came out of training: levels 119 and 131 add up to 2.499992 steps in exact numbers, and to 2.5 in some
# order of float32.
A = Grid(np.float32(0.04757922142744064), 124)
B = Grid(np.float32(0.05204503983259201), 123)
SUM = Grid(np.float32(0.07138591259717941), 133)
CONTRACT = replace(RGB, channels=1, scale=Fraction(1))
BOTH = np.stack(np.meshgrid(np.arange(256), np.arange(256), indexing="ij"), axis=-1)[None]


def network(layer=K.Add, result=SUM):
    """Two planes, each brought to a grid of its own by a kernel of one weight, and both put together."""
    raw = K.Input((None, None, 4), name="raw")
    x = Quantize(A, name="raw_grid")(raw)
    kernels, parts = {}, []
    for i, grid in enumerate((A, B)):
        kernel = np.zeros((1, 1, 4, 1), np.float32)
        kernel[0, 0, i] = grid.scale / A.scale
        conv = K.Conv2D(1, 1, name=f"plane{i}")
        parts.append(Quantize(grid, name=f"plane{i}_grid")(conv(x)))
        kernels[conv.name] = Grid(kernel[0, 0, i] / 127, 0, 8, signed=True, narrow=True, axis=3)
        conv.set_weights([kernels[conv.name].dequantize(np.where(kernel > 0, 127, 0)), np.zeros(1, np.float32)])
    both = layer(name="both")(parts)
    return Lowered(tf_keras.Model(raw, Quantize(result, name="both_grid")(both)), kernels).check()


def grid_of(lowered, name="both_grid"):
    return lowered.model.get_layer(name).grid


def all_pairs():
    """A picture that holds every level of one plane beside every level of the other."""
    x = np.zeros((1, 256, 256, 4), np.float32)
    x[..., :2] = A.dequantize(BOTH)
    return x


def parted(lowered, folder):
    """How many values of each file are not the reference's."""
    wanted = reference(settle.settled(lowered), all_pairs())["output0"]
    off = []
    for suffix, write in ((".onnx", to_onnx.to_onnx), (".tflite", to_tflite.to_tflite)):
        write(lowered, CONTRACT, folder / f"a{suffix}")
        off.append(int((output(engine(folder / f"a{suffix}"), all_pairs()) != wanted).sum()))
    return off


def test_a_pair_next_to_a_tie_parts_the_engines_until_its_scale_has_moved(tmp_path, monkeypatch):
    assert parted(network(), tmp_path) == [0, 0]
    for module in (settle, to_onnx, to_tflite):
        monkeypatch.setattr(module, "settled", ready)
    assert parted(network(), tmp_path)[1] > 0  # as it would be


def test_a_scale_moves_by_a_millionth_or_a_few_and_nothing_else_does():
    before, after = ready(network()), settled(network())
    assert not Pair(K.Add(), A, B, SUM).alike()
    moved = grid_of(after)
    assert Pair(K.Add(), A, B, moved).alike()
    assert 0 < abs(float(moved.scale) / float(SUM.scale) - 1) < 1.1 * MOVES * STEP
    assert (moved.zero, moved.bits) == (SUM.zero, SUM.bits)
    assert [(s.name, s.reads) for s in steps(after.model)] == [(s.name, s.reads) for s in steps(before.model)]
    assert grid_of(after, "plane1_grid") == B


def test_a_network_with_nothing_to_move_is_the_ready_one_and_is_looked_at_once(monkeypatch):
    lowered = network(result=Grid(np.float32(0.0714), 133))
    assert settled(lowered) is ready(lowered)
    moved = network()
    first = settled(moved)
    monkeypatch.delattr(settle, "_moved")
    assert settled(moved) is first


def test_steps_in_a_simple_ratio_have_ties_that_all_engines_break_alike_or_the_scale_moves():
    half = Grid(np.float32(0.02), 100)
    ties = Pair(K.Add(), Grid(np.float32(0.01), 7), Grid(np.float32(0.03), 9), half)
    assert not ties.alike()
    near = settle._near(half, {}, [ties])
    assert ties.on({half: near}).alike()


@pytest.mark.parametrize("seed", range(4))
def test_products_are_tried_too(seed):
    rng = np.random.default_rng(seed)
    a, b, result = (Grid(np.float32(rng.uniform(0.01, 0.1)), int(rng.integers(256))) for _ in range(3))
    pair = Pair(K.Multiply(), a, b, result)
    near = result if pair.alike() else settle._near(result, {}, [pair])
    assert pair.on({result: near}).alike()


def test_a_grid_that_no_move_helps_stays(monkeypatch):
    monkeypatch.setattr(Pair, "alike", lambda self: False)
    lowered = network()
    assert settled(lowered) is ready(lowered)
