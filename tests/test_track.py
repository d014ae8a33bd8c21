"""What is recorded in MLflow, in a folder of its own with the default SQLite store."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from wwm import track

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def pipeline_run(tmp_path_factory):
    """(folder of the store, environment of the stages) of one pipeline run, whose sender spares each test an import of mlflow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("store"))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "RANK", track.PARENT, track.SENDER):
            patch.delenv(name, raising=False)
        with track.parent("pipeline") as env:
            yield Path.cwd(), env


@pytest.fixture(autouse=True)
def stage_environment(pipeline_run, monkeypatch):
    folder, env = pipeline_run
    monkeypatch.chdir(folder)
    for name, value in env.items():
        monkeypatch.setenv(name, value)


def recorded(stage: str):
    """(client, runs of `stage`, newest first)."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{Path.cwd()}/mlflow.db")  # absolute: mlflow keeps one store per name of it
    experiment = client.get_experiment_by_name("wwm")
    return client, client.search_runs([experiment.experiment_id], f"tags.stage = '{stage}'", order_by=["attributes.start_time DESC"])


def program(body: str, **env) -> subprocess.Popen:
    code = f"import os, sys, time\nfrom wwm import track\n{body}"
    return subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT), **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_two_stages_that_start_at_once_without_a_pipeline_run_share_a_new_database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(track.SENDER)
    both = [program(f"with track.run('twins', name='{name}') as run: run.log({{'loss': 1}})") for name in ("one", "two")]
    assert [process.communicate(timeout=60)[0] for process in both] == ["", ""]
    assert {run.info.run_name for run in recorded("twins")[1]} == {"twins one", "twins two"}


def test_a_run_holds_params_curves_files_and_the_hash_that_finds_its_outs(monkeypatch):
    monkeypatch.setenv(track.PARENT, "0123456789abcdef")
    Path("out.txt").write_text("weights")
    begun = time.monotonic()
    with track.run("whole", name="bert", params={"adam": {"betas": [0.9, 0.999]}, "phases": [{"steps": 5}, {"steps": 7}]}, outs=[Path("out.txt")]) as run:
        for step in range(1500):
            run.log({"loss": 1 / (step + 1)}, step=step)
        run.artifact("out.txt")
        assert time.monotonic() - begun < 1
    client, [found] = recorded("whole")
    assert found.info.status == "FINISHED"
    assert found.data.params == {"adam.betas": "[0.9, 0.999]", "phases.0.steps": "5", "phases.1.steps": "7"}
    assert found.data.tags["name"] == "bert"
    assert found.data.tags["mlflow.parentRunId"] == "0123456789abcdef"
    assert found.data.tags["dvc.out.txt"] == track.dvc_hash("out.txt")
    assert [point.step for point in client.get_metric_history(found.info.run_id, "loss")] == list(range(1500))
    assert [file.path for file in client.list_artifacts(found.info.run_id)] == ["out.txt"]


def test_a_resumed_stage_goes_on_with_its_run_and_changed_params_do_not_break_it(tmp_path):
    with pytest.raises(RuntimeError), track.run("resumed", params={"steps": 1}, scratch=tmp_path) as run:
        run.log({"loss": 2}, step=1)
        raise RuntimeError("no space left")
    _, [first] = recorded("resumed")
    assert first.info.status == "FAILED"
    with track.run("resumed", params={"steps": 2}, scratch=tmp_path) as run:
        run.log({"loss": 1}, step=2)
    client, [second] = recorded("resumed")
    assert second.info.run_id == first.info.run_id
    assert second.info.status == "FINISHED"
    assert len(client.get_metric_history(second.info.run_id, "loss")) == 2


def test_a_run_tells_killed_from_failed(tmp_path):
    stages = {
        "sigterm": program("with track.run('sigterm'):\n    print('ready', flush=True)\n    time.sleep(60)"),
        "sigkill": program("with track.run('sigkill'):\n    print('ready', flush=True)\n    time.sleep(60)"),
        "checkpoint": program("with track.run('checkpoint'): sys.exit(75)"),
    }
    for stage, number in (("sigterm", signal.SIGTERM), ("sigkill", signal.SIGKILL)):
        assert stages[stage].stdout.readline() == "ready\n"
        stages[stage].send_signal(number)
    assert [process.wait(60) for process in stages.values()] == [143, -9, 75]
    for stage, status in (("sigterm", "KILLED"), ("sigkill", "FAILED"), ("checkpoint", "KILLED")):
        for _ in range(100):  # what a stage left unsaid is sent after its death
            runs = recorded(stage)[1]
            if runs and runs[0].info.status != "RUNNING":
                break
            time.sleep(0.2)
        assert runs[0].info.status == status, stage


def test_the_stages_of_a_pipeline_run_are_nested_under_it_and_need_not_import_mlflow(pipeline_run):
    begun = time.monotonic()
    with track.run("nested") as run:
        run.log({"loss": 1}, step=1)
    assert time.monotonic() - begun < 3
    assert [run.info.run_id for run in recorded("pipeline")[1]] == [pipeline_run[1][track.PARENT]]
    assert [run.data.tags["mlflow.parentRunId"] for run in recorded("nested")[1]] == [pipeline_run[1][track.PARENT]]


def test_a_server_that_is_down_is_one_warning_and_does_not_stop_the_work():
    body = "with track.parent('pipeline') as env:\n    for step in range(9): time.sleep(.1)\n    print('done', env)"
    text = program(body, MLFLOW_TRACKING_URI="http://127.0.0.1:9", **{track.SENDER: ""}).communicate(timeout=60)[0]
    assert text.count("tracking: not recorded in MLflow at http://127.0.0.1:9, the work goes on") == 1
    assert "done {}" in text


def test_only_the_first_rank_is_tracked(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with track.run("rank") as run:
        run.log({"loss": 1})
        assert run.end is None


def test_hashes_are_those_that_dvc_writes_into_its_lock(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("out/b.bin", "out/a/z.txt", "out/a-b.txt", "out/中文.txt", "file.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name + "\r\n", newline="")
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    Path("dvc.yaml").write_text("stages:\n  all:\n    cmd: 'true'\n    outs: [out: {persist: true}, file.txt: {persist: true}]\n")
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], check=True)
    outs = YAML(typ="safe").load(Path("dvc.lock"))["stages"]["all"]["outs"]
    assert {out["path"]: out["md5"] for out in outs} == {name: track.dvc_hash(name) for name in ("out", "file.txt")}


def test_importing_track_imports_nothing_heavy():
    text = program("print([name for name in ('mlflow', 'torch', 'pandas') if name in sys.modules])").communicate(timeout=60)[0]
    assert text == "[]\n"
