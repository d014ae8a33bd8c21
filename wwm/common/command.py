"""How a stage is started from the command line."""

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from wwm.common.errors import UserError


@contextmanager
def user_errors() -> Iterator[None]:
    """Ends the process with the one line of a UserError, or of a full disk; whatever else is raised is a bug of ours,
    and keeps its traceback.
    """
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        sys.exit(
            f"error: no room on the disk of {Path.cwd()} ({error}); nothing half-written is left: make room and run"
            " again, what was finished is kept"
        )


def run(main: Callable[..., None]) -> None:
    """Runs `main` with the command line's arguments."""
    with user_errors():
        typer.run(main)
