import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.checkpoint import best, latest, load, save
from runtime.errors import AlteredFile, FileError, UnreadableFile

ROOT = Path(__file__).parent.parent


def arrays(step):
    rng = np.random.default_rng(step)
    return {
        "weight/0": rng.normal(size=(3, 3, 4, 8)).astype(np.float32),
        "optimizer/iterations": np.array(step, np.int64),
        "random": rng.integers(0, 2**63, 4, dtype=np.uint64),
        "empty": np.zeros((0, 2), np.float16),
        "done": np.array([True, False]),
    }


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert (array.dtype, array.shape) == (theirs[name].dtype, theirs[name].shape)
        np.testing.assert_array_equal(array, theirs[name])


def steps_in(folder):
    return sorted(int(path.name[5:-4]) for path in Path(folder).glob("step-*.npz"))


def test_what_was_saved_comes_back_to_the_bit(tmp_path):
    facts = {"seed": 7, "position": [1, 2], "recipe": "ünet", "rate": 0.1 + 0.2, "last": None}
    path = save(tmp_path / "new", 12, arrays(12), facts)
    found = latest(tmp_path / "new")
    assert (path.name, found.path, found.step, found.facts) == ("step-00000012.npz", path, 12, facts)
    assert found.passed_over == ()
    same(arrays(12), found.arrays)


def test_the_same_arrays_give_the_same_bytes(tmp_path):
    a, b = (save(tmp_path / name, 1, arrays(1), {"x": 1}).read_bytes() for name in "ab")
    assert a == b
    assert a != save(tmp_path / "a", 1, arrays(1), {"x": 2}).read_bytes()


def test_facts_come_back_as_json_knows_them(tmp_path):
    save(tmp_path, 1, {}, {"sizes": (1, 2), "by": {2: "b", 10: "a"}})
    assert latest(tmp_path).facts == {"sizes": [1, 2], "by": {"2": "b", "10": "a"}}


def test_an_array_in_another_order_of_bytes_comes_back_too(tmp_path):
    odd = {"big": np.arange(4, dtype=">i4"), "slice": np.arange(12).reshape(3, 4)[:, ::2], "one": np.array(3.0)}
    save(tmp_path, 1, odd, {})
    same(odd, latest(tmp_path).arrays)


def test_there_is_none_where_none_was_saved(tmp_path):
    assert latest(tmp_path / "nowhere") is None
    (tmp_path / "notes.npz").write_bytes(b"mine")
    assert latest(tmp_path) is None
    assert best(tmp_path) is None


def test_the_last_three_and_the_best_are_kept(tmp_path):
    for step, score in [(1, 20.0), (2, 31.5), (3, 30.0), (4, float("nan")), (5, 31.5), (6, None), (7, 29.0)]:
        save(tmp_path, step, arrays(step), {}, best=score)
    assert steps_in(tmp_path) == [2, 5, 6, 7]
    assert (best(tmp_path).step, best(tmp_path).score, latest(tmp_path).score) == (2, 31.5, 29.0)


def test_more_or_fewer_are_kept_on_request(tmp_path):
    for step in range(6):
        save(tmp_path, step, {}, {}, keep=1 if step < 3 else 2)
    assert steps_in(tmp_path) == [4, 5]


def test_later_files_than_the_one_saved_are_left_alone(tmp_path):
    """A run that passed over three damaged files goes on before them: its own new file must not be the oldest."""
    for step in (10, 20, 30, 40):
        save(tmp_path, step, arrays(step), {}, keep=9)
    for step in (20, 30, 40):
        (tmp_path / f"step-{step:08}.npz").write_bytes(b"")
    for step in (12, 14, 16, 18):
        save(tmp_path, step, arrays(step), {})
    assert steps_in(tmp_path) == [14, 16, 18, 20, 30, 40]
    assert latest(tmp_path).step == 18


DAMAGE = {
    **{f"cut at {tenth} tenths": lambda whole, tenth=tenth: whole[: len(whole) * tenth // 10] for tenth in range(10)},
    "last byte missing": lambda whole: whole[:-1],
    "foreign": lambda whole: b"\x89PNG\r\n\x1a\n" + bytes(200),
    "text": lambda whole: b"not a zip",
    "zeros": lambda whole: bytes(len(whole)),
    "foreign archive": lambda whole: archive(a=np.zeros(3)),
    "pickle": lambda whole: archive(header=np.array({"step": 1}, object)),
    "header that is no text": lambda whole: archive(header=np.zeros(3)),
    "header that is a list": lambda whole: archive(header=np.array("[1]")),
    "empty archive": lambda whole: archive(),
}


def archive(**members):
    file = io.BytesIO()
    np.savez(file, **members)
    return file.getvalue()


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path, damage):
    save(tmp_path, 1, arrays(1), {})
    newest = save(tmp_path, 2, arrays(2), {})
    newest.write_bytes(DAMAGE[damage](newest.read_bytes()))
    found = latest(tmp_path)
    assert found.step == 1
    assert [(error.path, type(error)) for error in found.passed_over] == [(newest, UnreadableFile)]
    assert newest.name in str(found.passed_over[0])
    same(arrays(1), found.arrays)
    save(tmp_path, 2, arrays(2), {})
    assert (latest(tmp_path).step, latest(tmp_path).passed_over) == (2, ())


def test_a_folder_or_a_link_to_nowhere_by_that_name_is_passed_over(tmp_path):
    save(tmp_path, 1, arrays(1), {})
    (tmp_path / "step-00000002.npz").mkdir()
    (tmp_path / "step-00000003.npz").symlink_to(tmp_path / "gone")
    assert latest(tmp_path).step == 1
    assert len(latest(tmp_path).passed_over) == 2


def test_a_run_of_which_nothing_is_whole_is_not_begun_again_in_silence(tmp_path):
    for step in (1, 2):
        save(tmp_path, step, {}, {}).write_bytes(b"")
    with pytest.raises(UnreadableFile, match="step-00000002.npz, step-00000001.npz.*begin again"):
        latest(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return save(tmp_path_factory.mktemp("whole"), 5, arrays(5), {"seed": 1}).read_bytes()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_flipped_bit_is_noticed_or_carries_nothing(whole, tmp_path_factory, data):
    flipped = bytearray(whole)
    flipped[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("flipped") / "step-00000005.npz"
    path.write_bytes(flipped)
    try:
        found = load(path)
    except FileError:
        return
    same(arrays(5), found.arrays)
    assert (found.step, found.facts) == (5, {"seed": 1})


def test_a_value_or_a_fact_changed_with_care_is_noticed(tmp_path):
    path = save(tmp_path, 3, arrays(3), {"seed": 1})
    with np.load(path) as file:
        inside = {name: file[name] for name in file.files}
    for name, value in [
        ("weight/0", np.nextafter(inside["weight/0"], np.float32(9))),
        ("header", np.array(str(inside["header"]).replace('"seed": 1', '"seed": 2'))),
        ("header", np.array(str(inside["header"]).replace('"version": 1', '"version": 2'))),
    ]:
        np.savez(path, **{**inside, name: value})
        with pytest.raises(AlteredFile, match="digest"):
            load(path)
    np.savez(path, **inside)
    assert load(path).step == 3  # the check can pass


def test_a_renamed_checkpoint_is_not_taken_for_a_later_one(tmp_path):
    path = save(tmp_path, 3, {}, {})
    path.rename(tmp_path / "step-00000009.npz")
    with pytest.raises(AlteredFile, match="holds step 3"):
        load(tmp_path / "step-00000009.npz")
    (tmp_path / "step-00000009.npz").rename(tmp_path / "kept.npz")
    assert load(tmp_path / "kept.npz").step == 3


def test_a_half_written_file_is_neither_read_nor_left_for_ever(tmp_path):
    save(tmp_path, 1, {}, {})
    half = tmp_path / ".step-00000002.npz.0123abcd.part"
    mine = tmp_path / ".notes.part"
    half.write_bytes(b"half")
    mine.write_bytes(b"mine")
    assert (latest(tmp_path).step, latest(tmp_path).passed_over) == (1, ())
    save(tmp_path, 2, {}, {})
    assert (half.exists(), mine.exists()) == (False, True)


@pytest.mark.parametrize("name", ["header", "file", "allow_pickle", "a.npy", "", "a b"])
def test_a_name_that_would_not_come_back_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="named"):
        save(tmp_path, 1, {name: np.zeros(1)}, {})
    assert not list(tmp_path.iterdir())


def test_what_would_be_pickled_and_numbers_json_lacks_are_refused(tmp_path):
    with pytest.raises(ValueError, match="object"):
        save(tmp_path, 1, {"a": np.array([None])}, {})
    with pytest.raises(ValueError, match="JSON"):
        save(tmp_path, 1, {}, {"loss": float("nan")})
    with pytest.raises(ValueError, match="step -1"):
        save(tmp_path, -1, {}, {})
    assert not list(tmp_path.iterdir())


def test_nothing_in_a_file_is_a_pickle(whole):
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        assert all(name.endswith(".npy") for name in file.namelist())
    with np.load(io.BytesIO(whole), allow_pickle=False) as file:
        assert {"header", *arrays(5)} == set(file.files)


WRITER = """
import sys, numpy as np
from quant.checkpoint import latest, save
found = latest(sys.argv[1])
step = found.step if found else 0
while True:
    step += 1
    save(sys.argv[1], step, {"a": np.full(300_000, step), "b": np.full(3, step)}, {"step": step}, best=float(-step))
    print(step, flush=True)
"""


def test_a_run_killed_at_any_instant_leaves_a_whole_checkpoint(tmp_path):
    reached = 0
    for kill in range(10):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT)
        first = int(writer.stdout.readline())
        assert first in (reached + 1, reached + 2)  # killed between the file's new name and the word of it
        time.sleep(0.003 * kill)
        os.kill(writer.pid, signal.SIGKILL)
        said = [first, *map(int, writer.communicate()[0].split())]
        found = latest(tmp_path)
        assert found.passed_over == ()
        assert found.step in (said[-1], said[-1] + 1)
        assert set(found.arrays["a"]) == set(found.arrays["b"]) == {found.step}
        assert best(tmp_path).step == 1
        assert len(steps_in(tmp_path)) <= 5  # three, the best, and one whose like was not yet deleted
        reached = found.step
    save(tmp_path, reached + 1, {}, {})
    assert not list(tmp_path.glob(".*.part"))
