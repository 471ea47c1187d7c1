"""`make bench`: times, as ratios within one run; each figure is the median of interleaved samples."""

import statistics
import subprocess
import sys
import time

REPEATS = 9
STARTS = {
    "python alone": "pass",
    "import runtime": "import runtime",
    **{f"{name} --help": f"from {module}.cli import main; main(['--help'])" for name, module in {
        "qk-run": "runtime", "qk-models": "keras_models", "qk-export": "export", "qk-train": "quant"}.items()},
}  # fmt: skip


def start_up():
    """How long a command takes to answer, against a Python that does nothing."""
    samples = {name: [] for name in STARTS}
    for _ in range(REPEATS):
        for name, code in STARTS.items():
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
            samples[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(times) for name, times in samples.items()}
    print(f"{'start-up':20} {'s':>6} {'ratio':>6}")
    for name, median in medians.items():
        print(f"{name:20} {median:6.3f} {median / medians['python alone']:6.1f}")


if __name__ == "__main__":
    start_up()
