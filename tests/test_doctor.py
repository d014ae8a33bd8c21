"""`wwm doctor` says what a bug report needs, wherever it is run, and nothing personal."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from wwm import doctor

ROOT = Path(__file__).parent.parent
DEMO = (ROOT / "presets/demo.yaml").read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with dvc.yaml, params.yaml and two presets, of which it is run in."""
    (tmp_path / "presets").mkdir()
    for name in ("demo", "tiny"):
        shutil.copy(ROOT / f"presets/{name}.yaml", tmp_path / "presets")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "params.yaml").write_text(DEMO, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def without_packages(monkeypatch):
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", version)


def said() -> dict[str, str]:
    """Name -> value, lines of a longer value kept."""
    rows = re.findall(r"^(\S.{14}) (.*(?:\n {16}.*)*)", doctor.report(), re.M)
    return {name.strip(): re.sub(r"^ {16}", "", value, flags=re.M) for name, value in rows}


def run(folder: Path, code: str = "from wwm.cli import app; app()") -> str:
    """What the command prints in a folder."""
    command = [sys.executable, "-c", code, "doctor"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LC_ALL": "C"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_every_line_is_there_and_values_stand_in_one_column(project):
    lines = run(project).splitlines()
    names = [line[:16].rstrip() for line in lines if line and line[0] != " "]
    machine = ["wwm", "commit", "Python", "platform", "CPU", "cores", "memory", "disk", "GPU"]
    assert names == [*machine, *doctor.PACKAGES, "folder", "params.yaml", "preset", "dvc.lock"]
    assert all(line[15:16] == " " and line[16:17] != " " for line in lines if line)


def test_params_of_a_preset_are_told_with_hash_and_name(project):
    assert said()["params.yaml"] == f"sha256 {hashlib.sha256(DEMO.encode()).hexdigest()}\nvalid"
    assert said()["preset"] == "demo"
    assert said()["dvc.lock"] == "is not here"
    (project / "dvc.lock").touch()
    assert said()["dvc.lock"] == "is here"


def test_message_of_params_that_are_not_valid_is_told_whatever_they_hold(project):
    (project / "params.yaml").write_text(DEMO.replace("threads:", "thraeds:"), encoding="utf-8")
    assert "\nnot valid:\nparams.yaml: " in said()["params.yaml"] and "did you mean threads?" in said()["params.yaml"]
    assert said()["preset"].startswith("none")
    (project / "params.yaml").write_bytes(b"base: \xff")
    assert "not UTF-8" in said()["params.yaml"]
    (project / "params.yaml").write_text("base: [")
    assert "is not YAML" in run(project)


def test_outside_of_a_project_it_says_so(tmp_path):
    printed = run(tmp_path)
    assert re.search("^folder +no project", printed, re.M) and re.search("^params.yaml +is not here$", printed, re.M)


def test_without_packages_each_is_not_installed_and_the_rest_is_told(project, without_packages):
    assert {said()[name] for name in doctor.PACKAGES} == {"not installed"}
    assert said()["GPU"] == "not known: torch is not installed"
    assert said()["params.yaml"].endswith("valid")


def test_with_python_alone_params_are_not_checked_and_the_rest_is_told(project):
    here = f"import sys; sys.path = ['{ROOT}', *(p for p in sys.path if 'site-packages' not in p)]"
    printed = run(project, f"{here}; from wwm import doctor; doctor.main()")
    assert re.search("^torch +not installed$", printed, re.M) and re.search("^ +not checked: No module", printed, re.M)
    assert re.search("^preset +demo$", printed, re.M)


def test_commit_is_that_of_the_code_and_says_what_is_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGE", tmp_path)
    assert said()["commit"] == "none: the code is not in a git checkout"
    git(tmp_path, "init")
    assert said()["commit"] == "none: the code is not in a git checkout"
    (tmp_path / "__init__.py").touch()
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message", "first")
    assert said()["commit"] == f"{git(tmp_path, 'rev-parse', 'HEAD')}, unchanged"
    (tmp_path / "__init__.py").write_text("changed = True\n")
    assert said()["commit"].endswith(", with changes in 1 tracked file")
    monkeypatch.setenv("PATH", "")
    assert said()["commit"] == "not known: git is not installed"


@pytest.mark.parametrize(
    ("torch", "gpu"),
    [
        ("count = 2", "Card 0, 79.1 GiB, CUDA 12.8\nCard 1, 79.1 GiB, CUDA 12.8"),
        ("count = 0", "none that torch sees, which is built with CUDA 12.8"),
        ("raise OSError('broken')", "not known: torch fails with exit status 1: OSError: broken"),
        ("import os; os.abort()", "not known: torch fails with exit status -6: nothing printed"),
    ],
)
def test_gpus_are_those_that_torch_sees(torch, gpu, tmp_path, monkeypatch):
    code = f"""{torch}
class version: cuda = "12.8"
class Card:
    total_memory = 84_929_413_120
    def __init__(self, number): self.name = f"Card {{number}}"
class cuda:
    device_count = lambda: count
    get_device_properties = Card
"""
    (tmp_path / "torch.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(doctor, "version", lambda name: "2.13.0+cu128")
    assert said()["GPU"] == gpu


def test_what_cannot_be_had_is_one_line_and_the_others_follow(monkeypatch):
    def broken() -> str:
        raise RuntimeError("no such thing\nsecond line")

    monkeypatch.setattr(doctor.platform, "platform", broken)
    assert said()["platform"] == "not known (RuntimeError: no such thing)"
    assert said()["dvc.lock"]


def test_nothing_personal_is_printed(project, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/homes/j.doe"))
    monkeypatch.setattr(doctor.getpass, "getuser", lambda: "jdoe")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    told = {
        f"{project}/corpus: x": "./corpus: x",
        "/homes/j.doe/a": "~/a",
        "/homes/j.doe2/a": "/homes/j.doe2/a",
        "/data/jdoe/a": "/data/USER/a",
        "https://u:secret@host/a?token=secret is": "https://host/a?... is",
    }
    assert {text: doctor.private(text) for text in told} == told
    params = DEMO.replace("folder: data/demo/text", "folders: /homes/j.doe/text")
    (project / "params.yaml").write_text(params, encoding="utf-8")
    printed = doctor.report()
    assert "corpus.folders" in printed
    hidden = ["j.doe", "jdoe", "hf_secret", str(project)]
    assert not [word for word in hidden if word in printed]
