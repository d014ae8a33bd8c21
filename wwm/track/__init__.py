"""MLflow runs: what a stage logs while it works.

    with track.run("pretrain", name="bert", params={...}, outs=[Path("models/bert")], scratch=folder) as run:
        run.log({"mlm_loss": 3.2}, step=100)

A call hands a line to the process beside the stage (wwm/track/deliver.py) and returns; that process imports mlflow and
sends. So a slow or dead server costs the work nothing (wwm/track/untracked.py keeps what it missed), and a stage killed
by -9 still ends as FAILED. Where: MLFLOW_TRACKING_URI, by default sqlite:///mlflow.db in the project's folder;
experiment MLFLOW_EXPERIMENT_NAME or `wwm`. Tags: `dvc.PATH` and `dvc.dep.PATH` hold DVC's hashes of what the stage
wrote and read.
"""

import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from wwm.common import files, times
from wwm.common.errors import told
from wwm.track import lineage, made, sender, server

PARENT = "WWM_PARENT_RUN"  # environment variables: id of the run that new runs are nested under,
SENDER = "WWM_RUN_SENDER"  # and socket of the process that sends for a whole pipeline run
INTERRUPTED_SECONDS = 5  # how long a stage that was told to stop waits for its numbers to arrive
RELEASE_SECONDS, SLOWEST = 30, 1e6  # of one model: to begin with, and bytes in a second
STOPPED = (75, 143)  # exit codes of a stage that obeyed SIGTERM: EX_TEMPFAIL (it saved a checkpoint), 128 + SIGTERM
ID_FILE = "mlflow_run_id"
LONGEST_NOTE, PARAGRAPH = 7_900, "\n\n"  # characters: MLflow cuts at 8,000


class Run:
    """One MLflow run, as the stage sees it. `end` is the stage's end of a socket to the process that sends, None where
    nothing is tracked.
    """

    def __init__(self, end: socket.socket | None):
        self.end = end
        self.env: dict[str, str] = {}  # what puts the runs of other processes under this one; for `parent`
        self.patience = 0.0  # seconds that models take to arrive
        self.state: dict[str, str] = {}  # as lineage.state has it

    def log(self, metrics: dict, step: int | None = None) -> None:
        """Numbers by name; `step` is the x axis of their curve."""
        self._put(metrics={key: float(value) for key, value in metrics.items()}, step=step or 0, time=sender.now())

    def took(self, name: str, device: str, seconds: float, **speeds: float) -> None:
        """What the work behind results/`name`.json took, as wwm/common/times.py has it."""
        times.write(name, {"device": device, "seconds": seconds} | speeds)
        self.log({"seconds": seconds})

    def artifact(self, path: str | Path) -> None:
        """A copy of a file or folder; it must stay until the run ends."""
        self._put(artifact=str(Path(path).resolve()))

    def text(self, name: str, text: str) -> None:
        """A file `name` with this text; MLflow shows .txt and .md as they are, .csv as a table."""
        self._put(file=name, text=text)

    def matrix(self, name: str, labels: Sequence[str], counts: list[list[int]]) -> None:
        """A confusion matrix, as NAME.png and NAME.csv: `counts` by label, then by what was said."""
        self._put(matrix=name, labels=list(labels), counts=counts)

    def describe(self, text: str) -> None:
        """What MLflow shows at the top of the run, in Markdown: as many paragraphs as it takes."""
        if len(text) > LONGEST_NOTE:
            text = f"{text[:LONGEST_NOTE].rpartition(PARAGRAPH)[0]}{PARAGRAPH}The rest is in the report, see Artifacts."
        self._put(note=text)

    def child(self, name: str, params: dict, metrics: dict) -> None:
        """A finished run under this one, such as one seed of several."""
        self._put(
            child=name,
            params=sender.flatten(params),
            values={key: float(value) for key, value in metrics.items()},
            time=sender.now(),
        )

    def annotate_model(self, name: str, metrics: dict, outcome: str, reason: str) -> None:
        """Scores of models/NAME and the gate's verdict on it, written to the run that made it: so models are compared
        by recipe, curve and scores at once.
        """
        folder = Path("models", name)
        if self.end and folder.is_dir():
            scores = {key: float(value) for key, value in metrics.items()}
            self._put(
                model=name, hash=lineage.of(folder), scores=scores, outcome=outcome, reason=reason, state=self.state
            )

    def release(
        self,
        folder: str | Path,
        alias: str,
        title: str,
        scores: dict,
        task: str | None = None,
        contest: dict | None = None,
    ) -> None:
        """A model with all its files, as a version in the model registry that has this alias.

        It is called PRESET.MODEL, or by the `task` that it is the champion of; then `contest`, as wwm/report/gate.py
        makes it, says how it is held against the one that is champion so far. title: what it is, in a sentence.
        """
        folder = Path(folder)
        if self.end and folder.is_dir():
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            patience = RELEASE_SECONDS + size / SLOWEST
            self.patience += patience
            self._put(
                release=str(folder),
                patience=patience,
                hash=lineage.of(folder),
                alias=alias,
                title=title,
                scores={key: float(value) for key, value in scores.items()},
                task=task,
                contest=contest,
                state=self.state,
                home=str(Path.cwd()),
            )

    def cached(self, stages: dict[str, dict[str, str]]) -> None:
        """For `parent`: stages that did not run, by DVC's name, with path -> hash of their outs. Each becomes a run
        that links to its earlier one.
        """
        for name, outs in stages.items():
            self._put(cached=name, outs=outs, time=sender.now())

    def _put(self, **message: object) -> None:
        if self.end:
            with suppress(OSError):  # the sender has gone, and has said why
                self.end.sendall(json.dumps(message).encode() + b"\n")

    def _end(self, status: str, outs: dict[str, str], seconds: float) -> None:
        self._put(status=status, tags=lineage.tags("dvc", outs), time=sender.now())
        if not self.end:
            return
        with suppress(OSError), self.end:
            self.end.shutdown(socket.SHUT_WR)
            self.end.settimeout(seconds + self.patience)
            self.end.recv(1)  # returns when the sender has sent everything and closes its end


@contextmanager
def run(
    stage: str,
    name: str | None = None,
    params: dict | None = None,
    outs: Sequence[str | Path] = (),
    scratch: str | Path | None = None,
    listen: str | None = None,
) -> Iterator[Run]:
    """Yields a Run: one MLflow run called `stage name`, with `params` flattened to dotted keys.

    When the block ends well each path of `outs` is tagged with its DVC hash, and a CSV among them is drawn over its
    steps. params.yaml, dvc.lock and what is not committed are kept with it. With a `scratch` folder the id is kept
    there, and the next call goes on with the same MLflow run; the folder goes once DVC has stored what the stage made.
    Nothing is tracked on a rank other than 0. Raises what the block raises. `listen` is for `parent`: the address at
    which stages find this run's sender.
    """
    if int(os.environ.get("RANK", "0")):
        yield Run(None)
        return
    if scratch is None:
        made.tidy()
    end = None if listen else sender.connect(os.environ.get(SENDER, ""))
    current = Run(end or sender.start("wwm.track.deliver", server.project(), listen))
    tags = {
        "stage": stage,
        "name": name,
        lineage.SOURCE: f"wwm.{stage}",
        "mlflow.parentRunId": os.environ.get(PARENT),
    }
    diff = lineage.changes()
    current.state = lineage.state(diff)
    tags |= current.state
    current._put(
        run_name=" · ".join(filter(None, [f"{stage} {name}" if name else stage, lineage.label(current.state)])),
        tags={key: value for key, value in tags.items() if value},
        params=sender.flatten(params or {}),
        scratch=str(Path(scratch).resolve()) if scratch else None,
        supersedes={"stage": stage, "name": name} if listen and name else None,
        time=sender.now(),
    )
    for file, text in lineage.explaining(diff).items():
        current.text(file, text)
    address = f"{stage}@{name}" if name else stage
    if not listen:
        current._put(deps=address, home=str(Path.cwd()))
    try:
        with sender.terminated_as_exit():
            yield current
    except BaseException as error:
        stopped = error.code in STOPPED if isinstance(error, SystemExit) else not isinstance(error, Exception)
        if not stopped:
            current.describe(f"error: {told(error)}")
        current._end("KILLED" if stopped else "FAILED", {}, INTERRUPTED_SECONDS if stopped else sender.GIVE_UP_SECONDS)
        raise
    for path in outs:
        if Path(path).suffix == ".csv" and Path(path).read_text(encoding="utf-8").startswith("step,"):
            current._put(curves=str(Path(path).resolve()))
    hashes = {str(path): lineage.of(path) for path in outs if Path(path).exists()}
    current._end("FINISHED", hashes, sender.GIVE_UP_SECONDS)
    if not listen:
        # Only now has the sender read in `scratch` which run this is.
        made.leave(address, Path(scratch).resolve() if scratch else None)


@contextmanager
def scratch(stage: str, inputs: Sequence[str | Path], settings: dict) -> Iterator[Path]:
    """files.scratch, without what is of no more use since DVC has stored what came of it."""
    made.tidy()
    with files.scratch(stage, inputs, settings) as folder:
        yield folder


@contextmanager
def parent(stage: str, params: dict, name: str | None = None) -> Iterator[Run]:
    """Yields a Run that the stages of one pipeline run are nested under, by its `env`, which is {} where MLflow does
    not answer. Earlier ones of this `name` that never ended, as on a machine that died, end as KILLED.
    """
    with tempfile.TemporaryDirectory() as folder:
        address = f"{folder}/socket"
        with run(stage, name, params, scratch=folder, listen=address) as current:
            written, deadline = Path(folder) / ID_FILE, time.monotonic() + sender.GIVE_UP_SECONDS
            while current.end and not written.exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            run_id = written.read_text() if written.exists() else ""
            current.env = {PARENT: run_id, SENDER: address} if run_id else {}
            yield current
