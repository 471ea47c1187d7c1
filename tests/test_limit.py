import pytest

import keras_models
from export.round_kernels import round_kernels
from keras_models import limit
from keras_models.fold import plain
from keras_models.plain_file import load_plain, save_plain
from runtime.errors import BadContract, BadOption, WrongNetwork


def test_a_network_is_refused_before_it_is_too_large_for_memory(monkeypatch):
    count = keras_models.build("c-unet", width=4)[0].count_params()
    monkeypatch.setattr(limit, "MOST", count)
    keras_models.build("c-unet", width=4)
    monkeypatch.setattr(limit, "MOST", count - 1)
    with pytest.raises(BadOption, match="size of c-unet .*less width"):
        keras_models.build("c-unet", width=4)


def test_a_file_that_asks_for_too_large_a_network_is_refused_in_words(tmp_path, monkeypatch):
    model, contract = keras_models.build("c-unet", width=4)
    keras_models.save(model, contract, tmp_path / "float.npz")
    save_plain(round_kernels(plain(model), bits=4), contract, tmp_path / "plain.npz")
    monkeypatch.setattr(limit, "MOST", 1000)
    with pytest.raises(WrongNetwork, match="size of c-unet"):
        keras_models.load(tmp_path / "float.npz")
    with pytest.raises(BadContract, match="size of c-unet"):
        load_plain(tmp_path / "plain.npz")
