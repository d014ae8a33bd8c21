"""A team of machines, by the commands of docs/team.md: `make test-services`.

The servers are those of docker/compose.yaml (tests/servers.py). A machine is a folder: HOME and a worker of its own;
machines share git, the servers and DVC's remote, and nothing else.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import servers as compose
import yaml
from project import checkout

from wwm.track import lineage

pytestmark = pytest.mark.services

MINUTES = 60
# What a run at toy size needs to be in the middle of a training for a while.
LONG = {"pretrain.models.bert.phases.0.steps": 30_000, "pretrain.checkpoint_every": 20}
BERT = ["pretrain@bert"]
STAGES = {"demo", "corpus", "segmenter", "segment", "vocab", "mask@wordpiece-nsp", "init@random", "pretrain@bert"}


class Machine:
    def __init__(self, team: "Team", name: str):
        self.home = team.folder / name
        self.env = team.servers.machine(self.home)

    def run(self, *command: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            command, cwd=cwd or self.home, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}"
        return done.stdout

    def clone(self, team: "Team", branch: str) -> Path:
        folder = self.home / f"clone-{branch.replace('/', '-')}"
        shutil.rmtree(folder, ignore_errors=True)
        self.run("git", "clone", "--quiet", "--branch", branch, str(team.git), str(folder))
        return folder

    @contextmanager
    def worker(self, pool: str = "wwm") -> Iterator[subprocess.Popen]:
        with open(self.home / f"{pool}.log", "ab") as log:
            process = subprocess.Popen(
                ["prefect", "worker", "start", "--pool", pool, "--limit", "1"],
                cwd=self.home,
                env=self.env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            self.power_cut()
            process.wait()

    def processes(self) -> list[psutil.Process]:
        """All that run with this machine's HOME."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("HOME") == str(self.home):
                    found.append(process)
        return found

    def power_cut(self) -> None:
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def log(self, pool: str = "wwm") -> str:
        return (self.home / f"{pool}.log").read_text(errors="replace")

    def scratch(self) -> Path:
        return Path(self.env["WWM_SCRATCH"])


class Team:
    """One git repository, the servers, and machine A, on which everything is set up by the commands of the docs."""

    def __init__(self, folder: Path):
        self.folder, self.git = folder, folder / "wwm.git"
        self.servers = compose.Servers(folder)

    def set_up(self) -> None:
        self.servers.start_all()
        subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", self.git], check=True)
        self.a = Machine(self, "a")
        self.project = checkout(self.a.home / "project")
        author = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        self.a.run("git", "add", "--all", cwd=self.project)
        self.a.run("git", *author, "commit", "--quiet", "-m", "toy size", cwd=self.project)
        self.a.run("git", "push", "--quiet", str(self.git), "HEAD:refs/heads/main", cwd=self.project)
        for pool in ("wwm", "wwm-cpu", "wwm-gpu"):
            self.a.run("prefect", "work-pool", "create", pool, "--type", "process")
        self.a.run("prefect", "variable", "set", "wwm_repository", str(self.git))
        self.a.run("prefect", "--no-prompt", "deploy", "--all", cwd=self.project)

    def start(self, deployment: str, **parameters) -> str:
        """The id of a new flow run."""
        given = [part for key, value in parameters.items() for part in ("--param", f"{key}={json.dumps(value)}")]
        self.a.run("prefect", "deployment", "run", deployment, *given)
        return str(self.flow_runs(parameters.get("name"))[0].id)

    def flow_runs(self, name: str | None = None) -> list:
        """Those with this parameter `name`, the newest first."""
        return [run for run in self.ask("read_flow_runs") if name is None or run.parameters.get("name") == name]

    def ask(self, question: str, *arguments, **options):
        """What Prefect's client says."""
        from prefect.client.orchestration import SyncPrefectClient
        from prefect.client.schemas.sorting import FlowRunSort

        if question == "read_flow_runs":
            options |= {"sort": FlowRunSort.EXPECTED_START_TIME_DESC}
        with SyncPrefectClient(
            f"{self.servers.url('prefect')}/api", auth_string=self.servers.env["PREFECT_AUTH"]
        ) as client:
            return getattr(client, question)(*arguments, **options)

    def state(self, run_id: str):
        return self.ask("read_flow_run", run_id).state

    def until(self, run_id: str, *names: str, seconds: float = 15 * MINUTES):
        """The state, once it is one of these, or final."""
        deadline = time.monotonic() + seconds
        while not ((state := self.state(run_id)).name in names or state.is_final()):
            assert time.monotonic() < deadline, f"{state!r} after {seconds} s\n{self.logs()}"
            time.sleep(1)
        assert state.name in names, f"{state!r}\n{self.logs()}"
        return state

    def logs(self) -> str:
        newest = max(self.folder.glob("*/*.log"), key=lambda path: path.stat().st_mtime)
        return newest.read_text(errors="replace")[-6000:]

    def tasks(self, run_id: str) -> dict[str, str]:
        from uuid import UUID

        from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

        found = self.ask("read_task_runs", flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[UUID(run_id)])))
        return {task.name: task.state.name for task in found}

    def mlflow(self):
        from mlflow import MlflowClient

        os.environ |= {key: value for key, value in self.a.env.items() if key.startswith("MLFLOW_TRACKING_")}
        return MlflowClient(self.servers.url("mlflow"))

    def recorded(self, name: str) -> tuple[list, list]:
        """The runs of MLflow that stand for whole runs of this name, the newest first, and the stages under that."""
        client = self.mlflow()
        experiment = [client.get_experiment_by_name("wwm").experiment_id]
        parents = client.search_runs(experiment, f"tags.stage = 'run' and tags.name = '{name}'")
        return parents, client.search_runs(experiment, f"tags.`mlflow.parentRunId` = '{parents[0].info.run_id}'")

    def log_of(self, name: str) -> str:
        return subprocess.run(
            ["git", "log", "--format=%H %s", f"runs/{name}"], cwd=self.git, capture_output=True, text=True, check=True
        ).stdout

    def on_branch(self, name: str, path: str) -> str:
        return subprocess.run(
            ["git", "show", f"runs/{name}:{path}"], cwd=self.git, capture_output=True, text=True, check=True
        ).stdout

    def md5(self, name: str, path: str) -> str:
        """Of an out, by dvc.lock on the branch of a run."""
        stages = yaml.safe_load(self.on_branch(name, "dvc.lock"))["stages"]
        return next(out["md5"] for stage in stages.values() for out in stage["outs"] if out["path"] == path)

    def has_branch(self, name: str) -> bool:
        return not subprocess.run(
            ["git", "show-ref", "--quiet", "--verify", f"refs/heads/runs/{name}"], cwd=self.git
        ).returncode


@pytest.fixture(scope="module")
def team(tmp_path_factory) -> Iterator[Team]:
    made = Team(tmp_path_factory.mktemp("team"))
    try:
        made.set_up()
        yield made
    finally:
        made.servers.stop_all()


@pytest.fixture(scope="module")
def b(team) -> Machine:
    return Machine(team, "b")


@pytest.fixture(scope="module")
def c(team) -> Machine:
    return Machine(team, "c")


def wait_for(holds: Callable[[], object], seconds: float = 5 * MINUTES):
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def checkpoint_of(machine: Machine) -> Callable[[], list[Path]]:
    return lambda: list(machine.scratch().glob("pretrain-bert-*/step-*.pt"))


def test_nobody_gets_in_without_a_password(team):
    paths = {"mlflow": "/api/2.0/mlflow/experiments/search?max_results=1", "prefect": "/api/admin/version"}
    for name, path in paths.items():
        assert team.servers.status(name, path) == 401
        assert team.servers.status(name, path, "admin:password1234") == 401
        assert team.servers.status(name, path, team.servers.credentials(name)) == 200
    assert team.servers.status("s3", "/dvc") == 403
    assert team.servers.psql("mlflow", "SELECT 1") == 0 != team.servers.psql("mlflow", "SELECT 1", password="")


def test_a_run_deployed_on_one_machine_works_on_another(team, b):
    """The whole pipeline, on B; its clone is gone at the end."""
    with b.worker():
        run_id = team.start("run/team", name="first")
        team.until(run_id, "Completed")
    assert team.tasks(run_id).keys() >= STAGES and {*team.tasks(run_id).values()} == {"Completed"}
    parents, stages = team.recorded("first")
    assert len(parents) == 1 and len(stages) == len(team.tasks(run_id))
    log = [line.split(" ", 1) for line in team.log_of("first").splitlines()]
    assert {told.removeprefix("runs/first: ") for _, told in log} > {"pretrain@bert", "params of the repository"}
    # each commit of the branch has the params of the run
    assert {run.data.tags["mlflow.source.git.commit"] for run in [*parents, *stages]} <= {commit for commit, _ in log}
    assert not [run for run in [*parents, *stages] if "dirty" in run.data.tags]
    # as docs/team.md says: anyone takes the result over
    clone = b.clone(team, "runs/first")
    b.run("dvc", "pull", "--allow-missing", cwd=clone)
    assert (clone / "models/bert/model.safetensors").is_file()
    assert "up to date" in b.run("dvc", "status", cwd=clone)


def test_the_same_again_on_a_third_machine_trains_nothing(team, c):
    with c.worker():
        again = team.start("run/team", name="first")
        begun = time.monotonic()
        team.until(again, "Cached")
        assert time.monotonic() - begun < MINUTES
        assert not team.tasks(again)
        # under another name nothing is known of it but what DVC's run cache has
        other = team.start("run/team", name="second", targets=BERT)
        team.until(other, "Cached")
    assert team.tasks(other) == dict.fromkeys(STAGES, "Cached")
    assert team.md5("first", "models/bert") == team.md5("second", "models/bert")


def test_lineage_leads_from_a_registered_model_to_commit_params_data_and_weights(team, c):
    clone = c.clone(team, "main")
    client = team.mlflow()
    model = wait_for(lambda: alias(client, "reviews", "champion"))
    told = c.run("wwm", "lineage", "reviews", cwd=clone)
    assert any(line.split()[0] in told for line in team.log_of("first").splitlines()) and model.tags["params"] in told
    for path in ("data/tasks/reviews", "data/corpus", model.tags["path"]):
        assert team.md5("first", path) in told
    c.run("mlflow", "artifacts", "download", "-u", "models:/reviews@champion", "-d", str(c.home / "fetched"))
    assert lineage.computed(c.home / "fetched/model") == model.tags["dvc"] == team.md5("first", model.tags["path"])
    (c.home / "texts.txt").write_text("我们喜欢这本书。\n", encoding="utf-8")
    assert '"label"' in c.run("wwm", "predict", str(c.home / "fetched/model"), str(c.home / "texts.txt"), cwd=clone)


def alias(client, name: str, alias: str):
    """None while a run is still being recorded."""
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):
        return client.get_model_version_by_alias(name, alias)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"overrides": {"finetune.seeds": 0}}, ["finetune.seeds", "0 is less than the minimum of 1"]),
        ({"overrides": {"finetune.seedz": 3}}, ["finetune.seedz", "docs/params.md"]),
        ({"name": "../x"}, ["name"]),
    ],
)
def test_a_wrong_value_is_refused_by_the_form(team, given, told):
    parts = [part for key, value in given.items() for part in ("--param", f"{key}={json.dumps(value)}")]
    done = subprocess.run(
        ["prefect", "deployment", "run", "run/team", *parts], env=team.a.env, capture_output=True, text=True
    )
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode and all(word in said for word in told), said


def test_what_no_form_can_know_is_refused_before_anything_starts(team, b):
    wrong = {
        "brt": ({"overrides": {"pretrain.models.brt.phases.0.steps": 9}}, "pretrain.models has no brt; it has bert"),
        "own": ({"preset": "tinny"}, "did you mean tiny?"),
        "first": ({"overrides": {"base.seed": 7}}, "runs/first was made with another params.yaml ('seed: 1' there"),
        "both": ({"overrides": {"scores.baseline": "nobody"}}, "nobody"),
    }
    with b.worker():
        runs = {name: team.start("run/team", name=name, **given) for name, (given, _) in wrong.items()}
        for name, run_id in runs.items():
            assert wrong[name][1] in team.until(run_id, "Failed").message
            assert not team.tasks(run_id)
    assert not any(team.has_branch(name) for name in wrong if name != "first")


def test_two_runs_with_other_params_at_once_do_not_disturb_each_other(team, b, c):
    with b.worker(), c.worker():
        runs = {
            seed: team.start("run/team", name=f"seed-{seed}", overrides={"base.seed": seed}, targets=BERT)
            for seed in (2, 3)
        }
        for run_id in runs.values():
            team.until(run_id, "Completed")
    for seed in runs:
        assert f"seed: {seed}\n" in team.on_branch(f"seed-{seed}", "params.yaml")
        parents, stages = team.recorded(f"seed-{seed}")
        assert len(parents) == 1 and len(stages) == len(STAGES)
    assert team.md5("seed-2", "models/bert") != team.md5("seed-3", "models/bert")
    assert {"seed-2", "seed-3"} <= {run.name for run in team.flow_runs()}


def test_data_is_made_on_one_pool_and_trained_on_by_another(team, b, c):
    seed = {"base.seed": 4}
    with b.worker("wwm-cpu"), c.worker("wwm-gpu"):
        data = team.start("run/cpu", name="split", overrides=seed, targets=["mask@wordpiece-nsp"])
        team.until(data, "Completed")
        # what was not asked for is missing, and the rest is there for anyone
        clone = b.clone(team, "runs/split")
        b.run("dvc", "pull", "--allow-missing", cwd=clone)
        assert "up to date" in b.run("dvc", "status", "mask@wordpiece-nsp", "--with-deps", cwd=clone)
        assert not (clone / "models/bert").exists()
        model = team.start("run/gpu", name="split", overrides=seed, targets=BERT)
        team.until(model, "Completed")
    assert team.tasks(data).keys() == {"demo", "corpus", "segmenter", "segment", "vocab", "mask@wordpiece-nsp"}
    assert team.tasks(model)["pretrain@bert"] == team.tasks(model)["init@random"] == "Completed"
    assert "Completed" not in {state for name, state in team.tasks(model).items() if name in team.tasks(data)}


@pytest.fixture
def dead_machines(team):
    """The automation of the docs; a minute and a half instead of five is enough where no server is away."""
    shipped = (team.project / "flows/automations.yaml").read_text(encoding="utf-8")
    assert "within: 300" in shipped
    (team.a.home / "automations.yaml").write_text(shipped.replace("within: 300", "within: 90"), encoding="utf-8")
    team.a.run("prefect", "automation", "create", "--from-file", str(team.a.home / "automations.yaml"))
    yield
    team.a.run("prefect", "automation", "delete", "dead-machines")


@pytest.mark.usefixtures("dead_machines")
@pytest.mark.parametrize("shared", [True, False])
def test_a_run_whose_machine_died_is_crashed_and_goes_on_on_another(team, b, c, shared):
    """With a scratch folder that both reach it goes on from the checkpoint, else from the stages in the store."""
    name, given = f"died-{shared}".lower(), {"overrides": LONG | {"base.seed": 5 + shared}, "targets": BERT}
    kept = c.env["WWM_SCRATCH"]
    with b.worker():
        run_id = team.start("run/team", name=name, **given)
        wait_for(checkpoint_of(b))
        b.power_cut()
    if shared:
        c.env["WWM_SCRATCH"] = b.env["WWM_SCRATCH"]
    try:
        with c.worker():
            team.until(run_id, "Crashed", seconds=5 * MINUTES)
            again = team.start("run/team", name=name, **given)
            wait_for(lambda: "pretrain@bert" in team.tasks(again))
            said = wait_for(lambda: "steps/s" in c.log().rpartition(f"Goes on with runs/{name}")[2] and c.log())
            # it need not be trained to its end
            team.a.run("prefect", "flow-run", "cancel", again)
            team.until(again, "Cancelled", seconds=MINUTES)
    finally:
        c.env["WWM_SCRATCH"] = kept
    said = c.log().rpartition(f"Goes on with runs/{name}")[2]
    assert ("going on from" in said) == shared
    assert {state for stage, state in team.tasks(again).items() if stage != "pretrain@bert"} == {"Cached"}
    parents, _ = team.recorded(name)
    assert [run.info.status for run in parents] == ["KILLED", "KILLED"]
    for machine in (b, c):
        shutil.rmtree(machine.scratch())


@pytest.mark.parametrize("server_was_away", [False, True])
def test_cancelling_saves_a_checkpoint_and_leaves_no_process(team, b, server_was_away):
    name = f"cancelled-{server_was_away}".lower()
    with b.worker() as worker:
        run_id = team.start("run/team", name=name, overrides=LONG | {"base.seed": 8 + server_was_away}, targets=BERT)
        wait_for(checkpoint_of(b))
        if server_was_away:
            team.servers.stop("prefect")
            time.sleep(45)
            team.servers.start("prefect")
            team.servers.ready("prefect")
        below = psutil.Process(worker.pid).children(recursive=True)
        begun, before = time.monotonic(), max(checkpoint_of(b)())
        team.a.run("prefect", "flow-run", "cancel", run_id)
        team.until(run_id, "Cancelled")
        wait_for(lambda: not any(each.is_running() and each.status() != "zombie" for each in below), MINUTES)
        assert time.monotonic() - begun < MINUTES
    assert team.tasks(run_id)["pretrain@bert"] == "Cancelled"
    assert max(checkpoint_of(b)()) > before
    parents, stages = team.recorded(name)
    assert parents[0].info.status == "KILLED"
    assert {run.data.tags["stage"] for run in stages if run.info.status == "KILLED"} == {"pretrain"}
    assert team.md5(name, "data/mask/wordpiece-nsp")  # what was finished is on the branch
    assert "mask@wordpiece-nsp" in team.log_of(name)
    shutil.rmtree(b.scratch())


@pytest.mark.parametrize("name", ["mlflow", "prefect"])
def test_a_run_goes_on_and_is_recorded_whole_while_a_server_is_away_for_a_minute(team, b, name):
    # More than a fast machine trains while the server is away.
    steps = {"pretrain.models.bert.phases.0.steps": 9000, "pretrain.log_every": 10, "base.seed": 20 + len(name)}
    with b.worker():
        run_id = team.start("run/team", name=f"without-{name}", overrides=steps, targets=BERT)
        wait_for(lambda: any(b.scratch().glob("pretrain-bert-*/step-*.pt")))
        team.servers.stop(name)
        time.sleep(MINUTES)
        team.servers.start(name)
        team.servers.ready(name)
        team.until(run_id, "Completed")
    assert team.tasks(run_id) == dict.fromkeys(STAGES, "Completed")
    parents, stages = team.recorded(f"without-{name}")
    trained = next(run for run in stages if run.data.tags["stage"] == "pretrain")
    assert {run.info.status for run in [*parents, *stages]} == {"FINISHED"}
    points = team.mlflow().get_metric_history(trained.info.run_id, "mlm_loss")
    clone = b.clone(team, f"runs/without-{name}")
    b.run("dvc", "pull", "results/pretrain/bert.csv", cwd=clone)
    with open(clone / "results/pretrain/bert.csv", newline="") as file:
        assert [point.step for point in points] == [int(row["step"]) for row in csv.DictReader(file) if row["mlm_loss"]]


def test_an_object_that_somebody_changed_in_the_store_is_refused(team, c):
    md5 = team.md5("first", "models/bert").removesuffix(".dir")
    store = team.servers.store()
    listed = json.loads(store.cat(f"dvc/files/md5/{md5[:2]}/{md5[2:]}.dir"))
    weights = next(entry["md5"] for entry in listed if entry["relpath"] == "model.safetensors")
    path = f"dvc/files/md5/{weights[:2]}/{weights[2:]}"
    kept = store.cat(path)
    store.pipe(path, kept[:-1] + bytes([kept[-1] ^ 1]))
    try:
        machine = Machine(team, "d")
        clone = machine.clone(team, "runs/first")
        command = ["dvc", "pull", "models/bert"]
        done = subprocess.run(command, cwd=clone, env=machine.env, capture_output=True, text=True)
        assert done.returncode and not (clone / "models/bert/model.safetensors").exists(), done.stderr
    finally:
        store.pipe(path, kept)
    machine.run(*command, cwd=clone)
    assert (clone / "models/bert/model.safetensors").is_file()


def test_a_backup_of_databases_and_store_brings_back_what_was_lost(team):
    backup, servers = team.folder / "backup", team.servers
    address = {"PGHOST": "127.0.0.1", "PGPORT": str(servers.ports["postgres"]), "PGUSER": "postgres"}
    secret = {"PGPASSWORD": servers.env["POSTGRES_PASSWORD"]}
    dump = subprocess.run(["pg_dumpall", "-w"], env=os.environ | address | secret, capture_output=True, text=True)
    assert dump.returncode == 0 and "CREATE DATABASE mlflow" in dump.stdout and "run first" in dump.stdout

    def buckets(verb: str) -> None:
        command = [sys.executable, "docker/buckets.py", verb, str(backup), "dvc", "mlflow"]
        subprocess.run(command, env=servers.environment("buckets"), check=True)

    buckets("save")
    md5 = team.md5("first", "models/bert")
    lost = f"dvc/files/md5/{md5[:2]}/{md5[2:]}"
    store = servers.store()
    kept = store.cat(lost)
    store.rm(lost)
    buckets("restore")
    store.invalidate_cache()
    assert store.cat(lost) == kept


def test_a_schedule_and_a_new_file_start_runs(team, b):
    """The two examples of prefect.yaml, awake."""
    described = team.project / "prefect.yaml"
    place = team.folder / "text"
    clone = b.clone(team, "runs/first")
    b.run("dvc", "pull", "data/demo", cwd=clone)
    shutil.copytree(clone / "data/demo/text", place)
    later = (place / "reviews.txt").rename(team.folder / "reviews.txt")
    awake = described.read_text(encoding="utf-8")
    for old, new in {
        "enabled: false": "enabled: true",
        "active: false": "active: true",
        '"0 3 * * 0"': '"* * * * *"',
        "interval: 300": "interval: 20",
        "/srv/text": str(place),
        "parameters: {overrides: {": "parameters: {targets: [corpus], overrides: {",
    }.items():
        assert old in awake
        awake = awake.replace(old, new)
    described.write_text(awake, encoding="utf-8")
    with b.worker(), b.worker("wwm-cpu"):
        team.a.run("prefect", "--no-prompt", "deploy", "--name", "run/new-text", cwd=team.project)
        team.a.run("prefect", "--no-prompt", "deploy", "--name", "watch/text", cwd=team.project)
        wait_for(lambda: done(team, "text"), 5 * MINUTES)
        assert not done(team, "new-text")
        later.rename(place / "reviews.txt")
        run = wait_for(lambda: done(team, "new-text"), 5 * MINUTES)
        assert run.state.name == "Completed" and team.tasks(str(run.id))["corpus"] == "Completed"
        team.a.run("prefect", "--no-prompt", "deploy", "--name", "run/weekly", cwd=team.project)
        weekly = wait_for(lambda: done(team, "weekly"), 10 * MINUTES)
        team.a.run("prefect", "deployment", "schedule", "clear", "run/weekly", "--accept-yes", cwd=team.project)
        assert weekly.state.name == "Cached"


def done(team: Team, deployment: str):
    """The first run of a deployment that is over."""
    found = {str(one.id): one.name for one in team.ask("read_deployments")}
    over = [run for run in team.flow_runs() if found.get(str(run.deployment_id)) == deployment and run.state.is_final()]
    return over[-1] if over else None
