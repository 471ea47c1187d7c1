"""Post-training int8 against its peers: the same float network and samples, dB to float on others.

    python tests/bench_ptq.py RUN...        folders of finished runs of float recipes

Ours with every way to find ranges, with and without corrected means; ONNX Runtime's quantize_static with each of its
calibrators; TensorFlow's converter in full int8.
"""

import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import keras_models
from export.parity import engine, output
from export.to_onnx import to_onnx
from keras_models.fold import plain
from quant.apart import apart
from quant.correct import correct
from quant.observe import METHODS
from quant.ptq import ptq
from quant.recipe import from_json
from quant.sources import meant, source
from runtime.doctor import machine

SAMPLES, HELD, AT_ONCE = 128, 32, 4


def decibel(made, wanted):
    """How far below the float output's range the difference lies."""
    return 10 * np.log10(np.ptp(wanted) ** 2 / np.mean((made.astype(np.float64) - wanted) ** 2))


def batches(x):
    """Some samples at a time."""
    return [x[first : first + AT_ONCE] for first in range(0, len(x), AT_ONCE)]


def ours(model, contract, x, held, folder):
    """Name -> dB, of the file that ONNX Runtime runs."""
    lowered = apart(plain(model))
    for method in METHODS:
        small = ptq(lowered, lambda: batches(x), method=method)
        for name, network in ((method, small), (f"{method}, corrected", correct(small, lowered, lambda: batches(x)))):
            to_onnx(network, contract, folder / "ours.onnx")
            run = engine(folder / "ours.onnx")
            yield f"ours, {name}", np.concatenate([output(run, part) for part in batches(held)])


def static(model, contract, x, held, folder):
    """ONNX Runtime's own quantizer."""
    import onnxruntime
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    to_onnx(plain(model), contract, folder / "float.onnx")
    name = model.input_names[0]

    class Samples(CalibrationDataReader):
        def __init__(self):
            self.left = iter(batches(x))

        def get_next(self):
            part = next(self.left, None)
            return None if part is None else {name: np.ascontiguousarray(part.transpose(0, 3, 1, 2))}

    for method in ("MinMax", "Entropy", "Percentile"):
        quantize_static(
            folder / "float.onnx", folder / "peer.onnx", Samples(), quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=True,
            calibrate_method=CalibrationMethod[method],
        )  # fmt: skip
        session = onnxruntime.InferenceSession(folder / "peer.onnx", providers=["CPUExecutionProvider"])
        parts = [session.run(None, {name: np.ascontiguousarray(p.transpose(0, 3, 1, 2))})[0] for p in batches(held)]
        yield f"quantize_static, {method}", np.concatenate(parts).transpose(0, 2, 3, 1)


def converter(model, x, held):
    """TensorFlow's converter: int8 within, float at both ends."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    function = tf.function(lambda raw: model(raw, training=False))
    one = function.get_concrete_function(tf.TensorSpec((1, *x.shape[1:]), tf.float32))
    made = tf.lite.TFLiteConverter.from_concrete_functions([one], model)
    made.optimizations = [tf.lite.Optimize.DEFAULT]
    made.representative_dataset = lambda: ([sample[None]] for sample in x)
    made.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    interpreter = Interpreter(model_content=made.convert())
    interpreter.allocate_tensors()
    ends = [interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]]

    def run(sample):
        interpreter.set_tensor(ends[0], sample[None])
        interpreter.invoke()
        return interpreter.get_tensor(ends[1])

    yield "TFLite converter, full int8", np.concatenate([run(sample) for sample in held])


def table(run):
    """Every contestant's dB to float, the best first."""
    recipe = from_json(json.dumps(json.loads((run / "run.json").read_text())["recipe"]), source=run)
    model, contract = keras_models.load(run / "master.npz")
    contract = meant(recipe.data, contract)
    options = {"seed": recipe.fit.seed, "size": recipe.fit.size}
    x, _ = source(recipe.data, contract, part="train", **options).batch(range(SAMPLES))
    held, _ = source(recipe.data, contract, part="held", **options).batch(range(HELD))
    wanted = np.concatenate([model(part, training=False).numpy() for part in batches(held)])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = (*ours(model, contract, x, held, folder), *static(model, contract, x, held, folder))
        found = {who: decibel(y, wanted) for who, y in (*made, *converter(model, x, held))}
    return sorted(found.items(), key=lambda item: -item[1])


def main():
    """A table a run."""
    logging.disable(logging.WARNING)
    print(f"{machine().processor}, {SAMPLES} samples, {HELD} held out, {time.strftime('%Y-%m-%d')}")
    for run in map(Path, sys.argv[1:]):
        print(f"\n| {run.name}, int8 | dB to float |\n| --- | ---: |")
        for who, figure in table(run):
            print(f"| {who} | {figure:.2f} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
