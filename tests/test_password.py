"""Whoever may write to Prefect's server has its workers run commands: neither a page in a browser nor another user of
the machine may.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
import servers
from project import environment

from flows import password

ROOT = Path(__file__).parent.parent
PATIENCE = 300  # seconds


def status(port: int, known: str | None = None) -> int:
    """Of a question that any page can have a browser ask; 0 where nobody answers."""
    kind = "application/json" if known else "text/plain"
    headers = {"Origin": "http://evil.example", "Content-Type": kind}
    url = f"http://127.0.0.1:{port}/api/deployments/filter"
    return servers.status(urllib.request.Request(url, b"{}", headers), known, seconds=60)


def lets_in(port: int, origin: str) -> str | None:
    """What a browser is told of pages from `origin`."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/health", headers={"Origin": origin})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers["Access-Control-Allow-Origin"]


def until(holds) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_the_password_is_made_once_and_for_its_owner_alone(tmp_path):
    made = password.password(tmp_path / "home")
    assert len(made) > 30 and password.password(tmp_path / "home") == made
    kept = tmp_path / "home/auth"
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.chmod(0o644)
    kept.write_text("wwm:mine\n")
    assert password.password(tmp_path / "home") == "wwm:mine" and kept.stat().st_mode & 0o777 == 0o600


def test_another_server_that_somebody_named_keeps_its_own_password(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert password.settings(tmp_path)["PREFECT_API_AUTH_STRING"] == password.password(tmp_path)
    (tmp_path / "profiles.toml").write_text('active = "a"\n[profiles.a]\nPREFECT_API_URL = "http://b/api"\n')
    assert password.settings(tmp_path) == {}
    (tmp_path / "profiles.toml").unlink()
    monkeypatch.setenv("PREFECT_API_URL", "http://b/api")
    assert password.settings(tmp_path) == {}


def test_the_temporary_server_of_a_run_answers_to_the_run_alone(tmp_path):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    wait = "import os, time\nopen('works', 'w')\nwhile not os.path.exists('go'): time.sleep(0.1)\n"
    (tmp_path / "a.py").write_text(wait)
    (tmp_path / "dvc.yaml").write_text("stages: {a: {cmd: python a.py, outs: [works]}}\n")
    env = environment(tmp_path) | {"PYTHONPATH": str(ROOT), "RANK": "1"}
    flow = subprocess.Popen(
        [sys.executable, "-m", "flows.pipeline"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until(lambda: (tmp_path / "works").exists() or flow.poll() is not None)
        commands = [child.cmdline() for child in psutil.Process(flow.pid).children()]
        (port,) = [int(command[-1]) for command in commands if command[-2].endswith("flows/server.py")]
        found = status(port), status(port, "wwm:guess"), status(port, password.password(tmp_path / ".prefect"))
        origin = lets_in(port, "http://evil.example")
        (tmp_path / "go").touch()
        said = flow.communicate(timeout=PATIENCE)[0]
    finally:
        flow.terminate()
        flow.wait()
    assert found == (401, 401, 200) and origin is None
    assert flow.returncode == 0 and "Finished in state Completed" in said, said


@pytest.mark.slow
def test_the_server_of_make_ui_answers_to_who_knows_the_password_and_to_its_own_page(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.ready-cpu").touch()  # nothing is set up
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = environment(tmp_path) | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    command = ["make", "ui", "TORCH=cpu", f"PREFECT_PORT={port}"]
    server = subprocess.Popen(command, cwd=tmp_path, env=env, start_new_session=True)
    try:
        until(lambda: status(port) or server.poll() is not None)
        assert status(port) == status(port, "wwm:guess") == 401
        assert status(port, password.password(tmp_path / ".prefect")) == 200
        assert lets_in(port, "http://evil.example") is None
        for own in (f"http://127.0.0.1:{port}", f"http://localhost:{port}"):
            assert lets_in(port, own) == own
    finally:
        os.killpg(server.pid, signal.SIGINT)
        server.wait()
