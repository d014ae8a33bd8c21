"""The whole pipeline as a Prefect flow: DVC says what changed, and just that runs, siblings in parallel.

python -m flows.pipeline                     everything of dvc.yaml here
python -m flows.pipeline pretrain@bert       this stage and what it needs
python -m flows.pipeline --concurrency 1     one stage at a time
"""

import argparse
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import networkx
from dvc.exceptions import DvcException
from dvc.repo import Repo

# Prefect reads its settings when it is imported. As a script it keeps its records where `make ui` looks for them.
if __name__ == "__main__":
    os.environ.setdefault("PREFECT_HOME", str(Path(".prefect").resolve()))
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
# Its own 20 s are too short for its temporary server to start on a busy machine.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "300")
# Its own lines are twice as wide.
os.environ.setdefault("PREFECT_LOGGING_FORMATTERS_STANDARD_TASK_RUN_FMT", "%(asctime)s %(task_run_name)s | %(message)s")
os.environ.setdefault("PREFECT_LOGGING_FORMATTERS_STANDARD_FLOW_RUN_FMT", "%(asctime)s %(flow_name)s | %(message)s")

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import as_completed, wait
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows import artifacts
from flows.stage import StageFailed, Stages, remove_stale_rwlock, set_aside_cut_lock
from wwm import params, track
from wwm.common.errors import UserError
from wwm.tasks import table as tasks
from wwm.track import lineage

NOTHING = "Nothing to do: every stage is up to date."
MOST_AT_ONCE = 4  # each holds a copy of torch, its model and its data in memory


def plan(targets: list[str] | None = None) -> networkx.DiGraph:
    """The stages that `dvc repro targets` looks at; an edge leads to what a stage needs.

    Each has `todo`, whether it changed or follows from one that did, and `outs`, path -> hash as in dvc.lock. Raises
    UserError for an input that is missing and that no stage makes.
    """
    remove_stale_rwlock()
    set_aside_cut_lock()
    with Repo(_wait_for_lock=True) as repo:
        graph = networkx.relabel_nodes(repo.index.graph, lambda stage: stage.addressing)
        chosen = (
            {stage.addressing for target in targets for stage in repo.stage.collect(target)} if targets else set(graph)
        )
        wanted = chosen.union(*(networkx.descendants(graph, name) for name in chosen))
        check_inputs(
            [stage for stage in repo.index.stages if stage.addressing in wanted],
            {Path(out.fs_path) for out in repo.index.outs},
        )
        changed = wanted & set(repo.status())
        outs = {
            stage.addressing: {out.def_path: out.hash_info.value for out in stage.outs} for stage in repo.index.stages
        }
    # against the edges: what follows from a stage are networkx's ancestors
    todo = changed.union(*(networkx.ancestors(graph, name) for name in changed))
    networkx.set_node_attributes(graph, {name: {"todo": name in todo, "outs": outs[name]} for name in graph})
    return graph.subgraph(wanted).copy()


def check_inputs(stages: list, outs: set[Path]) -> None:
    """Raises UserError for the first dep that is not there and is in no stage's outs; DVC would only say that there is
    no such file.
    """
    keys = {"corpus": "corpus.folder", "segmenter": "segmenter.gold"}
    for stage in stages:
        for dep in stage.deps:
            path = Path(dep.fs_path)
            made = path in outs or any(out in path.parents or path in out.parents for out in outs)
            if not (made or path.exists()):
                name = stage.addressing.partition("@")[0]
                remedy = f"set {keys[name]} in params.yaml to what there is" if name in keys else "put it there"
                if Path(dep.def_path).parent == Path("data/tasks") and (data := tasks.TASKS.get(path.name)):
                    remedy += f": its home is {data.source} (licence: {data.licence})" + (
                        f", or fetch it by fetch.tasks.{data.name}: hub" if data.hub else ""
                    )
                raise UserError(f"{stage.addressing}: {dep.def_path} does not exist, and no stage makes it; {remedy}")


def in_order(graph: networkx.DiGraph, todo: bool) -> list[str]:
    """The stages that are to do, or those that are not, each after what it needs."""
    return [name for name in reversed(list(networkx.topological_sort(graph))) if graph.nodes[name]["todo"] == todo]


def check_params() -> None:
    """Raises UserError with our words for what DVC would only call a template that it cannot resolve."""
    if Path("params.yaml").is_file():
        params.read()


def stages_at_once() -> int:
    threads = params.read().base.threads if Path("params.yaml").is_file() else 1
    if shutil.which("nvidia-smi"):
        return 1  # all would be on the same GPU
    return max(1, min(len(os.sched_getaffinity(0)) // threads, MOST_AT_ONCE))


@flow(name="pipeline", task_runner=ThreadPoolTaskRunner(max_workers=64))  # the flow itself limits what it submits
def pipeline(targets: list[str] | None = None, concurrency: int | None = None):
    """Runs what changed. `targets`: stages to bring up to date, default all; `concurrency`: stages at once, default by
    CPUs and base.threads, 1 with a GPU.
    """
    log = get_run_logger()
    check_params()
    graph = plan(targets)
    todo, unchanged = in_order(graph, True), in_order(graph, False)
    if not todo:
        log.info(NOTHING)
        return Completed(message=NOTHING)
    log.info("To do: %s. Up to date: %d more.", ", ".join(todo), len(unchanged))
    started, table = time.monotonic(), []
    try:
        with track.parent("pipeline", {"targets": " ".join(targets or ["all"])} | lineage.settings()) as run:
            run.cached({name: graph.nodes[name]["outs"] for name in unchanged})
            run_all(graph, max(1, concurrency or stages_at_once()), run, table)
            if "scores" in graph and artifacts.SCORES.is_file():
                run.describe(artifacts.SCORES.read_text(encoding="utf-8"))
                if artifacts.REPORT.is_file():
                    run.text("report.html", artifacts.stamped_report())
    except StageFailed as error:
        return Failed(message=str(error))
    finally:
        width = max(len(name) for name in todo)
        rows = [f"{name:<{width}}  {state:<9}  {clock(seconds)}" for name, state, seconds in table]
        log.info(
            "\n".join(["Time of each stage", *rows, f"{'all':<{width}}  {'':<9}  {clock(time.monotonic() - started)}"])
        )
    if "scores" in graph:
        artifacts.publish()


def run_all(graph: networkx.DiGraph, concurrency: int, run: track.Run, table: list) -> None:
    """Runs what is to do in the graph's order and writes (name, state, seconds) into `table`. Raises the first
    StageFailed.
    """
    stages, errors, submitted, begun, done = Stages(), {}, {}, {}, set()

    def submit(name: str) -> None:
        @task(
            name=name,
            task_run_name=name,
            cache_policy=NO_CACHE,
            retries=2,
            retry_condition_fn=lambda *_: name in errors and errors[name].retryable,
        )
        def run_stage():
            try:
                outcome = stages.run(name, get_run_logger().info, run.env) if graph.nodes[name]["todo"] else "unchanged"
            except StageFailed as error:
                errors[name] = error
                return Failed(message=str(error))
            return Completed(message=outcome, name="Completed" if outcome == "ran" else "Cached")

        begun[name] = time.monotonic()
        submitted[name] = run_stage.submit(wait_for=[submitted[needed] for needed in graph.successors(name)])

    def ready() -> list[str]:
        """Stages that nothing holds back, first those that most others wait for."""
        names = [name for name in graph if name not in submitted and done.issuperset(graph.successors(name))]
        return sorted(names, key=lambda name: -len(networkx.ancestors(graph, name)))

    failed = None
    for name in in_order(graph, False):
        submit(name)
        done.add(name)
    unchanged = list(submitted.values())
    try:
        while True:
            running = {submitted[name]: name for name in submitted if name not in done}
            if not failed:
                for name in ready()[: concurrency - len(running)]:
                    submit(name)
                    running[submitted[name]] = name
            if not running:
                break
            future = next(as_completed(list(running)))
            future.wait()  # its state lags behind the end of its thread
            name = running[future]
            done.add(name)
            table.append((name, future.state.name, time.monotonic() - begun[name]))
            if future.state.name == "Cached":
                run.cached({name: {path: lineage.of(path) for path in graph.nodes[name]["outs"]}})
            if not future.state.is_completed():
                failed = failed or errors.get(name) or StageFailed(name, 1, [future.state.message])
        wait(unchanged)
    finally:
        stages.stop()
    if failed:
        raise failed


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60:3d} min {int(seconds) % 60:02d} s"


def main(targets: list[str], concurrency: int | None = None) -> None:
    """Exits with 1 and the error of the stage that failed, or of DVC."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        check_params()
        graph = plan(targets)
    except (DvcException, UserError) as error:
        sys.exit(f"error: {error}")
    if in_order(graph, True):
        state = pipeline(targets or None, concurrency, return_state=True)
        if not state.is_completed():
            sys.exit(f"\nerror: {state.message}")
    else:
        print(NOTHING)
    if "scores" in graph and artifacts.SCORES.is_file():
        print(
            f"\n{artifacts.SCORES.read_text(encoding='utf-8')}\nReport: {artifacts.REPORT}    Runs, curves and flows:"
            " make ui"
        )
        if artifacts.CHAMPIONS.is_file():
            print(f"\n{artifacts.CHAMPIONS.read_text(encoding='utf-8')}", end="")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m flows.pipeline", description="Runs what changed in the pipeline of dvc.yaml."
    )
    parser.add_argument("targets", nargs="*", help="stages to bring up to date, as DVC names them; default all")
    parser.add_argument(
        "--concurrency", type=int, help="stages at once; default: CPUs / base.threads, 4 at most, 1 with a GPU"
    )
    main(**vars(parser.parse_args()))
