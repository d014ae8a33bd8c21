"""Models in MLflow: whole, with an alias that says what they are good for."""

import json
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwm.common import code, files, model_folder
from wwm.common.model_folder import CARD, FILL_MASK
from wwm.report import gate
from wwm.report.tables import amount, flops
from wwm.track import lineage

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import Model

PASSED = "passed"  # alias of a model that passes the gate
BY_HAND = "does not take the place of one that was named by hand; to begin anew, remove the champion's alias"
SPENT = {"steps": (amount, "steps"), "examples": (amount, "examples"), "tokens": (amount, "tokens")}
SPENT |= {"flops": (flops, "FLOPs")}
CURVES = ("mlm_loss", "heldout_mlm_loss", "loss")
SERVED = "wwm.release.served"  # what mlflow.pyfunc loads a model by; it travels with the model


def find(client: "MlflowClient", experiment_id: str, tags: dict[str, str]) -> "Run | None":
    """The latest finished run with these tags that did the work itself, else one that stands in for it: where MLflow
    was away, the former may have arrived after the latter.
    """
    wanted = ["attributes.status = 'FINISHED'", *(f"tags.`{key}` = '{value}'" for key, value in tags.items())]
    for more in ([f"tags.`{lineage.SOURCE}` != ''"], []):
        if runs := client.search_runs([experiment_id], " and ".join([*wanted, *more]), max_results=1):
            return runs[0]
    return None


def release(client: "MlflowClient", run_id: str, message: dict) -> None:
    """What track.Run.release says; `run_id` stands in for the run that made the model, where that is not recorded."""
    folder, state, task = Path(message["home"], message["release"]), message["state"], message["task"]
    name = task or f"{owner(state)}.{folder.name}"
    contest = message["contest"]
    present = by_alias(client, name, message["alias"])
    if present and present.tags.get("dvc") == message["hash"]:
        return
    # A version that somebody gave the alias by hand has no contest.
    held = present and json.loads(present.tags.get("contest", "null"))
    if contest and present and (why := gate.lost(contest, held) if held else BY_HAND) is not None:
        if why:
            stays = present.tags.get("model", f"version {present.version}")
            print(
                f"tracking: in MLflow {stays} of an earlier run stays {name}@champion; {folder.name} of this one {why}",
                flush=True,
            )
        return
    if not folder.is_dir() or lineage.of(folder) != message["hash"]:
        print(f"tracking: {folder} is not what it was, and not put into MLflow's registry", flush=True)
        return
    experiment_id = client.get_run(run_id).info.experiment_id
    maker = find(client, experiment_id, lineage.tags("dvc", {message["release"]: message["hash"]}))
    made_by = maker or client.get_run(run_id)
    made_with = made_by.data.tags
    tags: dict[str, str] = {
        **{key: made_with[key] for key in ("preset", "params", "dirty") if key in made_with},
        "model": folder.name,
        **({"task": task} if task else {}),
        "dvc": message["hash"],
        "path": message["release"],
        "git_commit": made_with.get("mlflow.source.git.commit", "unknown"),
        "user": made_with.get("mlflow.user", "unknown"),
    }
    logged = logged_model(client, experiment_id, message["release"], message["hash"]) or log_whole(
        client, folder, made_by, tags, lineage.label(tags), message["title"]
    )
    log_metrics(client, logged, made_by, message["scores"] | cost(folder))
    ensure(client, name, message)
    made = client.create_model_version(
        name,
        f"models:/{logged.model_id}",
        made_by.info.run_id,
        tags | ({"contest": json.dumps(contest)} if contest else {}),
        description=description(name, message, tags, made_with),
        model_id=logged.model_id,
    )
    note_version(client, logged.model_id, name, made.version)
    client.set_registered_model_alias(name, message["alias"], made.version)


def withdraw(client: "MlflowClient", message: dict) -> None:
    """Takes the alias `passed` away from a model that does not pass, or no longer."""
    name = f"{owner(message['state'])}.{message['model']}"
    present = None if message["outcome"] == PASSED else by_alias(client, name, PASSED)
    if present and present.tags.get("dvc") == message["hash"]:
        client.delete_registered_model_alias(name, PASSED)
        print(f"tracking: {name} version {present.version} is not `{PASSED}` any more: {message['reason']}", flush=True)


def note_version(client: "MlflowClient", model_id: str, name: str, version: str) -> None:
    """What the page of models shows under Registered models; without a server MLflow does not do it by itself."""
    from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

    noted = json.loads(client.get_logged_model(model_id).tags.get(MLFLOW_MODEL_VERSIONS, "[]"))
    one = {"name": name, "version": version}
    if one not in noted:
        client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: json.dumps([*noted, one])})


def owner(state: dict[str, str]) -> str:
    """What a model's name begins with: the preset, or `own` with the hash of params.yaml."""
    preset = state.get("preset", "own")
    return f"own-{state.get('params', 'unknown')}" if preset == "own" else preset


def by_alias(client: "MlflowClient", name: str, alias: str) -> "ModelVersion | None":
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def ensure(client: "MlflowClient", name: str, message: dict) -> None:
    from mlflow.exceptions import MlflowException

    if message["task"] is None:
        what = "A pre-trained model; `passed` is the version that fills in words better than the model it began as."
    elif message["task"] == FILL_MASK:
        what = "`champion` is the model that fills in words best."
    else:
        what = f"`champion` is the best fine-tuned model of the task {message['task']}, by the mean over seeds on dev."
    try:
        client.create_registered_model(name, description=what)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def logged_model(client: "MlflowClient", experiment_id: str, path: str, value: str) -> "LoggedModel | None":
    """The one of the folder `path` with this hash of DVC, whole."""
    found = client.search_logged_models([experiment_id], f"tags.dvc = '{value}' and tags.path = '{path}'")
    return next((one for one in found if one.status == "READY"), None)


def log_whole(
    client: "MlflowClient", folder: Path, maker: "Run", tags: dict[str, str], label: str, title: str
) -> "LoggedModel":
    """Uploads `folder` as a model that mlflow.transformers and mlflow.pyfunc load."""
    from mlflow.models import Model

    what = f"{tags['model']} on {tags['task']}" if folder.parent.name == tags.get("task") else tags["model"]
    logged = client.create_logged_model(
        maker.info.experiment_id,
        f"{what} · {label}" if label else what,
        maker.info.run_id,
        tags,
        dict(maker.data.params),
        "fine-tuned" if what != tags["model"] else "pre-trained",
    )
    try:
        with tempfile.TemporaryDirectory() as temporary:
            target = Path(temporary, "model")
            save(folder, target, Model(model_id=logged.model_id), title)
            client.log_model_artifacts(logged.model_id, str(target))
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.finalize_logged_model(logged.model_id, "READY")
    return logged


def save(folder: Path, target: Path, model: "Model", title: str) -> None:
    """MLflow's form of a model: what it says of it in MLmodel, and all files of `folder` in model/."""
    import mlflow
    import mlflow.transformers
    import transformers  # type: ignore[import-untyped,unused-ignore]
    from huggingface_hub import ModelCard, logging

    common: dict[str, Any] = {
        "code_paths": [str(code.PACKAGE)],
        "pip_requirements": [f"{name}=={version(name).partition('+')[0]}" for name in sorted(code.packages(SERVED))],
        "mlflow_model": model,
    }
    kind = kind_of(folder)
    # For reading transformers 5 has no pipeline, and that for tags cuts texts into other tokens.
    if kind in ("reading", "tagging"):
        mlflow.pyfunc.save_model(target, loader_module=SERVED, data_path=str(folder), **common)
        (target / "data" / folder.name).rename(target / "model")
        (target / "data").rmdir()
    else:
        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        logging.set_verbosity_error()
        make: Any = transformers.pipeline  # whose overloads know no task by a variable
        pipeline = make("text-classification" if kind else FILL_MASK, model=str(folder), device="cpu")
        card = folder / CARD
        # Without a card it asks the hub for one.
        model_card = ModelCard(card.read_text(encoding="utf-8") if card.is_file() else f"{title}\n")
        mlflow.transformers.save_model(pipeline, str(target), model_card=model_card, **common)
        model.signature = None  # that of the pipeline
        # The pipeline has neither the next sentence head nor vocab.txt.
        # What it was in training are models of their own.
        shutil.copytree(folder, target / "model", dirs_exist_ok=True, ignore=shutil.ignore_patterns("milestones"))
        for name in ("LICENSE.txt", "model_card_data.yaml"):
            (target / name).unlink(missing_ok=True)
    model.flavors["python_function"] |= {"loader_module": SERVED, "data": "model"}
    model.save(str(target / "MLmodel"))


def kind_of(folder: Path) -> str | None:
    """What a kept model is for, None of a pre-trained one."""
    described = files.read_json(folder / "config.json").get("wwm")
    return described["kind"] if described else None


def cost(folder: Path) -> dict[str, float]:
    """What the model has seen since random weights, as `cost.tokens` and the like; {} where its folder does not say."""
    seen = model_folder.training_history(folder)
    return {f"cost.{key}": float(seen[key]) for key in model_folder.COST if seen[key] is not None}


def log_metrics(client: "MlflowClient", logged: "LoggedModel", maker: "Run", scores: dict[str, float]) -> None:
    """The curves of the run that made it and its scores, so that the page of models compares them."""
    from mlflow.entities import Metric

    run_id = maker.info.run_id
    points = [
        (point.key, point.value, point.timestamp, point.step)
        for key in CURVES
        if key in maker.data.metrics
        for point in client.get_metric_history(run_id, key)
    ]
    points += [(key, value, logged.creation_timestamp, 0) for key, value in scores.items()]
    metrics = [Metric(*point, model_id=logged.model_id, run_id=run_id) for point in points]
    for first in range(0, len(metrics), 1000):
        client.log_batch(run_id, metrics[first : first + 1000])


def description(name: str, message: dict, tags: dict[str, str], made_with: dict[str, str]) -> str:
    """In Markdown: what it is, where from, how to fetch and use it."""
    path, uri = message["release"], f"models:/{name}@{message['alias']}"
    state = f"preset `{tags['preset']}`, params.yaml `{tags['params']}`" if "preset" in tags else "no params.yaml"
    dirty = " with changes that are not committed" if "dirty" in tags else ""
    kind = kind_of(Path(message["home"], path))
    seen = model_folder.training_history(Path(message["home"], path))
    spent = [f"{show(seen[key])} {unit}" for key, (show, unit) in SPENT.items() if seen[key]]
    work = f" Pre-training took {', '.join(spent)}." if spent else ""
    loader = "pyfunc" if kind in ("reading", "tagging") else "transformers"
    command = "predict" if kind else "fill"
    read = [
        key.removeprefix("dvc.dep.")
        for key in sorted(made_with)
        if key.startswith(("dvc.dep.data/", "dvc.dep.models/"))
    ]
    inputs = f", from {', '.join(f'`{path}`' for path in read)}" if read else ""
    card = Path(message["home"], path, CARD)
    seed = (
        card.read_text(encoding="utf-8").partition("\n\n")[2].rpartition("\n\n")[0] if kind and card.is_file() else ""
    )
    given = "" if kind is None else " -" if kind in ("single", "tagging") else " FILE"
    return f"""{message["title"]}.

Made with {state}, commit `{tags["git_commit"]}`{dirty}, by {tags["user"]}. The same bytes are `{path}` with DVC's hash
`{tags["dvc"]}`{inputs}.{work}

In the project's folder:

- what it was trained on: `wwm lineage {name}`
- fetch it: `mlflow artifacts download -u {uri} -d {path}-from-mlflow`; the model is in `model/` there
- use it: `mlflow.{loader}.load_model("{uri}")`, or `wwm {command} {path}-from-mlflow/model{given}`

{seed}"""
