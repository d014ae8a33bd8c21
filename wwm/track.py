"""MLflow runs: what a stage logs while it works. The only importer of mlflow.

    with track.run("pretrain", name="bert", params={...}, outs=[Path("models/bert")], scratch=folder) as run:
        run.log({"mlm_loss": 3.2}, step=100)
        run.artifact("results/loss.png")

A call hands a line to a process beside the stage and returns; that process imports mlflow (seconds, and threads that a stage
must not fork with) and sends. So a slow or dead server costs the work nothing, and a stage killed by -9 still ends as FAILED.
The stages of one pipeline run share such a process: 30 imports of mlflow would be minutes of a small machine.
Where: MLFLOW_TRACKING_URI, by default sqlite:///mlflow.db in the working folder; experiment MLFLOW_EXPERIMENT_NAME or `wwm`.
"""
import fcntl
import hashlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

PARENT = "WWM_PARENT_RUN"  # environment variables: id of the run that new runs are nested under,
SENDER = "WWM_RUN_SENDER"  # and socket of the process that sends for a whole pipeline run
GIVE_UP_SECONDS = 60  # how long a stage waits for its numbers to arrive once its work is done
INTERRUPTED_SECONDS = 5  # the same when it was told to stop
FLUSH_SECONDS = 2
RETRY_SECONDS = 15
STOPPED = (75, 143)  # exit codes of a stage that obeyed SIGTERM: EX_TEMPFAIL (it saved a checkpoint), 128 + SIGTERM
ID_FILE = "mlflow_run_id"
DEFAULT_URI = "sqlite:///mlflow.db"


class Run:
    """One MLflow run, as the stage sees it. `end` is the stage's end of a socket to the process that sends, None where nothing is tracked."""

    def __init__(self, end: socket.socket | None):
        self.end = end

    def log(self, metrics: dict, step: int | None = None) -> None:
        """Numbers by name; `step` is the x axis of their curve."""
        self._put(metrics={key: float(value) for key, value in metrics.items()}, step=step or 0, time=now())

    def artifact(self, path: str | Path) -> None:
        """A copy of a file or folder; it must stay until the run ends."""
        self._put(artifact=str(Path(path).resolve()))

    def _put(self, **message) -> None:
        if self.end:
            with suppress(OSError):  # the sender has gone, and has said why
                self.end.sendall(json.dumps(message).encode() + b"\n")

    def _end(self, status: str, tags: dict, seconds: float) -> None:
        self._put(status=status, tags=tags, time=now())
        with suppress(OSError), self.end:
            self.end.shutdown(socket.SHUT_WR)
            self.end.settimeout(seconds)
            self.end.recv(1)  # returns when the sender has sent everything and closes its end


@contextmanager
def run(stage: str, name: str | None = None, params: dict | None = None, outs=(), scratch: str | Path | None = None, listen: str | None = None):
    """Yields a Run: one MLflow run called `stage name`, with `params` flattened to dotted keys.

    When the block ends well each path of `outs` is tagged with its DVC hash. With a `scratch` folder the id is kept there, and
    the next call goes on with the same MLflow run. Nothing is tracked on a rank other than 0. Raises what the block raises.
    `listen` is for `parent`: the address at which stages find this run's sender.
    """
    if int(os.environ.get("RANK", "0")):
        yield Run(None)
        return
    current = Run(own_sender(listen) if listen else shared_sender() or own_sender())
    tags = {
        "stage": stage,
        "name": name,
        "mlflow.source.name": f"wwm.{stage}",
        "mlflow.source.git.commit": git_commit(),
        "mlflow.parentRunId": os.environ.get(PARENT),
    }
    current._put(
        run_name=f"{stage} {name}" if name else stage,
        tags={key: value for key, value in tags.items() if value},
        params=flatten(params or {}),
        scratch=str(Path(scratch).resolve()) if scratch else None,
        time=now(),
    )
    try:
        with terminated_as_exit():
            yield current
    except BaseException as error:
        stopped = error.code in STOPPED if isinstance(error, SystemExit) else not isinstance(error, Exception)
        current._end("KILLED" if stopped else "FAILED", {}, INTERRUPTED_SECONDS if stopped else GIVE_UP_SECONDS)
        raise
    current._end("FINISHED", {f"dvc.{path}": dvc_hash(path) for path in outs if Path(path).exists()}, GIVE_UP_SECONDS)


@contextmanager
def parent(name: str):
    """Yields environment variables that put the runs of other processes under a new MLflow run; {} where MLflow does not answer."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"{folder}/socket"
        with run(name, scratch=folder, listen=address):
            written, deadline = Path(folder) / ID_FILE, time.monotonic() + GIVE_UP_SECONDS
            while not written.exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            run_id = written.read_text() if written.exists() else ""
            yield {PARENT: run_id, SENDER: address} if run_id else {}


def own_sender(listen: str | None = None) -> socket.socket:
    """A new process that sends; with `listen` also for others that connect there."""
    ours, theirs = socket.socketpair()
    # -P keeps wwm/ itself off sys.path; a session of its own keeps Ctrl-C away until the last numbers are sent
    subprocess.Popen([sys.executable, "-P", __file__, *([listen] if listen else [])], stdin=theirs, stdout=2, start_new_session=True)
    theirs.close()
    return ours


def shared_sender() -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    with suppress(OSError):  # the pipeline run may be over, while a stage that it started is not
        connection.connect(os.environ.get(SENDER, ""))
        return connection
    connection.close()
    return None


def now() -> int:
    """Milliseconds since 1970, as MLflow counts."""
    return time.time_ns() // 1_000_000


def git_commit() -> str | None:
    with suppress(OSError):
        return subprocess.run(["git", "rev-parse", "HEAD"], check=False, capture_output=True, text=True).stdout.strip() or None


def flatten(values, prefix: str = "") -> dict[str, str]:
    """{"a": {"b": 1}, "c": [{"d": 2}]} -> {"a.b": "1", "c.0.d": "2"}; a list of plain values stays one value."""
    if isinstance(values, dict):
        items = values.items()
    elif isinstance(values, list) and values and isinstance(values[0], dict):
        items = enumerate(values)
    else:
        return {prefix: str(values)}
    return {key: text for name, value in items for key, text in flatten(value, f"{prefix}.{name}" if prefix else str(name)).items()}


def dvc_hash(path: str | Path) -> str:
    """The hash that dvc.lock will hold for an out, which DVC itself computes only after the stage has ended."""
    path = Path(path)
    if path.is_file():
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "md5").hexdigest()
    entries = [{"md5": dvc_hash(file), "relpath": file.relative_to(path).as_posix()} for file in path.rglob("*") if file.is_file()]
    entries.sort(key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


@contextmanager
def terminated_as_exit():
    """SIGTERM raises SystemExit, so that the run ends as KILLED; a stage's own handler stays as it is."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


# From here on: the process beside the stage.


def main(listen: str | None = None) -> None:
    """Records what comes from stdin's socket and from those that connect to `listen`, until all of them are closed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    workers = []
    if listen:
        server = socket.create_server(listen, family=socket.AF_UNIX)
        threading.Thread(target=accept, args=(server, workers), daemon=True).start()
    record(socket.socket(fileno=0))
    deadline = time.monotonic() + GIVE_UP_SECONDS
    for worker in workers:
        worker.join(max(0, deadline - time.monotonic()))
    os._exit(0)  # mlflow's own threads may hang on a dead server


def accept(server: socket.socket, workers: list[threading.Thread]) -> None:
    while True:
        connection, _ = server.accept()
        workers.append(threading.Thread(target=record, args=(connection,), daemon=True))
        workers[-1].start()


def record(connection: socket.socket) -> None:
    """Sends the messages of one run, JSON lines, until the last one or the stage's death; then closes the connection."""
    inbox = queue.SimpleQueue()
    worker = threading.Thread(target=deliver, args=(inbox,), daemon=True)
    worker.start()
    with connection, connection.makefile(encoding="utf-8") as lines:
        with suppress(OSError):  # a stage that dies may reset it
            for line in lines:
                inbox.put(json.loads(line))
        inbox.put({"status": "FAILED", "tags": {}, "time": now()})  # read only if the stage died without a last word
        worker.join(GIVE_UP_SECONDS)
        if worker.is_alive():
            print(f"tracking: MLflow did not take everything within {GIVE_UP_SECONDS} s; the rest is not recorded", flush=True)


def deliver(inbox: queue.SimpleQueue) -> None:
    opening, waiting, seconds, warned = inbox.get(), [], 0, False
    client = run_id = None
    while True:
        waiting += take(inbox, seconds)
        seconds = FLUSH_SECONDS
        try:
            if run_id is None:
                client, run_id = open_run(opening)
            while waiting:
                count = send(client, run_id, waiting)
                last = waiting[count - 1]
                del waiting[:count]
                if "status" in last:
                    return
        except Exception as error:  # noqa: BLE001 - nothing that goes wrong here may reach the work
            if not warned:
                reason = (str(error).splitlines() or [""])[0]
                print(f"tracking: not recorded in MLflow at {tracking_uri()}, the work goes on: {type(error).__name__}: {reason}", flush=True)
                if opening["scratch"]:
                    (Path(opening["scratch"]) / ID_FILE).touch()  # tells `parent` not to wait for an id
            warned = True
            if isinstance(error, ImportError) or any("status" in message for message in waiting):
                return
            seconds = RETRY_SECONDS


def take(inbox: queue.SimpleQueue, seconds: float) -> list[dict]:
    """What arrives within `seconds`, or until the last message."""
    taken, deadline = [], time.monotonic() + seconds
    while not taken or "status" not in taken[-1]:
        try:
            taken.append(inbox.get(timeout=max(0, deadline - time.monotonic())))
        except queue.Empty:
            break
    return taken


def tracking_uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_URI)


def open_run(opening: dict):
    """(client, run id) of the run that the scratch folder names, else of a new one."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # we try again ourselves
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = tracking_uri()
    file = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
    # two processes that create one SQLite database at once both fail half-way through its migrations
    with locked(f"{file}.lock") if file else nullcontext():
        client = MlflowClient(uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "wwm")
        experiment = client.get_experiment_by_name(name)
        artifacts = Path("mlartifacts").resolve().as_uri() if file else None
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(name, artifact_location=artifacts)
    kept = Path(opening["scratch"]) / ID_FILE if opening["scratch"] else None
    run_id = kept.read_text() if kept and kept.is_file() else ""
    if run_id:
        try:
            client.update_run(run_id, status="RUNNING")
            for key, value in opening["tags"].items():
                client.set_tag(run_id, key, value)
            return client, run_id
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    run_id = client.create_run(experiment_id, start_time=opening["time"], tags=opening["tags"], run_name=opening["run_name"]).info.run_id
    if kept:
        with suppress(FileNotFoundError):  # a short stage may be over, and its scratch folder gone
            kept.with_suffix(".tmp").write_text(run_id)
            kept.with_suffix(".tmp").replace(kept)
    log_params(client, run_id, opening["params"])
    return client, run_id


def log_params(client, run_id: str, params: dict[str, str]) -> None:
    from mlflow.entities import Param

    entries = [Param(key, value[:6000]) for key, value in params.items()]
    for first in range(0, len(entries), 100):
        client.log_batch(run_id, params=entries[first : first + 100])


def send(client, run_id: str, messages: list[dict]) -> int:
    """Sends the metrics at the front in one call, or else the one message there; how many were sent."""
    from mlflow.entities import Metric

    metrics, count = [], 0
    for message in messages:
        if "metrics" not in message or len(metrics) + len(message["metrics"]) > 1000 and metrics:
            break
        metrics += [Metric(key, value, message["time"], message["step"]) for key, value in message["metrics"].items()]
        count += 1
    if count:
        client.log_batch(run_id, metrics=metrics)
        return count
    message = messages[0]
    if "artifact" in message:
        path = Path(message["artifact"])
        if path.is_dir():
            client.log_artifacts(run_id, str(path), path.name)
        elif path.exists():
            client.log_artifact(run_id, str(path))
    else:
        for key, value in message["tags"].items():
            client.set_tag(run_id, key, value)
        client.set_terminated(run_id, message["status"], message["time"])
    return 1


@contextmanager
def locked(path: str):
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main(*sys.argv[1:])
