"""A copy of this project at toy size, in which tests run a user's own commands."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path.cwd()
ENVIRONMENT = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}


def checkout(folder: Path) -> Path:
    """A copy of what git tracks or would track, as a repository of its own, with params.yaml at toy size."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    run(folder, "-c", "from wwm.cli import app; app()", "preset", "tiny")
    return folder


def environment(folder: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    outside = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "PREFECT_", "WWM_"))}
    return {**outside, **ENVIRONMENT, "PATH": path, "PREFECT_HOME": str(folder / ".prefect"), "PYTHONPATH": str(folder)}


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout
