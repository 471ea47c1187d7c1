"""`python tests/arm64.py ROOT [--maker SCRIPT]`: the runtime on an ARM board, played by qemu, against this machine.

ROOT is a folder with an aarch64 Python 3.11 and the runtime's wheels in ROOT/site; SCRIPT makes it if it is not there.
It needs root's rights for chroot, and qemu-aarch64-static in ROOT/usr/bin. Small networks and a small frame are made
here, both worlds compute the same, and the numbers are compared: planes equal, float within 1e-5 of the range, int8
within one step. Exit code 1 if any is not. Convolutions run some 170 times slower there: this takes a minute or two.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
QEMU, PYTHON = "/usr/bin/qemu-aarch64-static", "/usr/bin/python3.11"
MODELS = ("float.onnx", "float.tflite", "int8.onnx", "int8.tflite")
FRAME = "frame.dng"
HEIGHT, WIDTH = 96, 128  # of the mosaic
BLACK, WHITE, RATIO = 512, 16383, 100.0
FLOAT = 1e-5  # of the range: the same sums in another order
ROUNDING = 1.01  # levels of 65535: either way at a tie
# An exec in there would not pass through qemu again: the shebang does, for children that are started with -c.
CHILD = f"#!{QEMU} {PYTHON}\nimport sys\ncode = sys.argv[2]\nsys.argv[:] = sys.argv[1:2] + sys.argv[3:]\nexec(code)\n"
CUSTOM = "import sys\nsys.executable = '/code/python'\n"
QK_RUN = ("-c", "from runtime.cli import main; main(prog_name='qk-run')")


def inside(folder):
    """What both worlds compute, with nothing but the runtime: kept in answers.npz."""
    import numpy as np

    from runtime import pack
    from runtime.decode import read
    from runtime.litert import LiteRT
    from runtime.ort import OnnxRuntime

    answers = {}
    x = (np.arange(48 * 64 * 4) * 7919 % 65537 / 65536).astype(np.float32).reshape(1, 48, 64, 4)
    for name in MODELS:
        if name.endswith(".onnx"):
            session = OnnxRuntime(folder / name, threads=1)
            made = session.run(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))["picture"].transpose(0, 2, 3, 1)
        else:
            session = LiteRT(folder / name, threads=1)
            made = session.run(x)["picture"]
        answers[name] = made
    raw = read(folder / FRAME)
    frame = pack.frame(raw, session.contract)
    answers["mosaic"] = raw.mosaic
    answers["planes"] = pack.planes(raw, frame, session.contract, ratio=RATIO, rows=(0, frame.height))
    np.savez(folder / "answers.npz", **answers)


def made(folder):
    """Networks in both forms and formats, and a dark frame with a gradient in it."""
    import conftest  # noqa: F401 (quiet logs)
    import numpy as np
    import tf_keras
    import tifffile

    import keras_models
    from export.write import write
    from keras_models.fold import plain
    from quant.lower_tfmot import lower_tfmot
    from quant.qat import quantization_aware

    tf_keras.utils.set_random_seed(20180401)
    model, contract = keras_models.build("unet", width=4)
    x = np.random.default_rng(0).random((2, 48, 64, 4), np.float32)
    nets = {
        "float": (plain(model), contract),
        "int8": (lower_tfmot(quantization_aware(model, samples=x)), replace(contract, scheme="tfmot")),
    }
    for name in MODELS:
        write(*nets[Path(name).stem], folder / name)
    y = np.linspace(0, 150, HEIGHT)[:, None] + np.random.default_rng(1).normal(0, 8, (HEIGHT, WIDTH))
    mosaic = np.clip(np.rint(BLACK + y), 0, WHITE).astype(np.uint16)
    camera = [10000 if i % 4 == 0 else 0 for i in range(9)]
    tags = [
        (271, 2, 0, "QK", True),
        (272, 2, 0, "Test", True),
        (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, bytes((0, 1, 1, 2)), True),
        (50706, 1, 4, bytes((1, 4, 0, 0)), True),
        (50708, 2, 0, "QK Test", True),
        (50714, 3, 1, BLACK, True),
        (50717, 4, 1, WHITE, True),
        (50721, 10, 9, tuple(n for value in camera for n in (value, 10000)), True),
        (50728, 5, 3, (1, 2, 1, 1, 5, 8), True),
        (50778, 3, 1, 21, True),
    ]
    tifffile.imwrite(folder / FRAME, mosaic, photometric=32803, extratags=tags, metadata=None)


def world(root, work):
    """A function that runs Python with arguments in ROOT, or here if there is none; its folder is `work`."""

    def run(*arguments):
        begin = time.perf_counter()
        if root is None:
            line, env = [sys.executable, *arguments], {**os.environ, "PYTHONPATH": str(REPO)}
        else:
            line = ["chroot", str(root), QEMU, "-E", "PYTHONPATH=/code:/site", PYTHON, *arguments]
            env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}
        done = subprocess.run(line, capture_output=True, text=True, check=False, env=env, cwd=work)
        where = "here " if root is None else "aarch64"
        shown = " ".join(arguments).replace(QK_RUN[1], "qk-run").removeprefix("-c ").partition("\n")[0]
        print(f"{where:8} {shown[:90]:90} {time.perf_counter() - begin:6.1f} s, exit {done.returncode}")
        if done.returncode:
            print("\n".join(done.stderr.splitlines()[-6:]))
        return done

    return run


def furnish(root, maker):
    """Make ROOT if need be, add what it lacks, and put this project's runtime into ROOT/code."""
    if not (root / QEMU[1:]).exists():
        if maker is None:
            sys.exit(f"error: {root} is no aarch64 root: make it, or name the script that does with --maker")
        subprocess.run(["bash", str(maker), str(root)], check=True)
    pins = [line for line in (REPO / "constraints.txt").read_text().splitlines() if "python_version <" not in line]
    lacks = [
        line.split(";")[0] for line in pins if (name := line.split("==")[0]) in ("pillow", "tifffile")
        and not list((root / "site").glob(f"{name}-*.dist-info"))
    ]  # fmt: skip
    if lacks:
        wheels = [f"manylinux_2_{n}_aarch64" for n in (28, 27, 17)]
        places = [word for wheel in (*wheels, "manylinux2014_aarch64") for word in ("--platform", wheel)]
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--only-binary=:all:", "--target",
             str(root / "site"), "--python-version", "3.11", "--implementation", "cp", *places, *lacks],
            check=True,
        )  # fmt: skip
    code = root / "code"
    shutil.rmtree(code, ignore_errors=True)
    shutil.copytree(REPO / "runtime", code / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(__file__, code / "arm64.py")
    version = re.search(r'^version = "(.*)"', (REPO / "pyproject.toml").read_text(), re.M)[1]
    about = code / f"qk_unet-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: qk-unet\nVersion: {version}\n")
    (code / "sitecustomize.py").write_text(CUSTOM)
    (code / "python").write_text(CHILD)
    (code / "python").chmod(0o755)


def step_of(levels):
    """The distance of neighbouring levels of an output that lies on a grid."""
    import numpy as np

    return float(np.median(np.diff(np.unique(np.round(levels.astype(np.float64), 6)))))


def verdict(name, found, wanted, allowed, unit):
    """Print how far apart two arrays are, and return whether that is near enough."""
    import numpy as np

    if found.shape != wanted.shape:
        print(f"DIFFERS  {name:28} shapes {found.shape} and {wanted.shape}")
        return False
    off = np.abs(found.astype(np.float64) - wanted.astype(np.float64))
    fine = bool(np.all(off <= allowed))  # NaN is not
    print(
        f"{'ok' if fine else 'DIFFERS':8} {name:28} at most {off.max():.3g} {unit} (allowed {allowed:.3g}), "
        f"{np.mean(off == 0):.2%} of {off.size:,} equal, range {np.ptp(wanted.astype(np.float64)):.4g}"
    )
    return fine


def compared(here, there):
    """All that was computed, held side by side."""
    import numpy as np
    import tifffile

    wanted, found = (np.load(folder / "answers.npz") for folder in (here, there))
    fine = [verdict(name, found[name], wanted[name], 0, "") for name in ("mosaic", "planes")]
    for name in MODELS:
        quantized = name.startswith("int8")
        near = step_of(wanted[name]) * 1.01 if quantized else FLOAT * float(np.ptp(wanted[name]))
        fine.append(verdict(name, found[name], wanted[name], near, ""))
        tiffs = [sorted((folder / f"out-{name}").glob("*.tif*")) for folder in (here, there)]
        if not all(tiffs):
            print(f"DIFFERS  enhance with {name}: no picture was written")
            fine.append(False)
            continue
        pictures = [tifffile.imread(one[0]) for one in tiffs]
        fine.append(verdict(f"enhance with {name}", pictures[1], pictures[0], near * 65535 + ROUNDING, "of 65535"))
    return all(fine)


def doctored(run):
    """Whether the doctor runs and every engine's self-test, if it reports one, is well."""
    done = run(*QK_RUN, "doctor", "--json")
    if done.returncode:
        return False
    report = json.loads(done.stdout.splitlines()[-1])
    for engine in report["engines"]:
        print(f"         {engine['name']} {engine['version']} {', '.join(engine['providers'])}")
    # Whatever the command shows, the self-tests are asked for.
    code = "from runtime.doctor import self_test\nfrom runtime.selftest import SELF_TESTS\n"
    code += "for name in SELF_TESTS: print(self_test(name))"
    done = run("-c", code)
    print(*(f"         {line}" for line in done.stdout.splitlines()), sep="\n")
    return done.returncode == 0 and "ok=False" not in done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, nargs="?")
    parser.add_argument("--maker", type=Path, help="the script that makes ROOT, called with ROOT")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return inside(options.inside)
    if options.root is None:
        parser.error("ROOT is missing")
    root = options.root.resolve()
    furnish(root, options.maker)
    there = root / "work"
    here = root / "work-x86"
    for folder in (here, there):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    made(here)
    for name in (*MODELS, FRAME):
        shutil.copy(here / name, there / name)
    fine = []
    for run, script, work in ((world(None, here), __file__, here), (world(root, there), "/code/arm64.py", "/work")):
        fine.append(doctored(run))
        fine.append(run(str(script), "--inside", str(work)).returncode == 0)
        for name in MODELS:
            done = run(
                *QK_RUN, "enhance", f"{work}/{FRAME}", "-o", f"{work}/out-{name}", "--model", f"{work}/{name}",
                "--format", "tiff", "--ratio", str(int(RATIO)), "--provider", "cpu",
            )  # fmt: skip
            fine.append(done.returncode == 0)
    fine.append(all(fine) and compared(here, there))
    return sys.exit(0 if all(fine) else 1)


if __name__ == "__main__":
    sys.path.insert(0, str(REPO))
    main()
