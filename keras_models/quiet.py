"""TensorFlow's import, without the lines it prints to stderr before its own log level is read."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from runtime.library import need

__all__ = ["import_tensorflow"]

# Each is printed by C++ at import, whatever TF_CPP_MIN_LOG_LEVEL says, and asks nothing of the reader.
NOISE = (b"before absl::InitializeLog()", b"oneDNN custom operations are on", b"Could not find cuda drivers")


def import_tensorflow() -> None:
    """Import TensorFlow now, or name the line that installs it; what it says that is not in NOISE is passed on."""
    with _stderr_filtered():
        for library in ("tensorflow", "tf_keras"):
            need(library, library=library, extra="train")


@contextlib.contextmanager
def _stderr_filtered() -> Iterator[None]:
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            caught.seek(0)
            for line in caught:
                if not any(noise in line for noise in NOISE):
                    os.write(2, line)
