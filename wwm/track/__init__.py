"""MLflow runs: what a stage logs while it works. The only importer of mlflow.

    with track.run("pretrain", name="bert", params={...}, outs=[Path("models/bert")], scratch=folder) as run:
        run.log({"mlm_loss": 3.2}, step=100)

A call hands a line to the process beside the stage (wwm/track/sender.py) and returns; that process imports mlflow and sends. So a
slow or dead server costs the work nothing (wwm/track/untracked.py keeps what it missed), and a stage killed by -9 still ends as FAILED.
Where: MLFLOW_TRACKING_URI, by default sqlite:///mlflow.db in the working folder; experiment MLFLOW_EXPERIMENT_NAME or `wwm`.
Tags: `dvc.PATH` and `dvc.dep.PATH` hold DVC's hashes of what the stage wrote and read.
"""

import fcntl
import json
import os
import queue
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path

from wwm.track import hashes, links, sender, untracked

PARENT = "WWM_PARENT_RUN"  # environment variables: id of the run that new runs are nested under,
SENDER = "WWM_RUN_SENDER"  # and socket of the process that sends for a whole pipeline run
INTERRUPTED_SECONDS = 5  # how long a stage that was told to stop waits for its numbers to arrive
FLUSH_SECONDS = 2
RETRY_SECONDS = 15
STOPPED = (75, 143)  # exit codes of a stage that obeyed SIGTERM: EX_TEMPFAIL (it saved a checkpoint), 128 + SIGTERM
ID_FILE = "mlflow_run_id"


class Run:
    """One MLflow run, as the stage sees it. `end` is the stage's end of a socket to the process that sends, None where nothing is tracked."""

    def __init__(self, end: socket.socket | None):
        self.end = end
        self.env: dict[str, str] = {}  # what puts the runs of other processes under this one; for `parent`

    def log(self, metrics: dict, step: int | None = None) -> None:
        """Numbers by name; `step` is the x axis of their curve."""
        self._put(metrics={key: float(value) for key, value in metrics.items()}, step=step or 0, time=sender.now())

    def artifact(self, path: str | Path) -> None:
        """A copy of a file or folder; it must stay until the run ends."""
        self._put(artifact=str(Path(path).resolve()))

    def child(self, name: str, params: dict, metrics: dict) -> None:
        """A finished run under this one, such as one seed of several."""
        self._put(child=name, params=sender.flatten(params), values={key: float(value) for key, value in metrics.items()}, time=sender.now())

    def annotate_model(self, name: str, metrics: dict) -> None:
        """Scores of models/NAME, written to the run that made it: so models are compared by recipe, curve and scores at once."""
        folder = Path("models", name)
        if self.end and folder.is_dir():
            self._put(model=name, hash=hashes.of(folder), scores={key: float(value) for key, value in metrics.items()}, time=sender.now())

    def cached(self, stages: dict[str, dict[str, str]]) -> None:
        """For `parent`: stages that did not run, by DVC's name, with path -> hash of their outs. Each becomes a run that links to its earlier one."""
        for name, outs in stages.items():
            self._put(cached=name, outs=outs, time=sender.now())

    def _put(self, **message) -> None:
        if self.end:
            with suppress(OSError):  # the sender has gone, and has said why
                self.end.sendall(json.dumps(message).encode() + b"\n")

    def _end(self, status: str, outs: dict[str, str], seconds: float) -> None:
        self._put(status=status, tags=hashes.tags("dvc", outs), time=sender.now())
        with suppress(OSError), self.end:
            self.end.shutdown(socket.SHUT_WR)
            self.end.settimeout(seconds)
            self.end.recv(1)  # returns when the sender has sent everything and closes its end


@contextmanager
def run(stage: str, name: str | None = None, params: dict | None = None, outs=(), scratch: str | Path | None = None, listen: str | None = None):
    """Yields a Run: one MLflow run called `stage name`, with `params` flattened to dotted keys.

    When the block ends well each path of `outs` is tagged with its DVC hash, and a model among them gets an entry in the model
    registry. With a `scratch` folder the id is kept there, and the next call goes on with the same MLflow run. Nothing is tracked
    on a rank other than 0. Raises what the block raises. `listen` is for `parent`: the address at which stages find this run's sender.
    """
    if int(os.environ.get("RANK", "0")):
        yield Run(None)
        return
    current = Run((None if listen else sender.connect(os.environ.get(SENDER, ""))) or sender.start("wwm.track", listen))
    tags = {
        "stage": stage,
        "name": name,
        "mlflow.source.name": f"wwm.{stage}",
        "mlflow.source.git.commit": hashes.git_commit(),
        "mlflow.parentRunId": os.environ.get(PARENT),
    }
    current._put(
        run_name=f"{stage} {name}" if name else stage,
        tags={key: value for key, value in tags.items() if value},
        params=sender.flatten(params or {}),
        scratch=str(Path(scratch).resolve()) if scratch else None,
        time=sender.now(),
    )
    if not listen:
        current._put(deps=f"{stage}@{name}" if name else stage)
    try:
        with sender.terminated_as_exit():
            yield current
    except BaseException as error:
        stopped = error.code in STOPPED if isinstance(error, SystemExit) else not isinstance(error, Exception)
        current._end("KILLED" if stopped else "FAILED", {}, INTERRUPTED_SECONDS if stopped else sender.GIVE_UP_SECONDS)
        raise
    current._end("FINISHED", {str(path): hashes.of(path) for path in outs if Path(path).exists()}, sender.GIVE_UP_SECONDS)


@contextmanager
def parent(name: str):
    """Yields a Run that the stages of one pipeline run are nested under, by its `env`, which is {} where MLflow does not answer."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"{folder}/socket"
        with run(name, scratch=folder, listen=address) as current:
            written, deadline = Path(folder) / ID_FILE, time.monotonic() + sender.GIVE_UP_SECONDS
            while current.end and not written.exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            run_id = written.read_text() if written.exists() else ""
            current.env = {PARENT: run_id, SENDER: address} if run_id else {}
            yield current


# From here on: the process beside the stage.


def deliver(inbox: queue.SimpleQueue) -> None:
    opening, waiting, seconds, warned = inbox.get(), [], 0, False
    client = run_id = None
    while True:
        waiting += sender.take(inbox, seconds)
        seconds = FLUSH_SECONDS
        try:
            if run_id is None:
                client, run_id = open_run(opening)
            while waiting:
                count = send(client, run_id, waiting)
                last = waiting[count - 1]
                del waiting[:count]
                if "status" in last:
                    return untracked.send(target(), partial(send_late, run_id))
        except Exception as error:  # noqa: BLE001 - nothing that goes wrong here may reach the work
            if not warned:
                reason = (str(error).splitlines() or [""])[0]
                print(f"tracking: not recorded in MLflow at {tracking_uri()}, the work goes on: {type(error).__name__}: {reason}", flush=True)
                if opening.get("scratch"):
                    (Path(opening.get("scratch")) / ID_FILE).touch()  # tells `parent` not to wait for an id
            warned = True
            if any("status" in message for message in waiting):
                return untracked.keep(target(), opening | {"run_id": run_id}, waiting)
            seconds = RETRY_SECONDS


def send_late(own_id: str, opening: dict, messages: list[dict], save: Callable) -> None:
    """`save` keeps what is not sent yet. A run that was gone on with has an end of its own, which stays."""
    client, run_id = open_run(opening)
    save(opening | {"run_id": run_id}, messages)
    while messages and not (run_id == own_id and "status" in messages[0]):
        del messages[: send(client, run_id, messages)]
        save(opening | {"run_id": run_id}, messages)


def target() -> list[str]:
    """Server and experiment."""
    return [tracking_uri(), os.environ.get("MLFLOW_EXPERIMENT_NAME", "wwm")]


def tracking_uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")


def open_run(opening: dict):
    """(client, run id) of the run that the scratch folder names, else of a new one."""
    # We try again ourselves; a URL would be printed for each stage.
    quiet = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    os.environ.update({"MLFLOW_DISABLE_TELEMETRY": "true", **quiet, **os.environ})
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri, name = target()
    file = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
    # two processes that create one SQLite database at once both fail half-way through its migrations
    with open(f"{file}.lock", "w") if file else nullcontext() as lock:
        if lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(name)
        artifacts = Path("mlartifacts").resolve().as_uri() if file else None
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(name, artifact_location=artifacts)
    kept = Path(opening.get("scratch")) / ID_FILE if opening.get("scratch") else None
    run_id = opening.get("run_id") or (kept.read_text() if kept and kept.is_file() else "")
    if run_id:
        try:
            client.update_run(run_id, status="RUNNING")
            log(client, run_id, tags=opening["tags"])
            return client, run_id
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    run_id = client.create_run(experiment_id, start_time=opening["time"], tags=opening["tags"], run_name=opening["run_name"]).info.run_id
    if kept:
        with suppress(FileNotFoundError):  # a short stage may be over, and its scratch folder gone
            kept.with_suffix(".tmp").write_text(run_id)
            kept.with_suffix(".tmp").replace(kept)
    log(client, run_id, params=opening["params"])
    return client, run_id


def log(client, run_id: str, metrics: dict | None = None, params: dict | None = None, tags: dict | None = None) -> None:
    from mlflow.entities import Metric, Param, RunTag

    points = [Metric(key, value, sender.now(), 0) for key, value in (metrics or {}).items()]
    client.log_batch(run_id, points, tags=[RunTag(*tag) for tag in (tags or {}).items()])
    entries = [Param(key, value[:6000]) for key, value in (params or {}).items()]
    for first in range(0, len(entries), 100):  # a server takes no more at once
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
    elif "deps" in message:
        log(client, run_id, tags=hashes.tags("dvc.dep", hashes.of_deps(message["deps"])))
    elif "child" in message:
        run = client.get_run(run_id)
        tags = {"mlflow.parentRunId": run_id, "stage": run.data.tags["stage"]}
        child = client.create_run(run.info.experiment_id, message["time"], tags, message["child"]).info.run_id
        log(client, child, message["values"], message["params"])
        client.set_terminated(child, "FINISHED", message["time"])
    elif "cached" in message:
        linked, maker = links.link(client, run_id, message["cached"], message["outs"], message["time"])
        if maker:
            log(client, linked, maker.data.metrics, maker.data.params)
        client.set_terminated(linked, "FINISHED", message["time"])
        register(client, maker.info.run_id if maker else linked)
    elif "model" in message:
        if maker := links.find(client, links.experiment(client, run_id), {f"dvc.models/{message['model']}": message["hash"]}):
            log(client, maker.info.run_id, metrics=message["scores"], tags={"model": message["model"]})
    else:
        log(client, run_id, tags=message["tags"])
        client.set_terminated(run_id, message["status"], message["time"])
        register(client, run_id)
    return 1


def register(client, run_id: str) -> None:
    """A version in the model registry for each model that a run wrote, unless one has its hash. The weights stay with DVC."""
    from mlflow.exceptions import MlflowException

    tags = client.get_run(run_id).data.tags
    for path, value in tags.items():
        name = path.removeprefix("dvc.models/")
        if name == path or client.search_model_versions(f"name = '{name}' and tags.dvc = '{value}'"):
            continue
        with suppress(MlflowException):  # it has versions already
            client.create_registered_model(name)
        known = {"dvc": value, "stage": tags["stage"], "git_commit": tags.get("mlflow.source.git.commit", "unknown")}
        client.create_model_version(name, f"runs:/{run_id}/models/{name}", run_id, known, description=f"The weights are models/{name} with DVC's hash {value}.")
