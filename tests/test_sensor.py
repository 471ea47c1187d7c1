import numpy as np
import pytest
from raw_files import ABOUT, MATRIX, QUAD, X_TRANS, scene

from runtime import sensor
from runtime.errors import NoPicture, UnsupportedRaw
from runtime.ifd import Tiff
from runtime.raw import About


def facts(**changes):
    """What LibRaw says of an ordinary file."""
    plain = {
        "height": 24,
        "width": 36,
        "flip": 0,
        "colours": "RGBG",
        "pattern": [[0, 1], [3, 2]],
        "black": [512.0] * 4,
        "levels": None,
        "white": 16383.0,
        "white_per_channel": [],
        "wb": [2.0, 1.0, 1.5, 0.0],
        "daylight": [2.2, 0.9, 1.1, 0.0],
        "xyz2cam": MATRIX,
        "cam2rgb": [[0.0] * 3] * 3,
        **dict.fromkeys(("iso", "exposure", "aperture", "focal_length", "taken", "lens")),
    }
    return {**plain, **changes}


def raw_of(*, mosaic=None, about=ABOUT, **changes):
    mosaic = scene(24, 36) if mosaic is None else mosaic
    return sensor.to_raw("a.dng", facts(**changes), mosaic, about=about, dng=True)


@pytest.mark.parametrize(
    "wb", [[-1.0] * 4, [0.0, 1.0, 0.0, 0.0], [0.0] * 4, [float("nan"), 1.0, 1.0, 1.0], [1e9, 1.0, 1.0, 1.0]]
)
def test_a_white_balance_that_cannot_be_is_none(wb):
    raw = raw_of(wb=wb)
    assert (raw.wb, raw.wb_known) == ((2.2 / 0.9, 1.0, 1.1 / 0.9), False)
    raw = raw_of(wb=wb, daylight=wb)
    assert (raw.wb, raw.wb_known) == ((1.0, 1.0, 1.0), False)
    assert raw_of().wb_known  # the check can fail


def test_a_camera_nobody_knows_keeps_its_colours():
    nothing = [[0.0] * 3] * 3
    raw = raw_of(xyz2cam=nothing)
    assert (np.array(raw.cam2rgb) == np.eye(3)).all()
    assert raw.xyz2cam is None
    for bad in ([[float("nan")] * 3] * 3, [[1.0] * 3] * 3, (-np.array(MATRIX)).tolist()):
        assert raw_of(xyz2cam=bad).xyz2cam is None


def test_the_matrix_of_an_unknown_dng_is_regained_from_what_libraw_keeps_of_it():
    camera = np.array(MATRIX) @ sensor.SRGB2XYZ
    sums = camera.sum(axis=1)
    kept = {"cam2rgb": np.linalg.inv(camera / sums[:, None]), "daylight": [*(1 / sums), 0.0]}
    raw = raw_of(xyz2cam=[[0.0] * 3] * 3, **kept)
    np.testing.assert_allclose(raw.xyz2cam, MATRIX)
    np.testing.assert_allclose(raw.cam2rgb, kept["cam2rgb"])


def test_the_white_of_the_channels_goes_before_the_general_one():
    assert raw_of(white_per_channel=[15000.0, 15100.0, 0.0, 15000.0]).white == 15000.0
    assert raw_of(white_per_channel=[0.0] * 4).white == 16383.0


def test_libraw_fills_in_what_exif_does_not_say():
    known = {"iso": 50.0, "exposure": 0.25, "aperture": 2.8, "focal_length": 7.0, "lens": "zoom", "flip": 5}
    raw = raw_of(about=About(), taken="2021:03:26 21:16:32", **known)
    wanted = {**known, "taken": "2021:03:26 21:16:32", "orientation": 8}
    del wanted["flip"]
    assert raw.about == About(**wanted)
    assert raw_of(taken="2021:03:26 21:16:32", **known).about == ABOUT
    assert raw_of(about=About(), exposure=0.0, iso=float("nan")).about == About()


def test_kinds_no_file_of_which_can_be_made_here_are_refused_by_name_too():
    with pytest.raises(UnsupportedRaw, match="is an sRAW"):
        sensor.to_raw("a.cr2", facts(pattern=None), None, about=ABOUT, dng=False)
    with pytest.raises(UnsupportedRaw, match="colours GMCY"):
        raw_of(colours="GMCY")
    with pytest.raises(UnsupportedRaw, match="4 x 4 cell"):
        raw_of(pattern=[list(row) for row in QUAD])


def test_a_visible_area_smaller_than_a_cell_is_no_picture():
    with pytest.raises(NoPicture, match="1 x 1 visible"):
        raw_of(mosaic=scene(1, 1), height=1, width=1)


@pytest.mark.parametrize(("black", "white"), [(16383, 16383), (20000, 16383), (512, 0)])
def test_a_white_that_is_not_above_black_is_refused(black, white):
    with pytest.raises(NoPicture, match=f"a white level of {white} and a black level of {black}"):
        raw_of(black=[float(black)] * 4, white=float(white))


def test_levels_that_repeat_as_the_colours_do_are_taken_and_others_refused():
    assert raw_of(levels=[[500.0, 510.0]]).black == ((500.0, 510.0), (500.0, 510.0))
    assert raw_of(levels=[[500.0, 510.0] * 2, [520.0, 530.0] * 2] * 2).black == ((500.0, 510.0), (520.0, 530.0))
    thirds = [[500.0 + y + x for x in range(3)] for y in range(3)]
    assert raw_of(pattern=X_TRANS, levels=thirds).black[5] == (502.0, 503.0, 504.0) * 2
    for many in (thirds, [[500.0, 510.0, 520.0, 530.0]], [[500.0, 510.0]] * 3 + [[500.0, 511.0]]):
        with pytest.raises(UnsupportedRaw, match=f"levels repeat after {len(many)} x {len(many[0])} pixels"):
            raw_of(levels=many)


def test_levels_begin_where_the_active_area_does():
    mosaic = {262: (32803,), 256: (60,), 257: (40,), 50706: b"\1\4\0\0", 50713: (2, 3), 50714: (1, 2, 3, 4, 5, 6)}
    told = {**mosaic, 50829: (5, 7, 40, 60)}
    assert sensor.levels(Tiff([told]), top=5, left=7) == [[1, 2, 3], [4, 5, 6]]
    assert sensor.levels(Tiff([told]), top=6, left=8) == [[5, 6, 4], [2, 3, 1]]
    assert sensor.levels(Tiff([mosaic]), top=0, left=2) == [[3, 1, 2], [6, 4, 5]]
    preview = {262: (2,), 256: (9000,), 257: (9000,), 50713: (1, 2), 50714: (8, 9)}
    assert sensor.levels(Tiff([preview, told]), top=5, left=7) == [[1, 2, 3], [4, 5, 6]]
    more = {50715: ((1, 2), (3, 2)), 50716: ((-1, 4),)}
    assert sensor.levels(Tiff([{**told, **more}]), top=5, left=7) == [[1.75, 2.75, 3.75], [4.75, 5.75, 6.75]]


@pytest.mark.parametrize(
    "odd", [{50714: (7,) * 6}, {50714: (1, 2)}, {50714: "text"}, {50713: (0, 3)}, {50714: ((1, 0),) * 6}, {262: (2,)}]
)
def test_levels_that_are_one_or_make_no_sense_are_left_to_libraw(odd):
    told = {262: (32803,), 256: (60,), 257: (40,), 50706: b"", 50713: (2, 3), 50714: (1, 2, 3, 4, 5, 6), **odd}
    assert sensor.levels(Tiff([told]), top=0, left=0) is None
