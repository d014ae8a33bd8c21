"""From a registered model, a run or a hash to what it came from and what came of it: `wwm lineage`."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wwm.common.errors import UserError
from wwm.track import database, lineage, server

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

MADE, READ = "dvc.", "dvc.dep."
SHORTEST_HASH = 6
PAGE = 1000
OF_A_SEED = re.compile(r"(test|dev)_\w+$")
SHOWN_SCORES = re.compile(r"^(cloze\.nats|.*\.(test|dev)(_\w+)?_mean|(heldout_)?mlm_loss|test_\w+|dev_\w+)$")


class Records(NamedTuple):
    """All finished runs of the experiment, newest first, and the registry's versions."""

    runs: list["Run"]
    versions: list["ModelVersion"]
    aliases: dict[str, dict[str, str]]  # registered name -> alias -> version

    def maker(self, path: str, value: str) -> "Run | None":
        """The newest run that wrote `path` with this hash, sooner one that did the work than one that stands in."""
        key = one_tag(MADE, path)
        wrote = [run for run in self.runs if run.data.tags.get(key) == value]
        return max(wrote, key=lambda run: lineage.SOURCE in run.data.tags, default=None)


def main(what: str) -> None:
    with answering() as client:
        records = read(client)
    print("\n".join(told(records, what)))


@contextmanager
def answering() -> Iterator["MlflowClient"]:
    """Raises UserError where MLflow cannot be asked."""
    file = server.database()
    if file and not file.is_file():
        raise UserError(
            f"{file} is not here, so nothing is recorded; run this in the project's folder, or set MLFLOW_TRACKING_URI"
        )
    server.be_quiet()
    if file:
        with database.locked(file):
            pass
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield MlflowClient(server.tracking_uri())
    except (MlflowException, SQLAlchemyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"MLflow at {server.tracking_uri()} does not answer: {reason}") from None


def read(client: "MlflowClient") -> Records:
    experiment = client.get_experiment_by_name(server.experiment_name())
    if experiment is None:
        raise UserError(
            f"MLflow at {server.tracking_uri()} has no experiment {server.experiment_name()!r}; set"
            " MLFLOW_EXPERIMENT_NAME"
        )
    finished = [experiment.experiment_id], "attributes.status = 'FINISHED'"
    runs = list(pages(partial(client.search_runs, *finished)))
    aliases = {model.name: dict(model.aliases) for model in pages(client.search_registered_models)}
    return Records(runs, list(pages(client.search_model_versions)), aliases)


def pages(search: Callable[..., Any]) -> Iterator[Any]:
    token: str | None = None
    while token != "":
        page = search(max_results=PAGE, page_token=token)
        yield from page
        token = page.token or ""


def told(records: Records, what: str) -> list[str]:
    """Lines on what `what` names: a registered model (NAME, NAME@ALIAS, NAME/VERSION, with or without models:/), a
    run's id, a hash or its beginning, or a path here. Raises UserError for what is nothing of these.
    """
    name = what.removeprefix("models:/")
    if found := version(records, name):
        return of_version(records, found)
    if run := next((run for run in records.runs if run.info.run_id == what), None):
        return of_run(records, run)
    path = what.rstrip("/")
    value = lineage.of(path) if Path(path).exists() else what
    if pairs := hashed(records, value):
        return [line for pair in pairs for line in of_hash(records, *pair)]
    names = sorted(records.aliases)
    if Path(path).exists():
        raise UserError(f"{path} has the hash {value}, which no run in MLflow wrote or read; is the run recorded here?")
    raise UserError(
        f"{what} is no registered model, run or hash in MLflow; it has the models {', '.join(names) or '(none)'}"
    )


def version(records: Records, name: str) -> "ModelVersion | None":
    """The version that NAME@ALIAS or NAME/VERSION is, of NAME alone the latest. Raises UserError for an alias or a
    version that NAME has not.
    """
    match = re.fullmatch(r"([^@/]+)(?:@([^@/]+)|/(\d+))?", name)
    if not match or match[1] not in records.aliases:
        return None
    bare, alias, number = match.groups()
    own = [one for one in records.versions if one.name == bare]
    if alias:
        if alias not in records.aliases[bare]:
            known = ", ".join(records.aliases[bare]) or "none"
            raise UserError(f"{bare} has no alias {alias!r} in MLflow; it has {known}")
        number = records.aliases[bare][alias]
    if number:
        if not (found := [one for one in own if int(one.version) == int(number)]):
            raise UserError(
                f"{bare} has no version {number} in MLflow; it has {', '.join(str(one.version) for one in own)}"
            )
        return found[0]
    return max(own, key=lambda one: int(one.version), default=None)


def hashed(records: Records, value: str) -> list[tuple[str, str]]:
    """(path, hash) of all that runs wrote or read whose hash begins so."""
    if not re.fullmatch(r"[0-9a-f]+(\.dir)?", value) or len(value) < SHORTEST_HASH:
        return []
    found = {
        (key.removeprefix(READ).removeprefix(MADE), own)
        for run in records.runs
        for key, own in run.data.tags.items()
        if key.startswith(MADE) and own.startswith(value)
    }
    return sorted(found)


def of_version(records: Records, found: "ModelVersion") -> list[str]:
    aliases = [alias for alias, number in records.aliases[found.name].items() if int(number) == int(found.version)]
    mark = f" ({', '.join(sorted(aliases))})" if aliases else ""
    lines = [row("model", f"{found.name}, version {found.version}{mark}")]
    uri = f"models:/{found.name}@{aliases[0]}" if aliases else f"models:/{found.name}/{found.version}"
    target = f"{found.tags.get('path', found.name)}-from-mlflow"
    lines.append(row("fetch", f"mlflow artifacts download -u {uri} -d {target}"))
    run = next((run for run in records.runs if run.info.run_id == found.run_id), None)
    path, value = found.tags.get("path"), found.tags.get("dvc")
    if path and value:
        if run and lineage.SOURCE not in run.data.tags:
            run = records.maker(path, value)
        lines.append(row("weights", f"{path}  {value}"))
    return [*lines, *(of_run(records, run) if run else [row("run", f"{found.run_id}, not in this experiment")])]


def of_run(records: Records, run: "Run") -> list[str]:
    tags = run.data.tags
    dirty = ", with changes that are not committed: changes.diff of the run" if tags.get("dirty") else ""
    lines = [
        row("run", f"{run.info.run_name}, {run.info.run_id}"),
        row("commit", tags.get("mlflow.source.git.commit", "not known") + dirty),
    ]
    if "params" in tags:
        lines.append(
            row(
                "params",
                f"{tags.get('preset')} {tags['params']}: mlflow artifacts download -r {run.info.run_id} -a params.yaml",
            )
        )
    for key, value in sorted(tags.items()):
        if key.startswith(MADE) and not key.startswith(READ):
            lines.append(row("wrote", f"{key.removeprefix(MADE)}  {value}"))
    shown = {key: value for key, value in sorted(run.data.metrics.items()) if SHOWN_SCORES.match(key)}
    # Of a fine-tuning's curves over seeds MLflow tells the last point; the means say more where they are there.
    means = any(key.endswith("_mean") for key in shown)
    scores = [f"{key} {value:.2f}" for key, value in shown.items() if not (means and OF_A_SEED.match(key))]
    lines += [row("scores", score) for score in scores]
    return [*lines, "made from", *ancestors(records, run, 1, set())]


def ancestors(records: Records, run: "Run", depth: int, seen: set[str]) -> list[str]:
    """The data and models that a run read, each with the run that made it and what that read; code is in the commit."""
    lines = []
    for key, value in sorted(run.data.tags.items()):
        path = key.removeprefix(READ)
        if not key.startswith(READ) or path.startswith("wwm/"):
            continue
        maker = records.maker(path, value)
        by = f", by {maker.info.run_name}, {maker.info.run_id}" if maker else ""
        again = f"{path} {value}" in seen
        lines.append(f"{'  ' * depth}{path}  {value}{by}{' (see above)' if again and maker else ''}")
        if maker and not again:
            seen.add(f"{path} {value}")
            lines += ancestors(records, maker, depth + 1, seen)
    return lines


def of_hash(records: Records, path: str, value: str) -> list[str]:
    lines = [row("hash", f"{value}  {path}")]
    if maker := records.maker(path, value):
        lines += of_run(records, maker)
    lines += [row("here", f"dvc checkout {path}, or dvc pull {path}, at a commit whose dvc.lock has this hash")]
    came = descendants(records, path, value)
    return [*lines, "what came of it", *([f"  {line}" for line in came] or ["  nothing that is recorded"])]


def descendants(records: Records, path: str, value: str) -> list[str]:
    """Models and results that runs made from it, at whatever distance, and the names that the registry has for them."""
    lines, waiting, seen = [], [(path, value)], set()
    while waiting:
        key, wanted = waiting.pop(0)
        for run in records.runs:
            if run.data.tags.get(one_tag(READ, key)) != wanted or run.info.run_id in seen:
                continue
            seen.add(run.info.run_id)
            for tag, own in sorted(run.data.tags.items()):
                if not tag.startswith(MADE) or tag.startswith(READ):
                    continue
                out = tag.removeprefix(MADE)
                waiting.append((out, own))
                if out.startswith("models/"):
                    same = [
                        one for one in records.versions if (one.tags.get("path"), one.tags.get("dvc")) == (out, own)
                    ]
                    known = [f"{one.name}/{one.version}" for one in same]
                    named = f", in the registry: {', '.join(known)}" if known else ""
                    lines.append(f"{out}  {own}, by {run.info.run_name}, {run.info.run_id}{named}")
    return lines


def one_tag(prefix: str, path: str) -> str:
    return next(iter(lineage.tags(prefix.rstrip("."), {path: ""})))


def row(name: str, value: str) -> str:
    return f"{name:<10}{value}"
