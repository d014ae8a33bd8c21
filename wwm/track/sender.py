"""The process beside a stage that takes what the stage reports, JSON lines through a socket, and sends it on.

It may import for seconds, start threads that a stage must not fork with, and outlive a stage that is killed. The stages
of one pipeline run share one: 30 imports of mlflow would be minutes of a small machine. wwm/track/__init__.py says what
is sent where.
"""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from wwm.common.errors import printable

GIVE_UP_SECONDS = 60  # how long a stage waits for its numbers to arrive once its work is done
LINGER_SECONDS = 600  # how long they may take then, with nobody waiting: a busy machine needs minutes for a model


def start(module: str, folder: Path, listen: str | None = None) -> socket.socket:
    """Our end of the socket to a new process that runs `module` in `folder`, which calls `serve`; with `listen` others
    may connect there.
    """
    ours, theirs = socket.socketpair()
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    # -P keeps the working folder off sys.path; a session of its own keeps Ctrl-C away until the last numbers are sent
    command = [sys.executable, "-P", "-m", module, *([listen] if listen else [])]
    subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdin=theirs.fileno(),
        stdout=2,
        start_new_session=True,
    )
    theirs.close()
    return ours


def connect(address: str) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    with suppress(OSError):  # the pipeline run may be over, while a stage that it started is not
        connection.connect(address)
        return connection
    connection.close()
    return None


def now() -> int:
    """Milliseconds since 1970, as MLflow counts."""
    return time.time_ns() // 1_000_000


@contextmanager
def terminated_as_exit() -> Iterator[None]:
    """SIGTERM raises SystemExit, so that a stage has a last word; its own handler stays as it is."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


# From here on: the process beside the stage.


class Delivery(Protocol):
    """Of one run: `run` takes its messages from a queue, until one with a `status`; `keep` saves those that `run` was
    too long about.
    """

    def run(self) -> None: ...

    def keep(self) -> None: ...


Deliver = Callable[["queue.SimpleQueue[dict]"], Delivery]


def serve(deliver: Deliver, listen: str | None = None) -> None:
    """`deliver` is called for stdin's socket, and for each that connects."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    workers: list[threading.Thread] = []
    if listen:
        server = socket.create_server(listen, family=socket.AF_UNIX)
        threading.Thread(target=accept, args=(server, workers, deliver), daemon=True).start()
    record(socket.socket(fileno=0), deliver)
    for worker in workers:
        worker.join()
    os._exit(0)  # mlflow's own threads may hang on a dead server


def accept(server: socket.socket, workers: list[threading.Thread], deliver: Deliver) -> None:
    while True:
        connection, _ = server.accept()
        workers.append(threading.Thread(target=record, args=(connection, deliver), daemon=True))
        workers[-1].start()


def record(connection: socket.socket, deliver: Deliver) -> None:
    """Hands on the messages of one run until the last one or the stage's death; then closes the connection."""
    inbox: queue.SimpleQueue[dict] = queue.SimpleQueue()
    patience: float = GIVE_UP_SECONDS
    delivery = deliver(inbox)
    worker = threading.Thread(target=delivery.run, daemon=True)
    worker.start()
    with connection, connection.makefile(encoding="utf-8") as lines:
        with suppress(OSError):  # a stage that dies may reset it
            for line in lines:
                message = json.loads(line)
                patience += message.get("patience", 0)
                inbox.put(message)
        inbox.put({"status": "FAILED", "tags": {}, "time": now()})  # read only if the stage died without a last word
        worker.join(patience)
        if worker.is_alive():
            print(f"tracking: MLflow has not taken everything in {patience:.0f} s; that goes on beside", flush=True)
    worker.join(LINGER_SECONDS)
    if worker.is_alive():
        print("tracking: MLflow has still not taken everything", flush=True)
        delivery.keep()


def take(inbox: queue.SimpleQueue, seconds: float) -> list[dict]:
    """What arrives within `seconds`, or until the last message."""
    taken: list[dict] = []
    deadline = time.monotonic() + seconds
    while not taken or "status" not in taken[-1]:
        try:
            taken.append(inbox.get(timeout=max(0, deadline - time.monotonic())))
        except queue.Empty:
            break
    return taken


def flatten(values: object, prefix: str = "") -> dict[str, str]:
    """{"a": {"b": 1}, "c": [{"d": 2}]} -> {"a.b": "1", "c.0.d": "2"}; a list of plain values stays one value."""
    items: Iterable[tuple[object, object]]
    if isinstance(values, dict):
        items = values.items()
    elif isinstance(values, list) and values and isinstance(values[0], dict):
        items = enumerate(values)
    else:
        return {prefix: printable(str(values))}
    return {
        key: text
        for name, value in items
        for key, text in flatten(value, f"{prefix}.{name}" if prefix else str(name)).items()
    }
