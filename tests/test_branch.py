"""The branch of git that a team's run writes, between two clones of one repository."""

import os
import subprocess
from pathlib import Path

import pytest

from flows import branch
from wwm.common.errors import UserError

TINY = Path("presets/tiny.yaml").read_text(encoding="utf-8")


def git(folder: Path, *arguments: str) -> str:
    own = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(["git", *arguments], cwd=folder, env=os.environ | own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def shared(tmp_path, monkeypatch) -> Path:
    """A bare repository with one commit on main; git itself is told nothing of who commits."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    bare = tmp_path / "wwm.git"
    git(tmp_path, "init", "--quiet", "--bare", "-b", "main", str(bare))
    git(tmp_path, "clone", "--quiet", str(bare), "first")
    first = tmp_path / "first"
    (first / "params.yaml").write_text(TINY, encoding="utf-8")
    git(first, "add", "--all")
    git(first, "commit", "--quiet", "-m", "tiny")
    git(first, "push", "--quiet", "origin", "HEAD:main")
    return bare


def clone(shared: Path, name: str, monkeypatch) -> Path:
    """As Prefect's step makes one: shallow, of one branch."""
    git(shared.parent, "clone", "--quiet", "--depth", "1", "--branch", "main", f"file://{shared}", name)
    monkeypatch.chdir(shared.parent / name)
    return shared.parent / name


def begin(text: str, why: str) -> None:
    branch.PARAMS.write_text(text, encoding="utf-8")
    branch.begin("x", why)


def test_another_machine_goes_on_with_what_the_first_has_pushed(shared, monkeypatch):
    clone(shared, "a", monkeypatch)
    changed = TINY.replace("seed: 1", "seed: 2")
    assert branch.go_on("x", changed) is None
    begin(changed, "params of tiny, base.seed = 2")
    Path("dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    branch.save("x", "Failed")
    branch.save("x", "Failed")  # nothing new
    assert git(shared, "log", "--format=%s", "runs/x").splitlines() == [
        "runs/x: Failed",
        "runs/x: params of tiny, base.seed = 2",
        "tiny",
    ]
    clone(shared, "b", monkeypatch)
    commit = branch.go_on("x", f"# the same values\n{changed}")
    assert commit == git(shared, "rev-parse", "runs/x").strip()
    assert Path("params.yaml").read_text(encoding="utf-8") == changed and Path("dvc.lock").is_file()


def test_a_name_that_is_taken_by_other_params_is_refused_with_what_differs(shared, monkeypatch):
    clone(shared, "a", monkeypatch)
    begin(TINY, "tiny")
    clone(shared, "b", monkeypatch)
    with pytest.raises(UserError, match="'seed: 1' there, 'seed: 2' here.*take another name"):
        branch.go_on("x", TINY.replace("seed: 1", "seed: 2"))


def test_who_is_second_to_take_a_name_overwrites_nothing(shared, monkeypatch):
    clone(shared, "a", monkeypatch)
    assert branch.go_on("x", TINY) is None
    clone(shared, "b", monkeypatch)
    begin(TINY, "of b")
    before = git(shared, "rev-parse", "runs/x")
    monkeypatch.chdir(shared.parent / "a")
    with pytest.raises(UserError, match="rejected"):
        begin(TINY, "of a")
    assert git(shared, "rev-parse", "runs/x") == before


def test_a_folder_with_changes_of_its_own_is_left_alone(shared, monkeypatch):
    clone(shared, "a", monkeypatch)
    Path("params.yaml").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="changes that are not committed: params.yaml"):
        branch.go_on("x", TINY)
    assert Path("params.yaml").read_text(encoding="utf-8") == "mine"
