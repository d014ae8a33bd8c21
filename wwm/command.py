"""How a stage is started from the command line."""

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


def run(main) -> None:
    """Runs `main` with the command line's arguments."""
    with user_errors():
        typer.run(main)
