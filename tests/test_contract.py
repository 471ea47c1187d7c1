import dataclasses
import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from contracts import UNET
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.contract import Contract, digest
from runtime.errors import BadContract, BadSize

WORDS = st.text(max_size=8)
GOOD = replace(UNET, options={"width": 32, "activation": "relu"}, output="srgb", figures={"psnr": 28.9})


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    network=WORDS,
    options=st.dictionaries(WORDS, st.one_of(st.integers(), WORDS, st.booleans(), st.floats(-9, 9))),
    scale=st.fractions(min_value=Fraction(1, 64), max_value=64, max_denominator=64),
    multiple=st.integers(1, 64),
    halo=st.one_of(st.none(), st.integers(0, 9)),
    figures=st.dictionaries(WORDS, st.floats(-1e9, 1e9)),
    exits=st.lists(WORDS, min_size=1, max_size=3).map(tuple),
)
def test_every_contract_survives_its_text(network, options, scale, multiple, halo, figures, exits):
    contract = dataclasses.replace(
        GOOD,
        network=network,
        options=options,
        scale=scale,
        multiple=multiple,
        halo=None if halo is None else halo * multiple,
        figures=figures,
        exits=exits,
    )
    assert Contract.from_json(contract.to_json(), source="x") == contract


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "version 1"),
        ({"version": None}, "version 1"),
        ({"halo": 95}, "95 is no multiple of 16"),
        ({"halo": -16}, "-16"),
        ({"halo": "96"}, "halo is '96'"),
        ({"task": "paint"}, "one of enhance, depth, segment"),
        ({"planes": ["R", "G", "B"]}, "no bayer mosaic"),
        ({"planes": "RGBG"}, "planes is"),
        ({"planes": []}, "empty"),
        ({"pack": True}, "pack is True"),
        ({"multiple": 0}, "multiple is 0"),
        ({"scale": "0"}, "scale is"),
        ({"scale": "1e999999999"}, "scale is"),
        ({"scale": 2}, "scale is"),
        ({"ratio_max": float("nan")}, "ratio_max"),
        ({"ratio_max": float("inf")}, "ratio_max"),
        ({"options": {"width": [1]}}, "options.width"),
        ({"figures": {"psnr": "good"}}, "figures.psnr"),
        ({"colour": 1}, "colour, which is unknown"),
    ],
)
def test_a_contract_that_cannot_be_is_refused_in_words(change, words):
    plain = {**json.loads(GOOD.to_json()), **change}
    with pytest.raises(BadContract, match=words) as caught:
        Contract.from_json(json.dumps(plain), source="model.onnx")
    assert "model.onnx" in str(caught.value)


def test_how_far_1_is_is_told_of_a_depth_alone_and_files_without_it_are_as_they_were():
    depth = replace(GOOD, task="depth", output="depth")
    told = replace(depth, metres_per_unit=10.0)
    assert Contract.from_json(told.to_json(), source="x") == told
    assert Contract.from_json(depth.to_json(), source="x").metres_per_unit is None
    assert "metres" not in depth.to_json(), "nor has the digest of an older file changed"
    assert digest(told, {}) != digest(depth, {})
    for wrong in (replace(GOOD, metres_per_unit=10.0), replace(told, metres_per_unit=0.0)):
        with pytest.raises(BadContract, match="metres_per_unit is"):
            Contract.from_json(wrong.to_json(), source="x")


def test_an_absent_a_torn_and_a_foreign_text_are_refused():
    lacking = json.loads(GOOD.to_json())
    del lacking["halo"]
    for text, words in [
        (None, "no contract"),
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        (GOOD.to_json()[:-9], "not JSON"),
        ("[]", "not a JSON object"),
        (json.dumps(lacking), "lacks halo"),
    ]:
        with pytest.raises(BadContract, match=words):
            Contract.from_json(text, source="x")


def test_the_digest_feels_every_value_name_shape_and_promise_but_not_itself():
    arrays = {"a": np.arange(6, dtype=np.float32), "b": np.zeros(2, np.int8)}
    base = digest(GOOD, arrays)
    assert base == digest(dataclasses.replace(GOOD, digest=base), dict(reversed(arrays.items())))
    others = [
        digest(dataclasses.replace(GOOD, halo=112), arrays),
        digest(GOOD, {**arrays, "a": arrays["a"].reshape(2, 3)}),
        digest(GOOD, {**arrays, "a": arrays["a"].view(np.int32)}),
        digest(GOOD, {"a": arrays["a"], "c": arrays["b"]}),
        digest(GOOD, {**arrays, "b": np.array([0, 1], np.int8)}),
    ]
    assert len({base, *others}) == 6


def test_a_size_that_is_no_multiple_is_refused_with_the_next_that_is():
    GOOD.require_size(16, 4256)
    for height, width, words in [
        (15, 32, "16 x 32"),
        (32, 33, "32 x 48"),
        (0, 16, "16 x 16"),
        (-16, 16, "16 x 16"),
    ]:
        with pytest.raises(BadSize, match=words):
            GOOD.require_size(height, width)


def test_bits_are_told_in_a_word():
    assert replace(UNET, weight_bits=4, activation_bits=8).bits == "w4a8"
    assert replace(UNET, weight_bits=32, activation_bits=32).bits == "float"
