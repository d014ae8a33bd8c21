"""How a stage is started from the command line."""

import errno
import sys
from contextlib import contextmanager
from pathlib import Path

import typer


@contextmanager
def user_errors():
    """A ValueError that wwm itself raised is a message for the user; one from a library is a bug, and keeps its traceback."""
    try:
        yield
    except ValueError as error:
        trace = error.__traceback__
        while trace.tb_next:
            trace = trace.tb_next
        if Path(trace.tb_frame.f_code.co_filename).parent != Path(__file__).parent:
            raise
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        sys.exit(f"error: no room on the disk of {Path.cwd()} ({error}); nothing half-written is left: make room and run again, what was finished is kept")


def run(main) -> None:
    """Runs `main` with the command line's arguments."""
    with user_errors():
        typer.run(main)
