"""Work to be done in other processes; it imports nothing slow, for each of them imports it anew."""

import os
import signal

import numpy as np

from runtime.errors import BadOption


def hungry(megabytes):
    """Hold so much memory for a moment."""
    block = np.ones(megabytes * 2**17)  # of 8 bytes
    return float(block[0]) / 4


def refuses():
    raise BadOption("this", 1, "that")


def dies():
    os.kill(os.getpid(), signal.SIGKILL)
