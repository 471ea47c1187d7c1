"""Several processes as one command. They are short Python lines here: what they train is no matter."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quant import launch as module
from quant.launch import launch
from runtime.errors import BadOption, Error

ROOT = Path(__file__).parent.parent
BEGIN = """
import json, os, pathlib, signal, subprocess, sys, time
config = json.loads(os.environ["TF_CONFIG"])
me, folder = config["task"]["index"], pathlib.Path(sys.argv[1])
(folder / f"{me}.json").write_text(json.dumps({"pid": os.getpid(), **config}))
while len(list(folder.glob("*.json"))) < len(config["cluster"]["worker"]): time.sleep(0.01)
"""
SOON = 8.0  # seconds: a process that is told to end does so in a moment; the launcher itself waits at most 3 + 10


def runs(pid):
    """Whether a process does; one that ended and that nobody asked for its exit code does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends(pid):
    """Whether a process ends soon. A kill is sent, not done: a child of a child is nobody's to wait for."""
    last = time.monotonic() + SOON
    while runs(pid) and time.monotonic() < last:
        time.sleep(0.01)
    return not runs(pid)


@pytest.fixture
def together(tmp_path):
    """A launch of some lines of Python; afterwards, that none of its processes is left."""

    assert runs(os.getpid()), "it can be told"

    def go(lines, workers=2):
        return launch([sys.executable, "-c", BEGIN + lines, str(tmp_path)], workers=workers)

    yield go
    for path in tmp_path.glob("*.json"):
        assert ends(json.loads(path.read_text())["pid"])


def test_each_worker_is_told_its_number_and_the_address_of_all(together, tmp_path):
    assert together("", workers=3) == 0
    told = [json.loads((tmp_path / f"{n}.json").read_text()) for n in range(3)]
    assert [one["task"] for one in told] == [{"type": "worker", "index": n} for n in range(3)]
    assert all(one["cluster"] == told[0]["cluster"] for one in told)
    assert len(set(told[0]["cluster"]["worker"])) == 3


def test_only_the_first_is_heard(together, capfd):
    assert together("print('out', me); print('err', me, file=sys.stderr)") == 0
    said = capfd.readouterr()
    assert (said.out, said.err) == ("out 0\n", "err 0\n")


def test_when_one_fails_all_are_ended_and_the_error_says_which_and_why(together):
    begin = time.monotonic()
    with pytest.raises(Error, match=r"worker 1 of 2 ended with exit code 7 \(no disk\): .*same line again"):
        together("if me: print('no disk\\n', file=sys.stderr); sys.exit(7)\ntime.sleep(60)")
    assert time.monotonic() - begin < SOON


@pytest.mark.parametrize("killed", [0, 1])
def test_one_that_is_killed_is_named_with_the_signal(killed, together):
    with pytest.raises(Error, match=f"worker {killed} of 2 ended with signal SIGKILL"):
        together(f"if me == {killed}: os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(60)")


def test_an_error_of_the_first_is_in_its_own_words(together, capfd):
    assert together("if not me: print('bad recipe'); sys.exit(2)\ntime.sleep(60)") == 2
    assert capfd.readouterr().out == "bad recipe\n"


def test_an_error_of_all_is_in_the_words_of_the_first_though_it_comes_later(together, capfd):
    assert together("if not me: time.sleep(1); print('bad recipe')\nsys.exit(2)") == 2
    assert capfd.readouterr().out == "bad recipe\n"


def test_one_that_does_not_listen_is_ended_with_what_it_started(together, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GRACE", 0.5)
    deaf = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if me:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (folder / "child.json").write_text(json.dumps({"pid": child.pid}))
    time.sleep(60)
while not (folder / "child.json").exists(): time.sleep(0.01)
time.sleep(0.1)
sys.exit(4)
"""
    assert together(deaf) == 4


LAUNCHED = """
import sys
from quant.launch import launch
sys.exit(launch([sys.executable, "-c", *sys.argv[1:]], workers=2))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_to_all_once(number, tmp_path):
    count = f"""
signal.signal({int(number)}, lambda *_: [(folder / f"{{me}}.{{time.time_ns()}}").touch(), sys.exit(0)])
(folder / f"ready{{me}}").touch()
time.sleep(60)
"""
    words = [sys.executable, "-c", LAUNCHED, BEGIN + count, str(tmp_path)]
    with subprocess.Popen(words, cwd=ROOT, start_new_session=True) as process:
        while len(list(tmp_path.glob("ready*"))) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, number)
        assert process.wait(SOON) == 128 + number
    assert [len(list(tmp_path.glob(f"{me}.[0-9]*"))) for me in range(2)] == [1, 1]


def test_no_number_of_workers_below_one_can_be():
    with pytest.raises(BadOption, match="--workers cannot be 0"):
        launch([], workers=0)
