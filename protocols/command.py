"""How a command ends that met one of our errors: a sentence and an exit code, never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import click

from protocols.daemon import EXIT_STORE, exit_code
from protocols.errors import CatchmentError

Parameters = ParamSpec("Parameters")


def teach(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Turn our errors, and the disk's, into a message and an exit code.

    A pipe that nobody reads any more is left to click, which ends without a word.
    """

    @wraps(command)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except CatchmentError as error:
            click.echo(str(error), err=True)
            raise SystemExit(exit_code(error)) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            expected = "expected a place that this user can write, with room on its disk"
            click.echo(f"{where}{error.strerror or error}; {expected}", err=True)
            raise SystemExit(EXIT_STORE) from error

    return run
