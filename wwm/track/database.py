"""The local database of MLflow, whole or not there: MLflow makes it by some seventy migrations, and one that is killed
among them can be opened by no later process.

By hand python -m wwm.track.database; `make ui` runs it before MLflow's own server, which would make it in place
"""

import fcntl
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from wwm.common import files
from wwm.track import server

BROKEN = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)  # a full disk, say, is none of these


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Holds the database's lock, with the database whole: made where it is not there, brought up to date where it is
    of an older MLflow, in a copy that is renamed. One that is half made is set aside, and that is said.
    """
    with open(f"{file}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (file.is_file() and up_to_date(file)):
            try:
                make(file)
            except Exception as error:
                fault = getattr(error, "orig", error)
                if not file.is_file() or getattr(fault, "sqlite_errorcode", None) not in BROKEN:
                    raise
                aside = f"{file}.half-made-{time.strftime('%Y%m%d-%H%M%S')}"
                for end in ("", "-journal"):
                    with suppress(FileNotFoundError):
                        Path(f"{file}{end}").replace(f"{aside}{end}")
                print(
                    f"tracking: {file} was half made, as by a kill while MLflow made it ({fault}): it is now {aside},"
                    " and a new one is made",
                    flush=True,
                )
                make(file)
        yield


def up_to_date(file: Path) -> bool:
    import mlflow.store.db_migrations as migrations
    from alembic.script import ScriptDirectory

    try:
        with closing(sqlite3.connect(file)) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.DatabaseError:
        return False
    return found == [(ScriptDirectory(Path(migrations.__file__).parent).get_current_head(),)]


def make(file: Path) -> None:
    """Raises sqlite3.Error, or SQLAlchemy's with such a one as `orig`."""
    import mlflow.db

    with files.new_file(file) as temporary:
        # Of a run that was killed; SQLite would take an old journal for that of the new file.
        for left in temporary.parent.glob(f"{temporary.name}*"):
            left.unlink()
        if file.is_file():
            with closing(sqlite3.connect(file)) as old, closing(sqlite3.connect(temporary)) as new:
                old.backup(new)
        mlflow.db.upgrade.main([f"sqlite:///{temporary}"], standalone_mode=False)


if __name__ == "__main__":
    if (database := server.database()) is not None:
        server.be_quiet()
        with locked(database):
            pass
