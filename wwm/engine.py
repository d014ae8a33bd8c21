"""One function over many shards, in processes of this machine or on a Dask cluster. The only importer of dask.

A finished shard is a folder scratch/WHAT/KEY, and its key stands for everything that can change its bytes: a run after
a kill, or after a change of some inputs, makes only what is missing. What the last whole run did not ask for is
removed.
"""

import faulthandler
import os
import shutil
import tempfile
import threading
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from wwm.common import code, files, room
from wwm.common.errors import UserError

DONE = "done.json"
# What else than code can change bytes: those that write shards, and what these are made with.
PACKAGES = ["numba", "numpy", "opencc", "pyarrow", "rensa", "mwparserfromhell", "ltp", "ltp-extension", "tokenizers"]
VERSIONS = {name: version(name) for name in PACKAGES} | {"unicode": unicodedata.unidata_version}
# Of the code that this process runs, whatever becomes of its files.
SOURCE = files.hash_of([VERSIONS, code.everything()])
ONE_AT_A_TIME = threading.Lock()
# Shards handed out for each process: one at work, one waiting.
AHEAD = 2
PATIENCE = "10s"  # for a scheduler to answer, and for its first worker


def each(what: str, function: Callable, shards: Iterable[tuple[str, tuple]]) -> Iterator[tuple[Path, dict]]:
    """Yields (folder, counts) of every shard, in order.

    what: names the work, in scratch/ and in errors. function: one of a module's own, called as function(folder,
    *arguments) in the project's folder; it writes files into `folder` and returns counts that JSON can hold. shards:
    (key, arguments) each, taken as processes come free: what makes them may be a long stream. Raises what `function`
    raises, and UserError for a cluster that is not there or runs other code.
    """
    from wwm import params

    engine = params.read().engine
    root = files.SCRATCH / what
    used = set()
    client = None
    pending: deque[tuple[Path, object]] = deque()
    with files.locked(root), ExitStack() as stack:
        for key, arguments in shards:
            key = files.hash_of([key, VERSIONS])
            folder = root / key
            # The same text may come twice: what is being made is not to be begun again.
            future = dict(pending).get(folder)
            if future is None and key not in used and done(folder) is None:
                shutil.rmtree(folder, ignore_errors=True)
                task = (str(Path.cwd()), SOURCE, str(folder), function, *arguments)
                if engine.scheduler is None and processes(engine) == 1:
                    finish(*task)
                else:
                    client = client or stack.enter_context(connected(engine))
                    future = client.submit(watched, *task, key=f"{what}-{files.hash_of([key, *task[:2]])}")
            used.add(key)
            pending.append((folder, future))
            while pending and len(pending) > (AHEAD * sum(client.nthreads().values()) if client else 0):
                yield result(what, *pending.popleft())
        while pending:
            yield result(what, *pending.popleft())
        for other in root.glob("*"):
            if other.name not in used:
                shutil.rmtree(other) if other.is_dir() else other.unlink()


def check_room(what: str, size: float) -> None:
    """Raises UserError where there is no room for shards of `size` bytes in all. `what` as in `each`: those that are
    finished count as written.
    """
    room.check(what, shared=size, there=room.size_of(files.SCRATCH / what))


def processes(engine) -> int:
    return engine.processes or len(os.sched_getaffinity(0))


@contextmanager
def connected(engine):
    """A client of the cluster that `engine` names, or of processes started here."""
    import dask
    from distributed import Client, LocalCluster

    # A document of some megabytes travels with its task. One process imports what the others are forked from.
    dask.config.set(
        {
            "distributed.admin.large-graph-warning-threshold": "1GB",
            "distributed.worker.multiprocessing-method": "forkserver",
        }
    )
    if engine.scheduler is None:
        # A Dask port runs whatever it is sent, so even on this machine it asks for a key (TLS).
        with (
            LocalCluster(
                n_workers=processes(engine),
                threads_per_worker=1,
                dashboard_address=None,
                memory_limit=None,
                security=True,
                silence_logs=50,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(engine.scheduler, timeout=PATIENCE)
        client.wait_for_workers(1, timeout=PATIENCE)
    except (OSError, TimeoutError) as error:
        raise UserError(
            f"engine.scheduler: no cluster with a worker answers at {engine.scheduler} ({error}); start one, or set the"
            " key to null"
        ) from None
    with client:
        yield client


def result(what: str, folder: Path, future) -> tuple[Path, dict]:
    if future is None:
        return folder, done(folder)
    from distributed import KilledWorker

    try:
        return folder, future.result()
    except KilledWorker:
        fault = fault_file(folder)
        said = fault.read_text(encoding="utf-8", errors="replace") if fault.exists() else ""
        fault.unlink(missing_ok=True)
        if said:
            raise RuntimeError(
                f"{what}: every process that worked on one of the shards crashed, which is no lack of memory:\n{said}"
            ) from None
        raise UserError(
            f"{what}: every process that worked on one of the shards was killed, most likely for lack of memory; lower"
            " engine.processes or corpus.characters_per_shard"
        ) from None


def done(folder: Path) -> dict | None:
    """The counts of a finished shard; None if it is not there, or not as large as it was when it was finished."""
    try:
        found = files.read_json(folder / DONE)
        whole = all((folder / name).stat().st_size == size for name, size in found["sizes"].items())
    except (OSError, ValueError):
        return None
    return found["counts"] if whole else None


def fault_file(folder: Path) -> Path:
    """Where a worker that crashes (SIGABRT, SIGSEGV) says what it was doing to make the shard `folder`."""
    return folder.with_name(f"{folder.name}.fault")


def watched(project: str, source: str, folder: str, function: Callable, *arguments) -> dict:
    """`finish` in a worker process, of which a crash is written down; a kill from outside, as for lack of memory, is
    not.
    """
    path = fault_file(Path(project, folder))
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(path, "w") if path.parent.is_dir() else open(os.devnull, "w") as file:
            faulthandler.enable(file)
            try:
                return finish(project, source, folder, function, *arguments)
            finally:
                faulthandler.disable()
    finally:
        path.unlink(missing_ok=True)


def finish(project: str, source: str, folder: str, function: Callable, *arguments) -> dict:
    """Makes one shard, whole or not at all; runs in a worker process, which may be on another machine."""
    if source != SOURCE or not Path(project).is_dir():
        raise UserError(
            f"engine: a worker does not see {project}, or runs other code or packages; give all machines the same"
            " folder and .venv, and start the workers again"
        )
    # The folder that a process works in is one for all its threads.
    with ONE_AT_A_TIME:
        os.chdir(project)
        Path(folder).parent.mkdir(parents=True, exist_ok=True)
        # A name of its own: a worker that was given up as lost may still be writing the same shard.
        new = Path(tempfile.mkdtemp(dir=Path(folder).parent, prefix=".", suffix=".tmp"))
        try:
            counts = function(new, *arguments)
            for file in new.iterdir():
                with open(file, "rb") as written:
                    os.fsync(written.fileno())
            files.write_json(
                new / DONE, {"counts": counts, "sizes": {file.name: file.stat().st_size for file in new.iterdir()}}
            )
            files.make_readable(new)
            with suppress(OSError):
                new.rename(folder)
            # Another worker may have made it meanwhile.
            if done(Path(folder)) is None:
                raise OSError(f"{folder} cannot be written")
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return counts
