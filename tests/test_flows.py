"""Flows on a toy repository of four stages (a -> b, c -> scores)."""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from dvc.repo import Repo
from dvc.rwlock import rwlock
from dvc_objects.fs.local import LocalFileSystem
from ruamel.yaml import YAML

from flows import checkout, pipeline, plan
from flows.checkout import remove_stale_rwlock, set_aside_cut_lock
from flows.stage import PushFailed, StageFailed, Stages
from wwm.common import files
from wwm.common.errors import UserError
from wwm.track import made

ROOT = Path(__file__).parent.parent
DVC_YAML = """
stages:
  a: {cmd: python a.py, deps: [a.py], outs: [a]}
  b: {cmd: python b.py, deps: [b.py, a], outs: [b]}
  c: {cmd: cp a c, deps: [a], outs: [c]}
  scores: {cmd: cat b c > d, deps: [b, c], outs: [d]}
"""
WRITE = "open('{0}', 'w').write('{0}')\n"
NAMES = {"a", "b", "c", "scores"}
DIE_ONCE = (
    "import os, pathlib\nif not pathlib.Path('../died').exists():\n    pathlib.Path('../died').touch()\n   "
    " os.kill(os.getpid(), 9)\n"
)
WAIT = "import os, time\nopen('../pid', 'w').write(str(os.getpid()))\ntime.sleep(300)\n"


@pytest.fixture
def toy(tmp_path, monkeypatch):
    folder = tmp_path / "toy"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    monkeypatch.chdir(folder)
    Path("dvc.yaml").write_text(DVC_YAML)
    Path("a.py").write_text(WRITE.format("a"))
    Path("b.py").write_text(WRITE.format("b"))
    monkeypatch.setenv("RANK", "1")  # other ranks than 0 track nothing
    handler = signal.getsignal(signal.SIGTERM)
    yield folder
    signal.signal(signal.SIGTERM, handler)  # pipeline.main sets its own


@pytest.fixture(scope="module")
def client():
    """A client of a Prefect server that only these tests use."""
    from prefect.client.orchestration import get_client
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120), get_client(sync_client=True) as client:
        yield client


def tasks_of_the_last_flow(client, expected: set[str]) -> dict[str, str]:
    """Task -> name of its state; the server hears of tasks a little later than of the flow."""
    for _ in range(100):
        runs = client.read_task_runs()
        last = max(runs, key=lambda run: run.created, default=None)
        found = {run.name: run.state_name for run in runs if run.flow_run_id == last.flow_run_id} if last else {}
        if set(found) == expected and set(found.values()) <= {"Completed", "Cached", "Failed"}:
            break
        time.sleep(0.1)
    return found


def todo(targets: list[str] | None = None) -> set[str]:
    return set(plan.in_order(plan.plan(targets), True))


def wait_for(path: Path) -> int:
    """The number that a stage writes into `path` as soon as it works."""
    for _ in range(600):
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.1)
    raise AssertionError(f"{path} did not appear")


def gone(pid: int) -> bool:
    for _ in range(200):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


def test_everything_runs_although_a_stage_is_killed_once_and_then_only_what_changed(toy, client, capsys, monkeypatch):
    Path("b.py").write_text(DIE_ONCE + WRITE.format("b"))
    pipeline.main([])
    assert Path("d").read_text() == "ba"
    assert Path("../died").exists()
    assert tasks_of_the_last_flow(client, NAMES) == dict.fromkeys(NAMES, "Completed")

    capsys.readouterr()
    pipeline.main([])
    assert capsys.readouterr().out == pipeline.NOTHING + "\n"

    Path("b.py").write_text("# changed\n" + WRITE.format("b"))
    assert todo() == {"b", "scores"}
    assert todo(["c"]) == set()
    Path("c").unlink()
    assert todo(["c"]) == {"c"}
    Path("results/report").mkdir(parents=True)
    Path("results/report/scores.md").write_text("# Scores")
    Path("results/report/curves.csv").write_text("model,step,mlm_loss\nbert,20,9.0\nbert,40,7.0\nbert,60,5.0\n")
    monkeypatch.delenv("RANK")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{toy}/mlflow.db")
    pipeline.main([], concurrency=1)
    states = {
        "a": "Cached",
        "b": "Completed",
        "c": "Cached",
        "scores": "Cached",
    }  # DVC's run cache has c, and scores of the same inputs
    assert tasks_of_the_last_flow(client, NAMES) == states
    with sqlite3.connect(toy / "mlflow.db") as store:
        assert sorted(store.execute("select name, status from runs")) == [
            (name, "FINISHED") for name in ("a", "c", "pipeline", "scores")
        ]
    shown = {artifact.key: artifact.data for artifact in client.read_artifacts()}
    assert shown["scores"].startswith("# Scores") and '"█▅▁"' in json.dumps(
        json.loads(shown["curves"]), ensure_ascii=False
    )


def test_old_scores_are_not_shown_as_those_of_a_run_without_scores(toy, client, capsys):
    Path("results/report").mkdir(parents=True)
    Path("results/report/scores.md").write_text("# Old scores")
    pipeline.main(["c"])
    assert "# Old scores" not in capsys.readouterr().out


def test_a_mistake_in_params_is_named_in_our_words_before_dvc_reads_them(toy):
    Path("dvc.yaml").write_text("stages:\n  a: {foreach: '${mask.sets}', do: {cmd: 'cp a.py ${key}'}}\n")
    Path("params.yaml").write_text(
        (ROOT / "params.yaml").read_text(encoding="utf-8").replace("  sets:\n", "  set:\n"), encoding="utf-8"
    )
    with pytest.raises(SystemExit, match="unknown key mask.set; did you mean sets"):
        pipeline.main([])


def test_text_that_nothing_reads_is_not_prepared_unless_asked_for(toy):
    Path("a.txt").write_text("a")
    Path("dvc.yaml").write_text(
        "stages:\n  corpus: {cmd: cp a.txt corpus, deps: [a.txt], outs: [corpus]}\n"
        "  vocab: {cmd: cp corpus vocab, deps: [corpus], outs: [vocab]}\n"
        "  scores: {cmd: cp a.txt d, deps: [a.txt], outs: [d]}\n"
    )
    assert set(plan.plan()) == {"scores"} and set(plan.plan(["vocab"])) == {"corpus", "vocab"}
    text = Path("dvc.yaml").read_text()
    Path("dvc.yaml").write_text(text + "  init: {cmd: cp vocab e, deps: [vocab], outs: [e]}\n")
    assert set(plan.plan()) == {"scores", "corpus", "vocab", "init"}


def test_a_folder_of_text_that_is_missing_is_named_with_its_key_before_anything_runs(toy):
    Path("dvc.yaml").write_text(
        "stages:\n  corpus: {cmd: cp -r mytxt out, deps: [mytxt], outs: [out]}\n  scores: {cmd: cp -r out d, deps:"
        " [out], outs: [d]}\n"
    )
    with pytest.raises(
        SystemExit,
        match=r"mytxt does not exist, and no stage makes it \(corpus reads it\); set corpus.folder in params.yaml",
    ):
        pipeline.main([])


def test_a_tasks_files_that_are_missing_are_named_with_where_to_ask_for_them(toy):
    Path("dvc.yaml").write_text(
        "stages:\n  a: {cmd: cp -r data/tasks/lcqmc out, deps: [data/tasks/lcqmc], outs: [out]}\n"
    )
    with pytest.raises(
        SystemExit,
        match=(
            r"data/tasks/lcqmc does not exist, .*\(a reads it\).* its home is http://icrc.hitsz.edu.cn.*by the form on"
            r" that page to qingcai.chen"
        ),
    ):
        pipeline.main([])


def test_planning_sixty_models_takes_the_cpu_of_dvc_status_or_little_more(tmp_path, monkeypatch):
    values = YAML(typ="safe").load((ROOT / "presets/tiny.yaml").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    for folder in ("wwm", "presets"):
        shutil.copytree(ROOT / folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    models = values["pretrain"]["models"]
    models |= {f"m{number}": models["bert"] for number in range(60 - len(models))}
    values["finetune"]["models"] = {name: {} for name in models}
    values["cloze"]["models"] = values["scores"]["models"] = [*models]
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML(typ="safe").dump(values, file)

    begun = time.process_time()
    assert len(todo()) > 180
    planned = time.process_time()
    with Repo() as repo:
        repo.status()
    assert planned - begun < 1.5 * (time.process_time() - planned)


def test_a_failing_stage_stops_what_depends_on_it_and_shows_its_own_error(toy, client):
    Path("b.py").write_text("open('../runs', 'a').write('b')\nraise ValueError('b.size 7 is not even; nearest is 8')\n")
    with pytest.raises(SystemExit) as end:
        pipeline.main([])
    assert end.value.code == "\nerror: b failed with exit code 1:\nValueError: b.size 7 is not even; nearest is 8"
    assert Path("../runs").read_text() == "b"
    assert not Path("d").exists()


def test_the_error_of_a_stage_is_printed_once(toy, client):
    Path("b.py").write_text("print('working')\nraise SystemExit('error: b.size 7 is not even; take 8')\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_API_URL": str(client.api_url)}
    command = [sys.executable, "-m", "flows.pipeline", "b"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 1 and "b | working" in done.stdout
    assert done.stdout.count("b.size 7 is not even; take 8") == 1, done.stdout
    assert "error: b failed with exit code 1:\nb.size 7" in done.stdout


def test_an_interrupted_flow_leaves_no_process_behind(toy, client):
    Path("b.py").write_text(WAIT)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": str(client.api_url),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    command = [sys.executable, "-m", "flows.pipeline", "--concurrency", "2", "b"]
    flow = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    pid = wait_for(Path("../pid"))
    children = psutil.Process(flow.pid).children(recursive=True)
    assert pid in {child.pid for child in children}
    flow.send_signal(signal.SIGTERM)
    text = flow.communicate(timeout=60)[0]
    assert flow.returncode != 0, text
    assert "Time of each stage" in text
    assert all(gone(child.pid) for child in children), text


def with_a_server_of_its_own(toy: Path) -> tuple[subprocess.Popen, list[psutil.Process], psutil.Process]:
    """A flow of stage `a`, which is at work; its processes; the server among them."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    environment |= {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(toy / ".prefect")}
    command = [sys.executable, "-m", "flows.pipeline", "a"]
    flow = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    wait_for(Path("../pid"))
    children = psutil.Process(flow.pid).children(recursive=True)
    [server] = [child for child in children if "flows/server.py" in " ".join(child.cmdline())]
    return flow, children, server


@pytest.mark.slow
def test_a_flow_whose_server_is_killed_ends_with_a_line_and_what_it_made(toy):
    Path("a.py").write_text(WAIT.replace("300", "5") + WRITE.format("a"))
    flow, _, server = with_a_server_of_its_own(toy)
    server.kill()
    text = flow.communicate(timeout=120)[0]
    assert flow.returncode == 1 and Path("a").read_text() == "a"
    last = text.splitlines()[-1]
    assert last.startswith("error: Prefect's temporary server ended with exit code -9") and last.endswith("run again")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_flow_with_a_server_of_its_own_takes_that_along(toy, number):
    """Ctrl-C reaches all of a terminal's foreground at once; the flow can still tell its server how it ended."""
    Path("a.py").write_text(WAIT)
    flow, children, _ = with_a_server_of_its_own(toy)
    (os.killpg if number == signal.SIGINT else os.kill)(flow.pid, number)
    assert all(gone(child.pid) for child in children)
    text = flow.communicate()[0]
    assert "Traceback" not in text
    assert number == signal.SIGKILL or flow.returncode == 130 and "Time of each stage" in text


def test_a_second_flow_in_a_checkout_says_who_works_there_and_waits(toy):
    program = (
        "import time; from flows import checkout\nwith checkout.held(print): print(1, flush=True), time.sleep(300)"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    )
    assert first.stdout.readline() == b"1\n"
    said = []

    def say(line: str) -> None:
        said.append(line)
        first.kill()

    with checkout.held(say):
        assert len(said) == 1 and said[0].startswith(f"Process {first.pid} of ") and "import time" in said[0]
    with checkout.held(pytest.fail):
        pass


def test_a_stage_waits_for_a_dvc_that_works_here_and_names_it(toy, monkeypatch):
    monkeypatch.setattr("flows.stage.BUSY_SECONDS", 0.1)
    Path("a.py").write_text(WAIT)
    other = subprocess.Popen([sys.executable, "-m", "dvc", "repro", "-q", "a"], start_new_session=True)
    wait_for(Path("../pid"))
    Path("a.py").write_text(WRITE.format("a"))
    shown = []

    def show(line: str) -> None:
        shown.append(line)
        if "waits for process" in line:
            os.killpg(other.pid, signal.SIGKILL)
            other.wait()

    assert Stages().run("a", show) == "ran"
    [told] = [line for line in shown if str(other.pid) in line and "waits for" in line]
    assert told.startswith(f"a waits for process {other.pid}, which is at work in this checkout: ")
    assert told.endswith("repro -q a")
    assert not [line for line in shown if "remove" in line and "PID" in line]


def test_stages_at_once_share_the_cpus_but_never_a_gpu(toy, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    for gpu, expected in ((None, pipeline.MOST_AT_ONCE), ("/usr/bin/nvidia-smi", 1)):
        monkeypatch.setattr("shutil.which", lambda name, gpu=gpu: gpu)
        assert pipeline.stages_at_once() == expected


def test_a_flow_killed_by_9_takes_its_stages_along_and_the_next_run_completes(toy):
    Path("a.py").write_text(WAIT)
    program = "import sys; from flows.stage import Stages; Stages().run('a', print)"
    flow = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT)})
    pid = wait_for(Path("../pid"))
    flow.kill()
    flow.wait()
    assert gone(pid)
    Path("a.py").write_text(WRITE.format("a"))
    assert Stages().run("a", print) == "ran"


def test_a_stage_says_whether_it_ran_was_restored_or_was_unchanged(toy):
    shown = []
    assert Stages().run("a", shown.append) == "ran"
    assert shown == ["Running stage 'a':", "> python a.py"]
    assert Stages().run("a", print) == "unchanged"
    Path("a").unlink()
    Path("dvc.lock").unlink()
    assert Stages().run("a", print) == "restored"


MADE = """
import os, sys
from pathlib import Path
from wwm.track import made
with open("../runs", "a") as runs:
    runs.write("a")
Path("scratch/a").mkdir(parents=True, exist_ok=True)
{write}
made.leave("a", Path("scratch/a").resolve())
"""


@pytest.mark.parametrize(
    ("write", "prefix"),
    # Of a file in a folder, and then of the list of its files.
    [("Path('a').write_text('x')", "9d"), *[("os.mkdir('a'); Path('a/x').write_text('x')", p) for p in ("9d", "9b")]],
)
def test_what_a_full_cache_did_not_take_is_stored_by_the_next_run_and_made_once(toy, monkeypatch, write, prefix):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    Path("a.py").write_text(MADE.format(write=write))
    full = Path(".dvc/cache/files/md5", prefix)
    full.parent.mkdir(parents=True)
    full.touch()  # no object with such a hash fits in there
    shown = []
    for _ in range(2):
        with pytest.raises(StageFailed, match=r"could not store what a made(.*\n)*.*then `dvc commit a`") as failure:
            Stages().run("a", shown.append)
        assert not failure.value.retryable and Path("scratch/a").is_dir()
        assert "a" in todo()
    assert not [line for line in shown if "failed to" in line]
    full.unlink()
    assert Stages().run("a", print) == "restored"
    assert Path("../runs").read_text() == "a" and "a" not in todo()
    assert not list(Path("scratch/made").iterdir()) and not Path("scratch/a").exists()
    subprocess.run(["rm", "-r", "a"], check=True)
    assert Stages().run("a", print) == "restored"


def test_what_waits_to_be_stored_is_made_again_where_code_or_outs_have_changed(toy, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    text = MADE.format(write="Path('a').write_text('x')")
    Path("a.py").write_text(text)
    for other in ({"a": "spoilt"}, {"a.py": text + "# changed\n"}):
        subprocess.run([sys.executable, "a.py"], check=True)
        for path, changed in other.items():
            Path(path).write_text(changed)
        assert Stages().run("a", print) == "ran"
    assert Path("../runs").read_text() == "aaaa"


def test_a_plain_dvc_repro_removes_a_checkpoint_once_its_outs_are_stored(toy, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    Path("a.py").write_text(MADE.format(write="Path('a').write_text('x')"))
    subprocess.run([sys.executable, "a.py"], check=True)
    made.tidy()
    assert Path("scratch/a").is_dir()
    subprocess.run([sys.executable, "-m", "dvc", "commit", "-q", "-f", "a"], check=True)
    made.tidy()
    assert not Path("scratch/a").exists() and not list(Path("scratch/made").iterdir())


def test_a_broken_note_of_what_was_made_goes_once_the_stage_is_stored(toy):
    for broken in ("", "[1]", "{}", '{"scratch":'):
        files.write_text(made.note("a"), broken)
        made.tidy()
        assert not made.waits("a")
        made.forget("a")
        assert not list(Path("scratch/made").iterdir())
    made.forget("a")


def test_a_stage_that_saved_a_checkpoint_and_left_is_worth_a_retry_and_a_wrong_value_is_not(toy):
    for code, retryable in ((75, True), (1, False)):
        Path("a.py").write_text(f"import sys; print('the last word'); sys.exit({code})")
        with pytest.raises(StageFailed, match="a failed with exit code .*\n(.*\n)*the last word") as failure:
            Stages().run("a", print)
        assert (failure.value.code, failure.value.retryable) == (code, retryable)


def test_progress_bars_of_a_stage_become_a_few_lines(toy, monkeypatch):
    monkeypatch.setattr("flows.stage.PROGRESS_SECONDS", 0.3)
    Path("a.py").write_text(
        "import time\nfrom tqdm import tqdm\nfor _ in tqdm(range(20)): time.sleep(0.1)\n" + WRITE.format("a")
    )
    shown = []
    Stages().run("a", shown.append)
    bars = [line for line in shown if "/20" in line]
    assert 3 < len(bars) < 12
    assert bars[-1].startswith("100%")


def test_a_dvc_lock_that_a_kill_cut_off_anywhere_is_set_aside_and_nothing_runs_again(toy, capsys):
    for name in ("a", "b", "c", "scores"):
        Stages().run(name, print)
    lock = Path("dvc.lock").read_bytes()
    for size in range(0, len(lock), 23):
        Path("dvc.lock").write_bytes(lock[:size])
        set_aside_cut_lock()
        plan.plan()  # whatever is left, DVC can read it
    Path("dvc.lock").write_bytes(lock[: len(lock) // 2 + 3])
    assert todo() == NAMES
    assert "dvc.lock was cut off" in capsys.readouterr().out and Path("dvc.lock.cut").exists()
    assert {Stages().run(name, print) for name in ("a", "b", "c", "scores")} == {"restored"}
    assert Path("dvc.lock").read_bytes() == lock


def test_a_dvc_lock_that_a_merge_left_with_both_sides_is_refused_with_its_line(toy):
    Stages().run("a", print)
    both = "schema: '2.0'\n<<<<<<< HEAD\nstages: {}\n=======\nstages: {a: {}}\n>>>>>>> other\n"
    Path("dvc.lock").write_text(both)
    with pytest.raises(UserError, match="dvc.lock, line 2: a merge of git left both sides; take one"):
        plan.plan()
    assert Path("dvc.lock").read_text() == both and not Path("dvc.lock.cut").exists()


def test_a_dvc_that_is_at_work_is_named_in_one_line(toy):
    Stages().run("a", print)
    with rwlock(".dvc/tmp", LocalFileSystem(), "repro", [], [str(Path("a").resolve())], False):
        with pytest.raises(UserError, match="another DVC is at work here, wait for its end: .*PID"):
            plan.plan()


def test_what_the_remote_has_is_not_to_do_and_what_is_lost_is(toy):
    """In a clone: dvc.lock is there, and of the files nothing."""
    with open(".dvc/config", "a") as config:
        config.write("    remote = store\n['remote \"store\"']\n    url = ../../store\n")
    for name in ("a", "b", "c", "scores"):
        Stages().run(name, print)
        Stages().push(name)
    for path in ("a", "b", "c", "d"):
        Path(path).unlink()
    shutil.rmtree(".dvc/cache")
    assert todo() == NAMES

    def to_do() -> set[str]:
        return set(plan.in_order(plan.plan(allow_missing=True), True))

    assert to_do() == set()
    lost = hashlib.md5(b"b").hexdigest()
    Path(f"../store/files/md5/{lost[:2]}/{lost[2:]}").unlink()
    assert to_do() == {"b", "scores"}
    assert [Stages(pull=True).run(name, print) for name in ("b", "scores")] == ["ran", "restored"]
    Path("b.py").write_text("open('b', 'w').write('other')")
    assert to_do() == {"b", "scores"}


def test_what_cannot_be_pushed_is_told(toy):
    with open(".dvc/config", "a") as config:
        config.write("    remote = store\n['remote \"store\"']\n    url = /dev/null/store\n")
    Stages().run("a", print)
    with pytest.raises(PushFailed, match="store"):
        Stages().push("a")


def test_an_empty_lock_of_a_killed_dvc_is_removed_and_one_in_use_is_not(toy):
    lock = Path(".dvc/tmp/rwlock")
    lock.parent.mkdir(exist_ok=True)
    lock.touch()
    remove_stale_rwlock()
    assert not lock.exists()
    lock.write_text("{}")
    remove_stale_rwlock()
    assert lock.exists()
