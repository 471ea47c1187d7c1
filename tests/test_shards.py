import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from raw_files import X_TRANS, dng, scene
from test_pack import contract, rolled

import quant
from quant import sharding
from quant.phase import aligned
from quant.sharding import Scene, Short, build
from quant.shards import INDEX, Shards, write_facts
from runtime import pack
from runtime.decode import read
from runtime.errors import AlteredFile, BadOption, UnreadableFile, UnsupportedRaw

BGGR = ((2, 1), (1, 0))


def develop(path):
    """A target that tells its own place: no LibRaw, no time."""
    if not path.is_file():
        raise UnreadableFile(path, "does not exist", "name a file that does")
    height, width = tifffile.imread(path).shape
    y, x = np.indices((height, width))
    return np.stack([y, x, y * 0 + int(path.stem)], axis=-1).astype(np.uint16)


def written(folder, *, scenes=2, shorts=2, size=(40, 60), pattern=((0, 1), (1, 2)), black=(512,)):
    """Scenes of RAW files: 0.dng is the first target, 0_1.dng its second short exposure."""
    folder.mkdir(exist_ok=True)
    for one in told(folder, scenes=scenes, shorts=shorts):
        for seed, path in enumerate([one.target, *(short.path for short in one.shorts)]):
            mosaic = scene(*size, pattern=pattern, seed=seed + 9 * int(one.name), light=(0.005, 0.008, 0.004))
            dng(path, mosaic, pattern=pattern, black=black)
    return told(folder, scenes=scenes, shorts=shorts)


def told(folder, *, scenes, shorts):
    """The scenes as `build` takes them."""
    return [
        Scene(
            str(n),
            folder / f"{n}.dng",
            tuple(Short(f"{n}_{i}", folder / f"{n}_{i}.dng", 100.0 + i) for i in range(shorts)),
        )
        for n in range(scenes)
    ]


def built(tmp_path, **changes):
    made = written(tmp_path / "raw", **changes)
    assert build(tmp_path / "set", made, develop=develop) == ()
    return made


CASES = [
    {"black": (512, 520, 530, 540)},
    {"pattern": BGGR, "size": (41, 62)},
    {"pattern": rolled(X_TRANS, 1, 2), "size": (60, 66)},
]


@pytest.mark.parametrize("case", CASES)
def test_a_crop_is_the_runtimes_planes_of_that_region_and_its_target(tmp_path, case):
    made = built(tmp_path, scenes=1, **case)
    asked = contract("x-trans" if len(case.get("pattern", "ab")) == 6 else "bayer")
    shards = Shards(tmp_path / "set", contract=asked)
    assert [frame.name for frame in shards.frames] == ["0_0", "0_1"]
    for number, short in enumerate(made[0].shorts):
        raw, top, left = aligned(read(short.path))
        whole = pack.planes(raw, pack.frame(raw, asked), asked, ratio=short.ratio).transpose(1, 2, 0)
        target = develop(made[0].target)[top:, left:]
        assert shards.size(number) == (raw.mosaic.shape[0] // asked.pack, raw.mosaic.shape[1] // asked.pack)
        for at in ((0, 0), (4, 6), (2, 8)):
            x, y = shards.crop(number, top=at[0], left=at[1], size=8)
            assert 0.05 < x.mean() < 0.95  # not all cut
            assert np.array_equal(x, whole[at[0] : at[0] + 8, at[1] : at[1] + 8])
            rows, columns = (slice(first * asked.pack, (first + 8) * asked.pack) for first in at)
            assert np.array_equal(y, target[rows, columns] / np.float32(65535))
            assert (x.dtype, y.dtype, x.flags.c_contiguous) == (np.float32, np.float32, True)


def test_a_file_that_cannot_be_read_is_skipped_and_named_and_the_rest_is_there(tmp_path):
    made = written(tmp_path / "raw", scenes=3)
    (tmp_path / "raw/0_1.dng").write_bytes(b"no RAW file")
    (tmp_path / "raw/1.dng").unlink()
    mosaic = scene(44, 60, light=(0.1, 0.1, 0.1))
    dng(tmp_path / "raw/2_0.dng", mosaic)
    skipped = build(tmp_path / "set", made, develop=develop)
    assert [os.path.basename(one.path) for one in skipped] == ["0_1.dng", "1.dng", "2_0.dng"]  # noqa: PTH119
    for one, why in zip(skipped, ("is cut short or damaged", "does not exist", "another size"), strict=True):
        assert why in one.why
    shards = Shards(tmp_path / "set", contract=contract())
    assert [frame.name for frame in shards.frames] == ["0_0", "2_1"]
    shards.verify()
    assert build(tmp_path / "set", made, develop=None) == skipped  # nothing is done again, what was skipped is named


def test_a_file_that_was_mended_is_taken_in_later(tmp_path):
    made = written(tmp_path / "raw")
    good = (tmp_path / "raw/0_1.dng").read_bytes()
    (tmp_path / "raw/0_1.dng").write_bytes(b"no RAW file")
    assert len(build(tmp_path / "set", made, develop=develop)) == 1
    (tmp_path / "raw/0_1.dng").write_bytes(good)
    assert build(tmp_path / "set", made, develop=develop) == ()
    assert len(Shards(tmp_path / "set", contract=contract())) == 4


def test_a_killed_build_goes_on_and_ends_as_if_it_had_not_been(tmp_path):
    made = written(tmp_path / "raw", scenes=3, shorts=1)
    build(tmp_path / "whole", made, develop=develop)
    developed = []

    def killed(path):
        if len(developed) == 1:
            (tmp_path / "set/.1.bin.00000000.part").write_bytes(b"half")
            raise KeyboardInterrupt
        return counted(path)

    def counted(path):
        developed.append(path.stem)
        return develop(path)

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "set", made, develop=killed)
    with pytest.raises(UnreadableFile, match="no finished set"):
        Shards(tmp_path / "set", contract=contract())
    build(tmp_path / "set", made, develop=counted)
    assert developed == ["0", "1", "2"]
    assert not list((tmp_path / "set").glob(".*.part"))
    for file in (tmp_path / "whole").glob("*"):
        if file.suffix in (".bin", ".json"):
            assert file.read_bytes() == (tmp_path / "set" / file.name).read_bytes()


def test_nothing_is_decoded_twice_unless_it_changed(tmp_path):
    made = built(tmp_path)
    index = (tmp_path / "set" / INDEX).read_bytes()
    progress = []
    assert build(tmp_path / "set", made, develop=None, progress=lambda *at: progress.append(at)) == ()
    assert ((tmp_path / "set" / INDEX).read_bytes(), progress) == (index, [(1, 2), (2, 2)])
    os.utime(made[0].target)  # another time, the same bytes: read, not decoded
    before = (tmp_path / "set/0.bin").stat().st_mtime_ns
    times = []
    assert build(tmp_path / "set", made, develop=None) == ()
    assert (tmp_path / "set" / INDEX).read_bytes() != index  # it knows the new time
    dng(made[1].shorts[0].path, scene(40, 60, seed=77))
    build(tmp_path / "set", made, develop=lambda path: times.append(path.stem) or develop(path))
    assert times == ["1"]
    assert (tmp_path / "set/0.bin").stat().st_mtime_ns == before


def test_what_is_replaced_is_not_told_of_meanwhile(tmp_path, monkeypatch):
    made = built(tmp_path)
    dng(made[0].shorts[0].path, scene(40, 60, seed=77))
    monkeypatch.setattr(sharding, "write_facts", lambda path, facts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(tmp_path / "set", made, develop=develop)
    left = {path.name for path in (tmp_path / "set").glob("*.json")}
    assert left == {"1.json"}  # and neither 0.json nor the index: both are of the old shard


@pytest.mark.parametrize("damage", ["short", "missing", "index", "version"])
def test_a_set_that_is_not_what_was_written_is_refused(tmp_path, damage):
    built(tmp_path)
    folder = tmp_path / "set"
    match damage:
        case "short":
            (folder / "1.bin").write_bytes((folder / "1.bin").read_bytes()[:-2])
        case "missing":
            (folder / "1.bin").unlink()
        case "index":
            (folder / INDEX).write_text((folder / INDEX).read_text().replace("16383", "16384"))
        case "version":
            facts = json.loads((folder / INDEX).read_text().partition("\n")[2])
            write_facts(folder / INDEX, {**facts, "versions": {"format": 0}})
    with pytest.raises(AlteredFile):
        Shards(folder, contract=contract())


def test_a_flipped_bit_is_found_by_verifying(tmp_path):
    built(tmp_path)
    path = tmp_path / "set/1.bin"
    data = bytearray(path.read_bytes())
    data[1000] ^= 4
    path.write_bytes(data)
    with pytest.raises(AlteredFile, match=r"1\.bin' is not what was written"):
        Shards(tmp_path / "set", contract=contract()).verify()


def test_a_crop_that_cannot_be_is_named(tmp_path):
    built(tmp_path, scenes=1)
    shards = Shards(tmp_path / "set", contract=contract())
    with pytest.raises(BadOption, match="crop cannot be 21: use 1 to 20: 0_0 is 20 x 30 packed pixels"):
        shards.crop(0, top=0, left=0, size=21)
    for top, left in ((0, 15), (-1, 0), (5, 0)):
        with pytest.raises(ValueError, match="not within"):
            shards.crop(0, top=top, left=left, size=16)


def test_a_set_of_other_mosaics_is_refused_and_a_crop_of_x_trans_begins_with_its_cell(tmp_path):
    built(tmp_path, scenes=1, pattern=X_TRANS, size=(60, 60))
    with pytest.raises(UnsupportedRaw, match="a set of x-trans mosaics"):
        Shards(tmp_path / "set", contract=contract())
    shards = Shards(tmp_path / "set", contract=contract("x-trans"))
    with pytest.raises(ValueError, match="no cell begins at 1, 0"):
        shards.crop(0, top=1, left=0, size=4)


def test_a_set_without_a_frame_is_no_set(tmp_path):
    made = written(tmp_path / "raw", scenes=1, shorts=1)
    made[0].target.unlink()
    with pytest.raises(UnreadableFile, match=r"would hold no frame .*does not exist"):
        build(tmp_path / "set", made, develop=develop)
    with pytest.raises(ValueError, match="no name for a file"):
        build(tmp_path / "set", [Scene("../x", made[0].target, ())], develop=develop)


def test_pages_that_were_read_do_not_stay_in_memory(tmp_path):
    """The map is gone with the crop: what is resident is what was asked for."""
    built(tmp_path, scenes=1)
    shards = Shards(tmp_path / "set", contract=contract())
    maps = "/proc/self/maps"
    if not os.path.exists(maps):  # noqa: PTH110
        pytest.skip("no /proc to look at")
    kept = [shards.crop(i % 2, top=0, left=0, size=8) for i in range(4)]
    assert len(kept) == 4
    with open(maps) as file:  # noqa: PTH123
        assert str(tmp_path / "set") not in file.read()
    held = np.memmap(tmp_path / "set/0.bin", "<u2", "r")
    with open(maps) as file:  # noqa: PTH123
        assert str(tmp_path / "set") in file.read()  # the check can fail
    del held


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = ["tests"]
from test_shards import develop, told
from quant.sharding import build
def dies(path):
    if path.stem == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return develop(path)
build(Path(sys.argv[1]) / "set", told(Path(sys.argv[1]) / "raw", scenes=3, shorts=1), develop=dies)
"""


def test_a_build_whose_process_is_killed_goes_on(tmp_path):
    made = written(tmp_path / "raw", scenes=3, shorts=1)
    root = Path(quant.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in (tmp_path / "set").glob("*.bin")] == ["0.bin"]
    developed = []
    build(tmp_path / "set", made, develop=lambda path: developed.append(path.stem) or develop(path))
    assert developed == ["1", "2"]
    Shards(tmp_path / "set", contract=contract()).verify()
