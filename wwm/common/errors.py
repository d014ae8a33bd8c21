"""What separates a mistake of the user from a bug of ours, and what is said of either."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOST_SAID = 2_000  # characters of a line; a name that is longer has been put there to be read by nobody
# Of a URL: user and password, and the values of a query, in which signatures and tokens stand.
SECRETS = re.compile(r"(?<=://)[^/\s'\"]+@|(?<=[\w/.-]\?)(?=[\w.~%-]+=)[^\s'\"<>)]+")
# What would change a terminal or turn a line around, and half a character, which cannot be written: names of files have
# them.
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def without_secrets(text: str) -> str:
    """For whatever is printed, kept or sent: URLs lose user, password and query."""
    return SECRETS.sub(lambda found: "" if found[0].endswith("@") else "...", text)


def printable(text: str) -> str:
    """`without_secrets`, and what cannot be seen is spelled out; a patch or a file that is kept would be another."""
    return UNSEEN.sub(lambda found: ascii(found[0])[1:-1], without_secrets(text))


class UserError(ValueError):
    """What a user can mend: its text names the file and line, or the key, with value and remedy, and is all that is
    printed.

    Nothing else is a message: a ValueError of numpy or of `int()` is a bug wherever it was raised, and keeps its
    traceback.
    """

    def __str__(self) -> str:
        lines = printable(super().__str__()).split("\n")
        half = MOST_SAID // 2
        return "\n".join(line if len(line) <= MOST_SAID else f"{line[:half]} … {line[-half:]}" for line in lines)


@contextmanager
def reading(file: str | Path, *broken: type[Exception], remedy: str = "copy or make it anew") -> Iterator[None]:
    """For a block that reads `file`. Raises UserError with the `remedy` for what the library that reads says of files
    that are `broken`; whatever else it raises, lack of memory too, notes that it was this file.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, broken) and not isinstance(error, MemoryError):
            raise UserError(f"{file} cannot be read ({in_a_line(error)}); {remedy}") from None
        if not getattr(error, "__notes__", None):  # of a file that is read for another one, the inner is meant
            error.add_note(f"while reading {file}")
        raise


def told(error: BaseException, command: str = "") -> str:
    """An error in one line: a UserError's own text; of any other the `command` that it ended, what it notes, its type
    and its text.
    """
    if isinstance(error, UserError):
        return str(error)
    where = ", ".join(filter(None, [command, *getattr(error, "__notes__", [])]))
    return f"{where}: {in_a_line(error)}" if where else in_a_line(error)


def in_a_line(error: BaseException, most: int = 300) -> str:
    text = printable(" ".join(str(error).split()))
    return f"{type(error).__name__}: {text[:most]}{'…' if text[most:] else ''}"
