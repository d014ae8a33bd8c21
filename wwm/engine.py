"""One function over many shards, in processes of this machine or on a Dask cluster. The only importer of dask.

A finished shard is a folder scratch/WHAT/KEY, and its key stands for everything that can change its bytes: a run after a
kill, or after a change of some inputs, makes only what is missing. What the last whole run did not ask for is removed.
"""

import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from wwm import files

COUNTS = "counts.json"
# Shards handed out for each process: one at work, one waiting.
AHEAD = 2
PATIENCE = "10s"  # for a scheduler to answer, and for its first worker


def each(what: str, function: Callable, shards: Iterable[tuple[str, tuple]]) -> Iterator[tuple[Path, dict]]:
    """Yields (folder, counts) of every shard, in order.

    what: names the work, in scratch/ and in errors. function: one of a module's own, called as function(folder, *arguments)
    in the project's folder; it writes files into `folder` and returns counts that JSON can hold. shards: (key, arguments)
    each, taken as processes come free: what makes them may be a long stream.
    Raises what `function` raises, and ValueError for a cluster that is not there or runs other code.
    """
    from wwm import params

    _, engine = params.load("engine")
    root = files.SCRATCH / what
    used = set()
    client = None
    pending: deque[tuple[Path, object]] = deque()
    with files.locked(root), ExitStack() as stack:
        for key, arguments in shards:
            folder, future = root / key, None
            used.add(key)
            if not (folder / COUNTS).exists():
                task = (str(Path.cwd()), source_hash(), str(folder), function, *arguments)
                if engine.scheduler is None and processes(engine) == 1:
                    finish(*task)
                else:
                    client = client or stack.enter_context(connected(engine))
                    future = client.submit(finish, *task, key=f"{what}-{key}")
            pending.append((folder, future))
            while pending and len(pending) > (AHEAD * sum(client.nthreads().values()) if client else 0):
                yield result(what, *pending.popleft())
        while pending:
            yield result(what, *pending.popleft())
        for other in root.glob("*"):
            if other.name not in used:
                shutil.rmtree(other)


def processes(engine) -> int:
    return engine.processes or len(os.sched_getaffinity(0))


@contextmanager
def connected(engine):
    """A client of the cluster that `engine` names, or of processes started here."""
    import dask
    from distributed import Client, LocalCluster

    # A document of some megabytes travels with its task. One process imports what the others are forked from.
    dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB", "distributed.worker.multiprocessing-method": "forkserver"})
    if engine.scheduler is None:
        # A Dask port runs whatever it is sent, so even on this machine it asks for a key (TLS).
        with (
            LocalCluster(
                n_workers=processes(engine), threads_per_worker=1, dashboard_address=None, memory_limit=None, security=True, silence_logs=50
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(engine.scheduler, timeout=PATIENCE)
        client.wait_for_workers(1, timeout=PATIENCE)
    except (OSError, TimeoutError) as error:
        raise ValueError(f"engine.scheduler: no cluster with a worker answers at {engine.scheduler} ({error}); start one, or set the key to null") from None
    with client:
        yield client


def result(what: str, folder: Path, future) -> tuple[Path, dict]:
    if future is None:
        return folder, files.read_json(folder / COUNTS)
    from distributed import KilledWorker

    try:
        return folder, future.result()
    except KilledWorker:
        raise ValueError(
            f"{what}: every process that worked on one of the shards was killed, most likely for lack of memory; lower engine.processes or corpus.characters_per_shard"
        ) from None


def finish(project: str, code: str, folder: str, function: Callable, *arguments) -> dict:
    """Makes one shard, whole or not at all; runs in a worker process, which may be on another machine."""
    if not Path(project).is_dir() or code != source_hash():
        raise ValueError(
            f"engine: a worker does not see {project}, or has other code than the stage had when it began; give all machines the same folder, and run again"
        )
    os.chdir(project)
    Path(folder).parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: a worker that was given up as lost may still be writing the same shard.
    new = Path(tempfile.mkdtemp(dir=Path(folder).parent, prefix=".", suffix=".tmp"))
    try:
        counts = function(new, *arguments)
        files.write_json(new / COUNTS, counts)
        new.chmod(0o755)
        # Not if it is there: then the other worker made it.
        if not Path(folder).exists():
            new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return counts


@cache
def source_hash() -> str:
    return files.hash_of([files.content_hash(path) for path in sorted(Path(__file__).parent.glob("*.py"))])
