"""Many files, some of them bad, some runs cut short: what has a name is whole, and the next run goes on."""

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from click.testing import CliRunner
from raw_files import BAYER, dng, scene
from test_enhancing import UPRIGHT, night
from tiny_model import tiny

import runtime
from runtime import batch
from runtime.cli import main
from runtime.decode import Decoder
from runtime.enhancing import Enhancer
from runtime.errors import BadOption, Busy
from runtime.inputs import collect
from runtime.job import Wish
from runtime.ledger import Ledger


@pytest.fixture(scope="module")
def session():
    return runtime.open(tiny(), threads=1)


def enhance(session, folder, out, *, overwrite="never", jobs=2, **wish):
    enhancer = Enhancer(session, Wish(format="tiff", **wish))
    return list(batch.run(collect([folder], out, suffix=".tif"), out, enhancer, overwrite=overwrite, jobs=jobs))


def statuses(results):
    return [result.status for result in results]


@pytest.fixture
def nights(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(4):
        night(folder / f"{i}.dng", 40 + 2 * i, 60, seed=i)
    return folder


@pytest.mark.parametrize("raised", [RuntimeError("out of memory\nat line 7"), MemoryError("std::bad_alloc")])
def test_a_frame_that_the_engine_gives_up_on_is_one_failure(raised, session, nights, tmp_path, monkeypatch):
    run, calls = session.backend.run, []
    session.memory  # noqa: B018  measured before, with a run of its own

    def second_fails(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise raised
        return run(*args, **options)

    monkeypatch.setattr(session.backend, "run", second_fails)
    results = enhance(session, nights, tmp_path / "out", jobs=1)
    assert statuses(results) == ["done", "failed", "done", "done"]
    assert str(raised).partition("\n")[0] in results[1].error
    assert "line 7" not in results[1].error
    monkeypatch.setattr(session.backend, "run", lambda *_, **__: {}["picture"])  # a mistake of ours is not hidden
    with pytest.raises(KeyError):
        enhance(session, nights, tmp_path / "again", jobs=1)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bad_file_is_one_failure_and_the_others_are_done(jobs, session, nights, tmp_path):
    (nights / "1.dng").write_bytes((nights / "1.dng").read_bytes()[:700])
    (nights / "2a.dng").touch()
    results = enhance(session, nights, tmp_path / "out", jobs=jobs)
    assert statuses(results) == ["done", "failed", "done", "failed", "done"]
    assert [Path(r.input).name for r in results] == ["0.dng", "1.dng", "2.dng", "2a.dng", "3.dng"]
    assert all("\n" not in r.error for r in results if r.error)
    assert sorted(p.name for p in (tmp_path / "out").glob("[!.]*")) == ["0.tif", "2.tif", "3.tif"]


def test_side_by_side_and_one_by_one_write_the_same_bytes(session, nights, tmp_path):
    for jobs in (1, 2):
        enhance(session, nights, tmp_path / str(jobs), jobs=jobs)
    for path in (tmp_path / "1").glob("*.tif"):
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes()


def test_what_is_done_is_skipped_and_what_has_changed_is_not(session, nights, tmp_path):
    out = tmp_path / "out"
    assert set(statuses(enhance(session, nights, out))) == {"done"}
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.tif")}
    assert set(statuses(enhance(session, nights, out))) == {"skipped"}
    assert before == {path: path.stat().st_mtime_ns for path in out.glob("*.tif")}
    # Other options: never means never, newer asks the files, always is always.
    assert set(statuses(enhance(session, nights, out, ratio="3"))) == {"kept"}
    assert set(statuses(enhance(session, nights, out, ratio="3", overwrite="newer"))) == {"kept"}
    late = time.time() + 100
    os.utime(nights / "0.dng", (late, late))
    assert statuses(enhance(session, nights, out, ratio="3", overwrite="newer")) == ["done", "kept", "kept", "kept"]
    assert set(statuses(enhance(session, nights, out, ratio="3", overwrite="always"))) == {"done"}
    (out / "2.tif").unlink()
    assert statuses(enhance(session, nights, out, ratio="3")) == ["skipped", "skipped", "done", "skipped"]


def test_originals_are_left_as_they_are(session, nights, tmp_path):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in nights.iterdir()}
    enhance(session, nights, nights)  # even into their own folder
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before}
    assert (nights / "0.tif").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_picture_that_would_take_the_place_of_a_raw_file_is_refused_before_anything_is_read(
    jobs, session, nights, monkeypatch
):
    before = {path: path.read_bytes() for path in nights.iterdir()}
    monkeypatch.setattr(Decoder, "read", lambda *_: pytest.fail("it was read"))
    items = collect([nights / "0.dng", nights], nights, suffix=".dng")
    with pytest.raises(BadOption, match="leaves the RAW files as they are"):
        list(batch.run(items, nights, Enhancer(session, Wish(format="dng")), overwrite="always", jobs=jobs))
    assert {path: path.read_bytes() for path in nights.iterdir()} == before


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(("owner", "stage"), [(Decoder, "read"), (Enhancer, "infer"), (Enhancer, "save")])
def test_a_frame_that_memory_has_no_room_for_is_one_failure(owner, stage, jobs, session, nights, tmp_path, monkeypatch):
    whole, calls = getattr(owner, stage), []

    def second_fails(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        return whole(*args, **options)

    monkeypatch.setattr(owner, stage, second_fails)
    results = enhance(session, nights, tmp_path / "out", jobs=jobs)
    assert statuses(results) == ["done", "failed", "done", "done"]
    assert "1.dng" in results[1].error
    assert "--max-memory" in results[1].error


def test_a_name_too_long_for_its_picture_is_one_failure(session, nights, tmp_path):
    (nights / "1.dng").rename(nights / f"{'1' * 251}.dng")
    out = tmp_path / "out"
    items = collect([nights], out, suffix="-longer.tif")
    results = list(batch.run(items, out, Enhancer(session, Wish(format="tiff")), jobs=1))
    assert statuses(results) == ["done", "failed", "done", "done"]
    assert "File name too long" in results[1].error


def test_a_folder_that_is_removed_midway_is_made_again(session, nights, tmp_path):
    import shutil

    out = tmp_path / "out"
    enhancer = Enhancer(session, Wish(format="tiff"))
    done = []
    for result in batch.run(collect([nights], out, suffix=".tif"), out, enhancer, jobs=1):
        done.append(result)
        if len(done) == 1:
            shutil.rmtree(out)
    assert len(done) == 4
    assert all(Path(r.output).exists() for r in done[1:] if r.status == "done")


def command(*words):
    return [sys.executable, "-m", "runtime", "enhance", *map(str, words)]


def test_the_command_line_gives_one_json_line_a_file_and_exit_code_one_if_any_failed(nights, tmp_path):
    (nights / "bad\nname.dng").write_bytes(b"no")
    words = ["enhance", str(nights), "-o", str(tmp_path / "out"), "--model", str(tiny()), "--json"]
    result = CliRunner().invoke(main, words)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert (result.exit_code, len(lines)) == (1, 5)
    assert sum(line["status"] == "done" for line in lines) == 4
    assert CliRunner().invoke(main, [*words[:-1], "--overwrite", "always", "--format", "jpeg"]).exit_code == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--ratio", "nan"], 2),
        (["--format", "gif"], 2),
        (["--strength", "2"], 2),
        (["--max-memory", "lots"], 2),
        (["--provider", "cuda"], 3),
        (["--model", "none.onnx"], 1),
    ],
)
def test_a_wrong_word_is_one_line_and_its_exit_code(words, code, nights, tmp_path):
    model = [] if "--model" in words else ["--model", str(tiny())]
    result = CliRunner().invoke(main, ["enhance", str(nights), "-o", str(tmp_path / "out"), *model, *words])
    assert result.exit_code == code
    assert "Traceback" not in result.output
    if code > 1:
        assert result.stderr.count("\n") == 1


def test_two_runs_in_one_folder_are_refused(nights, tmp_path, session):
    with Ledger(tmp_path / "out"):
        with pytest.raises(Busy):
            enhance(session, nights, tmp_path / "out")
        done = subprocess.run(
            command(nights, "-o", tmp_path / "out", "--model", tiny()), capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert "another run" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_pipe_ends_quietly(nights, tmp_path):
    run = subprocess.Popen(
        command(nights, "-o", tmp_path / "out", "--model", tiny(), "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    run.stdout.close()
    assert run.wait(60) == 1
    assert b"Traceback" not in run.stderr.read()
    run.stderr.close()
    assert not list((tmp_path / "out").glob(".*.part"))


@pytest.mark.parametrize("times", [1, 2])
def test_interrupted_once_or_twice_it_says_so_and_tears_nothing(times, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for i in range(30):
        night(folder / f"{i:02}.dng", 400, 600, seed=i)
    run = subprocess.Popen(
        command(folder, "-o", out, "--model", tiny()), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    run.stdout.readline()
    for _ in range(times):
        run.send_signal(signal.SIGINT)
        time.sleep(0.001)
    said = run.communicate(timeout=60)[1]
    assert run.returncode == 1
    assert b"Traceback" not in said
    if times == 1:
        assert b"the same line again" in said
    assert times != 1 or not list(out.glob(".*.part"))
    for path in out.glob("*.png"):
        path_is_whole(path)


def path_is_whole(path):
    from PIL import Image

    with Image.open(path) as image:
        image.load()


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import numpy, onnxruntime, runtime
from runtime import batch
from runtime.enhancing import Enhancer
from runtime.job import Wish
from runtime.inputs import collect
folder, out, model, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
def run():
    enhancer = Enhancer(runtime.open(model, threads=1), Wish(format="tiff"))
    for result in batch.run(collect([folder], out, suffix=".tif"), out, enhancer, jobs=1 + int(sys.argv[5]) % 2):
        assert result.status != "failed", result
random.seed(int(sys.argv[5]))
killed = 0
for _ in range(count):
    child = os.fork()
    if child == 0:
        try:
            run()
        finally:
            os._exit(0)
    time.sleep(random.uniform(0.05, 0.45))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    killed += os.WIFSIGNALED(status)
    for path in Path(out).glob("*.tif"):
        print(path.name, len(path.read_bytes()))
        if random.random() < 0.7:  # there is always something left to do
            path.unlink()
run()
print("killed", killed, file=sys.stderr)
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_any_instant_no_file_is_torn_and_the_next_run_ends_with_the_same_bytes(
    seed, session, nights, tmp_path
):
    enhance(session, nights, tmp_path / "clean")
    whole = {path.name: path.read_bytes() for path in (tmp_path / "clean").glob("*.tif")}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, nights, tmp_path / "out", tiny(), "25", str(seed)],
        capture_output=True, text=True, timeout=300, check=False, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    seen = [line.split() for line in done.stdout.splitlines()]
    assert all(int(size) == len(whole[name]) for name, size in seen)
    assert int(done.stderr.split()[-1]) >= 15, "kills that came too late would show nothing"
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.tif")} == whole
    assert not list((tmp_path / "out").glob(".*.part"))


def test_the_frames_of_a_batch_do_not_pile_up(session, tmp_path):
    """What arrays hold is counted where they are made: pages of the process tell of its other tenants too."""
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(12):
        dng(folder / f"{i:02}.dng", scene(400, 600, seed=i), pattern=BAYER["RGGB"], about=UPRIGHT)
    enhancer, held = Enhancer(session, Wish(format="tiff")), []
    tracemalloc.start()
    try:
        for _ in batch.run(collect([folder], tmp_path / "out", suffix=".tif"), tmp_path / "out", enhancer, jobs=2):
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    picture = 400 * 600 * 3 * 2
    assert max(held) < 3 * picture, "one being written, one that is read, one at work"
    assert held[-1] < picture / 2
