"""What runs that were cut off have left on this machine: scratch folders, and clones of workers that were killed."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from wwm.common import files
from wwm.track import made, untracked

DAY = 24 * 3600


class Left(NamedTuple):
    path: Path
    size: int  # bytes
    days: float  # since something in it was written


def main(days: float, remove: bool) -> None:
    """Prints what nothing was written into for `days`, and removes it if told to."""
    found = [left for left in [*scratch(), *clones()] if left.days >= days]
    for left in found:
        print(f"{left.size / 1e6:10,.1f} MB  {left.days:5.0f} days  {left.path}")
        if remove:
            with files.locked(left.path) if left.path.parent == files.SCRATCH else nullcontext():
                shutil.rmtree(left.path)
    total = f"{sum(left.size for left in found) / 1e6:,.1f} MB in {len(found)} folders"
    if not found:
        print(f"Nothing that was last written {days:g} days ago or earlier.")
    elif remove:
        print(f"Removed {total}.")
    else:
        print(f"{total}, checkpoints among them; nothing is removed without --remove.")


def scratch() -> Iterator[Left]:
    """Folders of unfinished work that no process holds; without what MLflow is still to be sent, and DVC to store."""
    for folder in sorted(files.SCRATCH.glob("*/")):
        if folder.name not in (untracked.FOLDER.name, made.FOLDER.name) and not files.held(folder):
            yield measured(folder)


def clones() -> Iterator[Left]:
    """Folders that Prefect's workers cloned a repository of this project into, and that no process works in."""
    at_work = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            at_work.add(Path(process.cwd()))
    for folder in sorted(Path(tempfile.gettempdir()).glob("tmp*prefect/")):
        if list(folder.glob("*/flows/run.py")) and not any(folder in (one, *one.parents) for one in at_work):
            yield measured(folder)


def measured(folder: Path) -> Left:
    stats = []
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):  # somebody is at work after all
            stats.append(path.lstat())
    newest = max(stat.st_mtime for stat in stats)
    return Left(folder, sum(stat.st_size for stat in stats), (time.time() - newest) / DAY)
