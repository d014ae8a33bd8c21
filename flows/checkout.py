"""Locks of a checkout: one flow works in it at a time, for two would do the same and stop at each other's; and what a
kill leaves of DVC's own.
"""

import getpass
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wwm.common import files
from wwm.common.errors import UserError

LOCK = Path(".dvc/tmp/flow")  # free again as soon as the process that holds it is no more


@contextmanager
def held(say: Callable[[str], object]) -> Iterator[None]:
    """Waits for the flow that works here, and says which it is."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with open(LOCK, "a+", encoding="utf-8") as lock:
        files.wait_for(
            lock, lambda: say(f"{who()} is at work in {Path.cwd()}; this run waits for it, and Ctrl-C ends the waiting")
        )
        lock.truncate(0)
        lock.write(
            f"Process {os.getpid()} of {user()}, since {time.strftime('%Y-%m-%d %H:%M')}: {' '.join(sys.orig_argv)}"
        )
        lock.flush()
        yield


def who() -> str:
    return LOCK.read_text(encoding="utf-8") or "Another flow"


def user() -> str:
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return str(os.getuid())


def remove_stale_rwlock() -> None:
    """A dvc killed while it wrote .dvc/tmp/rwlock leaves it empty, and no later dvc can read it."""
    from dvc.lock import LockError, make_lock

    path = Path(".dvc/tmp/rwlock")
    with suppress(LockError, FileNotFoundError):
        if path.stat().st_size == 0:
            # who holds this lock may be writing right now: under it an empty file is nobody's
            with make_lock(f"{path}.lock"):
                if path.stat().st_size == 0:
                    path.unlink()


def set_aside_cut_lock() -> None:
    """DVC writes dvc.lock in place: killed meanwhile, it leaves half a file that no later dvc can read.

    Without it DVC finds in its run cache what the stages made, so the file is renamed, and nothing is lost.
    """
    from dvc.repo import Repo

    path = Path("dvc.lock")
    if not path.is_file() or whole(path):
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if marks := [number for number, line in enumerate(lines, 1) if line.startswith(("<<<<<<< ", ">>>>>>> "))]:
        raise UserError(
            f"dvc.lock, line {marks[0]}: a merge of git left both sides; take one, `git checkout --ours dvc.lock` or"
            " `--theirs`, and DVC's cache restores what the other made"
        )
    with Repo(_wait_for_lock=True) as repo, repo.lock:
        # who wrote it a moment ago has finished by now
        if not whole(path):
            path.replace("dvc.lock.cut")
            print(
                "dvc.lock was cut off, as by a kill: it is now dvc.lock.cut, and DVC's run cache restores what was"
                " done",
                flush=True,
            )


def whole(path: Path) -> bool:
    """Whether dvc.lock reads as DVC needs it."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from ruamel.yaml import YAML, YAMLError
    from voluptuous import Invalid

    try:
        entries = COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(path.read_text(encoding="utf-8")))["stages"].values()
    except (YAMLError, UnicodeDecodeError, Invalid, KeyError):
        return False
    # the schema lets half an entry pass
    found = [entry for stage in entries for entry in stage.get("deps", []) + stage.get("outs", [])]
    return all(
        entry.get("hash") == "md5" and re.fullmatch(r"[0-9a-f]{32}(\.dir)?", entry.get("md5") or "") and "size" in entry
        for entry in found
    )
