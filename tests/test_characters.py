"""What counting characters makes of a task, and its row in the tables."""

import json
from pathlib import Path

import finetuned
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from wwm import characters, scores
from wwm.common.errors import UserError
from wwm.tasks import counting
from wwm.tasks.metrics import METRICS
from wwm.tasks.rows import Example
from wwm.tasks.tags import Sentence

ROOT = Path(__file__).parent.parent
GOOD = ["房间很干净，服务也好。", "性价比高，值得推荐！", "书写得真好，孩子喜欢", "送货快，质量很好"]
BAD = ["房间太脏，服务差。", "性价比差，不推荐！", "纸张差，字太小", "退货三次，太差了"]


def set_params(**changes) -> None:
    """params.yaml of toy size with other keys, told as `scores.models`."""
    values = YAML(typ="safe").load((ROOT / "presets/tiny.yaml").read_text(encoding="utf-8"))
    for key, value in changes.items():
        *sections, name = key.split("__")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)


def write(split: str, rows: list[dict]) -> None:
    path = Path(f"data/tasks/reviews/{split}.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The task `reviews`, whose label one character tells, though the other reviews of dev and test are new."""
    monkeypatch.chdir(tmp_path)
    set_params()
    labelled = [{"text": text, "label": "positive"} for text in GOOD] + [{"text": t, "label": "negative"} for t in BAD]
    write("train", labelled)
    write("dev", [{"text": "真好喝", "label": "positive"}, {"text": "味道差", "label": "negative"}])
    write("test", [{"text": "好看", "label": "positive"}, {"text": "很差", "label": "negative"}] * 2)


def test_what_characters_tell_is_learnt_and_written_in_the_form_of_fine_tuning(project):
    characters.main("reviews")
    told = json.loads(Path("results/finetune/reviews/characters.json").read_text(encoding="utf-8"))
    assert told["seeds"] == [{"seed": None, "scores": {"dev": {"accuracy": 100.0}, "test": {"accuracy": 100.0}}}]
    assert told["examples"] == {"train": 8, "dev": 2, "test": 4}
    assert told["swept"][f"{told['how']['longest']} {told['how']['smoothing']:g}"] == max(told["swept"].values())
    rows = pq.read_table("results/finetune/reviews/characters.parquet").to_pylist()
    assert rows[2:] == [{"split": "test", "seed": None, "example": i, "accuracy": 100.0} for i in range(4)]


def test_it_learns_from_the_examples_that_the_models_have(project):
    set_params(finetune__tasks__reviews__train_examples=6)
    characters.main("reviews")
    told = json.loads(Path("results/finetune/reviews/characters.json").read_text(encoding="utf-8"))
    assert told["examples"]["train"] == 6 and told["reduced"] == ["6 of 8 examples of train"]


def test_of_a_pair_it_sees_what_both_texts_share():
    same = [("怎么还款", "如何还款"), ("怎么退货", "能退货吗"), ("几点开门", "开门时间"), ("电话多少", "有电话吗")]
    firsts, seconds = zip(*same)
    other = list(zip(firsts, seconds[1:] + seconds[:1]))
    examples = [Example(pair, 1) for pair in same] + [Example(pair, 0) for pair in other]
    new = [Example(("怎么还书", "如何还书"), 1), Example(("怎么还书", "能退货吗"), 0)]
    splits = {"train": examples, "dev": examples, "test": new}
    found = counting.counted(splits, ["no", "yes"], METRICS["accuracy"], "toy")
    assert found.said["dev"] == ["yes"] * 4 + ["no"] * 4
    assert set(counting.n_grams(Example(("还款", "款"), 1), 2)) == {"a还", "a款", "a还款", "b款", "=款"}


def test_of_a_token_it_sees_what_stands_near_it(project):
    place = counting.Place(Sentence(tuple("我去北京了"), ()), 2)
    assert set(counting.n_grams(place, 1)) == {"-2 我", "-1 去", "0 北", "1 京", "2 了"}
    assert set(counting.n_grams(place._replace(token=0), 2)) == {"0 我", "1 去", "2 北", "0 我 去", "1 去 北"}
    set_params(
        finetune__tasks={"places": {"define": {"kind": "tagging", "labels": ["LOC"], "scheme": "BIO"}}},
        characters__tasks={"places": {}},
        overlap__tasks={"places": {}},
        scores__tasks=["places"],
    )
    Path("data/tasks/places").mkdir()
    lines = "我 O\n去 O\n{} B-LOC\n{} I-LOC\n了 O\n\n"
    for split, places in (("train", ["北京", "上海", "天津"]), ("dev", ["大连", "南京"]), ("test", ["重庆"])):
        text = "".join(lines.format(*each) for each in places)
        Path(f"data/tasks/places/{split}.txt").write_text(text, encoding="utf-8")
    characters.main("places")
    told = json.loads(Path("results/finetune/places/characters.json").read_text(encoding="utf-8"))
    assert told["kind"] == "tagging" and told["seeds"][0]["scores"]["test"]["entity_f1"] == 100


def test_its_row_stands_in_the_tables_of_tasks_and_in_none_of_models(project):
    set_params(
        finetune__models={"random": {}, "bert": {}},
        scores__baseline="bert",
        scores__models=["characters", "random", "bert"],
    )
    characters.main("reviews")
    for model, score in (("random", 50.0), ("bert", 75.0)):
        finetuned.save(finetuned.result(model, "reviews", {"dev": [score] * 3, "test": [score, score, score - 25]}))
    scores.main()
    report = Path("results/report/scores.md").read_text(encoding="utf-8")
    tables = {part.partition("\n")[0]: part for part in report.split("\n## ")}
    with_row = {title for title, text in tables.items() if "\n| characters | " in text}
    assert with_row == {
        "Tasks: max (mean) accuracy over seeds, in percent",
        "Best scores, in percent",
        "Relative to the baseline, in percent",
    }
    assert "| characters | – | – | – | – | **100.0** | **100.0** |" in report
    assert "characters is no model" in report and "seeds: 3, training examples: 500" in report
    assert json.loads(Path("results/scores.json").read_text())["reviews"]["characters"]["test_max"] == 100.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"characters__tasks": {"cmrc2018": {}}}, "characters.tasks: 'cmrc2018' is none of reviews"),
        ({"scores__baseline": "characters"}, "scores.baseline: 'characters' is none of"),
        ({"characters__tasks": {}}, "scores.models: 'characters' is none of"),
        (
            {"finetune__tasks__cmrc2018": {}, "characters__tasks": {"cmrc2018": {}}},
            "characters.tasks.cmrc2018: counting gives labels, and a reading task has none; remove it",
        ),
        (
            {"truncate__models__characters": {"source": "bert", "layers": [0]}},
            "truncate.models.characters: this row of the tables is what counting makes of a task; rename it",
        ),
    ],
)
def test_what_cannot_be_counted_is_named(project, changes, message):
    set_params(**changes)
    with pytest.raises(UserError) as error:
        characters.main("reviews")
    assert message in str(error.value)
