import re
from pathlib import Path

import numpy as np
from depth_model import depth_model
from PIL import Image

import keras_models
from keras_models.table import markdown, row
from keras_models.zoo import _ZOO

ROOT = Path(__file__).parent.parent
README, ZOO, RUNTIME = ((ROOT / f"{folder}README.md").read_text() for folder in ("", "keras_models/", "runtime/"))
ONE_IN_255 = 1  # level: JPEG gives a grey back but for rounding


def test_a_cameras_frames_become_pictures_as_it_says():
    example = re.search(r"```python\n(import numpy.*?)```", README, re.S)[1]
    exec(example, scope := {})  # the README's own code
    assert scope["picture"].shape == (*scope["mosaic"].shape, 3)
    assert scope["picture"].dtype == np.uint16
    assert scope["picture"].any()


def test_a_photograph_becomes_metres_as_it_says(tmp_path, monkeypatch):
    example = re.search(r"```python\n(import numpy.*?)```", RUNTIME, re.S)[1]
    monkeypatch.chdir(tmp_path)
    depth_model("depth.onnx")
    Image.new("RGB", (640, 480), (51, 51, 51)).save("room.jpg")
    exec(example, scope := {})  # the README's own code
    assert scope["metres"].shape == (56, 56)
    np.testing.assert_allclose(scope["metres"], 51 / 255 * 10, rtol=ONE_IN_255 / 51)


def test_the_zoo_table_is_what_qk_models_prints():
    assert markdown([row(name) for name in keras_models.names()]) in ZOO


def test_the_worked_example_builds_a_network_in_under_thirty_lines():
    example = re.search(r"```python\n(import tf_keras.*?)```", ZOO, re.S)[1]
    assert len(example.splitlines()) < 30
    known = set(_ZOO)
    try:
        scope = {}
        exec(example, scope)  # the README's own code
        (new,) = set(_ZOO) - known
        model, contract = keras_models.build(new)
        assert model(np.zeros((1, 32, 32, 4), np.float32)).shape == (1, 64, 64, 3)
        assert row(new).macs_mosaic > 0
        assert contract.halo % contract.multiple == 0
    finally:
        for name in set(_ZOO) - known:
            del _ZOO[name]
