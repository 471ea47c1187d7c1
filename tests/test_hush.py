import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.hush import hushed


def say(*lines):
    """What C++ does: past Python's sys.stderr."""
    os.write(2, "".join(f"{line}\n" for line in lines).encode())


def test_of_what_is_said_only_information_is_dropped(capfd):
    with hushed():
        say("INFO: made a delegate", "ERROR: it failed", "what INFO: means")
    say("INFO: afterwards")
    assert capfd.readouterr().err == "ERROR: it failed\nwhat INFO: means\nINFO: afterwards\n"


def test_what_was_said_before_an_exception_is_repeated(capfd):
    with pytest.raises(ValueError, match="made so"), hushed():
        say("ERROR: it failed")
        raise ValueError("made so")
    assert capfd.readouterr().err == "ERROR: it failed\n"


def test_threads_take_turns_and_lose_no_line(capfd):
    def hush(number):
        with hushed():
            say(f"ERROR: {number}", "INFO: nothing")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hush, range(200)))
    say("the last")
    said = capfd.readouterr().err.splitlines()
    assert sorted(said[:-1]) == sorted(f"ERROR: {number}" for number in range(200))
    assert said[-1] == "the last"


def test_where_no_file_can_be_made_nothing_is_dropped(capfd, monkeypatch):
    def full():
        raise OSError("no space is left")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with hushed():
        say("INFO: made a delegate")
    assert capfd.readouterr().err == "INFO: made a delegate\n"
    assert len(list(Path("/proc/self/fd").iterdir())) == before, "descriptors are closed again"


def test_a_closed_descriptor_stays_closed():
    code = """
import os
os.close(2)
from runtime.hush import hushed
with hushed():
    print("ran")
try:
    os.fstat(2)
except OSError:
    print("closed")
"""
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.split() == ["ran", "closed"]
