"""All that is missing is told at once, by `wwm check` and before a flow runs anything."""

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from wwm import check, cli, mask, params, segment, vocab
from wwm.common import hub
from wwm.common.errors import UserError

ROOT = Path(__file__).parent.parent
STAGES = {"corpus", "segmenter", "segment", "vocab", "init@random", "fetch@cmrc2018", "finetune@bert-mine"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """presets/tiny.yaml in a folder without network; `change` writes other values."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    values = YAML(typ="safe").load((ROOT / "presets/tiny.yaml").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)

    def problems(change, stages=STAGES, made=()) -> list[str]:
        change(values)
        with open("params.yaml", "w", encoding="utf-8") as file:
            YAML().dump(values, file)
        return check.problems(params.read(), stages, [*map(Path, made)])

    return problems


def all_wrong(values: dict) -> None:
    Path("text").mkdir()
    Path("text/b.txt").write_text("春天。", encoding="utf-8")
    Path("data/tasks/mine").mkdir(parents=True)
    Path("data/tasks/mine/all.csv").write_text("text,label\n", encoding="utf-8")
    values["corpus"] |= {"folder": "text", "sources": {"a": "a*.txt", "b": "b*.txt"}}
    values["corpus"]["sources"]["c"] = {"files": "*.parquet", "format": "parquet", "fields": ["t"], "dataset": "org/c"}
    values["corpus"]["sources"]["d"] = "http://127.0.0.1:9/wiki.txt"
    values["segmenter"]["source"] = "LTP/none"
    values["segment"]["dictionary"] = "words.txt"
    values["vocab"] |= {"source": "org/vocab", "add": "terms.txt"}
    values["init"]["models"]["random"] = {"source": "org/bert@v1", "architecture": None}
    values["fetch"] = {"tasks": {"cmrc2018": "hub"}}
    define = {"kind": "single", "labels": ["0", "1"]}
    recipe = {"learning_rate": 1e-4, "epochs": 1, "batch_size": 8, "max_seq_length": 32}
    values["finetune"]["models"]["bert"] = {}
    values["finetune"]["tasks"]["mine"] = {"define": define} | recipe


def test_everything_that_is_missing_is_told_at_once_with_its_key_and_remedy(project):
    told = project(all_wrong)
    begins = [
        "corpus.sources.a: no file matches text/a*.txt",
        "corpus.sources.c: org/c is not here, and the hub does not give it",
        "corpus.sources.d: http://127.0.0.1:9/wiki.txt cannot be read, ConnectionError",
        "segmenter.source: LTP/none is not here",
        "segment.dictionary: words.txt does not exist",
        "vocab.source: org/vocab is not here",
        "vocab.add: terms.txt does not exist",
        "init.models.random.source: org/bert@v1 is not here",
        "fetch.tasks.cmrc2018: hfl/cmrc2018 is not here",
        "data/tasks/mine has no train, dev or test file",
    ]
    assert len(told) == len(begins)
    assert all(one.startswith(begin) and "\n" not in one for one, begin in zip(told, begins)), told
    assert f"use {hub.CHOICES['corpus']}" in told[1] and f"use {hub.CHOICES['segmenter']}" in told[3]


def test_what_no_stage_to_be_run_asks_for_or_what_one_makes_is_not_missing(project):
    assert project(all_wrong, stages={"mask@whole-word"}) == []
    told = project(lambda values: None, made=["text", "data/tasks"])
    assert not [one for one in told if "corpus.sources.a" in one or "mine" in one] and len(told) == 8


def test_a_task_is_looked_into_as_finetune_reads_it(project):
    def by_label(values: dict) -> None:
        all_wrong(values)
        shutil.rmtree("data/tasks/mine")
        for label in ("体育", "财经"):
            Path("data/tasks/mine", label).mkdir(parents=True)
        Path("data/tasks/mine/class.txt").write_text("体育\n财经\n", encoding="utf-8")
        values["corpus"]["sources"] = {"a": "news:2020.txt"}  # no URL
        Path("text/news:2020.txt").write_text("春天。", encoding="utf-8")

    assert project(by_label, stages={"finetune@bert-mine", "corpus"}) == []


def test_what_lies_in_the_cache_of_the_hub_or_in_a_folder_is_had(project, tmp_path):
    commit = "a" * 40
    (tmp_path / f"hub/models--org--bert/snapshots/{commit}").mkdir(parents=True)
    (tmp_path / "hub/models--org--bert/refs").mkdir()
    (tmp_path / "hub/models--org--bert/refs/v1").write_text(commit)
    Path("LTP/none").mkdir(parents=True)
    told = " ".join(project(all_wrong))
    assert "org/bert" not in told and "LTP/none" not in told and "org/vocab" in told


def test_wwm_check_lists_what_a_first_run_would_stop_at(tmp_path):
    for name in ("presets", "wwm", "flows"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    text = (ROOT / "presets/tiny.yaml").read_text(encoding="utf-8")
    own = text.replace("folder: data/demo/text", "folder: mytext").replace("gold: data/demo/", "gold: my/")
    (tmp_path / "params.yaml").write_text(own, encoding="utf-8")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=tmp_path, check=True)

    def said() -> tuple[int, str]:
        command = [sys.executable, "-c", "from wwm.cli import app; app()", "check"]
        done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    code, told = said()
    assert code == 1 and told.startswith("error: 2 things are missing:\n"), told
    assert "mytext does not exist" in told and "set segmenter.gold in params.yaml to what there is" in told
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    code, told = said()
    assert code == 0 and told.startswith("Nothing is missing. To do, if only by taking it from the cache: demo, "), told


def test_wwm_check_is_of_the_projects_folder_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="is no DVC project, and lies in none; run in the project's folder"):
        cli.check()
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet", "--no-scm"], check=True)
    Path("docs").mkdir()
    monkeypatch.chdir("docs")
    with pytest.raises(UserError, match=f"docs is only a part of the project; run in {tmp_path}"):
        cli.check()


@pytest.mark.parametrize(
    ("run", "before"), [(segment.main, "corpus"), (vocab.main, "corpus"), (partial(mask.main, "whole-word"), "segment")]
)
def test_a_stage_by_hand_without_the_data_of_the_one_before_names_it(tmp_path, monkeypatch, run, before):
    monkeypatch.chdir(tmp_path)
    values = (ROOT / "presets/demo.yaml").read_text(encoding="utf-8").replace("backend: ltp", "backend: none")
    Path("params.yaml").write_text(values, encoding="utf-8")
    Path("data/vocab").mkdir(parents=True)
    Path("data/vocab/vocab.txt").write_text("[PAD]\n", encoding="utf-8")
    with pytest.raises(UserError, match=f"data/{before} has no shards; run .*python -m wwm.{before}"):
        run()
    assert not Path("results").exists()
