"""The int8 U-Net against its peers, interleaved in one run: `make bench`, second part."""

import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tf_keras

import keras_models
from export.parity import engine, output
from export.to_onnx import to_onnx
from export.to_tflite import to_tflite
from keras_models.fold import plain
from quant.lower_tfmot import lower_tfmot
from quant.qat import quantization_aware
from runtime.doctor import machine

THREADS = 2
SIDE = 256  # a 512x512 mosaic, packed
REPEATS = 21
PAUSE = 0.3  # seconds; OpenMP's threads wait for up to 0.2


def networks(folder, activation):
    """Ours in float and int8, both formats, and the float file as ONNX Runtime's own quantizer makes it int8."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    tf_keras.utils.set_random_seed(1)
    model, contract = keras_models.build("unet", activation=activation)
    x = np.random.default_rng(0).random((2, 64, 64, 4), np.float32)
    lowered = lower_tfmot(quantization_aware(model, samples=x))
    to_onnx(plain(model), contract, folder / "float.onnx")
    to_onnx(lowered, contract, folder / "int8.onnx")
    to_tflite(lowered, contract, folder / "int8.tflite")

    class Samples(CalibrationDataReader):
        left = iter([{"raw": np.ascontiguousarray(x.transpose(0, 3, 1, 2))}])

        def get_next(self):
            return next(self.left, None)

    quantize_static(
        folder / "float.onnx", folder / "peer.onnx", Samples(), quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=True,
    )  # fmt: skip
    return model


def contestants(folder, model, activation):
    """Name -> a call that runs one crop."""
    import onnxruntime

    x = np.random.default_rng(1).random((1, SIDE, SIDE, 4), np.float32)
    planes = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    ours = {name: engine(folder / name, threads=THREADS) for name in ("float.onnx", "int8.onnx", "int8.tflite")}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    peer = onnxruntime.InferenceSession(folder / "peer.onnx", options, providers=["CPUExecutionProvider"])
    calls = {
        "ONNX Runtime int8, ours": lambda: ours["int8.onnx"].run(planes),
        "ONNX Runtime int8, its quantizer's": lambda: peer.run(None, {"raw": planes}),
        "LiteRT int8, ours": lambda: output(ours["int8.tflite"], x),
        "ONNX Runtime float32, ours": lambda: ours["float.onnx"].run(planes),
    }
    if torch_call := in_torch(model, activation, planes):
        calls["PyTorch eager float32"] = torch_call
    return calls


def in_torch(model, activation, planes):
    """The same network in PyTorch, as its published port is written; None where torch is not installed."""
    try:
        import torch
        from torch import nn
    except ImportError:
        return None
    torch.set_num_threads(THREADS)
    act = (lambda x: nn.functional.leaky_relu(x, 0.2)) if activation == "leaky-relu" else nn.functional.relu
    weights = {w.name.removesuffix(":0"): torch.from_numpy(w.numpy()) for w in model.weights}

    def conv(x, name, pad=1):
        kernel = weights[f"{name}/kernel"].permute(3, 2, 0, 1).contiguous()
        return nn.functional.conv2d(x, kernel, weights[f"{name}/bias"], padding=pad)

    def stack(x, name):
        return act(conv(act(conv(x, f"{name}_conv1")), f"{name}_conv2"))

    def forward(x):
        skips = []
        for level in range(1, 5):
            skips.append(stack(x, f"down{level}"))
            x = nn.functional.max_pool2d(skips[-1], 2)
        x = stack(x, "bottom")
        for level in range(4, 0, -1):
            kernel = weights[f"up{level}/kernel"].permute(3, 2, 0, 1).contiguous()
            x = nn.functional.conv_transpose2d(x, kernel, weights[f"up{level}/bias"], stride=2)
            x = stack(torch.cat([x, skips.pop()], 1), f"out{level}")
        return nn.functional.pixel_shuffle(conv(x, "picture_conv", 0), 2)

    batch = torch.from_numpy(planes)

    def run():
        with torch.inference_mode():
            return forward(batch)

    return run


def race(calls):
    """Milliseconds of each, one sample of every contestant after the other.

    Threads of the one before may still turn, waiting for work: they get time to sleep, and caches a call to fill.
    """
    samples = {name: [] for name in calls}
    for _ in range(REPEATS):
        for name, call in calls.items():
            time.sleep(PAUSE)
            call()
            begin = time.perf_counter()
            call()
            samples[name].append(1e3 * (time.perf_counter() - begin))
    return samples


def main():
    """A table an activation: median, best, and how many times as long as ours."""
    here = machine()
    print(f"{here.processor}, {THREADS} threads, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}")
    for activation in ("leaky-relu", "relu"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            samples = race(contestants(folder, networks(folder, activation), activation))
        print(f"\n| `unet`, {activation}, 512x512 mosaic | ms, median | ms, best | times ours, median |")
        print("| --- | ---: | ---: | ---: |")
        ours = statistics.median(samples["ONNX Runtime int8, ours"])
        for name, times in samples.items():
            median = statistics.median(times)
            print(f"| {name} | {median:.1f} | {min(times):.1f} | {median / ours:.2f} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
