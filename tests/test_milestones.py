"""Milestones: models as they were at steps of a training, which is run once, whatever is asked of them later."""

import json
import re
import shutil
import sys
from pathlib import Path
from subprocess import run

import pytest
from project import environment
from ruamel.yaml import YAML
from training import lay_out, set_milestones

from wwm import milestones
from wwm.common import files
from wwm.common.errors import UserError

ROOT = Path(__file__).parent.parent


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A training of 24 steps that keeps every eighth."""
    lay_out(tmp_path, monkeypatch)
    set_milestones(8)
    ask("bert-8", 8)


def ask(name: str, step: int) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    text = text if "\nmilestones:" in text else f"{text}\nmilestones:\n  models:\n"
    Path("params.yaml").write_text(f"{text}    {name}: {{source: bert, step: {step}}}\n", encoding="utf-8")


def keep(step: int) -> Path:
    folder = Path("models/bert/milestones", str(step))
    shutil.copytree("models/random", folder)
    return folder


def test_a_milestone_becomes_a_model_with_all_its_files(project):
    folder = keep(8)
    milestones.main("bert-8")
    assert files.content_hash("models/bert-8") == files.content_hash(folder)


def test_a_step_that_is_not_kept_is_named_with_those_that_are(project):
    with pytest.raises(UserError, match="models/bert/milestones has nothing and no 8; run the stage that makes bert"):
        milestones.main("bert-8")
    for step in (100, 20):
        keep(step)
    with pytest.raises(UserError, match="milestones.models.bert-8.step: models/bert/milestones has 20, 100 and no 8"):
        milestones.main("bert-8")


def dvc(*arguments: str) -> str:
    """What the user's command prints."""
    env = environment(Path.cwd()) | {"PYTHONPATH": str(ROOT)}
    done = run([sys.executable, "-m", "dvc", *arguments], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_one_more_milestone_that_is_asked_for_trains_nothing_again(project):
    whole = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    stages = {name: whole["stages"][name] for name in ("pretrain", "milestones")}
    for stage in stages.values():
        stage["do"]["deps"] = [dep for dep in stage["do"]["deps"] if not dep.startswith("wwm/")]
    with open("dvc.yaml", "w", encoding="utf-8") as file:
        YAML().dump({"stages": stages}, file)
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    no_scm = true\n", encoding="utf-8")
    ran = dvc("repro", "milestones@bert-8")
    assert re.findall("Running stage '(.*)'", ran) == ["pretrain@bert", "milestones@bert-8"]
    assert "2 milestones" in ran
    assert "up to date" in dvc("repro", "milestones@bert-8")
    ask("bert-16", 16)
    assert re.findall("Running stage '(.*)'", dvc("repro", "milestones")) == ["milestones@bert-16"]
    steps = [json.loads(Path(f"models/bert-{step}/training.json").read_text())["own_steps"] for step in (8, 16)]
    assert steps == [8, 16]
