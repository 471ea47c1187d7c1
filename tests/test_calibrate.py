import tracemalloc

import numpy as np
import pytest
import tf_keras
from float_nets import floats, kernel, network, pictures, tiny

from keras_models.graph import outputs, steps
from keras_models.lowered import Lowered
from quant.calibrate import calibrated, check_room, values
from quant.observe import MinMax
from quant.rounding import is_gate
from runtime.errors import BadNumbers, BadOption, UnknownName

SUMS = 1e-5  # the same float32 operations; between a graph and single calls the order of a sum may differ
SLACK = 1 << 18  # bytes of bookkeeping; a batch kept would be as many, and twelve are seen more


def test_ranges_of_the_smallest_and_largest_are_those_of_the_network():
    found = calibrated(floats(), lambda: network("unet")[2], method="minmax")
    x = np.concatenate(network("unet")[2])
    probe = tf_keras.Model(floats().model.inputs, floats().model.get_layer("down1_act1").output)(x).numpy()
    np.testing.assert_allclose(found.ends["down1_act1"], (probe.min(), probe.max()), rtol=SUMS)
    assert found.count == len(x)
    assert found.still == ()


def test_a_range_may_end_further_out_than_was_found():
    wide, found = (
        calibrated(floats(), lambda: network("unet")[2], room=room).ends for room in ({"down1_act1": 1.25}, None)
    )
    assert wide["down1_act1"] == tuple(1.25 * end for end in found["down1_act1"])
    assert wide | {"down1_act1": None} == found | {"down1_act1": None}


@pytest.mark.parametrize("kind", ["a gate, whose range is known", "no grid of its own"])
def test_room_is_given_to_what_has_a_range_of_its_own(kind):
    lowered = floats("effnet-ffnet")
    gate = next(step.name for step in steps(lowered.model) if is_gate(step.layer))
    name = gate if kind.startswith("a gate") else "down1_conv1"
    with pytest.raises(UnknownName, match="layer whose range is sought"):
        check_room(lowered, {name: 2.0})


def test_a_tensor_watched_is_the_models_own():
    lowered, x = floats("effnet-ffnet"), network("effnet-ffnet")[3]
    end = outputs(lowered.model)[0]
    ((step, found),) = values(lowered, x, wanted=[end])
    assert step.makes == end
    np.testing.assert_allclose(found, lowered(x).numpy(), atol=SUMS * np.ptp(found))


class Keeps(MinMax):
    """An observer that keeps all it sees, as none should."""

    def see(self, values):
        super().see(values)
        self.__dict__.setdefault("all", []).append(values.copy())


@pytest.mark.parametrize(("method", "bounded"), [("percentile", True), (lambda bits: Keeps(), False)])
def test_memory_does_not_grow_with_the_samples(method, bounded):
    lowered = floats()

    def peak(count):
        def samples():
            return (pictures(4, count=1, seed=i) for i in range(count))

        tracemalloc.start()
        calibrated(lowered, samples, method=method)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)  # what is imported and made once
    few, many = peak(4), peak(16)
    assert (abs(many - few) <= SLACK) == bounded


def test_progress_is_told_after_each_batch():
    told = []
    calibrated(floats(), lambda: network("unet")[2], method="minmax", progress=told.append)
    assert told == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "batches",
    [[], [np.zeros((1, 16, 16, 3))], [np.zeros((16, 16, 4))], [np.zeros((1, 18, 16, 4))], [np.zeros((0, 16, 16, 4))]],
    ids=["none", "channels", "dimensions", "size", "empty"],
)
def test_samples_the_network_cannot_take_are_refused_in_words(batches):
    with pytest.raises(BadOption, match="samples cannot be .*batches .count, height, width, 4. with sides"):
        calibrated(floats(), lambda: batches)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_samples_and_values_that_are_not_finite_are_named(odd):
    with pytest.raises(BadOption, match=r"samples for 'raw' cannot be 'NaN or infinity'"):
        calibrated(floats(), lambda: [np.full((1, 16, 16, 4), odd)])
    huge = Lowered(tiny([kernel(1, 1, 4, 4) * 1e30, kernel(1, 1, 4, 4) * 1e30]))
    with pytest.raises(BadNumbers, match="'conv1'"):
        calibrated(huge, lambda: [np.ones((1, 8, 8, 4))])


def test_a_way_that_is_not_there_is_answered_with_a_likely_one():
    with pytest.raises(UnknownName, match="did you mean 'percentile'"):
        calibrated(floats(), lambda: [], method="percentil")
