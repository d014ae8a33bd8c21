"""The process beside a stage: what the stage reports goes to MLflow.

What the server does not take is kept (wwm/track/untracked.py), and sent by a later run.
"""

import json
import queue
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wwm.common.errors import in_a_line, printable
from wwm.track import ID_FILE, database, lineage, pictures, registry, sender, server, untracked

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

FLUSH_SECONDS = 2
RETRY_SECONDS = 15
NOTE = "mlflow.note.content"  # what MLflow shows at the top of a run
ARTIFACTS = "mlartifacts"  # folder of the files of runs and models, beside a local mlflow.db


class Delivery:
    """The messages of one run on their way from `inbox` to MLflow."""

    def __init__(self, inbox: queue.SimpleQueue):
        self.inbox = inbox
        self.opening: dict | None = None
        self.waiting: list[dict] = []
        self.run_id: str | None = None

    def run(self) -> None:
        """Returns when all is sent or kept."""
        self.opening = opening = self.inbox.get()
        waiting, seconds, warned = self.waiting, 0, False
        client = failed = None
        while True:
            waiting += sender.take(self.inbox, seconds)
            seconds = FLUSH_SECONDS
            try:
                if client is None or self.run_id is None:
                    client, self.run_id = open_run(opening)
                while waiting:
                    count = send(client, self.run_id, waiting)
                    last = waiting[count - 1]
                    del waiting[:count]
                    if "status" in last:
                        return untracked.send(server.target(), partial(send_late, self.run_id))
            except Exception as error:  # noqa: BLE001 - nothing that goes wrong here may reach the work
                if client and self.run_id and waiting and "status" not in waiting[0] and answers(client, self.run_id):
                    if waiting[0] is failed:
                        leave_out(waiting.pop(0), error)
                    else:
                        failed = waiting[0]  # once more, for a database may have been busy
                    continue
                if not warned:
                    print(
                        f"tracking: not recorded in MLflow at {printable(server.tracking_uri())}, the work goes"
                        f" on: {in_a_line(error)}",
                        flush=True,
                    )
                    if opening.get("scratch"):
                        (Path(opening["scratch"]) / ID_FILE).touch()  # tells `parent` not to wait for an id
                warned = True
                if ended(waiting):
                    return self.keep()
                seconds = RETRY_SECONDS

    def keep(self) -> None:
        """For a later run: what is not sent, and may not be while MLflow is busy with it."""
        if self.opening:
            rest = list(self.waiting)
            rest += [] if ended(rest) else sender.take(self.inbox, 0)
            try:
                untracked.keep(server.target(), self.opening | {"run_id": self.run_id}, rest)
            except OSError as error:
                print(f"tracking: what is missing in MLflow cannot be kept either: {in_a_line(error)}", flush=True)


def ended(messages: list[dict]) -> bool:
    return any("status" in message for message in messages)


def send_late(own_id: str, opening: dict, messages: list[dict], save: Callable) -> None:
    """`save` keeps what is not sent yet. A run that was gone on with has an end of its own, which stays."""
    client, run_id = open_run(opening)
    save(opening | {"run_id": run_id}, messages)
    while messages and not (run_id == own_id and "status" in messages[0]):
        try:
            del messages[: send(client, run_id, messages)]
        except Exception as error:
            if not answers(client, run_id):
                raise
            leave_out(messages.pop(0), error)
        save(opening | {"run_id": run_id}, messages)


def answers(client: "MlflowClient", run_id: str) -> bool:
    with suppress(Exception):
        client.get_run(run_id)
        return True
    return False


def leave_out(message: dict, error: Exception) -> None:
    """Of a message that MLflow, or what draws its picture, does not take though the server is there."""
    print(f"tracking: {next(iter(message))} is not in MLflow: {in_a_line(error)}", flush=True)


def open_run(opening: dict) -> "tuple[MlflowClient, str]":
    """(client, run id) of the run that the scratch folder names, else of a new one."""
    server.be_quiet()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri, name = server.target()
    file = server.database()
    with database.locked(file) if file else nullcontext():
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(name)
        if experiment:
            experiment_id = experiment.experiment_id
        else:
            experiment_id = client.create_experiment(name, artifact_location=ARTIFACTS if file else None)
            if file:
                stay_beside(file, experiment_id)
    kept = Path(opening["scratch"]) / ID_FILE if opening.get("scratch") else None
    run_id = opening.get("run_id") or (kept.read_text() if kept and kept.is_file() else "")
    if run_id:
        try:
            client.update_run(run_id, status="RUNNING")
            # What it failed of is no longer so.
            log(client, run_id, tags=opening["tags"] | ({} if opening.get("run_id") else {NOTE: ""}))
            return client, run_id
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    if opening.get("supersedes"):
        end_abandoned(client, experiment_id, opening["supersedes"], opening["time"])
    run_id = client.create_run(
        experiment_id, start_time=opening["time"], tags=opening["tags"], run_name=opening["run_name"]
    ).info.run_id
    if kept:
        with suppress(FileNotFoundError):  # a short stage may be over, and its scratch folder gone
            kept.with_suffix(".tmp").write_text(run_id)
            kept.with_suffix(".tmp").replace(kept)
    log(client, run_id, params=opening["params"])
    return client, run_id


def end_abandoned(client: "MlflowClient", experiment_id: str, tags: dict[str, str], before: int) -> None:
    """Runs with these tags, and those under them, that were begun `before` and never ended: their machine died."""
    wanted = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
    running = "attributes.status = 'RUNNING'"
    for run in client.search_runs(
        [experiment_id], " and ".join([running, f"attributes.start_time < {before}", *wanted])
    ):
        under = f"{running} and tags.`mlflow.parentRunId` = '{run.info.run_id}'"
        for each in [*client.search_runs([experiment_id], under), run]:
            client.set_terminated(each.info.run_id, "KILLED")


def stay_beside(file: Path, experiment_id: str) -> None:
    """MLflow makes the place of the files absolute, and loses them when the project's folder moves; relative, they are
    found from wherever the database lies, for all that reads it is started there.
    """
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (ARTIFACTS, int(experiment_id))
        )


def log(
    client: "MlflowClient",
    run_id: str,
    metrics: dict | None = None,
    params: dict | None = None,
    tags: dict | None = None,
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    points = [Metric(key, value, sender.now(), 0) for key, value in (metrics or {}).items()]
    client.log_batch(run_id, points, tags=[RunTag(*tag) for tag in (tags or {}).items()])
    entries = [Param(key, value[:6000]) for key, value in (params or {}).items()]
    for first in range(0, len(entries), 100):  # a server takes no more at once
        client.log_batch(run_id, params=entries[first : first + 100])


def send(client: "MlflowClient", run_id: str, messages: list[dict]) -> int:
    """Sends the metrics at the front in one call, or else the one message there; how many were sent."""
    from mlflow.entities import Metric

    metrics: list[Metric] = []
    count = 0
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
    elif "text" in message:
        client.log_text(run_id, message["text"], message["file"])
    elif "matrix" in message:
        client.log_text(run_id, pictures.table(message["labels"], message["counts"]), f"{message['matrix']}.csv")
        client.log_figure(run_id, pictures.matrix(message["labels"], message["counts"]), f"{message['matrix']}.png")
    elif "curves" in message:
        path = Path(message["curves"])
        if path.is_file():
            client.log_figure(run_id, pictures.curves(path), f"{path.stem}.png")
    elif "note" in message:
        client.set_tag(run_id, NOTE, message["note"])
    elif "release" in message:
        registry.release(client, run_id, message)
    elif "deps" in message:
        found = lineage.of_deps(message["deps"], message["home"])
        log(client, run_id, tags=lineage.tags("dvc.dep", found))
        client.log_inputs(run_id, [data_set(path, value) for path, value in found.items() if path.startswith("data/")])
    elif "child" in message:
        run = client.get_run(run_id)
        tags = {"mlflow.parentRunId": run_id, "stage": run.data.tags["stage"]}
        child = client.create_run(run.info.experiment_id, message["time"], tags, message["child"]).info.run_id
        log(client, child, message["values"], message["params"])
        client.set_terminated(child, "FINISHED", message["time"])
    elif "cached" in message:
        linked, maker = link(client, run_id, message["cached"], message["outs"], message["time"])
        if maker:
            log(client, linked, maker.data.metrics, maker.data.params)
        client.set_terminated(linked, "FINISHED", message["time"])
    elif "model" in message:
        if maker := registry.find(
            client, experiment(client, run_id), lineage.tags("dvc", {f"models/{message['model']}": message["hash"]})
        ):
            tags = {"model": message["model"], "gate": f"{message['outcome']}: {message['reason']}"}
            log(client, maker.info.run_id, metrics=message["scores"], tags=tags)
        registry.withdraw(client, message)
    else:
        log(client, run_id, tags=message["tags"])
        client.set_terminated(run_id, message["status"], message["time"])
    return 1


def data_set(path: str, value: str) -> "DatasetInput":
    """`path` as MLflow's data set, with DVC's hash for its digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"path": path, "md5": value})
    return DatasetInput(Dataset(path, value, "dvc", source), [InputTag("mlflow.data.context", "input")])


def experiment(client: "MlflowClient", run_id: str) -> str:
    return client.get_run(run_id).info.experiment_id


def link(
    client: "MlflowClient", parent_id: str, address: str, outs: dict[str, str], time: int
) -> "tuple[str, Run | None]":
    """The id of a new run under `parent_id` for a stage that did not run, and the run that made its outs, or None.

    That run keeps the tags with the hashes for itself, so that it is the one found next time, too.
    """
    stage, _, name = address.partition("@")
    tags = {"stage": stage} | ({"name": name} if name else {})
    made = lineage.tags("dvc", outs)
    experiment_id = experiment(client, parent_id)
    maker = registry.find(client, experiment_id, tags | made)
    if maker:
        note = (
            f"Unchanged since [this run](#/experiments/{experiment_id}/runs/{maker.info.run_id}), which has the curves,"
            " files and hashes."
        )
        own = {"cached_from": maker.info.run_id, NOTE: note}
    else:
        # It stands in for that run until it arrives, if it ever does.
        own = made | {NOTE: "Unchanged. The run that made it is not recorded here."}
    return (
        client.create_run(
            experiment_id, time, tags | own | {"mlflow.parentRunId": parent_id}, f"{stage} {name}".strip()
        ).info.run_id,
        maker,
    )


if __name__ == "__main__":
    sender.serve(Delivery, *sys.argv[1:])
