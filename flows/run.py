"""A run of a team, on whichever machine has a worker: params and dvc.lock on a branch of git, outs in DVC's remote.

    prefect deployment run run/team -p name=longer -p 'overrides={"pretrain.models.bert.phases.0.steps": 8000}'

The deployments of prefect.yaml clone the repository for each run. Another machine goes on with a run that was cut off,
or has trained what this one needs: nothing is made twice.
"""

import logging
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

from dvc.exceptions import CheckoutError, DvcException
from dvc.logger import set_loggers_level
from dvc.repo import Repo
from prefect import flow, get_client, get_run_logger, runtime
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterId,
    FlowRunFilter,
    FlowRunFilterName,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import WithJsonSchema

from flows import branch
from flows.pipeline import NOTHING, execute
from flows.plan import in_order, plan
from flows.stage import PushFailed, Stages, pull_run_cache
from wwm import params, track
from wwm.common import files
from wwm.common import preset as presets
from wwm.common.errors import UserError
from wwm.params import overrides as single
from wwm.params.fields import Name, Positive
from wwm.track import lineage

Overrides = Annotated[dict[str, Any], WithJsonSchema(single.schema())]


def its_name() -> str:
    return runtime.flow_run.parameters.get("name") or runtime.flow_run.name


@flow(name="run", flow_run_name=its_name, log_prints=True, task_runner=ThreadPoolTaskRunner(max_workers=64))
def run(
    name: Name | None = None,
    preset: str | None = None,
    overrides: Overrides = {},  # noqa: B006 - Prefect hands over a copy
    targets: list[str] | None = None,
    concurrency: Positive | None = None,
):
    """Brings the pipeline up to date on branch runs/NAME, and leaves dvc.lock there and its outs in DVC's remote.

    Args:
        name: The branch is runs/NAME; by default the name of the flow run.
        preset: A file of presets/, without its ending; by default the params.yaml of the repository.
        overrides: Keys of params.yaml to set, such as pretrain.models.bert.phases.0.steps.
        targets: Stages to bring up to date, and what they need; by default all.
        concurrency: Stages at once; by default CPUs / base.threads, 4 at most, 1 with a GPU.
    """
    log = get_run_logger()
    called = name or its_name()
    try:
        file = presets.file(preset) if preset else branch.PARAMS
        text = single.applied(file.read_text(encoding="utf-8"), overrides)
        params.parsed(text)
        refuse_twins(called)
        # Who says nothing but the name of a run goes on with it as it is.
        if commit := branch.go_on(called, text if preset or overrides else None):
            log.info("Goes on with %s at %s.", branch.of(called), commit[:10])
        else:
            files.write_text(branch.PARAMS, text)
        fetch()
        graph = plan(targets, allow_missing=True)
        if commit is None and not name and not in_order(graph, True):
            return Completed(name="Cached", message=NOTHING)  # a date came, and nothing is new
        if commit is None:
            set_to = ", ".join(f"{key} = {value}" for key, value in overrides.items())
            branch.begin(called, f"params of {preset or 'the repository'}{f', {set_to}' if set_to else ''}")
    except (UserError, DvcException) as error:
        return Failed(message=str(error))
    finished, saving = in_order(graph, False), Lock()

    def save(why: str, *arguments: str) -> str:
        """To DVC's remote, and then to the branch; "" or why not."""
        with saving:  # several stages may end at once
            try:
                Stages().push(*arguments)
                branch.save(called, why)
            except (PushFailed, UserError) as error:
                log.warning("%s is not saved: %s", why, error)
                return str(error)
        return ""

    def done(name: str, outcome: str) -> None:
        finished.append(name)
        if outcome == "ran":
            save(name, name)

    settings = {"targets": " ".join(targets or ["all"]), "overrides": str(overrides)} | lineage.settings()
    stages, ended = Stages(pull=True), "ended early"
    try:
        state = execute(graph, concurrency, lambda: track.parent("run", settings, called), stages, done)
        ended = state.name
    finally:
        unsaved = save(ended, "--run-cache", *finished) if finished else ""
    if unsaved:
        return Failed(message=f"{state.message}. Not saved: {unsaved}. Run it again on this machine, which has it all")
    return state


def refuse_twins(name: str) -> None:
    """Raises UserError where an earlier run of this name is at work: both would write its branch."""
    working = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.CANCELLING]))
    with get_client(sync_client=True) as client:
        own = client.read_flow_run(runtime.flow_run.id)
        found = client.read_flow_runs(
            flow_filter=FlowFilter(id=FlowFilterId(any_=[own.flow_id])),
            flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name]), state=working),
        )
    for one in found:
        if one.id != own.id and (one.start_time, str(one.id)) < (own.start_time, str(own.id)):
            raise UserError(f"{branch.of(name)} is at work in flow run {one.id}; cancel that one, or take another name")


def fetch() -> None:
    """What DVC's remote knows of earlier runs, and those results that lie beside each other in a folder which a stage
    reads as a whole. Raises UserError where the remote does not answer.
    """
    if why := pull_run_cache():
        raise UserError(why)
    with Repo(_wait_for_lock=True) as repo:
        read = {Path(dep.fs_path) for stage in repo.index.stages for dep in stage.deps}
        if beside := [out.fs_path for out in repo.index.outs if out.hash_info and read & {*Path(out.fs_path).parents}]:
            # What is lost, or was never pushed, is made again: of no use to warn of it.
            with suppress(CheckoutError), set_loggers_level(logging.ERROR):
                repo.pull(beside, allow_missing=True)
