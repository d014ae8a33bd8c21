"""One command from a folder of text, a released model and a file of labelled texts to a params.yaml that is checked."""

import csv
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import toy
from project import checkout
from project import run as run_in
from transformers import BertConfig, BertForPreTraining
from typer.testing import CliRunner

from wwm import cli, domain, params
from wwm.common import hub
from wwm.common.errors import UserError
from wwm.start import own_tasks, pace, tables, texts, tuning_pace
from wwm.training.model import Pretraining

ROOT = Path(__file__).parents[1]
SENTENCES = [f"第{number}条 公民的合法权益受到法律的保护，任何人不得侵犯。" for number in range(1, 2001)]
LABELLED = [(f"这本书写得很好，第{number}遍还想读。", "好评") for number in range(60)] + [
    (f"包装破了，第{number}次失望。", "差评") for number in range(60)
]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the presets, text, a released model and a CSV."""
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pace, "SECONDS", 0.1)
    monkeypatch.setattr(hub, "check", no_hub)
    Path("mytext/laws").mkdir(parents=True)
    Path("mytext/laws/1.txt").write_text("\n\n".join(SENTENCES), encoding="utf-8")
    toy.model(Path("released"), "".join(SENTENCES))
    write("opinions.csv", ["评论", "态度"], LABELLED)
    return tmp_path


def no_hub(source: str, key: str, *_) -> None:
    raise UserError(f"{key}: {source} is not here")


def write(name: str, header: list[str], rows: list[tuple]) -> Path:
    with open(name, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return Path(name)


def run(*more: str) -> str:
    given = ["--text", "mytext", "--model", "released", "--task", "opinions.csv"]
    done = CliRunner().invoke(cli.commands, ["domain", *given, *more], catch_exceptions=False)
    return done.output


def test_text_model_and_task_become_a_params_file_that_says_what_was_chosen(project):
    said = run("--set", "finetune.seeds=3")
    values = params.read()
    assert values.corpus.folder == "mytext" and values.corpus.sources["txt"].files == "**/*.txt"
    assert values.vocab.source == values.init.models["released"].source == "released"
    # 60,000 characters: the most that may be held out is, and of the rest all is seen several times.
    assert values.corpus.heldout_share == 0.25 and "25.0% of your own text, about 500 of 2,000 documents\n" in said
    assert "That is little text" in said
    head, domain_ = values.pretrain.models["released-head"], values.pretrain.models["domain"]
    assert [phase.train for phase in (*head.phases, *domain_.phases)] == ["mlm_head", None]
    assert (head.init, domain_.init, domain_.phases[0].max_seq_length) == ("released", "released-head", 40)
    assert values.cloze.models == ["released-head", "domain"]
    assert values.segmenter.source == "train" and "LTP/legacy is not to be had here" in said
    task = values.finetune.tasks["opinions"]
    assert task.define and (task.define.kind, task.define.labels) == ("single", ["好评", "差评"])
    assert task.define.columns == {"text": "评论", "label": "态度"} and task.split_file == "opinions.csv"
    assert Path("data/tasks/opinions/opinions.csv").read_bytes() == Path("opinions.csv").read_bytes()
    assert values.finetune.seeds == 3 and values.scores.tasks == ["opinions"]
    assert "task opinions: single, 2 labels (好评, 差评); text in 评论, label in 态度\n" in said
    assert "examples: 67 train, 30 dev, 23 test, parts of opinions.csv by hash\n" in said
    assert "It will take about" in said and "dvc repro" in said
    # A fifth of 120.
    assert re.search(r"Of the task (1\d|2\d|3\d) examples are scored", said)


def test_a_model_whose_head_is_trained_needs_no_phase_for_it(project):
    bert = BertForPreTraining.from_pretrained("released")
    with torch.no_grad():
        for parameter in bert.cls.parameters():
            parameter += 0.01
    bert.save_pretrained("released")
    said = run()
    values = params.read()
    assert list(values.pretrain.models) == ["domain"] and values.cloze.models == ["released", "domain"]
    assert values.scores.models == ["released", "domain", "characters"] and "MLM head" not in said


def test_milestones_that_are_asked_for_are_measured(project):
    run("--set", "pretrain.models.domain.milestones=200")
    values = params.read()
    assert {name: one.step for name, one in values.milestones.models.items()} == {"domain-200": 200, "domain-400": 400}
    assert {*values.milestones.models} < {*values.cloze.models} & {*values.scores.models}


def test_weights_that_are_of_another_model_are_refused_before_anything_is_written(project):
    Path("released/model.safetensors").write_bytes(b"<html>")
    with pytest.raises(UserError, match="--model released: model.safetensors is a web page"):
        run()
    assert not Path("params.yaml").exists()


def test_general_text_is_a_tenth_of_what_is_trained_on(project):
    Path("mytext/general").mkdir()
    Path("mytext/general/news.txt").write_text("\n\n".join(SENTENCES * 3), encoding="utf-8")
    run()
    sources = params.read().corpus.sources
    assert {source.files for source in sources.values()} == {"laws/**/*.txt", "general/**/*.txt"}
    # A quarter of one's own is held out, and 62 % of the general text.
    assert sources["general-txt"].heldout_share == pytest.approx(100_000 / (3 * 54_000), rel=0.1)
    assert sources["general-txt"].weight == pytest.approx(
        0.75 / 9 / 3 / (1 - sources["general-txt"].heldout_share), rel=0.05
    )


def test_text_of_few_documents_is_told_to_have_no_interval(project):
    Path("mytext/laws/1.txt").write_text("\n".join(SENTENCES), encoding="utf-8")
    Path("mytext/laws/2.txt").write_text("\n".join(reversed(SENTENCES)), encoding="utf-8")
    assert re.search("With about [01] held-out documents of your own text, what training changes", said := run())
    assert "without an interval, which takes 50: more documents, or blank lines between, give one" in said


def test_files_are_told_by_their_endings_and_what_is_no_text_is_named(project):
    Path("mytext/a.jsonl").write_text(
        "\n".join(json.dumps({"id": 1, "title": "标题", "content": one}, ensure_ascii=False) for one in SENTENCES),
        encoding="utf-8",
    )
    pq.write_table(pa.table({"n": [1] * 200, "body": SENTENCES[:200]}), "mytext/b.parquet")
    with gzip.open("mytext/c.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n\n".join(SENTENCES))
    Path("mytext/d.pdf").write_bytes(b"%PDF-")
    Path("mytext/linked").symlink_to(Path("released").resolve())
    found = texts.look(Path("mytext"))
    assert found.sources == {
        "txt": {"files": "**/*.txt"},
        "txt-gz": {"files": "**/*.txt.gz"},
        "jsonl": {"files": "**/*.jsonl", "format": "jsonl", "fields": ["title", "content"]},
        "parquet": {"files": "**/*.parquet", "format": "parquet", "fields": ["body"]},
    }
    assert found.left_out == {".pdf": 1, "link to a folder": 1}
    whole = sum(map(len, SENTENCES))
    assert found.characters["txt-gz"] == pytest.approx(whole, rel=0.1)
    assert found.characters["parquet"] == pytest.approx(sum(map(len, SENTENCES[:200])), rel=0.1)


def objects(name: str, **fields: str) -> None:
    rows = [{field: f"{text}{number}" for field, text in fields.items()} for number in range(300)]
    Path("mytext", name).write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")


def test_fields_that_stand_in_other_rows_or_files_alone_are_read_and_said(project):
    Path("mytext/laws/1.txt").unlink()
    objects("a.jsonl", content="公民的合法权益受到保护。")
    objects("b.jsonl", title="题目", note="无", content="任何人不得侵犯。")
    with open("mytext/a.jsonl", "a", encoding="utf-8") as file:
        file.write('\n{"text": "法律。"}')
    said = run()
    assert params.read().corpus.sources["jsonl"].fields == ["title", "content", "text"]
    assert re.search(r"text: \*\*/\*.jsonl, about [\d,]+ characters in title, content, text\nnot read: note;", said)
    Path("mytext/c.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(UserError, match="c.jsonl is empty; remove it"):
        run()
    objects("c.jsonl", body_="别的字段")
    with pytest.raises(UserError, match="c.jsonl has no text in title, content, text, as .*a.jsonl has, but body_"):
        run()


def test_a_list_of_paragraphs_is_text_and_one_of_tokens_is_none(project):
    Path("mytext/laws/1.txt").unlink()
    rows = [{"title": f"标题{n}", "content": ["第一段", f"第{n}段"], "tokens": ["标", "题"]} for n in range(300)]
    Path("mytext/a.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    pq.write_table(pa.Table.from_pylist(rows), "mytext/b.parquet")
    found = texts.look(Path("mytext"))
    assert all(source["fields"] == ["title", "content"] for source in found.sources.values())
    assert found.characters["jsonl"] == found.characters["parquet"] > 300 * len("标题第一段第段")
    assert found.unread == {"jsonl": [], "parquet": []}


def test_a_column_that_not_all_parquet_files_have_is_not_read_and_said(project):
    Path("mytext/laws/1.txt").unlink()
    pq.write_table(pa.table({"text": SENTENCES[:200]}), "mytext/a.parquet")
    pq.write_table(pa.table({"title": SENTENCES[:200], "text": SENTENCES[200:400]}), "mytext/b.parquet")
    assert "characters in text\nnot read: title; to read other fields" in run()
    assert params.read().corpus.sources["parquet"].fields == ["text"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda: Path("mytext/b.txt").write_bytes("公民的合法权益受到保护".encode("gb18030") * 20), "iconv -f GB18030"),
        (lambda: write("opinions.csv", ["评论", "态度"], LABELLED[:60]), "has '好评' alone"),
        (lambda: write("opinions.csv", ["a", "b"], [(f"甲{n}", f"乙{n}") for n in range(90)]), "Call it `label`"),
        (lambda: write("opinions.csv", ["评论"], [("好",), ("坏",)]), "its first line has one column"),
        (lambda: write("opinions.csv", ["评论", "label"], []), "no rows in it"),
        (lambda: write("opinions.csv", [*LABELLED[0]], LABELLED[1:]), "and no names; write names of columns there"),
        (lambda: write("opinions.csv", ["评论", "label"], [*LABELLED, ("没有答案", "")]), "opinions.csv:122"),
        (lambda: Path("opinions.csv").write_text(""), "is empty"),
        (lambda: Path("mytext/laws/1.txt").write_text("".join(SENTENCES), "utf-8"), "is one document"),
        (lambda: Path("mytext/laws/1.txt").rename("elsewhere"), "no text in it"),
        (lambda: Path("mytext/laws/2.txt").symlink_to("gone"), "mytext/laws/2.txt is a link to gone, which is not th"),
        (lambda: Path("mytext/a.jsonl").write_text('{"tokens": ["a"]}'), "none of its fields .tokens. holds a text"),
        (lambda: Path("opinions.csv").rename("elsewhere"), "no such file or folder"),
        (lambda: Path("released/config.json").unlink(), "released"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_nothing_is_written(project, change, told):
    change()
    with pytest.raises(UserError, match=told) as error:
        run()
    assert "\n" not in str(error.value)
    assert not Path("params.yaml").exists() and not Path("data").exists()


def test_pairs_are_told_from_single_texts(project):
    rows = [(f"怎么还款{n}", f"如何还钱{n}", n % 2) for n in range(40)]
    table = tables.look(write("pairs.csv", ["sentence1", "sentence2", "label"], rows))
    assert (table.kind, table.labels, table.rows) == ("pair", ["0", "1"], 40)
    assert table.columns == {"text_a": "sentence1", "text_b": "sentence2", "label": "label"}


@pytest.mark.parametrize(
    ("name", "text", "define"),
    [
        (
            "names.txt",
            "张 B-PER\n三 I-PER\n去 O\n\n北 B-LOC\n京 I-LOC\n\n",
            {"labels": ["LOC", "PER"], "scheme": "BIO"},
        ),
        ("a.bmes", "-DOCSTART- O\n\n张 B-PER\n三 E-PER\n李 S-PER\n\n去 O\n\n", {"labels": ["PER"], "scheme": "BIOES"}),
        ("words.tsv", "中\tB\n国\tE\n人\tS\n\n", {"labels": ["B", "E", "S"]}),
        ("names.jsonl", '{"text": "张三", "tags": ["B-PER", "I-PER"]}\n', {"labels": ["PER"], "scheme": "BIO"}),
    ],
)
def test_a_file_of_tags_is_told_from_one_of_labels(project, name, text, define):
    Path(name).write_text(text * 20, encoding="utf-8")
    assert tables.look(Path(name)).define == {"kind": "tagging", "columns": {}} | define


def test_a_file_of_tags_is_a_task(project):
    people = "".join(f"{chr(0x4E00 + i)} B-PER\n{chr(0x5E00 + i)} I-PER\n去 O\n\n" for i in range(60))
    Path("names.txt").write_text(people, encoding="utf-8")
    assert "task names: tagging" in run("--task", "names.txt")
    [task] = params.read().finetune.tasks.values()
    assert task.define.kind == "tagging" and task.split_file == "names.txt"


@pytest.mark.parametrize(
    "row",
    [
        {"text": "张三去", "tags": "B-PER I-PER O"},
        {"tokens": ["张", "三", "去"], "label": "B-PER I-PER O"},
        {"id": 7, "text": "张三去", "ner_tags": "B I O"},
    ],
)
def test_tags_in_one_string_are_tags(project, row):
    Path("names.jsonl").write_text(
        json.dumps({"text": "去", "tags": None}) + "\n" + f"{json.dumps(row)}\n" * 40, encoding="utf-8"
    )
    with pytest.raises(UserError, match="names.jsonl:1: there are no tags"):
        tables.look(Path("names.jsonl"))
    Path("names.jsonl").write_text(f"{json.dumps(row)}\n" * 40, encoding="utf-8")
    assert tables.look(Path("names.jsonl")).kind == "tagging"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.csv", 'text,tags\n张三,"B-PER I-PER"\n', "a.csv:2: tags has tags, 'B-PER I-PER'; a line has a token"),
        ("a.tsv", "text\tlabel\n张三\tB I\n去吧\tO O\n", "a.tsv:2: label has tags"),
        ("a.jsonl", '{"text": "张三", "tags": "B-PER,I-PER"}\n', "a.jsonl:1: 2 tokens and 1 tags"),
        ("a.jsonl", '{"text": "张 三", "tags": "B-PER I-PER"}\n', "a.jsonl:1: 3 tokens and 2 tags"),
        ("a.jsonl", '{"text": "张三", "bio": ["B-PER", "I-PER"]}\n', "a.jsonl:1: bio has tags"),
    ],
)
def test_tags_that_cannot_be_read_are_never_taken_for_labels(project, name, text, told):
    Path(name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=told) as error:
        tables.look(Path(name))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"text": float("nan"), "label": "好评"}, r"5: text is NaN, which is nothing; fill it in"),
        ({"text": "很好", "label": float("nan")}, "5: label is NaN"),
        ({"text": "很好", "label": {"x": "好评"}}, r'5: label is {"x": "好评"}, an object; write one text'),
        ({"text": ["很好"], "label": "好评"}, r'5: text is \["很好"\], a list; write one text'),
        (
            {"text": "很好", "label": -1},
            "5: its label is -1, which stands for a hidden label .* call this class otherwise",
        ),
    ],
)
def test_a_value_that_is_no_text_or_label_is_never_spelt_out_as_one(project, row, told):
    good = [{"text": text, "label": label} for text, label in (*LABELLED[:2], *LABELLED[-2:])]
    lines = [json.dumps(each, ensure_ascii=False) for each in (*good, row)]
    Path("rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError, match=f"--task rows.jsonl:{told}") as error:
        tables.look(Path("rows.jsonl"))
    assert "\n" not in str(error.value)
    Path("rows.jsonl").rename("dev.jsonl")
    Path("rows.jsonl").write_text("\n".join(lines[:4]), encoding="utf-8")
    if row["label"] == -1:  # where labels are hidden
        assert tables.look(Path("rows.jsonl"), {}, [Path("dev.jsonl")]).labels == ["好评", "差评"]
    else:
        with pytest.raises(UserError, match=f"--task dev.jsonl:{told}"):
            tables.look(Path("rows.jsonl"), {}, [Path("dev.jsonl")])


BODY = "这是一段很长的正文，说明了事情的经过和结果"


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"title": "标题", "body": BODY}, "body"),
        ({"title": "标题很长很长", "body": "短"}, "title"),
        ({"title": "标题", "url": "http://example.org/a/very/long/address/of/a/page"}, "title"),
        ({"text": "短文", "explanation": BODY}, "text"),
        ({"review": "短文", "content": BODY}, "content"),
    ],
)
def test_the_text_is_the_column_of_a_usual_name_or_that_with_most_chinese(project, columns, text):
    rows = [(*(f"{cell}{number}" for cell in columns.values()), number % 2) for number in range(40)]
    write("table.csv", [*columns, "label"], rows)
    said = run("--task", "table.csv")
    [other] = {*columns} - {text}
    assert (
        f"text in {text}, label in label\nnot read: {other}; another column by --set finetune.tasks.table.define"
        in said
    )
    run("--task", "table.csv", "--set", f"finetune.tasks.table.define.columns.text={other}")
    define = params.read().finetune.tasks["table"].define
    assert define.columns == {"text": other, "label": "label"}
    with pytest.raises(UserError, match="columns.text=no: table.csv has"):
        run("--task", "table.csv", "--set", "finetune.tasks.table.define.columns.text=no")


def test_labels_that_train_has_not_are_said_and_those_of_all_splits_are_the_tasks(project):
    Path("folder").mkdir()
    write("folder/train.csv", ["text", "label"], LABELLED)
    write("folder/dev.csv", ["text", "label"], [("还行。", "中评"), ("好。", "好评")])
    write("folder/test.csv", ["text", "label"], [("一般。", "中评"), ("坏。", "差评"), ("？", "不明")])
    said = run("--task", "folder")
    assert "examples: 120 train, 2 dev, 3 test\n" in said
    assert "not in train, so that no model can learn it: 不明 (test), 中评 (dev, test)\n" in said
    assert params.read().finetune.tasks["folder"].define.labels == ["不明", "中评", "好评", "差评"]


def test_a_field_that_the_first_row_lacks_is_seen(project):
    rows = [{"label": "0"}, *({"content": f"第{n}本书", "label": str(n % 2)} for n in range(40))]
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert tables.look(Path("rows.jsonl")).columns == {"text": "content", "label": "label"}
    with pytest.raises(UserError, match="rows.jsonl:1: text is missing or empty"):
        run("--task", "rows.jsonl")


def test_tags_that_are_numbers_or_say_nothing_are_no_task(project):
    Path("numbers.jsonl").write_text('{"tokens": ["张"], "ner_tags": [1]}\n', encoding="utf-8")
    with pytest.raises(UserError, match=":1: 1 is no tag"):
        tables.look(Path("numbers.jsonl"))
    Path("none.txt").write_text("张 O\n", encoding="utf-8")
    with pytest.raises(UserError, match="its tags are O alone"):
        tables.look(Path("none.txt"))


def test_a_training_that_takes_days_names_what_fits(project):
    config = BertConfig.from_pretrained("released", num_hidden_layers=4)
    run("--set", "pretrain.models.domain.phases.0.steps=100000000")
    found, table = texts.look(Path("mytext")), tables.look(Path("opinions.csv"))
    checked = own_tasks.Checked({"train": 72, "dev": 24, "test": 24}, {})
    said = "\n".join(domain.report(found, table, "opinions", checked, params.read(), config))
    assert "What fits in 12 hours: --seeds 3 --set pretrain.models.domain.phases.0.steps=" in said
    assert "\nFaster: three layers of a model (--model hfl/rbt3, about four times as fast), or a GPU.\n" in said


@pytest.mark.parametrize(("given", "training", "tuning"), [(5, 4, 3), (5, 6, 8), (5, 4, 10), (5, 9, 4), (1, 4, 4)])
def test_what_is_shorter_goes_by_training_and_fine_tuning_together(project, monkeypatch, given, training, tuning):
    run("--seeds", str(given))
    phases = [phase for model in params.read().pretrain.models.values() for phase in model.phases]
    rows = sum(phase.steps * phase.batch_size * (1 if phase.train is None else domain.FORWARDS) for phase in phases)
    monkeypatch.setattr(pace, "rows_per_second", lambda *_: rows / training / 3600)

    def tuned(*given) -> float:
        return tuning * 3600 / 2 * (given[-1].finetune.seeds + 1) / 6  # of two models, with one more run for the rate

    monkeypatch.setattr(tuning_pace, "seconds", tuned)
    said = run("--seeds", str(given))
    total = r"It will take about ([\d.]+) hours to train here, .* and about ([\d.]+) hours for"
    begins = "What fits in 12 hours" if training + tuning > 12 else "Shorter, and less sure"
    [shorter] = re.findall(rf"{begins}: (.*)\.\n", said)
    before, after = (
        sum(map(float, re.search(total, one).groups())) for one in (said, run("--seeds", str(given), *shorter.split()))
    )
    assert after < before and (after <= 12 or before <= 12)
    values = params.read()
    assert values.finetune.seeds == min(given, 3)
    assert values.pretrain.models["domain"].phases[0].steps <= phases[-1].steps


def test_where_nothing_fits_what_is_faster_is_named_alone(project, monkeypatch):
    monkeypatch.setattr(tuning_pace, "seconds", lambda *_: 80 * 3600)
    said = run()
    assert "What fits" not in said and "\nFaster: a GPU.\n" in said


def test_a_training_that_takes_hours_names_what_is_shorter(project, monkeypatch):
    monkeypatch.setattr(pace, "rows_per_second", lambda *_: 1.5)
    said = run("--seeds", "4")
    shorter = re.search(r"Shorter, and less sure: (--seeds 3 --set .*)\.\n", said)
    assert params.read().finetune.seeds == 4 and shorter
    run(*shorter[1].split())
    values = params.read()
    assert values.finetune.seeds == 3 and values.pretrain.models["domain"].phases[0].steps < 200


def test_no_folder_of_text_is_lost_whatever_it_is_called(project):
    for name in ("法律", "医学", "x y", "x-y", "general", "general-law"):
        Path("mytext", name).mkdir()
        Path("mytext", name, "1.txt").write_text("\n\n".join(f"{name}{one}" for one in SENTENCES), encoding="utf-8")
    found = texts.look(Path("mytext"))
    assert len(found.sources) == 7 == len({source["files"] for source in found.sources.values()})
    assert [name for name in found.sources if name.startswith("general")] == ["general-txt"]


def test_a_train_file_alone_is_divided_and_other_files_beside_it_are_none(project):
    Path("folder").mkdir()
    Path("opinions.csv").rename("folder/train.csv")
    Path("folder/train-notes.md").write_text("how it was made", encoding="utf-8")
    done = CliRunner().invoke(
        cli.commands, ["domain", "--text", "mytext", "--model", "released", "--task", "folder"], catch_exceptions=False
    )
    assert params.read().finetune.tasks["folder"].split_file == "train.csv", done.output
    assert "nothing can be told of it; give more." in done.output


@pytest.mark.parametrize("name", ["ragged.csv", "ragged.jsonl"])
def test_a_row_that_lacks_a_text_stops_nothing_here(project, name):
    rows = [("好书", "1"), ("坏书", "0")] * 20
    if name.endswith(".csv"):
        Path(name).write_text("label,text\n" + "".join(f"{label},{text}\n" for text, label in rows) + "1\n", "utf-8")
    else:
        lines = [{"text": text, "label": label} for text, label in rows] + [{"label": "1"}]
        Path(name).write_text("\n".join(map(json.dumps, lines)), "utf-8")
    assert (tables.look(Path(name)).columns, tables.look(Path(name)).rows) == ({"text": "text", "label": "label"}, 41)


def test_a_folder_of_a_task_that_holds_other_files_is_left_alone(project):
    Path("data/tasks/opinions").mkdir(parents=True)
    mine = write("data/tasks/opinions/train.csv", ["text", "label"], LABELLED).read_bytes()
    with pytest.raises(UserError, match="data/tasks/opinions is there already, and has train.csv; rename"):
        run()
    assert Path("data/tasks/opinions/train.csv").read_bytes() == mine


@pytest.mark.slow
def test_one_command_writes_and_one_runs_and_the_answer_stands_last(tmp_path):
    """On real Chinese, at toy size: news as the domain, reviews as general text and as the task."""
    folder = checkout(tmp_path)
    run_in(folder, "-m", "dvc", "repro", "-q", "demo")
    laid = folder / "data/demo/text"
    text = {name: (laid / f"{name}.txt").read_text(encoding="utf-8") for name in ("news", "reviews")}
    (folder / "mytext/general").mkdir(parents=True)
    (folder / "mytext/news.txt").write_text(text["news"], encoding="utf-8")
    (folder / "mytext/general/reviews.txt").write_text(text["reviews"], encoding="utf-8")
    toy.model(folder / "released", "".join("".join(text.values()).split()))
    rows = [
        json.loads(line)
        for split in ("train", "dev", "test")
        for line in (folder / f"data/tasks/reviews/{split}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    with open(folder / "opinions.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *((row["text"], row["label"]) for row in rows)])
    changes = ["base.threads=1", "finetune.seeds=3", "demo.articles=150", "demo.reviews=300", "segmenter.epochs=1"]
    changes += [f"pretrain.models.released-head.phases.0.{key}" for key in ("steps=300", "warmup_steps=30")]
    changes += ["vocab.unknown_share_limit=0.05"]  # of characters alone, which numbers are not made of
    said = run_in(
        folder,
        *("-c", "from wwm.cli import app; app()", "domain"),
        *("--text", "mytext", "--model", "released", "--task", "opinions.csv"),
        *(argument for change in changes for argument in ("--set", change)),
    )
    assert "It will take about" in said
    done = run_in(folder, "-m", "dvc", "repro")
    answer = (folder / "results/report/answer.txt").read_text(encoding="utf-8")
    assert answer in done and done.index(answer) > done.index("# Scores")
    # 80 texts divided by hash leave too few to be scored.
    assert "no answer on opinions (fewer than 50 examples or documents)" in answer
    assert "On held-out text of the domain" in answer and "On general text" in answer
    measured = json.loads((folder / "results/times/pretrain/domain.json").read_text(encoding="utf-8"))["seconds"]
    foreseen = float(re.search(r"about (\d+) minutes? to train here", said)[1]) * 60
    assert measured / 4 < foreseen < 4 * max(measured, 30)


def test_where_a_whole_batch_does_not_fit_the_pace_is_that_of_fewer_rows(monkeypatch):
    asked, forward = [], Pretraining.forward

    def fits_two(model, given):
        asked.append(len(given["input_ids"]))
        if asked[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(model, given)

    monkeypatch.setattr(Pretraining, "forward", fits_two)
    monkeypatch.setattr(pace, "SECONDS", 0.1)
    shape = BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    assert pace.rows_per_second(shape, 16, 8, 0.15, 1, "fp32", False) > 0
    assert asked[:3] == [8, 4, 2] and set(asked[3:]) == {2}


def test_a_batch_that_no_memory_holds_is_measured_in_passes_of_training(monkeypatch):
    monkeypatch.setattr(pace, "SECONDS", 0.01)
    shape = BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    assert pace.rows_per_second(shape, 128, 10**7, 0.15, 1, "fp32", False) > 0
    assert tuning_pace.measured(shape, np.full(100, 32), 2, 10**7, 1, "fp32").row > 0
