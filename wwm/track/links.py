"""From a stage that did not run to the MLflow run that made what it has."""

from wwm.track import hashes


def experiment(client, run_id: str) -> str:
    return client.get_run(run_id).info.experiment_id


def find(client, experiment_id: str, tags: dict[str, str]):
    """The latest finished run with these tags."""
    wanted = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
    runs = client.search_runs([experiment_id], " and ".join(["attributes.status = 'FINISHED'", *wanted]), max_results=1)
    return runs[0] if runs else None


def link(client, parent_id: str, address: str, outs: dict[str, str], time: int) -> tuple[str, object]:
    """The id of a new run under `parent_id` for a stage that did not run, and the run that made its outs, or None.

    That run keeps the tags with the hashes for itself, so that it is the one found next time, too.
    """
    stage, _, name = address.partition("@")
    tags = {"stage": stage} | ({"name": name} if name else {})
    made = hashes.tags("dvc", outs)
    experiment_id = experiment(client, parent_id)
    maker = find(client, experiment_id, tags | made)
    if maker:
        note = f"Unchanged since [this run](#/experiments/{experiment_id}/runs/{maker.info.run_id}), which has the curves, files and hashes."
        own = {"cached_from": maker.info.run_id, "mlflow.note.content": note}
    else:
        own = made | {"mlflow.note.content": "Unchanged. The run that made it is not recorded here."}
    return client.create_run(experiment_id, time, tags | own | {"mlflow.parentRunId": parent_id}, f"{stage} {name}".strip()).info.run_id, maker
