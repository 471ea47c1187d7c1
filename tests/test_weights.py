import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_models
from keras_models.weights import read
from runtime.contract import Contract, digest
from runtime.errors import AlteredFile, BadContract, Error, FileError, UnreadableFile, WrongNetwork


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model, contract = keras_models.build("c-unet++", width=2)
    path = tmp_path_factory.mktemp("weights") / "tiny.npz"
    return model, keras_models.save(model, contract, path), path


def test_weights_come_back_to_the_bit_with_their_contract(saved):
    model, contract, path = saved
    again, found = keras_models.load(path)
    assert found == contract
    assert len(found.digest) == 64
    for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_same_weights_give_the_same_bytes(saved, tmp_path):
    model, contract, path = saved
    keras_models.save(model, contract, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [("c-unet", {"width": 2}, "network 'c-unet\\+\\+'"), ("c-unet++", {"width": 3}, "options .*width=2")],
)
def test_weights_of_another_network_are_named_and_refused(saved, name, options, words):
    other, contract = keras_models.build(name, **options)
    before = other.get_weights()
    with pytest.raises(WrongNetwork, match=words):
        keras_models.restore(other, contract, saved[2])
    for ours, theirs in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_file_older_than_an_option_is_of_a_network_that_leaves_it_alone(saved, tmp_path):
    model, contract, _ = saved
    older = replace(contract, options={"width": 2}, digest="")
    keras_models.save(model, older, tmp_path / "older.npz")
    again, own = keras_models.build("c-unet++", width=2)
    keras_models.restore(again, own, tmp_path / "older.npz")
    for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    other, own = keras_models.build("c-unet++", width=2, in_channels=9)
    with pytest.raises(WrongNetwork, match=r"options .*in_channels=4"):
        keras_models.restore(other, own, tmp_path / "older.npz")


@pytest.mark.parametrize("change", ["missing", "foreign", "shape"])
def test_nothing_is_half_loaded(saved, tmp_path, change):
    """A file that is whole and honest about its digest, but whose arrays do not suit its own network."""
    _, contract, path = saved
    contract, arrays = read(path)
    last = sorted(arrays)[-1]
    if change == "missing":
        del arrays[last]
    elif change == "foreign":
        arrays["stranger"] = np.zeros(3, np.float32)
    else:
        arrays[last] = np.zeros((*arrays[last].shape, 1), np.float32)
    contract = replace(contract, digest=digest(contract, arrays))
    odd = tmp_path / "odd.npz"
    np.savez(odd, contract=np.array(contract.to_json()), **arrays)
    model, own = keras_models.build(contract.network, **contract.options)
    before = model.get_weights()
    with pytest.raises(WrongNetwork, match="stranger" if change == "foreign" else last):
        keras_models.restore(model, own, odd)
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_truncated_or_altered_file_is_refused(saved, tmp_path_factory, data):
    whole = saved[2].read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    path = tmp_path_factory.mktemp("bad") / "bad.npz"
    path.write_bytes(whole[:cut])
    with pytest.raises(FileError, match="bad.npz"):
        read(path)
    flipped = bytearray(whole)
    flipped[cut] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(flipped)
    try:
        contract, arrays = read(path)
    except Error:
        return
    # A bit that carries nothing (a time stamp of the zip) may flip: then what is read is what was written.
    good, wanted = read(saved[2])
    assert contract == good
    assert all((arrays[k] == wanted[k]).all() for k in wanted)


def test_an_array_changed_with_care_is_still_noticed(saved, tmp_path):
    contract, arrays = read(saved[2])
    first = next(iter(arrays))
    arrays[first] = arrays[first] + np.float32(1e-7)
    forged = tmp_path / "forged.npz"
    np.savez(forged, contract=np.array(contract.to_json()), **arrays)
    with pytest.raises(AlteredFile, match="digest"):
        read(forged)


def test_a_contract_changed_with_care_is_still_noticed(saved, tmp_path):
    contract, arrays = read(saved[2])
    np.savez(tmp_path / "forged.npz", contract=np.array(replace(contract, halo=0).to_json()), **arrays)
    with pytest.raises(AlteredFile):
        read(tmp_path / "forged.npz")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a foreign pickle was run",))


def test_foreign_files_are_refused_and_none_of_their_code_is_run(tmp_path, saved):
    files = {
        name: tmp_path / name for name in ("pickle.npz", "model.keras", "model.h5", "none.npz", "text.npz", "empty.npz")
    }
    np.savez(files["pickle.npz"], bomb=np.array([Bomb()], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(files["model.keras"], "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Lambda"}))
    files["model.h5"].write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    np.savez(files["none.npz"], a=np.zeros(3))
    files["text.npz"].write_text("hello")
    files["empty.npz"].touch()
    for name, path in files.items():
        with pytest.raises(BadContract if name == "none.npz" else FileError, match=name):
            read(path)
    for name in ("pickle.npz", "text.npz", "model.h5", "empty.npz"):
        with pytest.raises(UnreadableFile, match="no weights file"):
            read(files[name])
    with pytest.raises(UnreadableFile, match="cannot be read"):
        read(tmp_path / "absent.npz")


def test_weights_of_a_network_that_left_the_zoo_say_so(saved, tmp_path):
    contract, arrays = read(saved[2])
    contract = replace(contract, network="gone", digest="")
    contract = replace(contract, digest=digest(contract, arrays))
    file = io.BytesIO()
    np.savez(file, contract=np.array(contract.to_json()), **arrays)
    (tmp_path / "gone.npz").write_bytes(file.getvalue())
    with pytest.raises(WrongNetwork, match="no network is named 'gone'"):
        keras_models.load(tmp_path / "gone.npz")
    assert Contract.from_json(contract.to_json(), source="x") == contract
