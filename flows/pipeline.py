"""The whole pipeline as a Prefect flow: DVC says what changed, and just that runs, siblings in parallel.

python -m flows.pipeline                     everything of dvc.yaml here
python -m flows.pipeline pretrain@bert       this stage and what it needs
python -m flows.pipeline --concurrency 1     one stage at a time
"""

import argparse
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import copy_context
from pathlib import Path

import networkx
from dvc.exceptions import DvcException

from flows import password

# Prefect reads its settings when it is imported. As a script it keeps its records where `make ui` looks for them.
if __name__ == "__main__":
    os.environ.setdefault("PREFECT_HOME", str(Path(".prefect").resolve()))
    os.environ.update(password.settings(Path(os.environ["PREFECT_HOME"])) | dict(os.environ))
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
# Its own lines are twice as wide.
os.environ.setdefault("PREFECT_LOGGING_FORMATTERS_STANDARD_TASK_RUN_FMT", "%(asctime)s %(task_run_name)s | %(message)s")
os.environ.setdefault("PREFECT_LOGGING_FORMATTERS_STANDARD_FLOW_RUN_FMT", "%(asctime)s %(flow_name)s | %(message)s")

from prefect import flow, get_client, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import as_completed, wait
from prefect.logging.configuration import setup_logging
from prefect.logging.handlers import PrefectConsoleHandler
from prefect.states import Cancelled, Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner

from flows import artifacts, checkout, server
from flows.plan import check_params, in_order, plan
from flows.stage import StageFailed, Stages, Stopped, pull_run_cache
from wwm import params, track
from wwm.common.errors import UserError
from wwm.track import lineage

NOTHING = "Nothing to do: every stage is up to date."
ASK_SECONDS = 10  # between two questions to Prefect's server
LAST_WORDS_SECONDS = 10  # that stages which were stopped have to tell it
MOST_AT_ONCE = 4  # each holds a copy of torch, its model and its data in memory


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
    check_params()
    with checkout.held(get_run_logger().warning):
        graph = plan(targets)
        settings = {"targets": " ".join(targets or ["all"])} | lineage.settings()
        # What another machine has made is taken from DVC's remote; away from the network the work goes on without.
        stages = Stages(pull=bool(in_order(graph, True)) and pull_run_cache() is None)
        return execute(graph, concurrency, lambda: track.parent("pipeline", settings), stages)


def execute(
    graph: networkx.DiGraph,
    concurrency: int | None,
    parent: Callable[[], AbstractContextManager[track.Run]],
    stages: Stages,
    done: Callable[[str, str], None] = lambda name, outcome: None,
) -> State:
    """Runs what is to do in `graph` by `stages`, recorded under `parent`; `done` is called with each that was made, and
    whether it `ran` or was `restored`.

    Cached where none ran, Failed with the words of the first that failed, Cancelled where Prefect was asked for it.
    """
    log = get_run_logger()
    todo, unchanged = in_order(graph, True), in_order(graph, False)
    if not todo:
        log.info(NOTHING)
        return Completed(name="Cached", message=NOTHING)
    log.info("To do: %s. Up to date: %d more.", ", ".join(todo), len(unchanged))
    started, table = time.monotonic(), []
    try:
        with cancelled(stages), parent() as run:
            run.cached({name: graph.nodes[name]["outs"] for name in unchanged})
            run_all(graph, max(1, concurrency or stages_at_once()), run, table, stages, done)
            if "scores" in todo and artifacts.SCORES.is_file():
                run.describe(artifacts.SCORES.read_text(encoding="utf-8"))
                if artifacts.REPORT.is_file():
                    run.text("report.html", artifacts.stamped_report())
    except StageFailed as error:
        return Failed(message=str(error))
    except Stopped as stopped:
        return Cancelled(message=f"Cancelled in {stopped}; the same run goes on from there")
    finally:
        width = max(len(name) for name in todo)
        rows = [f"{name:<{width}}  {state:<9}  {clock(seconds)}" for name, state, seconds in table]
        log.info(
            "\n".join(["Time of each stage", *rows, f"{'all':<{width}}  {'':<9}  {clock(time.monotonic() - started)}"])
        )
    if "scores" in todo:
        artifacts.publish()
    if {state for _, state, _ in table} == {"Cached"}:
        return Completed(name="Cached", message=f"Nothing was made anew; restored: {', '.join(todo)}")
    return Completed(message=f"Made: {', '.join(name for name, state, _ in table if state != 'Cached')}")


@contextmanager
def cancelled(stages: Stages) -> Iterator[None]:
    """Stops `stages` once Prefect's server says that this run is to be cancelled.

    The worker tells a run so by a signal; but it forgets to watch when the server was away for a while.
    """
    over, run_id = threading.Event(), runtime.flow_run.id

    def watch() -> None:
        with get_client(sync_client=True) as client:
            while not over.wait(ASK_SECONDS):
                with suppress(Exception):  # the server is away
                    if client.read_flow_run(run_id).state.is_cancelling():
                        stages.stop()

    thread = threading.Thread(target=copy_context().run, args=(watch,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def run_all(
    graph: networkx.DiGraph,
    concurrency: int,
    run: track.Run,
    table: list[tuple[str, str, float]],
    stages: Stages,
    ended: Callable[[str, str], None],
) -> None:
    """Runs what is to do in the graph's order and writes (name, state, seconds) into `table`. Raises the first
    StageFailed, Stopped.
    """
    errors, submitted, begun, done = {}, {}, {}, set()

    def submit(name: str) -> None:
        @task(
            name=name,
            task_run_name=name,
            cache_policy=NO_CACHE,
            retries=2,
            retry_condition_fn=lambda *_: name in errors and errors[name].retryable,
        )
        def run_stage():
            if not graph.nodes[name]["todo"]:
                return Completed(message="unchanged", name="Cached")
            try:
                outcome = stages.run(name, get_run_logger().info, run.env)
                ended(name, outcome)
            except StageFailed as error:
                errors[name] = error
                return Failed(message=str(error))
            except Stopped:
                return Cancelled(message="The flow was stopped")
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
                failed = failed or (
                    Stopped(name)
                    if future.state.is_cancelled()
                    else errors.get(name) or StageFailed(name, 1, [future.state.message])
                )
        wait(unchanged)
    finally:
        stages.stop()
        wait(list(submitted.values()), timeout=LAST_WORDS_SECONDS)
    if failed:
        raise failed


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60:3d} min {int(seconds) % 60:02d} s"


def is_no_failure(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Finished in state Failed(")


def say_failures_once() -> None:
    """`main` ends with what failed; Prefect would print it for the stage and for the run besides."""
    setup_logging()  # as Prefect does when the flow begins; a second time changes nothing
    for handler in logging.getLogger().handlers:
        if isinstance(handler, PrefectConsoleHandler):
            handler.addFilter(is_no_failure)


def main(targets: list[str], concurrency: int | None = None) -> None:
    """Exits with 1 and the error of the stage that failed, or of DVC."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        check_params()
        graph = plan(targets)
    except (DvcException, UserError) as error:
        sys.exit(f"error: {error}")
    if in_order(graph, True):
        say_failures_once()
        try:
            with server.temporary():
                state = pipeline(targets or None, concurrency, return_state=True)
        except KeyboardInterrupt:
            sys.exit(128 + signal.SIGINT)
        except server.Ended as error:
            print(f"\nerror: {error}", file=sys.stderr, flush=True)
            os._exit(1)  # at its exit Prefect looks for the server for ten seconds with each event that is left
        if not state.is_completed():
            sys.exit(f"\nerror: {state.message}")
    else:
        print(NOTHING)
    if "scores" in graph and artifacts.SCORES.is_file():
        print(
            f"\n{artifacts.SCORES.read_text(encoding='utf-8')}\nReport: {artifacts.REPORT}    Runs, curves and flows:"
            " make ui"
        )
        for last in (artifacts.CHAMPIONS, artifacts.ANSWER):
            if last.is_file() and (text := last.read_text(encoding="utf-8")):
                print(f"\n{text}", end="")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m flows.pipeline", description="Runs what changed in the pipeline of dvc.yaml."
    )
    parser.add_argument("targets", nargs="*", help="stages to bring up to date, as DVC names them; default all")
    parser.add_argument(
        "--concurrency", type=int, help="stages at once; default: CPUs / base.threads, 4 at most, 1 with a GPU"
    )
    main(**vars(parser.parse_args()))
