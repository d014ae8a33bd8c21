"""Task data from the hub: a folder in its layout stands for it here."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from wwm import fetch
from wwm.common.errors import UserError
from wwm.tasks import splits
from wwm.tasks.table import TASKS

ROOT = Path(__file__).parent.parent


@pytest.fixture
def project(tmp_path, monkeypatch):
    """presets/tiny.yaml that fetches tasks from the folder `hub`."""
    monkeypatch.chdir(tmp_path)
    values = YAML(typ="safe").load((ROOT / "presets/tiny.yaml").read_text(encoding="utf-8"))
    values["fetch"]["tasks"] = {"cmrc2018": "hub/cmrc2018", "drcd": "hub/drcd", "xnli": "hub/xnli", "lcqmc": "hub"}
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    return tmp_path


def write(path: str, **columns: list) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def load(task: str) -> dict:
    fetch.main(task)
    return {
        split: found.examples
        for split, found in splits.load_task(Path("data/tasks", task), TASKS[task], False, None, None).splits.items()
    }


def test_xnli_comes_with_its_chinese_part_only(project):
    for language in ("zh", "en"):
        for split in ("train", "validation", "test"):
            write(
                f"hub/xnli/{language}/{split}-00000-of-00001.parquet",
                premise=["他说，妈妈。"],
                hypothesis=[f"{language} {split}"],
                label=[1],
            )
    splits = load("xnli")
    assert {split: examples[0].texts[1] for split, examples in splits.items()} == {
        "train": "zh train",
        "dev": "zh validation",
        "test": "zh test",
    }
    assert sorted(path.name for path in Path("data/tasks/xnli").iterdir()) == [
        f"{split}-00000-of-00001.parquet" for split in ("dev", "test", "train")
    ]


def test_cmrc_2018_has_a_row_for_each_question(project):
    answers = [{"text": ["光荣", "光荣"], "answer_start": [0, 0]}]
    for split in ("train", "validation", "test"):
        write(
            f"hub/cmrc2018/data/{split}-00000-of-00001.parquet",
            id=[f"{split}_0"],
            context=["光荣开发。"],
            question=["谁开发？"],
            answers=answers,
        )
    splits = load("cmrc2018")
    assert set(splits) == {"train", "dev"}  # its test is another one than the official
    assert splits["dev"][0].id == "validation_0" and [answer.start for answer in splits["dev"][0].answers] == [0, 0]


def test_drcd_has_a_row_for_each_article(project):
    qas = [{"id": "1-1", "question": "在哪？", "answers": [{"id": "1", "text": "歐洲", "answer_start": 1}]}]
    for split in ("train", "dev", "test"):
        write(
            f"hub/drcd/default/{split}/0000.parquet",
            data=[{"id": "1", "title": "梵文", "paragraphs": [{"id": "1", "context": "在歐洲，梵語。", "qas": qas}]}],
        )
    assert load("drcd")["test"][0].answers[0].text == "歐洲"


def test_a_users_own_file_beside_those_of_the_hub_stays(project):
    for split in ("train", "validation"):
        write(
            f"hub/cmrc2018/data/{split}-00000-of-00001.parquet",
            id=["1"],
            context=["光荣。"],
            question=["谁？"],
            answers=[{"text": ["光荣"], "answer_start": [0]}],
        )
    Path("data/tasks/cmrc2018").mkdir(parents=True)
    answers = [{"text": "甲", "answer_start": 0}]
    own = {
        "data": [{"paragraphs": [{"context": "甲。", "qas": [{"id": "T1", "question": "谁？", "answers": answers}]}]}]
    }
    Path("data/tasks/cmrc2018/cmrc2018_test.json").write_text(json.dumps(own, ensure_ascii=False), encoding="utf-8")
    Path("data/tasks/cmrc2018/train-00001-of-00002.parquet").touch()  # of an earlier fetch
    assert {split: len(found) for split, found in load("cmrc2018").items()} == {"train": 1, "dev": 1, "test": 1}


def test_a_task_that_may_not_be_downloaded_says_where_to_ask(project):
    with pytest.raises(
        ValueError,
        match="fetch.tasks.lcqmc: LCQMC is not to be had from the hub; ask for it at http.*form on that page",
    ):
        fetch.main("lcqmc")


def test_a_data_set_without_the_expected_files_is_named_and_nothing_is_left(project):
    write("hub/xnli/zh/train-00000-of-00001.parquet", premise=["甲"], hypothesis=["乙"], label=[0])
    with pytest.raises(UserError, match="fetch.tasks.xnli: hub/xnli has no zh/validation-.*where dev is expected"):
        fetch.main("xnli")
    assert not Path("data/tasks/xnli").exists()


def test_a_hub_out_of_reach_is_told_with_the_mirrors_variable(project, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        ValueError, match="fetch.tasks.drcd: hub/drcd is not here, and the hub does not give it .*HF_ENDPOINT"
    ):
        fetch.main("drcd")
