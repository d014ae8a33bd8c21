"""How a stage is started from the command line."""

import sys

import typer


def run(main) -> None:
    """Runs `main` with the command line's arguments; a ValueError is a message for the user, not a traceback."""
    try:
        typer.run(main)
    except ValueError as error:
        sys.exit(f"error: {error}")
