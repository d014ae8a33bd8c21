"""Tagging from files to tables: read, trained on, kept, predicted and compared."""

import csv
import io
import json
import shutil
from pathlib import Path

import keeping
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import toy
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from ruamel.yaml import YAML
from transformers import AutoModelForTokenClassification

from wwm import finetune, overlap, scores
from wwm.common.errors import UserError
from wwm.params.tasks import OwnTask
from wwm.release import predict
from wwm.tasks import kept, tagger
from wwm.tasks.splits import load_task, task_of
from wwm.tasks.tags import Sentence
from wwm.text import tokenization, vocabulary

ROOT = Path(__file__).parent.parent
NAMES = ["张三", "李四", "王小明", "赵云"]
PLACES = ["北京", "上海", "哈尔滨", "杭州"]
FRAMES = ["{}在{}工作。", "昨天{}去了{}", "{}说{}很冷！", "我和{}到{}看T恤"]
TYPES = ["PER", "LOC"]
CHARACTERS = "中国人abXY12,。 \u3000\u200b\x00é👍한\ufe0f"


def tagged(text: str, spans: list[tuple[str, int, int]]) -> str:
    """Lines of CoNLL."""
    tags = ["O"] * len(text)
    for kind, begin, end in spans:
        tags[begin:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - begin - 1)]
    return "".join(f"{character} {tag}\n" for character, tag in zip(text, tags)) + "\n"


def sentences() -> list[str]:
    made = []
    for frame in FRAMES:
        for name in NAMES:
            for place in PLACES:
                text = frame.format(name, place)
                at, there = text.index(name), text.index(place)
                made.append(tagged(text, [("PER", at, at + len(name)), ("LOC", there, there + len(place))]))
    return made


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with params.yaml, one model, and the task `names` in columns."""
    monkeypatch.chdir(tmp_path)
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    del values["characters"], values["overlap"]
    own = {"define": {"kind": "tagging", "labels": TYPES, "scheme": "BIO"}}
    values["finetune"]["tasks"] = {
        "names": own | {"learning_rate": 3.0e-3, "epochs": 4, "batch_size": 8, "max_seq_length": 16}
    }
    values["finetune"]["seeds"] = 3
    values["scores"] = {"models": ["bert"], "tasks": ["names"], "baseline": "bert"}
    save(values)
    toy.model(Path("models/bert"), "".join(NAMES + PLACES + FRAMES))
    made = sentences()
    write({"train.txt": "".join(made), "dev.txt": "".join(made[::3]), "test.txt": "".join(made[1::3])})
    return tmp_path


def save(values: dict) -> None:
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)


def write(content: dict[str, str]) -> None:
    folder = Path("data/tasks/names")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in content.items():
        (folder / name).write_text(text, encoding="utf-8")


def result() -> dict:
    return json.loads(Path("results/finetune/names/bert.json").read_text(encoding="utf-8"))


def rows(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def own(labels=tuple(TYPES), scheme: str | None = "BIO", **keys):
    return task_of("names", OwnTask(kind="tagging", labels=[*labels], scheme=scheme, **keys))


def load(content: dict[str, str], *labels: str, scheme: str | None = "BIO", **keys):
    write(content)
    return load_task(Path("data/tasks/names"), own(labels or TYPES, scheme, **keys), False, None, None)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_tagging_task_is_learnt_kept_predicted_and_compared(project, capsys):
    finetune.main("bert", "names")
    values = result()
    assert values["kind"] == "tagging" and values["measures"] == {"entity_f1": "entity F1"}
    assert values["examples"] == {"train": 64, "dev": 22, "test": 21}
    assert all(row["scores"]["test"]["entity_f1"] > 90 for row in values["seeds"])
    assert "test_entity_f1" in capsys.readouterr().out.splitlines()[-1]

    best = max(values["seeds"], key=lambda row: row["scores"]["dev"]["entity_f1"])
    said = rows("results/predictions/names/bert/dev.jsonl")
    assert said[0]["text"] == "张三在北京工作。" and said[0]["gold"] == "B-PER I-PER O B-LOC I-LOC O O O".split()
    home = kept.home("names", "bert")
    assert "token-classification" in (home / "README.md").read_text(encoding="utf-8")
    predict.main(home, "data/tasks/names/dev.txt", Path("said.jsonl"), "conll", {})
    told = capsys.readouterr().err
    assert f"entity F1 {best['scores']['dev']['entity_f1']:.2f} % of 22 rows that have tags" in told
    without = [{key: value for key, value in row.items() if key != "gold"} for row in said]
    for one, other in zip(rows("said.jsonl"), without):
        assert one["tags"] == other["tags"] and one["id"] == other["id"]

    table = pq.read_table("results/finetune/names/bert.parquet").to_pylist()
    of_dev = [row["entity_f1"] for row in table if (row["split"], row["seed"]) == ("dev", best["seed"])]
    assert sum(of_dev) / 22 == pytest.approx(best["scores"]["dev"]["entity_f1"], abs=1e-3)
    scores.main()
    report = Path("results/report/scores.md").read_text(encoding="utf-8")
    assert "## Tasks: max (mean) entity F1 over seeds, in percent" in report
    assert f"wwm predict {home} data/tasks/names/test.txt --format conll" in report


def test_entities_of_a_text_have_their_places_in_it(project, capsys):
    finetune.main("bert", "names")
    text = "昨天王小明去了哈尔滨"
    Path("texts.txt").write_text(f"{text}\n\n赵云说杭州很冷！\n", encoding="utf-8")
    predict.main(kept.home("names", "bert"), "texts.txt", None, None, {})
    one, other = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [one["id"], other["id"]] == [1, 3] and one["text"] == text
    found = [(entity["type"], entity["text"], entity["begin"], entity["end"]) for entity in one["entities"]]
    assert found == [("PER", "王小明", 2, 5), ("LOC", "哈尔滨", 7, 10)]
    assert all(text[row["begin"] : row["end"]] == row["text"] for row in one["entities"])
    assert all(0.5 < row["probability"] <= 1 for row in one["entities"])
    predict.main(kept.home("names", "bert"), "texts.txt", Path("said.csv"), None, {})
    header, first, _ = csv.reader(io.StringIO(Path("said.csv").read_text(encoding="utf-8")))
    assert header == ["id", "text", "tags"] and first[2].split() == one["tags"]


def test_a_kept_tagger_is_transformers_own(project):
    finetune.main("bert", "names")
    home = kept.home("names", "bert")
    model = AutoModelForTokenClassification.from_pretrained(home).eval()
    tokenizer = tokenization.load(home)
    [window] = tagger.windows(tokenizer, [Sentence(tuple("李四在上海"), ())], 16, 4)
    with torch.inference_mode():
        best = model(torch.tensor(window.ids[None])).logits[0, 1:-1].argmax(-1)
    Path("one.jsonl").write_text('{"tokens": ["李", "四", "在", "上", "海"]}\n', encoding="utf-8")
    predict.main(home, "one.jsonl", Path("said.jsonl"), None, {})
    assert rows("said.jsonl")[0]["tags"] == [model.config.id2label[number] for number in best.tolist()]


def test_a_sentence_longer_than_the_model_takes_loses_nothing(project, capsys):
    long = "".join(sentences()[:6]).replace("\n\n", "\n") + "\n"
    write({"train.txt": "".join(sentences()) + long, "dev.txt": long * 2})
    finetune.main("bert", "names")
    assert "1 of the 65 sentences of train have more than 14 pieces and are read in several windows" in (
        capsys.readouterr().out
    )
    said = rows("results/predictions/names/bert/dev.jsonl")
    assert len(said[0]["tags"]) == len(said[0]["gold"]) > 48
    assert max(row["scores"]["dev"]["entity_f1"] for row in result()["seeds"]) > 80


def test_rows_of_characters_and_of_longer_tokens_stand_in_one_table(place, capsys):
    home = keeping.model("tagging", ("O", "B-天", "I-天"))
    Path("rows.jsonl").write_text(
        '{"text": "春天很热"}\n{"tokens": ["春天", "hot"]}\n{"text": ""}\n{"tokens": ["春", " "]}\n', encoding="utf-8"
    )
    predict.main(home, "rows.jsonl", Path("said.csv"), None, {})
    header, *found = csv.reader(io.StringIO(Path("said.csv").read_text(encoding="utf-8")))
    assert header == ["id", "text", "tags"]
    assert [(row[1], len(row[2].split())) for row in found] == [("春天很热", 4), ("春天hot", 2), ("", 0), ("春 ", 2)]
    assert "no tags for 1 with an empty text" in capsys.readouterr().err
    predict.main(home, "rows.jsonl", Path("said.jsonl"), None, {})
    assert [row.get("tokens") for row in rows("said.jsonl")] == [None, ["春天", "hot"], None, None]


def test_what_a_tagger_cannot_read_is_one_line_with_its_remedy(place):
    home = keeping.model("tagging", ("O", "B-天", "I-天"))
    for name, text, told in (
        ("half.jsonl", '{"text": "春\\ud800"}', "half.jsonl:1: text has half a character"),
        ("other.jsonl", '{"text": "春", "tags": ["B-人"]}', "tag 'B-人' is none of O, B-天, I-天"),
        ("tags.txt", "春 B-天\n天 I-天\n", "tags.txt:1 has a tag beside its token; read it by --format conll"),
        ("pairs.json", "{}\n[", "pairs.json"),
    ):
        Path(name).write_text(text, encoding="utf-8")
        with pytest.raises(UserError) as caught:
            predict.main(home, name, Path("said.jsonl"), None, {})
        assert told in str(caught.value), name
    predict.main(home, "other.jsonl", Path("said.jsonl"), None, {"label": ""})
    assert len(rows("said.jsonl")[0]["tags"]) == 1


def test_sentences_are_looked_for_in_the_text_that_models_are_trained_on(project):
    values = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    save(values | {"overlap": {"tasks": {"names": {}}}})
    Path("data/corpus/train").mkdir(parents=True)
    pq.write_table(pa.table({"text": ["昨天张三去了北京，今天回来。"]}), "data/corpus/train/00000.parquet")
    write({"train.txt": "".join(sentences()), "dev.txt": "".join(sentences()[:32])})
    overlap.main("names")
    told = json.loads(Path("results/overlap/names.json").read_text(encoding="utf-8"))
    assert told["whole"] == {"dev": 100 / 32}


LAYOUTS = {
    "spaces": "张 B-PER\n三 I-PER\n去 O\n\n北 B-LOC\n京 I-LOC\n",
    "tabs": "张\tB-PER\n三\tI-PER\n去\tO\n\n北\tB-LOC\n京\tI-LOC\n\n\n",
    "windows": "\ufeff张 B-PER\r\n三 I-PER\r\n去 O\r\n\r\n北 B-LOC\r\n京 I-LOC\r\n",
    "more columns": "-DOCSTART- -X- O\n\n张 NR B-PER\n三 NR I-PER\n去 VV O\n\n北 NR B-LOC\n京 NR I-LOC\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_columns_are_read_as_their_makers_lay_them_out(place, layout):
    data = load({"train.txt": LAYOUTS[layout], "dev.txt": LAYOUTS[layout]})
    assert [one[:2] for one in data.splits["train"].examples] == [
        (("张", "三", "去"), ("B-PER", "I-PER", "O")),
        (("北", "京"), ("B-LOC", "I-LOC")),
    ]
    assert data.labels == ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


@pytest.mark.parametrize("name", ["msra_{}_bio", "example.{}", "{}.char.bmes", "{}.conll", "{}.tsv"])
def test_files_are_found_by_the_names_that_copies_of_msra_and_peoples_daily_have(place, name):
    content = {name.format(split): LAYOUTS["tabs"] for split in ("train", "dev", "test")}
    assert {split: len(found.examples) for split, found in load(content).splits.items()} == dict.fromkeys(
        ("train", "dev", "test"), 2
    )


OBJECTS = [
    {"tokens": ["张", "三", "去"], "ner_tags": [1, 2, 0]},  # as data sets of the hub have it
    {"tokens": ["张", "三", "去"], "labels": ["B-PER", "I-PER", "O"], "id": "a"},
    {"text": "张三去", "tags": ["B-PER", "I-PER", "O"]},
    {"text": "张三去", "label": "B-PER I-PER O"},
]


@pytest.mark.parametrize("row", OBJECTS, ids=[" ".join(row) for row in OBJECTS])
def test_objects_have_tokens_or_a_text_and_tags_or_their_numbers(place, row):
    line = json.dumps(row, ensure_ascii=False) + "\n"
    [one] = load({"train.jsonl": line, "dev.jsonl": line}).splits["train"].examples
    assert one == (("张", "三", "去"), ("B-PER", "I-PER", "O"), row.get("id", 1))
    write({})
    for split in ("train", "dev"):
        pq.write_table(pa.Table.from_pylist([row]), f"data/tasks/names/{split}.parquet")
    [one] = load_task(Path("data/tasks/names"), own(), False, None, None).splits["train"].examples
    assert one[:2] == (("张", "三", "去"), ("B-PER", "I-PER", "O"))


def test_tags_that_the_hub_keeps_are_none(place):
    known, hidden = '{"tokens": ["张"], "ner_tags": [1]}\n', '{"tokens": ["张"], "ner_tags": [-1]}\n'
    data = load({"train.jsonl": known, "dev.jsonl": known, "test.jsonl": hidden})
    assert [one.tokens for one in data.unlabelled["test"].examples] == [("张",)] and "test" not in data.splits


def test_words_are_tags_without_types(place):
    data = load({"train.txt": "中 B\n国 E\n人 S\n", "dev.txt": "中 B\n华 M\n人 E\n"}, *"BMES", scheme=None)
    assert data.labels == ("B", "M", "E", "S") and data.splits["dev"].examples[0].tags == ("B", "M", "E")


def test_a_test_file_without_tags_is_predicted_and_not_scored(project):
    made = sentences()
    bare = "".join(line.split(" ")[0] + "\n" for line in "".join(made[:2]).splitlines())
    write({"train.txt": "".join(made), "dev.txt": "".join(made[::3]), "test.txt": bare})
    finetune.main("bert", "names")
    assert "its file has no labels" in result()["missing"]["test"]
    said = rows("results/predictions/names/bert/test.jsonl")
    assert said[0]["gold"] is None and len(said[0]["tags"]) == len(said[0]["text"])


BAD = {
    "a tag that is none": ("张 B-PER\n三 I-PRE\n", ":2: tag 'I-PRE' is none of O, B-PER"),
    "no tag in one line": ("张 B-PER\n三\n", ":2 has 1 columns, and lines before it 2"),
    "no tags at all": ("张\n三\n", ":1: there are no tags; a line has a token and its tag"),
    "one column too many": ("张 B-PER\n三 x I-PER\n", ":2 has 3 columns, and lines before it 2"),
    "nothing": ("\n\n", "has no sentences"),
}


@pytest.mark.parametrize("name", BAD)
def test_columns_that_are_none_are_named_by_file_and_line(place, name):
    text, told = BAD[name]
    with pytest.raises(UserError) as caught:
        load({"train.txt": text, "dev.txt": LAYOUTS["tabs"]})
    assert told in str(caught.value) and "data/tasks/names/train.txt" in str(caught.value)


BAD_OBJECTS = {
    '{"tokens": ["张", "三"], "tags": ["O"]}': ":1: 2 tokens and 1 tags; write a tag for each token",
    '{"tokens": ["张"], "tags": [9]}': ":1: tag 9 is none of O",
    '{"tokens": ["张"], "tags": [null]}': ":1: tag None is none of O",
    '{"tokens": ["张"], "tags": {"a": 1}}': "are no tags; write a list of them",
    '{"tokens": [["张"]], "tags": ["O"]}': "is no token; write a text, or a list of tokens",
    '{"tokens": [], "tags": []}': ":1: there are no tokens; objects have `tokens`",
    '{"words2": ["张"], "tags": ["O"]}': ":1: there are no tokens; objects have `tokens`",
}


@pytest.mark.parametrize("line", BAD_OBJECTS)
def test_objects_that_are_none_are_named_by_file_and_line(place, line):
    with pytest.raises(UserError) as caught:
        load({"train.jsonl": line + "\n", "dev.jsonl": line + "\n"})
    assert BAD_OBJECTS[line] in str(caught.value) and "train.jsonl" in str(caught.value)


def test_tags_in_csv_are_refused_with_the_layout_that_is_read(place):
    with pytest.raises(UserError, match="tags in CSV are not read; a line has a token and its tag"):
        load({"train.csv": "text,label\n张,O\n", "dev.csv": "text,label\n张,O\n"})


@pytest.mark.parametrize(
    "define, told",
    [
        ({"labels": []}, "labels is empty"),
        ({"labels": ["PER"]}, "'PER' is no tag"),
        ({"labels": ["B-PER"], "scheme": "BIO"}, "'B-PER' is a tag"),
        ({"labels": ["O", "B"], "ignored_labels": ["O"]}, "ignored_labels"),
        ({"labels": ["O", "B"], "metric": "accuracy"}, "metric"),
        ({"kind": "single", "labels": ["a", "b"], "scheme": "BIO"}, "kind single has no tags"),
    ],
)
def test_a_definition_that_fits_no_tags_is_refused(define, told):
    with pytest.raises(ValidationError, match=told):
        OwnTask(**({"kind": "tagging"} | define))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.text(st.sampled_from(CHARACTERS), min_size=1, max_size=5), min_size=1),
        min_size=1,
        max_size=4,
    ),
    st.integers(4, 12),
    st.integers(1, 6),
)
def test_every_token_is_read_once_at_its_first_piece(rows, max_seq_length, stride):
    """Whatever cleaning removes, whatever is unknown, and however long the sentence is."""
    tokens = [*vocabulary.SPECIAL, *"中国人abxy12,。", "##a", "##b", "##x", "##1"]
    tokenizer = vocabulary.build(tokens, True)
    tokenizer.encode_special_tokens = True
    made = tagger.windows(tokenizer, [Sentence(tuple(row), ()) for row in rows], max_seq_length, stride)
    read = sorted((window.sentence, int(token)) for window in made for token in window.tokens)
    assert read == [(number, token) for number, row in enumerate(rows) for token in range(len(row))]
    for window in made:
        assert len(window.ids) <= max_seq_length
        assert [tokens[window.ids[0]], tokens[window.ids[-1]]] == ["[CLS]", "[SEP]"]
        for token, at in zip(window.tokens, window.places):
            own = tokenizer.encode(rows[window.sentence][token], add_special_tokens=False).tokens or ["[UNK]"]
            assert tokens[window.ids[at]] == own[0]
