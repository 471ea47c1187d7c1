"""Full-width networks after some steps of quantization-aware training: how Keras, both files and the reference agree.

`make bench`, third part; several minutes.
"""

import sys
import tempfile
import time
from pathlib import Path

import trained as small

from export.coverage import coverage
from export.parity import against, compare, engine, output
from export.settle import settled
from export.to_onnx import to_onnx
from export.to_tflite import to_tflite
from keras_models.lowered import Lowered
from keras_models.rewrite import reweighted
from runtime.doctor import machine

NETWORKS = [
    ("unet", {}),
    ("unet", {"activation": "relu"}),
    ("light", {}),
    ("lighter", {}),
    ("squeeze", {}),
    ("effnet-ffnet", {}),
]
SIZES = [(64, 64), (96, 64), (64, 112)]


def row(name, options, folder):
    """One line of the table: the worst over all sizes."""
    aware, lowered, contract = small.trained(name, **options)
    to_onnx(lowered, contract, folder / "a.onnx")
    to_tflite(lowered, contract, folder / "a.tflite")
    files, keras, itself = {"a.onnx": [], "a.tflite": []}, [], []
    settled_one = settled(lowered)
    whole = Lowered(reweighted(settled_one.model, {}), settled_one.kernels)  # a copy: its biases change
    small.whole_biases(whole)
    for height, width in SIZES:
        x = small.inputs(len(contract.planes), height=height, width=width, seed=6)
        wanted, unit = against(lowered, x)
        for file, found in files.items():
            for threads in (1, 2):
                found.append(compare(output(engine(folder / file, threads=threads), x), wanted, unit=unit))
        forward = aware(x, training=False).numpy()
        keras.append(compare(wanted, forward, unit=unit))
        itself.append(compare(whole(x).numpy(), forward, unit=unit))
    cells = [f"`{name}` {options.get('activation', '')}".strip()]
    for found in files.values():
        cells += [f"{min(p.exact for p in found):.4%}", f"{max(p.worst for p in found):.0f}"]
    for found in (keras, itself):
        cells += [f"{min(p.within_one for p in found):.2%}", f"{max(p.worst for p in found):.0f}"]
    ran = coverage(folder / "a.onnx", height=64, width=64)
    return [*cells, f"{ran.share:.1%}", str(ran.transposes)]


def main():
    """The table, a line as soon as it is there."""
    here = machine()
    print(f"\n{here.processor}, {small.STEPS} steps, {time.strftime('%Y-%m-%d')}\n")
    heads = ["network", "ONNX Runtime = reference", "worst", "LiteRT = reference", "worst", "Keras within one step",
             "worst", "Keras, biases rounded", "worst", "MACs in integers", "Transposes"]  # fmt: skip
    print(f"| {' | '.join(heads)} |\n| --- |{' ---: |' * (len(heads) - 1)}")
    for name, options in NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            print(f"| {' | '.join(row(name, options, Path(folder)))} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
