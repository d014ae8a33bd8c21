"""A run of a team, on whichever machine has a worker: params and dvc.lock on a branch of git, outs in DVC's remote.

    prefect deployment run run/team -p name=longer -p 'overrides={"pretrain.models.bert.phases.0.steps": 8000}'

The deployments of prefect.yaml clone the repository for each run. Another machine goes on with a run that was cut off,
or has trained what this one needs: nothing is made twice.
"""

from pathlib import Path
from typing import Annotated, Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from prefect import flow, get_client, get_run_logger, runtime
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.states import Failed, State
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import WithJsonSchema

from flows import branch
from flows.pipeline import execute
from flows.plan import in_order, plan
from flows.stage import PushFailed, Stages, has_remote
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


@flow(name="run", flow_run_name=its_name, task_runner=ThreadPoolTaskRunner(max_workers=64))
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
        if commit := branch.go_on(called, text):
            log.info("Goes on with %s at %s.", branch.of(called), commit[:10])
        else:
            files.write_text(branch.PARAMS, text)
        fetch()
        graph = plan(targets, allow_missing=True)
    except (UserError, DvcException) as error:
        return Failed(message=str(error))
    if not commit and (name or in_order(graph, True)):
        set_to = ", ".join(f"{key} = {value}" for key, value in overrides.items())
        branch.begin(called, text, f"params of {preset or 'the repository'}{f', {set_to}' if set_to else ''}")
    left: list[str] = []  # what did not leave this machine, and why

    def push(*stages: str) -> None:
        try:
            Stages().push(list(stages))
        except PushFailed as error:
            left.append(f"{', '.join(stages) or 'all of it'} is not in DVC's remote: {error}")
            log.warning(left[-1])

    state: State = Failed(name="Crashed")
    settings = {"targets": " ".join(targets or ["all"]), "overrides": str(overrides)} | lineage.settings()
    try:
        state = execute(graph, concurrency, lambda: track.parent("run", settings, called), push)
    finally:
        if in_order(graph, True):
            left.clear()
            push()
            try:
                branch.save(called, state.name)
            except UserError as error:
                left.append(f"dvc.lock is not in {branch.of(called)}: {error}")
                log.warning(left[-1])
    if left and state.is_completed():
        return Failed(message=f"{state.message}. But {'; '.join(left)}. Run it again on this machine, which has it all")
    return state


def refuse_twins(name: str) -> None:
    """Raises UserError where a run of this name is at work: both would write its branch."""
    working = [StateType.RUNNING, StateType.CANCELLING]
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                name=FlowRunFilterName(any_=[name]), state=FlowRunFilterState(type=FlowRunFilterStateType(any_=working))
            )
        )
    if others := [one for one in found if str(one.id) != runtime.flow_run.id]:
        raise UserError(
            f"{branch.of(name)} is at work in flow run {others[0].id}; cancel that one, or take another name"
        )


def fetch() -> None:
    """DVC's run cache, and those results that lie beside each other in a folder which a stage reads as a whole. Raises
    UserError where the remote does not answer.
    """
    if not has_remote():
        raise UserError(
            "DVC has no remote, so no other machine would see what this one makes; docs/team.md sets one up"
        )
    with Repo(_wait_for_lock=True) as repo:
        try:
            repo.stage_cache.pull(None)
        except Exception as error:  # noqa: BLE001 - whatever kind of store it is
            raise UserError(f"DVC's remote {repo.config['core']['remote']} does not answer: {error}") from None
        read = {Path(dep.fs_path) for stage in repo.index.stages for dep in stage.deps}
        if beside := [out.fs_path for out in repo.index.outs if out.hash_info and read & {*Path(out.fs_path).parents}]:
            repo.pull(beside, allow_missing=True)
