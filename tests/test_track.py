"""What is recorded in MLflow, in a folder of its own with an SQLite store."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from wwm import track
from wwm.common import preset
from wwm.track import database, deliver, lineage, sender, server, trace, untracked

ROOT = Path(__file__).parent.parent


DVC_CONFIG = "[core]\n    analytics = false\n    no_scm = true\n"


def start_in_a_thread(module: str, folder: Path, listen: str | None = None) -> socket.socket:
    """sender.start without the process, which would import mlflow once more."""
    ours, theirs = socket.socketpair()
    threading.Thread(target=sender.record, args=(theirs, deliver.Delivery), daemon=True).start()
    if listen:
        server = socket.create_server(listen, family=socket.AF_UNIX)
        threading.Thread(target=sender.accept, args=(server, [], deliver.Delivery), daemon=True).start()
    return ours


@pytest.fixture(scope="module")
def pipeline_run(tmp_path_factory):
    """(folder of the store, the Run of one pipeline run)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("store"))
        for name in ("MLFLOW_EXPERIMENT_NAME", "RANK", track.PARENT, track.SENDER):
            patch.delenv(name, raising=False)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{Path.cwd()}/mlflow.db")
        patch.setattr(sender, "start", start_in_a_thread)
        with track.parent("pipeline", {"targets": "all"}) as run:
            yield Path.cwd(), run


@pytest.fixture(autouse=True)
def stage_environment(pipeline_run, monkeypatch):
    folder, run = pipeline_run
    monkeypatch.chdir(folder)
    for name, value in run.env.items():
        monkeypatch.setenv(name, value)


def recorded(stage: str):
    """(client, runs of `stage`, newest first)."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{Path.cwd()}/mlflow.db"  # absolute: mlflow keeps one store per name of it
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("wwm")
    return client, client.search_runs(
        [experiment.experiment_id], f"tags.stage = '{stage}'", order_by=["attributes.start_time DESC"]
    )


def eventually(found, seconds: int = 20):
    """What `found()` returns as soon as it is true: what a stage leaves unsaid is sent after its end."""
    deadline = time.monotonic() + seconds
    while not (result := found()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return result


def program(body: str, **env) -> subprocess.Popen:
    code = f"import os, sys, time\nfrom wwm import track\n{body}"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_stages_that_start_at_once_without_a_pipeline_run_share_a_new_database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(track.SENDER)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    both = [
        program(f"with track.run('twins', name='{name}') as run: run.log({{'loss': 1}})") for name in ("one", "two")
    ]
    assert [process.communicate(timeout=60)[0] for process in both] == ["", ""]
    assert {run.info.run_name for run in recorded("twins")[1]} == {"twins one", "twins two"}


def test_a_run_holds_params_curves_files_and_the_hash_that_finds_its_outs(monkeypatch):
    monkeypatch.setenv(track.PARENT, "0123456789abcdef")
    Path("out.txt").write_text("weights")
    Path("in.txt").write_text("text")
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text(DVC_CONFIG)
    Path("dvc.yaml").write_text("stages: {whole: {foreach: [bert], do: {cmd: x, deps: [in.txt], outs: [out.txt]}}}")
    begun = time.monotonic()
    with track.run(
        "whole",
        name="bert",
        params={"adam": {"betas": [0.9, 0.999]}, "phases": [{"steps": 5}, {"steps": 7}]},
        outs=[Path("out.txt")],
    ) as run:
        for step in range(1500):
            run.log({"loss": 1 / (step + 1)}, step=step)
        run.artifact("out.txt")
        assert time.monotonic() - begun < 1
    client, [found] = recorded("whole")
    assert found.info.status == "FINISHED"
    assert found.data.params == {"adam.betas": "[0.9, 0.999]", "phases.0.steps": "5", "phases.1.steps": "7"}
    assert found.data.tags["name"] == "bert"
    assert found.data.tags["mlflow.parentRunId"] == "0123456789abcdef"
    assert found.data.tags["dvc.out.txt"] == lineage.of("out.txt")
    assert found.data.tags["dvc.dep.in.txt"] == lineage.of("in.txt")
    assert [point.step for point in client.get_metric_history(found.info.run_id, "loss")] == list(range(1500))
    assert [file.path for file in client.list_artifacts(found.info.run_id)] == ["out.txt"]


def test_a_resumed_stage_goes_on_with_its_run_and_changed_params_do_not_break_it(tmp_path):
    with pytest.raises(RuntimeError), track.run("resumed", params={"steps": 1}, scratch=tmp_path) as run:
        run.log({"loss": 2}, step=1)
        raise RuntimeError("no space left")
    _, [first] = recorded("resumed")
    assert first.info.status == "FAILED"
    assert first.data.tags["mlflow.note.content"] == "error: RuntimeError: no space left"
    with track.run("resumed", params={"steps": 2}, scratch=tmp_path) as run:
        run.log({"loss": 1}, step=2)
    client, [second] = recorded("resumed")
    assert second.info.run_id == first.info.run_id
    assert second.info.status == "FINISHED" and not second.data.tags["mlflow.note.content"]
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
        runs = eventually(lambda stage=stage: [run for run in recorded(stage)[1] if run.info.status != "RUNNING"])
        assert runs[0].info.status == status, stage


def test_the_stages_of_a_pipeline_run_are_nested_under_it_and_need_not_import_mlflow(pipeline_run):
    begun = time.monotonic()
    with track.run("nested") as run:
        run.log({"loss": 1}, step=1)
    assert time.monotonic() - begun < 3
    assert [run.info.run_id for run in recorded("pipeline")[1]] == [pipeline_run[1].env[track.PARENT]]
    assert [run.data.tags["mlflow.parentRunId"] for run in recorded("nested")[1]] == [pipeline_run[1].env[track.PARENT]]


def test_the_seeds_of_a_cell_are_runs_under_it():
    with track.run("cell", name="bert-xnli") as run:
        for seed in (1, 2):
            run.child(f"bert-xnli seed {seed}", {"seed": seed}, {"test_accuracy": 70 + seed})
    runs = recorded("cell")[1]
    [cell] = [run for run in runs if run.data.tags.get("name") == "bert-xnli"]
    seeds = [run for run in runs if run.data.tags["mlflow.parentRunId"] == cell.info.run_id]
    assert {
        (run.info.run_name, run.data.params["seed"], run.data.metrics["test_accuracy"], run.info.status)
        for run in seeds
    } == {
        ("bert-xnli seed 1", "1", 71, "FINISHED"),
        ("bert-xnli seed 2", "2", 72, "FINISHED"),
    }


def test_a_stage_that_did_not_run_is_linked_to_the_run_that_made_its_outs(pipeline_run):
    Path("kept.txt").write_text("kept")
    for loss in (3, 2):
        with track.run("kept", name="bert", params={"layers": 6}, outs=["kept.txt"]) as run:
            run.log({"loss": loss}, step=loss)
    made = recorded("kept")[1]
    parent = pipeline_run[1]
    for _ in range(2):  # the second finds the run that worked, not the first link
        parent.cached({"kept@bert": {"kept.txt": lineage.of("kept.txt")}, "kept@other": {"kept.txt": "0"}})
    client, links = eventually(lambda: (found := recorded("kept"))[1][5:] and found)
    links = [run for run in links if run.info.run_id not in {run.info.run_id for run in made}]
    assert [run.data.tags["mlflow.parentRunId"] for run in links] == [parent.env[track.PARENT]] * 4
    known = [run for run in links if run.data.tags["name"] == "bert"]
    assert [run.data.tags["cached_from"] for run in known] == [made[0].info.run_id] * 2
    assert [(run.data.params, run.data.metrics) for run in known] == [({"layers": "6"}, {"loss": 2})] * 2
    assert made[0].info.run_id in known[0].data.tags["mlflow.note.content"]
    others = {run.data.tags.get("cached_from"): run.info.run_id for run in links if run.data.tags["name"] == "other"}
    assert set(others) == {None, others[None]}  # what is recorded nowhere has its first link for an earlier run


def test_the_run_that_made_a_model_takes_its_scores_and_verdict():
    Path("models/small").mkdir(parents=True)
    for weights in ("random", "random", "trained"):
        Path("models/small/weights").write_text(weights)
        with track.run("pretrain", name="small", params={"steps": 5}, outs=[Path("models/small")]) as run:
            run.log({"mlm_loss": 7}, step=1)
    with track.run("scores") as run:
        run.annotate_model("small", {"cloze.nats": 12.5, "reviews.test_mean": 70}, "failed", "12.5 %")
        run.annotate_model("not-here", {"cloze.nats": 0}, "none", "")
    client, runs = recorded("pretrain")
    [compared] = client.search_runs([runs[0].info.experiment_id], 'tags.model != ""')
    assert compared.info.run_id == runs[0].info.run_id and compared.data.tags["gate"] == "failed: 12.5 %"
    assert compared.data.metrics == {"mlm_loss": 7, "cloze.nats": 12.5, "reviews.test_mean": 70}
    assert compared.data.params == {"steps": "5"}
    assert not client.search_registered_models()  # the run and its hash are all there is of what passed nothing


def git(*arguments: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *who, *arguments], check=True, capture_output=True)


def test_a_run_carries_params_lock_and_what_is_not_committed_and_its_name_says_so(tmp_path, monkeypatch, capfd):
    monkeypatch.delenv(track.SENDER)
    monkeypatch.delenv(track.PARENT)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    Path("presets").mkdir()
    for name in ("params.yaml", "presets/tiny.yaml", "dvc.lock", "code.py"):
        Path(name).write_text("x: 1\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    Path("dvc.lock").write_text("written by the run\n")
    outs = ["curve.csv"]
    for stage, code in (("clean", "x: 1\n"), ("dirty", "y = 2\n")):
        Path("code.py").write_text(code)
        if stage == "dirty":
            Path("wwm").mkdir()
            Path("wwm/new.py").touch()
        Path("curve.csv").write_text("step,mlm_loss\n1,9.5\n2,8.0\n")
        with track.run(stage, name="bert", outs=outs) as run:
            run.text("examples.txt", "我们 | 【掩】码")
            run.describe("\n\n".join(["表" * 3_000] * 4))
            run.matrix("no_matrix", ["差"], [])
            run.matrix("confusion_dev", ["差", "$^$"], [[3, 1], [0, 4]])
    found = {}
    for stage in ("clean", "dirty"):
        client, [run] = recorded(stage)
        found[stage] = run
        folder = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
        told = {path.name: path for path in Path(folder).iterdir() if path.is_file()}
        assert told["params.yaml"].read_text() == "x: 1\n" and "by the run" in told["dvc.lock"].read_text()
        assert told["examples.txt"].read_text() == "我们 | 【掩】码"
        assert told["confusion_dev.csv"].read_text().splitlines()[1:] == ["1,差,3,1", "2,$^$,0,4"]
        assert all(told[f"{name}.png"].read_bytes()[:4] == b"\x89PNG" for name in ("curve", "confusion_dev"))
    note = found["clean"].data.tags["mlflow.note.content"].split("\n\n")
    assert note == ["表" * 3_000] * 2 + ["The rest is in the report, see Artifacts."]
    # What MLflow does not take is left out, and the rest arrives.
    assert capfd.readouterr().out.count("tracking: matrix is not in MLflow: TypeError") == 2
    assert found["dirty"].info.status == "FINISHED"
    patch = tmp_path / "changes.diff"
    assert "+y = 2" in patch.read_text() and "# not known to git: wwm/new.py" in patch.read_text()
    Path("code.py").write_text("x: 1\n")
    git("apply", "--check", str(patch))
    short = preset.digest()
    assert found["clean"].info.run_name == f"clean bert · tiny-{short}"
    assert found["dirty"].info.run_name == f"dirty bert · tiny-{short}-dirty"
    assert [file.path for file in client.list_artifacts(found["clean"].info.run_id) if "diff" in file.path] == []


def test_data_that_a_stage_reads_is_an_input_with_its_hash(tmp_path, monkeypatch):
    monkeypatch.delenv(track.SENDER)
    monkeypatch.delenv(track.PARENT)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    dvc_repository(tmp_path, monkeypatch, mask="{cmd: x, deps: [data/segment, code.py], outs: [out]}")
    Path("data/segment").mkdir(parents=True)
    for path in ("data/segment/text", "code.py"):
        Path(path).write_text("x")
    with track.run("mask"):
        pass
    _, [run] = recorded("mask")
    [given] = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("data/segment", lineage.of("data/segment"))


def test_files_of_runs_are_found_where_the_folder_has_moved(tmp_path, monkeypatch):
    monkeypatch.delenv(track.SENDER)
    monkeypatch.delenv(track.PARENT)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    body = "with track.run('moving') as run: run.text('note.txt', 'found')"
    assert program(body).communicate(timeout=60)[0] == ""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.chdir(tmp_path / "there")
    client, [run] = recorded("moving")
    assert Path(client.download_artifacts(run.info.run_id, "note.txt", str(tmp_path))).read_text() == "found"


def test_a_server_that_is_down_is_one_warning_and_does_not_stop_the_work(monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with track.parent("pipeline", {}) as run:
        assert run.env == {}
        run.log({"loss": 1})
    assert (
        capsys.readouterr().out.count("tracking: not recorded in MLflow at http://127.0.0.1:9, the work goes on") == 1
    )


def away(opening):
    raise ConnectionError


def test_what_a_server_that_was_down_has_missed_is_sent_by_the_next_run(monkeypatch, capsys):
    monkeypatch.delenv(track.SENDER, raising=False)
    opened = deliver.open_run
    monkeypatch.setattr(deliver, "open_run", away)
    with track.run("missed", name="bert", params={"steps": 2}) as run:
        run.log({"loss": 3.5}, step=1)
        run.log({"loss": 3.0}, step=2)
    kept = [path for path in Path("scratch/untracked").glob("*.jsonl") if "missed bert" in path.read_text()]
    assert len(kept) == 1 and "sent by the next run" in capsys.readouterr().out
    monkeypatch.setattr(deliver, "open_run", opened)
    with track.run("truncate"):
        pass
    assert eventually(lambda: not kept[0].exists())
    _, [late] = eventually(lambda: recorded("missed")[1]) and recorded("missed")
    assert late.data.params == {"steps": "2"} and late.data.metrics == {"loss": 3.0} and late.info.status == "FINISHED"


def test_what_mlflow_is_too_long_about_is_kept_and_sent_by_the_next_run(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(track.SENDER)
    monkeypatch.setattr(sender, "GIVE_UP_SECONDS", 1)
    monkeypatch.setattr(sender, "LINGER_SECONDS", 1)
    migrated, opened = threading.Event(), deliver.open_run
    monkeypatch.setattr(deliver, "open_run", lambda opening: migrated.wait() and away(opening))
    with track.run("slowly", params={"steps": 2}) as run:
        run.log({"loss": 3.5}, step=1)

    def kept() -> list[Path]:
        return [path for path in Path("scratch/untracked").glob("*.jsonl") if '"slowly' in path.read_text()]

    assert eventually(kept) and "sent by the next run" in capsys.readouterr().out
    monkeypatch.setattr(deliver, "open_run", opened)
    with track.run("truncate"):
        pass
    assert eventually(lambda: not kept())
    assert recorded("slowly")[1][0].data.metrics == {"loss": 3.5}


def test_a_kill_while_mlflow_makes_its_database_leaves_none(tmp_path, monkeypatch):
    # Absolute: mlflow keeps one store per name of it.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    making = subprocess.Popen([sys.executable, "-m", "wwm.track.database"], env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert eventually(Path(".mlflow.db.tmp").exists, 60)
    time.sleep(0.3)
    making.kill()
    making.wait()
    assert not Path("mlflow.db").exists()
    monkeypatch.delenv(track.SENDER)
    with track.run("later"):
        pass
    assert recorded("later")[1] and not list(Path().glob(".mlflow.db*"))


def test_a_database_that_is_half_made_is_set_aside_and_the_new_one_takes_what_was_kept(
    pipeline_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.delenv(track.SENDER)
    monkeypatch.chdir(tmp_path)
    shutil.copy(pipeline_run[0] / "mlflow.db", "mlflow.db")
    with closing(sqlite3.connect("mlflow.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'a1b2c3d4e5f6'")
        connection.execute("DROP TABLE runs")
    opening = {"run_name": "before", "tags": {"stage": "before"}, "params": {}, "time": 1}
    untracked.keep(server.target(), opening, [{"status": "FINISHED", "tags": {}, "time": 2}])
    with track.run("after"):
        pass
    assert eventually(lambda: not list(Path("scratch/untracked").glob("*.jsonl")))
    assert [run.info.status for stage in ("before", "after") for run in recorded(stage)[1]] == ["FINISHED"] * 2
    [aside] = Path().glob("mlflow.db.half-made-*")
    assert "mlflow.db was half made, as by a kill while MLflow made it (table" in (told := capsys.readouterr().out)
    assert str(aside) in told


def test_a_database_of_an_older_mlflow_keeps_its_runs(pipeline_run, tmp_path, monkeypatch):
    """Its last migration is undone by MLflow's own hand."""
    from alembic import command
    from mlflow.store.db import utils

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    shutil.copy(pipeline_run[0] / "mlflow.db", "mlflow.db")
    engine = utils.create_sqlalchemy_engine("sqlite:///mlflow.db")
    config = utils._get_alembic_config("sqlite:///mlflow.db")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "-1")
    assert not database.up_to_date(Path("mlflow.db"))
    with database.locked(Path("mlflow.db")):
        pass
    assert recorded("pipeline")[1] and not list(Path().glob("*half-made*"))


def test_a_run_that_arrives_after_one_that_stood_in_for_it_is_the_one_that_lineage_shows(
    pipeline_run, tmp_path, monkeypatch
):
    dvc_repository(tmp_path, monkeypatch, tardy="{foreach: [bert], do: {cmd: x, deps: [in.txt], outs: [tardy.txt]}}")
    monkeypatch.delenv(track.SENDER)
    Path("in.txt").write_text("text")
    Path("tardy.txt").write_text("weights")
    value, parent = lineage.of("tardy.txt"), pipeline_run[1]

    def told() -> str:
        with trace.answering() as client:
            return "\n".join(trace.of_hash(trace.read(client), "tardy.txt", value))

    with monkeypatch.context() as patch:
        patch.setattr(lineage, "git_commit", lambda: "c0ffee")
        patch.setattr(deliver, "open_run", away)
        with track.run("tardy", name="bert", outs=["tardy.txt"]):
            pass
    parent.cached({"tardy@bert": {"tardy.txt": value}})
    assert eventually(lambda: "wrote     tardy.txt" in told()) and "c0ffee" not in told()
    with track.run("truncate"):
        pass
    assert eventually(lambda: "c0ffee" in told()) and f"in.txt  {lineage.of('in.txt')}" in told()
    parent.cached({"tardy@bert": {"tardy.txt": value}})
    with trace.answering() as client:
        arrived = trace.read(client).maker("tardy.txt", value)
        of_both = ["1"], "tags.stage = 'tardy'"
        links = eventually(lambda: (found := client.search_runs(*of_both))[2:] and found)
    assert [run.data.tags["cached_from"] for run in links if "cached_from" in run.data.tags] == [arrived.info.run_id]


def test_what_was_sent_in_part_is_not_sent_twice_and_goes_to_no_other_server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opening = {"run_name": "half", "tags": {"stage": "half"}, "params": {}, "time": 1}
    untracked.keep(["here", "wwm"], opening, [{"metrics": {"loss": 2.0}}, {"status": "FINISHED"}])
    sent = []

    def fails_half_way(opening, messages, save):
        sent.append(messages.pop(0))
        save(opening | {"run_id": "r1"}, messages)
        raise ConnectionError

    untracked.send(["there", "wwm"], fails_half_way)
    assert not sent
    untracked.send(["here", "wwm"], fails_half_way)
    untracked.send(["here", "wwm"], lambda opening, messages, save: sent.extend([opening["run_id"], *messages]))
    assert sent == [{"metrics": {"loss": 2.0}}, "r1", {"status": "FINISHED"}]
    assert not list(Path("scratch/untracked").glob("*.jsonl"))


def test_only_the_first_rank_is_tracked(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with track.run("rank") as run:
        run.log({"loss": 1})
        assert run.end is None


def dvc_repository(folder: Path, monkeypatch, **stages: str) -> None:
    monkeypatch.chdir(folder)
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text(DVC_CONFIG)
    Path("dvc.yaml").write_text(f"stages: {{{', '.join(f'{name}: {stage}' for name, stage in stages.items())}}}")


def locked(stage: str, kind: str) -> dict[str, str]:
    """Path -> hash, after `dvc repro`."""
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], check=True)
    return {entry["path"]: entry["md5"] for entry in YAML(typ="safe").load(Path("dvc.lock"))["stages"][stage][kind]}


def test_hashes_are_those_that_dvc_writes_into_its_lock(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("out/b.bin", "out/a/z.txt", "out/a-b.txt", "out/中文.txt", "file.txt", "in/x.txt", "in.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name + "\r\n", newline="")
    outs = {name: lineage.of(name) for name in ("out", "file.txt")}
    assert lineage.of_deps("all@one") == {}
    stage = "{cmd: 'true', deps: [in, in.txt], outs: [out: {persist: true}, file.txt: {persist: true}]}"
    dvc_repository(tmp_path, monkeypatch, all=f"{{foreach: [one], do: {stage}}}")
    assert {name: lineage.of(name) for name in outs} == outs == locked("all@one", "outs")
    assert lineage.of_deps("all@one") == locked("all@one", "deps")
    assert lineage.of_deps("all@two") == {}


def test_hash_of_an_out_leaves_out_what_dvc_ignores(tmp_path, monkeypatch):
    dvc_repository(tmp_path, monkeypatch, all="{cmd: 'true', outs: [out: {persist: true}]}")
    Path(".dvcignore").write_text("*.log\n")
    Path("out").mkdir()
    for name in ("out/weights", "out/late.log"):
        Path(name).write_text(name)
    assert {"out": lineage.of("out")} == locked("all", "outs")


def test_what_a_stage_hashes_while_dvc_runs_it_dvc_does_not_read_again(tmp_path, monkeypatch):
    # What changes and keeps its size and time only who reads it can see.
    Path(tmp_path / "stage.py").write_text("""
import os
from pathlib import Path
from wwm.track import lineage
out = Path("out/weights")
out.parent.mkdir()
out.write_text("first")
Path("hash").write_text(lineage.of("out"))
seen = out.stat()
out.write_text("later")
os.utime(out, ns=(seen.st_atime_ns, seen.st_mtime_ns))
""")
    dvc_repository(tmp_path, monkeypatch, all=f"{{cmd: '{sys.executable} stage.py', outs: [out: {{cache: false}}]}}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert locked("all", "outs") == {"out": Path("hash").read_text()}
    assert lineage.of("out") == Path("hash").read_text() != lineage.computed(Path("out"))


def test_hash_where_dvc_fails_or_has_no_say_is_our_own_and_nothing_is_printed(tmp_path, monkeypatch):
    folder = tmp_path / "repository"
    folder.mkdir()
    dvc_repository(folder, monkeypatch)
    for name in ("out/weights", "broken/.dvcignore", "../elsewhere/weights"):
        Path(name).parent.mkdir()
        Path(name).write_text(name)
    asked = ("out", "broken", "../elsewhere")
    body = f"from wwm.track import lineage\nprint(*(lineage.of(path) for path in {asked}))"
    # DVC's bars are drawn for a terminal, or for who asks.
    text = program(body, DVC_IGNORE_ISATTY="1").communicate(timeout=60)[0]
    assert text.split() == [lineage.computed(Path(path)) for path in asked]


def test_importing_track_imports_nothing_heavy():
    text = program("print([name for name in ('mlflow', 'torch', 'pandas', 'dvc') if name in sys.modules])").communicate(
        timeout=60
    )[0]
    assert text == "[]\n"
