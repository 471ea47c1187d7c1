import dataclasses
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.noise import Gaussian, Sensor, TukeyLambda, amplified, calibrated, drawn, exposed, noisy
from runtime.errors import UnreadableFile

DATA = Path(os.environ.get("QK_DATA", Path(__file__).parent.parent / ".." / "shared" / "data"))
HEADER = "iso,Kmax,sigGs,sigTL,lam,sigR,bl,wp"
LINES = (HEADER, "100,0.1,1.0,0.7,0.14,0.2,512,16383", "1600,1.5,6.0,3.2,-0.04,1.0,512,16383")
SENSOR = Sensor(K=0.9, read=TukeyLambda(-0.02, 2.0), row=0.7, black=512.0, white=16383.0)
SIDE = 512
# A variance estimated from n samples has a deviation of sqrt(2 / n), 0.3 % here, more with long tails and few rows.
A_FEW_PERCENT = 0.04
ROUNDING = 1 / 12  # of a uniform error of half a level


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def table(folder, *lines):
    path = folder / "noise.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def levels(sensor, light, *, rng, ratio=1.0):
    """What a flat scene of so many DN gives, in DN above black."""
    clean = np.full((SIDE, SIDE), light * ratio / (sensor.white - sensor.black), np.float32)
    return noisy(clean, sensor, ratio=ratio, rng=rng) * (sensor.white - sensor.black) / ratio


@pytest.mark.parametrize("light", [40.0, 200.0, 3000.0])
@pytest.mark.parametrize(
    "read", [Gaussian(2.5), TukeyLambda(-0.05, 1.2), TukeyLambda(0.14, 1.7), TukeyLambda(0.0, 1.0)]
)
def test_the_variance_is_that_of_electrons_reading_rows_and_rounding(light, read, rng):
    sensor = Sensor(K=0.9, read=read, row=0.3, black=512.0, white=16383.0)
    found = levels(sensor, light, rng=rng)
    wanted = sensor.K * light + read.sigma**2 + sensor.row**2 + ROUNDING
    assert found.mean() == pytest.approx(light, abs=5 * math.sqrt(sensor.row**2 / SIDE + wanted / SIDE**2))
    assert found.var() == pytest.approx(wanted, rel=A_FEW_PERCENT)
    assert found.var() != pytest.approx(wanted - sensor.K * light, rel=A_FEW_PERCENT)
    assert found.var() != pytest.approx(wanted + sensor.K * light, rel=A_FEW_PERCENT)


@pytest.mark.parametrize("read", [Gaussian(2.5), SENSOR.read])
def test_without_light_it_is_the_read_noise_alone_and_half_of_it_is_below_black(read, rng):
    sensor = dataclasses.replace(SENSOR, read=read)
    found = levels(sensor, 0.0, rng=rng)
    wanted = read.sigma**2 + sensor.row**2 + ROUNDING
    assert found.var() == pytest.approx(wanted, rel=A_FEW_PERCENT)
    assert (found < 0).mean() == pytest.approx(0.5, abs=0.1)  # rounded to whole levels, some are 0


def test_a_row_shares_one_draw_and_a_column_none(rng):
    loud = Sensor(K=0.01, read=Gaussian(1.0), row=5.0, black=512.0, white=16383.0)
    found = levels(loud, 0.0, rng=rng)
    assert found.mean(1).std() == pytest.approx(5.0, rel=0.1)  # of 512 draws: 3 % is their deviation
    assert found.mean(0).std() < 0.5
    planes = np.zeros((4, SIDE, SIDE), np.float32)
    with pytest.raises(ValueError, match="mosaic"):
        exposed(planes, loud, ratio=1.0, rng=rng)


@pytest.mark.parametrize("lam", [-0.2, -0.05, 0.0, 5e-5, 2e-4, 0.14, 0.5])
def test_the_deviation_of_a_tukey_lambda_law_is_the_formulas(lam, rng):
    law = TukeyLambda(lam, 2.0)
    assert law.draw((1000, 1000), rng).std() == pytest.approx(law.sigma, rel=0.02)  # long tails: 1 % and more
    assert law.sigma != pytest.approx(TukeyLambda(lam, 2.1).sigma, rel=0.02)


def test_at_the_least_and_the_greatest_uniform_number_a_draw_is_finite():
    class Ends:
        def random(self, shape, dtype):
            return np.array([0.0, np.nextafter(np.float32(1), np.float32(0))], dtype)

    for lam in (-0.1, 0.0, 0.1):
        assert np.isfinite(TukeyLambda(lam, 1.0).draw((2,), Ends())).all()


BRIGHT = 0.01  # a row shares its noise: at x100 the mean of 512 rows is off by less than this, five times over


def test_a_darker_shot_of_the_same_scene_is_noisier_and_as_bright(rng):
    clean = np.full((SIDE, SIDE), 0.5, np.float32)
    shots = {ratio: noisy(clean, SENSOR, ratio=ratio, rng=rng) for ratio in (1.0, 10.0, 100.0)}
    assert all(shot.mean() == pytest.approx(0.5, rel=BRIGHT) for shot in shots.values())
    assert shots[100.0].std() > 2 * shots[10.0].std() > 4 * shots[1.0].std()


def test_the_files_numbers_are_whole_and_between_nothing_and_white(rng):
    loud = Sensor(K=30.0, read=Gaussian(400.0), row=50.0, black=64.0, white=1023.0)
    found = exposed(np.linspace(0, 3, 10000, dtype=np.float32).reshape(100, 100), loud, ratio=1.0, rng=rng)
    assert found.dtype == np.uint16
    assert (found.min(), found.max()) == (0, 1023)
    seen = amplified(found, loud, ratio=2.0)
    assert seen.min() == pytest.approx(-64 * 2 / 959)
    assert seen.max() == pytest.approx(2.0)  # not cut at 1: that is the caller's


def test_the_same_seed_gives_the_same_noise_and_another_does_not():
    clean = np.full((8, 8), 0.3, np.float32)
    one, two, other = (exposed(clean, SENSOR, ratio=10, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_a_table_is_read_line_by_line(tmp_path):
    sensors = calibrated(table(tmp_path, *LINES))
    assert sensors[100] == Sensor(K=0.1, read=TukeyLambda(0.14, 0.7), row=0.2, black=512.0, white=16383.0)
    assert calibrated(table(tmp_path, *LINES), law=Gaussian)[1600].read == Gaussian(6.0)
    assert list(sensors) == [100, 1600]


def test_columns_may_stand_in_any_order_and_others_beside_them(tmp_path):
    turned = [",".join(["7", *reversed(line.split(","))]) for line in LINES]
    turned[0] = turned[0].replace("7", "more")
    assert calibrated(table(tmp_path, *turned)) == calibrated(table(tmp_path, *LINES))


@pytest.mark.parametrize("name", HEADER.split(","))
def test_a_column_that_is_missing_or_wrong_is_named(name, tmp_path):
    cells = dict(zip(HEADER.split(","), LINES[1].split(","), strict=True))
    without = [key for key in cells if key != name]
    with pytest.raises(UnreadableFile, match=f"noise.csv' has no column '{name}'"):
        calibrated(table(tmp_path, ",".join(without), ",".join(cells[key] for key in without)))
    for bad in ("x", "", "nan", "inf", "-9", "1e99"):
        line = ",".join({**cells, name: bad}.values())
        with pytest.raises(UnreadableFile, match=f"noise.csv' has '?{bad}.* in column '{name}', line 2"):
            calibrated(table(tmp_path, HEADER, line))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((HEADER,), "no line below"),
        ((LINES[0], LINES[1], LINES[1]), "line 3.*no other line"),
        ((HEADER, "100.5,0.1,1.0,0.7,0.14,0.2,512,16383"), "'iso', line 2.*whole"),
        ((HEADER, "100,0.1"), "column 'sigGs', line 2"),
        ((HEADER, "100,0.1,1.0,0.7,0.14,0.2,512,512"), "column 'wp', line 2.*from 513"),
    ],
)
def test_a_table_that_makes_no_sense_says_why(lines, words, tmp_path):
    with pytest.raises(UnreadableFile, match=words):
        calibrated(table(tmp_path, *lines))


def test_a_missing_or_binary_table_is_an_error_in_words(tmp_path):
    with pytest.raises(UnreadableFile, match="No such file"):
        calibrated(tmp_path / "none.csv")
    (tmp_path / "raw.csv").write_bytes(b"\xff\xfe\x00\x80" * 9)
    with pytest.raises(UnreadableFile, match="no CSV table"):
        calibrated(tmp_path / "raw.csv")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(text=st.text(alphabet=",.0123456789-einfa\n\r\"'x", max_size=60), header=st.booleans())
def test_whatever_a_table_holds_it_is_read_or_refused(text, header, tmp_path_factory):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_text(HEADER + "\n" + text if header else text)
    try:
        assert all(sensor.K > 0 for sensor in calibrated(path).values())
    except UnreadableFile as error:
        assert "t.csv" in str(error)


def test_random_sensors_follow_the_laws(rng):
    sensors = [drawn(rng) for _ in range(2000)]
    gains, rows = np.log([s.K for s in sensors]), np.log([s.row for s in sensors])
    slope, offset = np.polyfit(gains, rows, 1)
    assert (slope, offset) == (pytest.approx(0.5275, abs=0.03), pytest.approx(-0.5917, abs=0.05))  # four deviations
    assert {type(s.read) for s in sensors} == {Gaussian, TukeyLambda}
    assert 0.094 <= math.exp(gains.min()) < 0.12
    assert 25 < math.exp(gains.max()) <= 30
    tukey = np.median([s.read.sigma for s in sensors if isinstance(s.read, TukeyLambda)])
    gaussian = np.median([s.read.sigma for s in sensors if isinstance(s.read, Gaussian)])
    assert 0.5 < tukey / gaussian < 2  # two laws of the same noise


def test_of_fewer_bits_every_level_is_worth_more_electrons(rng):
    fine, coarse = (drawn(np.random.default_rng(3), black=0, white=white) for white in (15871.0, 1023.0))
    assert pytest.approx(fine.K * 1023 / 15871) == coarse.K
    assert fine.read.sigma / fine.K == pytest.approx(coarse.read.sigma / coarse.K)
    assert fine.row / fine.K == pytest.approx(coarse.row / coarse.K)


def test_the_calibrated_sensor_of_a_real_table_is_read():
    path = DATA / "sony_a7s2_noise.csv"
    if not path.exists():
        pytest.skip(f"no {path.name} in {DATA}: set QK_DATA")
    sensors = calibrated(path)
    assert len(sensors) == 28
    both = [(s.read.sigma, calibrated(path, law=Gaussian)[iso].read.sigma) for iso, s in sensors.items()]
    assert all(0.7 < tukey / gaussian < 1.3 for tukey, gaussian in both)  # two fits of the same frames
    assert sensors[1600].read.sigma > 2 * sensors[2000].read.sigma  # a second gain begins there
