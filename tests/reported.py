"""Evaluations, benches and pictures that a report can be made of, without a model being run."""

import json
import random
import re
from datetime import datetime
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from runtime import exif
from runtime.raw import About
from runtime.report import report

NASTY = "</td><script>alert(1)</script>\"'&@stage@@means@\u202e.onnx"
RATIOS = (100, 250, 300)
MODELS = {"fast": 31.2, "lighter": 33.4, "plain": 29.0}
DIGESTS = {name: f"{i + 1:x}" * 64 for i, name in enumerate(MODELS)}
WHY = "not measurable here: this machine has no meter that may be read"


def judged(model, frame, ratio, developed, **more):
    return {
        **{"model": model, "file": f"{model}.onnx", "digest": DIGESTS.get(model, ""), "network": f"net-{model}"},
        **{"bits": "8/8", "engine": "onnxruntime", "provider": "cpu", "pair": frame, "dark": f"dark/{frame}.dng"},
        **{"clean": f"clean/{frame}.tif", "asked": {"ratio": "name", "strength": 1.0}, "ratio": ratio},
        **{"why": "as asked", "height": 512, "width": 768, "light": "camera"},
        "linear": {"psnr": developed + 6, "ssim": 0.91, "mse": 1e-4},
        "developed": {"psnr": developed, "ssim": 0.85, "mse": 3e-4},
        "seconds": {"decode": 0.3, "reference": 0.01, "pack": 0.02, "infer": 0.2, "measure": 0.5},
        **more,
    }


def evaluation(path, *, models=tuple(MODELS), frames=8, seed=0):
    """Lines of `qk-run eval` for frames of several ratios, and one frame that failed."""
    rng = random.Random(seed)
    lines = [
        judged(model, f"{i:05d}", RATIOS[i % 3], MODELS[model] - i + rng.uniform(-0.5, 0.5))
        for model in models
        for i in range(frames)
    ]
    lines.append(
        {"model": models[0], "digest": DIGESTS[models[0]], "pair": "bad", "dark": "bad.dng", "error": "is cut"}
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def row(model, ms, size, **more):
    return {
        **{"model": model, "file": f"{model}.onnx", "digest": DIGESTS.get(model, ""), "network": f"net-{model}"},
        **{"bits": "8/8", "engine": "onnxruntime", "provider": "cpu", "size_bytes": size, "load_ms": 20.0},
        **{"median_ms": ms, "p95_ms": ms * 1.2, "per_second": 1e3 / ms, "times_first": 1.0, "peak_bytes": 10**8},
        **{"int8_share": 0.98, "provider_share": 1.0, "energy_mj": None, "energy_why": WHY},
        **{"max_error": None, "mean_error": None, "error_against": None},
        **more,
    }


MACHINE = {
    **{"system": "Linux", "processor": "A board (aarch64)", "cores": 4, "memory": 2**32, "available": 0},
    **{"python": "3.11", "libraries": {"numpy": "2.0", "onnxruntime": "1.20"}},
}


def bench(path, *, rows=None, **more):
    """A bench of `qk-run bench` with one whole frame."""
    rows = rows or [row("fast", 12.0, 400_000), row("lighter", 48.0, 1_900_000), row("plain", 20.0, 900_000)]
    frame = {
        **{"model": "fast", "engine": "onnxruntime", "provider": "cpu", "path": "a.dng", "height": 2848, "width": 4256},
        **{"format": "png", "total_s": 2.1, "overlapped_s": None, "peak_bytes": None, "energy_mj": None},
        "seconds": {"decode": 0.3, "pack": 0.02, "infer": 1.2, "develop": 0.4, "encode": 0.2},
    }
    told = {
        **{"kind": "bench", "version": 1, "machine": MACHINE, "date": "2024-05-01 10:00", "threads": None},
        **{"side": 512, "rounds": 20, "rows": rows, "frames": [frame]},
    }
    path.write_text(json.dumps({**told, **more}))
    return path


def pictures(folder, *, sides=("amplified", *MODELS, "clean"), scenes=("00000", "00001"), height=96, width=144):
    """A folder for each side, in each a picture of each scene: rings differ by scene, noise by side."""
    y, x = np.mgrid[:height, :width]
    for number, side in enumerate(sides):
        (folder / side).mkdir(parents=True)
        for place, scene in enumerate(scenes):
            rings = 128 + 90 * np.sin(np.hypot(y - height / 2, x - width / 2) / (3 + 3 * place))
            noise = np.random.default_rng(number).normal(0, 12 * (len(sides) - 1 - number), (height, width, 3))
            image = np.clip(rings[..., None] * (1, 0.9, 0.7) + noise, 0, 255).astype(np.uint8)
            told = line(side, ratio=RATIOS[place % 3]) if side in MODELS else None
            block = exif.write(About(), software="qk-unet 0.1.0", description=told)
            Image.fromarray(image).save(folder / side / f"{scene}.png", exif=block)
    return folder


def line(model, *, ratio, strength=1):
    """What `qk-run enhance` leaves in a picture."""
    made = f"net-{model} 8/8 {DIGESTS[model][:12]}, ratio {ratio:.4g} (as asked), strength {strength:g}"
    return f"qk-unet 0.1.0: {made}, onnxruntime cpu"


def written(evals, out, **options):
    return report(evals, out=out / "report.html", now=datetime(2024, 5, 2, 9, 30), **options).read_text("utf-8")


def lines_of(path, *lines, end="\n"):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + end)
    return path


def cells(text, name):
    """The texts of a table's rows."""
    table = re.search(rf'<table class="sortable" id="{name}">.*?</table>', text, re.S)[0]
    tree = ElementTree.fromstring(table)
    return [["".join(cell.itertext()) for cell in line] for line in tree.iter("tr")]
