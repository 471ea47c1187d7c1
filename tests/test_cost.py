import sys
import time
from dataclasses import replace

import pytest
from contracts import UNET
from tiny_model import tiny

from runtime import cost as module
from runtime.cost import call, costs, loaded, nearest, watched
from runtime.errors import SetupError

FIRST = 0.5  # seconds that opening an engine's first model takes, made up


def test_a_file_costs_time_and_the_memory_of_a_process_of_its_own():
    small, wide = tiny(), tiny(output="camera-linear", width=16)
    held = bytearray(b"x" * (300 << 20))  # what this process holds is no cost of the file
    found = costs([small, wide], side=64, rounds=2)
    assert list(found) == [small, wide]
    for path, cost in found.items():
        assert cost.size == path.stat().st_size
        assert cost.load > 0
        assert len(cost.run.seconds) == 2
        assert 10 << 20 < cost.peak < len(held)
    more = costs([small], side=512, rounds=1)[small]
    assert more.peak > found[small].peak
    assert more.run.median > found[small].run.median


@pytest.mark.parametrize(("side", "taken"), [(256, 256), (255, 240), (7, 16)])
def test_the_side_is_one_the_network_takes(side, taken):
    assert nearest(replace(UNET, multiple=16), side) == taken


def test_a_process_that_cannot_run_the_file_says_why(monkeypatch):
    monkeypatch.setattr("runtime.cost.CHILD", "raise SystemExit('no room')")
    with pytest.raises(SetupError, match="no room"):
        costs([tiny()], side=32, rounds=1)


def test_a_call_runs_the_model_as_it_was_opened():
    session, seconds = loaded(tiny(), provider="cpu", threads=1)
    assert (session.ran.provider, session.ran.why) == ("cpu", "asked for")
    assert seconds > 0
    assert call(session, 32)().shape == (3, 64, 64)


def test_the_first_model_of_an_engine_is_not_charged_with_what_every_other_finds_loaded(monkeypatch):
    opened = []

    def opening(path, **options):
        time.sleep(0 if opened else FIRST)
        opened.append(path)

    monkeypatch.setattr(module, "open_model", opening)
    module._ready.cache_clear()
    try:
        seconds = [loaded(tiny(), provider="cpu")[1] for _ in range(2)]
    finally:
        module._ready.cache_clear()
    assert max(seconds) < FIRST
    assert [path.stem == "selftest" for path in opened] == [True, False, False]


CHILD_OF_ITS_OWN = """
import subprocess, sys, time
held = bytearray(b"x" * (60 << 20))
subprocess.run([sys.executable, "-c", "held = bytearray(b'x' * (90 << 20)); import time; time.sleep(1)"], check=True)
print("done")
"""


def test_the_memory_of_a_program_is_that_of_all_its_processes_together():
    done = watched([sys.executable, "-c", CHILD_OF_ITS_OWN])
    assert (done.code, done.said) == (0, "done\n")
    assert 150 << 20 < done.peak < 400 << 20
    small = watched([sys.executable, "-c", "import sys, time; time.sleep(0.5); sys.exit('no room')"])
    assert (small.code, small.complained) == (1, "no room\n")
    assert small.peak < 60 << 20


def test_a_program_that_says_more_than_a_pipe_holds_still_ends():
    done = watched([sys.executable, "-c", "import sys; sys.stderr.write('x' * 10**6)"])
    assert (done.code, len(done.complained)) == (0, 10**6)
