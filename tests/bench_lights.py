"""Is light kept where hardly any came in: a white disc before black, and even greys, by six random cameras; a table.

    python tests/bench_lights.py --model fast --model fast.onnx

What a model makes in linear light, in shares of what it should be, the least and the greatest of the cameras; and how
many levels above black the scene is, in the mean of red, green and blue.
"""

import argparse

import numpy as np
from bench_models import UNET, At, enhanced

from quant.pairs import Pairs
from runtime import session

RATIOS = (100.0, 300.0)
GREYS = (0.03, 0.1, 0.3)
BLACK, WHITE = 0.02, 1.0
SIDE, CAMERAS, SEED = 256, 6, 77  # packed pixels
RIM = 32  # pixels that nobody is judged by


def disc(rng, least):
    """White in the middle, two fifths of the side across."""
    y, x = np.mgrid[:least, :least] - least / 2
    return np.broadcast_to(np.where(np.hypot(y, x) < least / 5, WHITE, BLACK).astype(np.float32), (3, least, least))


def even(grey):
    return lambda rng, least: np.full((3, least, least), grey, np.float32)


def shares(model, samples, part):
    """What the model makes of each sample there, of what it should."""
    made = [(enhanced(model, one)[0][part].mean(), one.colours.transpose(1, 2, 0)[part].mean()) for one in samples]
    return [float(found / wanted) for found, wanted in made]


def levels(sample, part):
    """How many levels above black the truth is, a pixel of the dark frame."""
    return float(
        sample.colours.transpose(1, 2, 0)[part].mean() / sample.ratio * (sample.raw.white - np.mean(sample.raw.black))
    )


def main():
    """A line for each scene and ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, help="a model's name or file")
    models = {name: session.open(name) for name in parser.parse_args().model}
    middle = slice(SIDE - SIDE // 5, SIDE + SIDE // 5)
    scenes = [("white disc", disc, middle), *((f"grey {one:g}", even(one), slice(RIM, -RIM)) for one in GREYS)]
    print(f"| | levels | {' | '.join(models)} |\n| --- | ---: |{' ---: |' * len(models)}")
    for ratio in RATIOS:
        for name, scene, span in scenes:
            part = span, span
            pairs = Pairs(UNET, seed=SEED, size=SIDE, scenes=(scene,), shots=At(ratio), pool=CAMERAS)
            samples = [pairs.sample(number) for number in range(CAMERAS)]
            seen = sorted(levels(one, part) for one in samples)
            cells = [sorted(shares(model, samples, part)) for model in models.values()]
            told = " | ".join(f"{found[0]:.2f} to {found[-1]:.2f}" for found in cells)
            print(f"| {name}, x{ratio:g} | {seen[0]:.2f} to {seen[-1]:.2f} | {told} |", flush=True)


if __name__ == "__main__":
    main()
