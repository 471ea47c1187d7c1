"""What every command of the project shares: one line for an error, the right exit code, no traceback."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from runtime.errors import Error

__all__ = ["CONTEXT", "Command", "Group"]

CONTEXT: Mapping[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


class Command(click.Command):
    """A click command in the manners of this project."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, errors in words."""
        with _in_words():
            return super().invoke(ctx)


class Group(click.Group):
    """A click group whose commands are `Command`s."""

    command_class = Command
