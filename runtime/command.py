"""What every command of the project shares: one line for an error, the right exit code, no traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from runtime.errors import Error

__all__ = ["CONTEXT", "Command", "Group"]

CONTEXT: Mapping[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of a file with no name: standard output, for others are in words


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """Translate an `Error` into its line and exit code; leave quietly when the reader of a pipe has left."""
    try:
        yield
        sys.stdout.flush()
    except Error as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        _say_no_more()
        sys.exit(1)
    except OSError as error:
        if error.errno not in FULL or error.filename is not None:
            raise
        _say_no_more()
        click.echo(f"error: the output cannot be written ({error.strerror}): make room where it goes", err=True)
        sys.exit(1)


def _say_no_more() -> None:
    """Let what standard output still holds go nowhere, or Python would try once more as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Command(click.Command):
    """A click command in the manners of this project."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, errors in words."""
        with _in_words():
            return super().invoke(ctx)


class Group(click.Group):
    """A click group whose commands are `Command`s."""

    command_class = Command
