import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_files import BAYER, X_TRANS
from test_pack import contract, raw_of, rolled

from quant.phase import aligned, cell, colours, packed, phase, step, unpacked
from runtime import pack

patterns = st.one_of(
    st.sampled_from(sorted(BAYER.values())),
    st.tuples(st.integers(0, 5), st.integers(0, 5)).map(lambda by: rolled(X_TRANS, *by)),
)


def numbered(height, width):
    return np.arange(height * width, dtype=np.uint16).reshape(height, width)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["bayer", "x-trans", "none"]), st.integers(1, 6), st.integers(1, 6))
def test_unpacking_undoes_packing(cfa, rows, columns):
    asked, size = contract(cfa), len(cell(cfa))
    mosaic = numbered(rows * size, columns * size)
    assert np.array_equal(unpacked(packed(mosaic, asked), asked), mosaic)


@pytest.mark.parametrize("cfa", ["bayer", "x-trans"])
def test_packing_is_the_runtimes_with_no_levels(cfa):
    asked, pattern = contract(cfa), X_TRANS if cfa == "x-trans" else BAYER["RGGB"]
    mosaic = numbered(24, 36)
    raw = raw_of(mosaic, pattern=pattern, black=tuple((0.0,) * len(row) for row in pattern), white=1000.0)
    planes = pack.planes(raw, pack.frame(raw, contract(cfa, multiple=1)), asked, ratio=1.0)
    ours = packed(mosaic, asked).transpose(2, 0, 1)
    assert np.allclose(planes, ours / 1000, atol=1e-6)  # float32


@settings(max_examples=80, deadline=None)
@given(patterns, st.integers(12, 40), st.integers(12, 40))
def test_an_aligned_frame_is_the_part_of_the_sensor_it_says_and_needs_no_padding(pattern, height, width):
    size = len(pattern)
    black = tuple(tuple(500.0 + 10 * y + x for x in range(size)) for y in range(size))
    raw = raw_of(numbered(height, width), pattern=pattern, black=black)
    cut, top, left = aligned(raw)
    rows, columns = cut.mosaic.shape
    assert np.array_equal(cut.mosaic, raw.mosaic[top : top + rows, left : left + columns])
    assert cut.black[1][0] == black[(top + 1) % size][left % size]
    assert cut.pattern[1][0] == pattern[(top + 1) % size][left % size]
    assert rows % size == columns % size == 0
    assert rows > height - 2 * size
    asked = contract(raw.cfa, multiple=1)
    laid = pack.frame(cut, asked)
    assert (laid.phase, laid.height * asked.pack, laid.width * asked.pack) == ((0, 0), rows, columns)


def test_half_cells_and_foreign_mosaics_are_a_callers_bug():
    with pytest.raises(ValueError, match="no whole cells"):
        packed(numbered(9, 12), contract("x-trans"))
    with pytest.raises(ValueError, match="no whole cells"):
        unpacked(np.zeros((3, 4, 9)), contract("x-trans"))
    with pytest.raises(ValueError, match="begins like"):
        phase(np.zeros((12, 12), int), "bayer")


def test_a_crop_of_bayer_may_begin_anywhere_one_of_x_trans_at_every_second_packed_pixel():
    assert [step(contract(cfa)) for cfa in ("bayer", "x-trans", "none")] == [1, 2, 1]
    assert colours("bayer", (7, 8)).shape == (5, 4)
