"""Flows on a toy repository of four stages (a -> b, c -> d), run as a user runs them: python -m flows.pipeline."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows import pipeline
from flows.stage import StageFailed, Stages, remove_stale_rwlock

ROOT = Path(__file__).parent.parent
DVC_YAML = """
stages:
  a: {cmd: python a.py, deps: [a.py], outs: [a]}
  b: {cmd: python b.py, deps: [b.py, a], outs: [b]}
  c: {cmd: cp a c, deps: [a], outs: [c]}
  d: {cmd: cat b c > d, deps: [b, c], outs: [d]}
"""
WRITE = "open('{0}', 'w').write('{0}')\n"
DIE_ONCE = "import os, pathlib\nif not pathlib.Path('../died').exists():\n    pathlib.Path('../died').touch()\n    os.kill(os.getpid(), 9)\n"
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
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    from prefect.settings import get_current_settings
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PREFECT_API_URL": get_current_settings().api.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db",
        }


def start(environment, **options):
    return subprocess.Popen([sys.executable, "-m", "flows.pipeline"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def output_of(environment) -> tuple[str, int]:
    process = start(environment)
    return process.communicate(timeout=120)[0], process.returncode


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


def test_everything_runs_although_a_stage_is_killed_once_and_then_there_is_nothing_to_do(toy, environment):
    Path("b.py").write_text(DIE_ONCE + WRITE.format("b"))
    text, code = output_of(environment)
    assert code == 0, text
    assert Path("d").read_text() == "ba"
    assert "Time of each stage" in text
    assert Path("../died").exists()

    begun = time.monotonic()
    assert output_of(environment) == (pipeline.NOTHING + "\n", 0)
    assert time.monotonic() - begun < 30

    Path("b.py").write_text("# changed\n" + WRITE.format("b"))
    assert set(pipeline.plan()) == {"b", "d"}
    assert set(pipeline.plan(["c"])) == set()
    Path("c").unlink()
    assert set(pipeline.plan(["c"])) == {"c"}


def test_a_failing_stage_stops_what_depends_on_it_and_shows_its_own_error(toy, environment):
    Path("b.py").write_text("raise ValueError('b.size 7 is not even; nearest is 8')\n")
    text, code = output_of(environment)
    assert code == 1
    assert text.rstrip().endswith("error: b failed with exit code 1:\nValueError: b.size 7 is not even; nearest is 8")
    assert "Traceback" not in text.split("Time of each stage")[1]
    assert text.count("Running stage 'b'") == 1
    assert "Running stage 'd'" not in text
    assert not Path("d").exists()


def test_an_interrupted_flow_leaves_no_process_behind(toy, environment):
    Path("b.py").write_text(WAIT)
    flow = start(environment)
    pid = wait_for(Path("../pid"))
    children = psutil.Process(flow.pid).children(recursive=True)
    assert pid in {child.pid for child in children}
    flow.send_signal(signal.SIGTERM)
    text = flow.communicate(timeout=60)[0]
    assert flow.returncode != 0, text
    assert all(gone(child.pid) for child in children), text


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


def test_a_stage_that_saved_a_checkpoint_and_left_is_worth_a_retry_and_a_wrong_value_is_not(toy):
    for code, retryable in ((75, True), (1, False)):
        Path("a.py").write_text(f"import sys; print('the last word'); sys.exit({code})")
        with pytest.raises(StageFailed, match="a failed with exit code .*\n(.*\n)*the last word") as failure:
            Stages().run("a", print)
        assert (failure.value.code, failure.value.retryable) == (code, retryable)


def test_progress_bars_of_a_stage_become_a_few_lines(toy, monkeypatch):
    monkeypatch.setattr("flows.stage.PROGRESS_SECONDS", 0.3)
    Path("a.py").write_text("import time\nfrom tqdm import tqdm\nfor _ in tqdm(range(20)): time.sleep(0.1)\n" + WRITE.format("a"))
    shown = []
    Stages().run("a", shown.append)
    bars = [line for line in shown if "/20" in line]
    assert 3 < len(bars) < 12
    assert bars[-1].startswith("100%")


def test_an_empty_lock_of_a_killed_dvc_is_removed_and_one_in_use_is_not(toy):
    lock = Path(".dvc/tmp/rwlock")
    lock.parent.mkdir(exist_ok=True)
    lock.touch()
    remove_stale_rwlock()
    assert not lock.exists()
    lock.write_text("{}")
    remove_stale_rwlock()
    assert lock.exists()
