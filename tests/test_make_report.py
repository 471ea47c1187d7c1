"""`make report` makes pictures that its own evaluation judged."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parent.parent / "Makefile"
TRAIN = """#!/bin/sh
mkdir -p report/pairs/dark && cd report/pairs/dark && touch 00000_x18.7958.dng 00001_x3.dng 00005_x250.dng
"""
RUN = """#!/bin/sh
echo "$@" >> said
"""


@pytest.fixture
def said(tmp_path):
    """The lines that `make report` gives to qk-run, in a folder of its own whose commands only tell what they are."""
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    folder = tmp_path / "venv/bin"
    folder.mkdir(parents=True)
    for name, script in (("qk-train", TRAIN), ("qk-run", RUN)):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1, 1))  # older than the environment, which is then ready
    (tmp_path / "venv/.ready").touch()
    words = ["make", "-f", MAKEFILE, "-C", tmp_path, "report", f"VENV={tmp_path / 'venv'}", "SHIPPED=fast small"]
    subprocess.run(words, check=True, capture_output=True)
    return [line.split() for line in (tmp_path / "said").read_text().splitlines()]


def test_each_picture_is_made_with_the_ratio_of_its_own_frame_by_every_model_and_amplified(said):
    made = [
        (line[1].rpartition("/")[2], line[line.index("--ratio") + 1], line[line.index("-o") + 1].rpartition("/")[2])
        for line in said
        if line[0] == "enhance"
    ]
    frames = [("00000_x18.7958.dng", "18.7958"), ("00005_x250.dng", "250")]
    assert made == [(*frame, model) for frame in frames for model in ("fast", "small", "amplified")]
    assert all(("--strength 0" in " ".join(line)) == ("pictures/amplified" in " ".join(line)) for line in said)
