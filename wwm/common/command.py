"""How a stage is started from the command line, and what is said where it fails."""

import atexit
import errno
import os
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from wwm.common.errors import UserError, printable, told

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
RUST = re.compile(r"[\w ]+\(os error (\d+)\)")
# Of a file or folder, and no bug of ours whoever opened it.
REFUSED = {
    errno.EACCES: "see who may read and write it",
    errno.EPERM: "see who may read and write it",
    errno.EROFS: "work in a folder that can be written",
    errno.EISDIR: "name a file, or move that folder away",
    errno.ENOTDIR: "a file stands where a folder is needed: name another, or move it away",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.ELOOP: "its links lead in a circle: name the file itself",
}
STAGE = "DVC_STAGE"  # environment variable of DVC: what it calls the stage that it runs


@contextmanager
def user_errors(command: str) -> Iterator[None]:
    """Ends the process with one line: that of a UserError, of a full disk or of a file that is refused; whatever else
    is raised is a bug of ours, whose line has its traceback before it.
    """
    for name in ("stdout", "stderr"):  # None where the caller closed it, and tqdm would write there
        setattr(sys, name, getattr(sys, name) or open(os.devnull, "w"))
    try:
        try:
            os.getcwd()
        except FileNotFoundError:
            raise UserError("the folder that this runs in was removed; go to one that is there") from None
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        if why := full(error):
            sys.exit(
                f"error: no room on the disk of {Path.cwd()} ({printable(why)}); nothing half-written is left:"
                " make room and run again, what was finished is kept"
            )
        if isinstance(error, OSError) and error.errno in REFUSED and error.filename:
            sys.exit(f"error: {command}: {printable(str(error.filename))}: {error.strerror}; {REFUSED[error.errno]}")
        print(printable(traceback.format_exc()), end="", file=sys.stderr)
        sys.exit(f"error: {told(error, command)}")


def keep_compiled() -> None:
    """numba refuses to compile where it can keep nothing, and unpickles what it finds, so that what others may write is
    no place for it: without a folder of this user's own it gets one until the end.
    """
    if not any(os.access(place, os.W_OK) for place in (Path(__file__).parent, os.path.expanduser("~"))):
        folder = tempfile.mkdtemp()
        os.environ.setdefault("NUMBA_CACHE_DIR", folder)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def full(error: BaseException | None) -> str:
    """What says that a disk is full, in an error or in what it came of; "" where nothing does. Libraries in Rust have
    their own types for it, torch raises another error on top.
    """
    while error:
        if isinstance(error, OSError) and error.errno in FULL:
            return str(error)
        if (found := RUST.search(str(error))) and int(found[1]) in FULL:
            return found[0].strip()
        error = error.__cause__ or error.__context__
    return ""


def run(main: Callable[..., None], items: Callable[[str], tuple[str, ...]] = lambda name: (name,)) -> None:
    """Runs `main` with the command line's arguments; where there are none, with the `items` that NAME stands for in
    what DVC calls the stage, mask@NAME. A name of params.yaml that stood in the command would come before a shell.
    """
    _, at, name = os.environ.get(STAGE, "").rpartition("@")
    with user_errors(Path(sys.argv[0]).stem):
        if at and not sys.argv[1:]:
            main(*items(name))
        else:
            typer.run(main)


def whole(text: str) -> str:
    """Raises UserError for bytes that a shell handed over and that are no UTF-8."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise UserError(f"TEXT {ascii(text)}: not UTF-8; set the terminal to it")
    return text
