import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import keeping
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification, AutoTokenizer, pipeline
from transformers.modeling_outputs import SequenceClassifierOutput

from wwm import cli
from wwm.common import files
from wwm.common.errors import UserError
from wwm.release import passes, predict
from wwm.release.inputs import Given
from wwm.tasks import kept, tuning
from wwm.tasks.questions import Question
from wwm.tasks.rows import Example

TEXTS = ["春天很热", "冬天在下大雪。", "山上开花了吗？", "鱼会飞吗", "河里鱼很多，鸟在飞"]
LABELS = ("冷", "热")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def said(folder: Path, file: str, form: str | None = None, columns: dict | None = None) -> list[dict]:
    predict.main(folder, file, Path("said.jsonl"), form, columns or {})
    return [json.loads(line) for line in files.lines("said.jsonl")]


def without_ids(rows: list[dict]) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "id"} for row in rows]


def write(name: str, content: str) -> str:
    Path(name).write_text(content, encoding="utf-8")
    return name


def test_labels_and_probabilities_are_those_of_transformers_own_pipeline():
    folder = keeping.model("single", LABELS)
    found = said(folder, write("texts.txt", "\n".join(TEXTS)))
    ask = pipeline("text-classification", str(folder), top_k=None, device="cpu")
    for text, one, theirs in zip(TEXTS, found, ask(TEXTS)):
        theirs = {each["label"]: each["score"] for each in theirs}
        assert one["text"] == text and one["label"] == max(theirs, key=theirs.get)
        assert one["probabilities"] == pytest.approx(theirs, abs=1e-5)
        assert one["probability"] == max(one["probabilities"].values())


def test_pairs_are_read_by_name_and_by_place_and_give_transformers_probabilities():
    folder = keeping.model("pair", ("不同", "相同"))
    pairs = list(zip(TEXTS, TEXTS[1:]))
    found = said(folder, write("pairs.tsv", "".join(f"{a}\t{b}\n" for a, b in pairs)))
    named = "sentence2,sentence1\n" + "".join(f"{b},{a}\n" for a, b in pairs)
    assert without_ids(said(folder, write("pairs.csv", named))) == without_ids(found)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(*map(list, zip(*pairs)), padding=True, return_tensors="pt")
    with torch.inference_mode():
        shares = model(**inputs).logits.softmax(-1)
    assert np.array([list(one["probabilities"].values()) for one in found]) == pytest.approx(shares.numpy(), abs=1e-5)


@pytest.mark.parametrize("labels", [(), ("YES", "NO", "")])
def test_answers_are_spans_of_the_logits_that_transformers_gives(labels):
    folder = keeping.model("reading", labels)
    context = "山上春天很热，河里冬天很冷。"
    squad = {"data": [{"paragraphs": [{"context": context, "qas": [{"id": "1", "question": "什么时候热？"}]}]}]}
    [one] = said(folder, write("asked.json", json.dumps(squad)))
    model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer("什么时候热？", context, return_tensors="pt", return_offsets_mapping=True)
    offsets, types = inputs.pop("offset_mapping")[0].tolist(), inputs["token_type_ids"][0].tolist()
    with torch.inference_mode():
        out = model(**inputs)
    starts, ends = out.start_logits[0], out.end_logits[0]
    places = [i for i, kind in enumerate(types[:-1]) if kind]
    scores = {}
    for i in places:
        for j in [j for j in places if i <= j < i + 6]:
            text = context[offsets[i][0] : offsets[j][1]]
            scores[text] = max(scores.get(text, -1e9), float(starts[i] + ends[j]))
    best = max(scores, key=scores.get)
    if not labels:
        top = sorted(scores.values(), reverse=True)[:20]
        share = float(np.exp(top[0]) / np.exp(top).sum())
        assert one["answer"] == best and one["probability"] == pytest.approx(share, abs=1e-5)
        return
    # transformers has no class that knows choices: it gives the spans, and config.json says what else there is.
    assert files.read_json(folder / "config.json")["wwm"]["labels"] == list(labels)
    ranked = {each["answer"]: each["probability"] for each in one["n_best"]}
    spans = [text for text in ranked if text not in labels]
    assert spans == sorted(spans, key=scores.get, reverse=True) and (not spans or spans[0] == best)


def test_a_file_larger_than_a_chunk_is_predicted_in_its_order(monkeypatch):
    monkeypatch.setitem(predict.CHUNK, "single", 2)
    folder = keeping.model("single", LABELS)
    rows = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in TEXTS)
    whole = said(folder, write("texts.jsonl", rows))
    assert [one["text"] for one in whole] == TEXTS
    listed = json.dumps([{"text": text} for text in TEXTS])
    assert without_ids(said(folder, write("texts.json", "\ufeff" + listed))) == without_ids(whole)


def test_labels_in_the_file_are_compared_with(capsys):
    folder = keeping.model("single", LABELS)
    predicted = said(folder, write("texts.txt", "\n".join(TEXTS)))
    wrong = {"冷": "热", "热": "冷"}
    labels = [wrong[one["label"]] if i == 0 else one["label"] for i, one in enumerate(predicted)]
    table = "text,label\n" + "".join(f"{text},{label}\n" for text, label in zip(TEXTS, labels))
    assert without_ids(said(folder, write("texts.csv", table))) == without_ids(predicted)
    assert "accuracy 80.00 % of 5 rows that have a label" in capsys.readouterr().err


def test_rows_that_training_leaves_without_label_or_out_are_so_here():
    folder = keeping.model("single", LABELS, ignored_labels=["-"], language="zh")
    rows = "text,label,language\n很热,-,zh\n冬天,-1,zh\nhot,热,en\n"
    assert [one["text"] for one in said(folder, write("a.csv", rows))] == ["很热", "冬天"]


def test_the_file_that_is_read_is_not_written_over():
    folder = keeping.model("single", LABELS)
    write("a.csv", "text\n很热\n")
    with pytest.raises(UserError, match="--output a.csv is the file that is read; name another"):
        predict.main(folder, "a.csv", Path("a.csv"), None, {})
    assert Path("a.csv").read_text(encoding="utf-8") == "text\n很热\n"


def test_texts_are_simplified_for_a_model_that_was_trained_so():
    folder = keeping.model("single", LABELS, simplify=True)
    traditional, simplified = said(folder, write("texts.txt", "鳥會飛嗎\n鸟会飞吗\n"))
    assert traditional["probabilities"] == simplified["probabilities"] and traditional["text"] == "鳥會飛嗎"


def test_a_text_longer_than_the_model_takes_is_cut_and_counted(capsys):
    folder = keeping.model("single", LABELS)
    long, cut = said(folder, write("texts.txt", "热" * 100 + "\n" + "热" * 30 + "\n"))
    assert long["probabilities"] == cut["probabilities"]
    assert "1 of the texts had more than 32 pieces and lost the rest" in capsys.readouterr().err


def test_the_command_reads_standard_input_and_writes_tables():
    folder = keeping.model("single", LABELS)
    command = [sys.executable, "-c", "from wwm.cli import app; app()", "predict", str(folder)]
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([*command, "-"], input="\n".join(TEXTS), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == TEXTS
    write("texts.csv", "评论\n" + "\n".join(f'"{text}"' for text in TEXTS) + "\n")
    said = [*command, "texts.csv", "--column", "text=评论", "--output", "said.csv"]
    subprocess.run(said, check=True, capture_output=True, env=environment)
    header, *rows = list(files.lines("said.csv"))
    assert header == "id,text,label,probability" and len(rows) == len(TEXTS)


BAD = {
    "nothing there": (("nowhere.txt", ""), "nowhere.txt does not exist"),
    "nothing in it": (("empty.txt", ""), "empty.txt has nothing to predict"),
    "no column": (
        ("a.csv", "说法,label\n很热,热\n"),
        r"a.csv:1 has the columns 说法, label, and no text.*--column text=",
    ),
    "a column twice": (
        ("a.csv", "text,label,Text\n很热,热,冬天\n"),
        "a.csv:1 has the column text twice; give each a name of its own",
    ),
    "too many columns": (("a.csv", "1,2,很热\n"), "a.csv:1: 3 columns where 2 are expected"),
    "unknown label": (("a.tsv", "text\tlabel\n很热\t温\n"), "a.tsv:2: label '温' is none of the model's, 冷, 热"),
    "not JSON": (("a.jsonl", '{"text": "热"}\n{"text\n'), "a.jsonl:2 is not JSON"),
    "half a list": (("a.json", '[{"text": "热"},\n {"text'), "a.json:2 is not JSON"),
    "labels beside texts": (("a.txt", "很热\t热\n"), "a.txt:1 has a label beside its text; read it by --format tsv"),
    "labels further down": (("a.txt", "很热\n冬天\t冷\n"), "a.txt:2 has a label beside its text"),
    "names of columns": (("a.txt", "text\tlabel\n很热\t热\n"), "a.txt:1 has a label beside its text"),
    "names as a row": (
        ("a.csv", "编号,说法\n1,很热\n"),
        "a.csv:1: label '说法' .* if this is a line of names, tell them by",
    ),
    "an ending that says nothing": (("a.dat", "很热\n"), "a.dat: its ending says nothing; tell its form by --format"),
    "not UTF-8": (("a.txt", "gb"), "a.txt, line 1: not UTF-8"),
    "a row or names": (("a.csv", "评论\n很热\n"), "a.csv:1 may be a row or .* --column text=评论; .* --format text"),
    "a row or names further down": (("a.tsv", "\n评论\n很热\n"), "a.tsv:2 may be a row or a line of names"),
    "other keys": (
        ("a.jsonl", '{"评论": "热", "n": 1}\n'),
        "a.jsonl has the columns 评论, n, and no text .*--column text=",
    ),
    "no text but a list": (("a.jsonl", '{"text": ["热"]}\n'), r"a.jsonl:1: text is no text but \['热'\]"),
    "half a character": (("a.jsonl", '{"text": "热\\ud83d"}\n'), r"a.jsonl:1: text has half a character, \\ud83d"),
    "half a character in an id": (
        ("a.jsonl", '{"text": "热", "id": "\\ud83d"}\n'),
        "a.jsonl:1: id has half a character",
    ),
    "NaN in a list": (("a.json", '[{"text": NaN}]'), "a.json is not JSON"),
    "a huge number in a list": (("a.json", '[{"text": "热", "n": %s}]' % ("1" * 30)), "a.json is not JSON"),
    "a number without end": (
        ("a.jsonl", '{"text": "热", "n": %s}' % ("1" * 5000)),
        "a.jsonl:1 has a number of more than",
    ),
    "a quote without end": (("a.csv", 'text,n\n"很热,1\n冬天,2\n'), "a.csv:2 is not CSV"),
    "a table of Excel": (("a.xlsx", "?"), "a.xlsx is a table of an office program; save it there as CSV in UTF-8"),
    "semicolons": (("a.csv", "text;label\n很热;热\n"), "a.csv:1 has no comma but a semicolon"),
    "packed": (("a.jsonl.gz", "?"), "a.jsonl.gz is packed; unpack it, or pipe"),
}


@pytest.mark.parametrize("case", BAD)
def test_input_that_cannot_be_predicted_is_refused_and_leaves_no_file(case):
    (name, content), message = BAD[case]
    folder = keeping.model("single", LABELS)
    if name != "nowhere.txt":
        write(name, content)
    if content == "gb":
        Path(name).write_bytes("很热".encode("gb18030"))
    with pytest.raises(UserError, match=message) as raised:
        said(folder, name)
    assert "\n" not in str(raised.value)
    assert not list(Path().glob("*said.jsonl*"))


def test_a_named_column_that_is_not_there_and_a_form_of_another_kind_are_refused():
    folder = keeping.model("single", LABELS)
    write("a.csv", "text\n很热\n")
    with pytest.raises(UserError, match="a.csv:1 has the columns text; looked for 评论"):
        said(folder, "a.csv", columns={"text": "评论"})
    write("a.jsonl", '{"text": "很热", "n": 1}\n')
    with pytest.raises(UserError, match=r"a.jsonl has the columns text, n, and no text \(looked for: 评论\)"):
        said(folder, "a.jsonl", columns={"text": "评论"})
    with pytest.raises(UserError, match="--column =text: give field and name, as --column text=review"):
        cli.predict(folder, "a.csv", None, None, ["=text"])
    with pytest.raises(UserError, match="--column text=: every row needs its text; give the name too"):
        said(folder, "a.jsonl", columns={"text": ""})
    with pytest.raises(UserError, match="--column question=...: this model has no question, but text, label"):
        said(folder, "a.csv", columns={"question": "q"})
    with pytest.raises(UserError, match="a.csv as squad: this model takes texts"):
        said(folder, "a.csv", form="squad")


def test_a_folder_that_holds_no_fine_tuned_model_says_what_it_is():
    folder = keeping.model("single", LABELS)
    write("a.txt", "很热\n")
    with pytest.raises(UserError, match=r"models/bert is no fine-tuned model of this project \(BertForPreTraining\)"):
        said(Path("models/bert"), "a.txt")
    with pytest.raises(UserError, match="nowhere is not there"):
        said(Path("nowhere"), "a.txt")
    whole = (folder / kept.WEIGHTS).read_bytes()
    (folder / kept.WEIGHTS).write_bytes(whole[:5000])
    with pytest.raises(UserError, match="cannot be read .SafetensorError"):
        said(folder, "a.txt")
    (folder / kept.WEIGHTS).unlink()
    with pytest.raises(UserError, match="has a config.json and no model.safetensors"):
        said(folder, "a.txt")
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match="finetune.models.bert.keep is `none`; set it to `best`"):
        said(folder, "a.txt")


def other_sizes(config: dict) -> dict:
    names = dict(enumerate("冷热雨"))
    return config | {"id2label": names, "label2id": {}, "wwm": config["wwm"] | {"labels": list("冷热雨")}}


CONFIGS = {
    "no JSON": (lambda config: "{", "config.json cannot be read as JSON"),
    "no object": (lambda config: "[]", r"config.json cannot be read as JSON \(no object\)"),
    "an older version": (
        lambda config: config | {"wwm": {key: value for key, value in config["wwm"].items() if key != "simplify"}},
        "config.json has no simplify in `wwm`, as other versions of this project",
    ),
    "other labels": (lambda config: config | {"id2label": {"0": "雨", "1": "雪"}}, r"\('雨', '雪'\) in id2label"),
    "other sizes": (other_sizes, "config.json and weights differ in sizes"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_model_whose_config_does_not_fit_it_is_refused(case):
    change, message = CONFIGS[case]
    folder = keeping.model("single", LABELS)
    config = change(files.read_json(folder / "config.json"))
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        said(folder, write("a.txt", "很热\n"))


PARQUET = {
    "another name": ({"评论": ["很热"]}, "a.parquet has the columns 评论, and no text"),
    "bytes": ({"text": [b"hot"]}, "a.parquet, row 0: text is no text but b'hot'"),
    "no rows": ({"text": []}, "a.parquet has nothing to predict"),
}


@pytest.mark.parametrize("case", PARQUET)
def test_parquet_without_texts_is_refused(case):
    columns, message = PARQUET[case]
    folder = keeping.model("single", LABELS)
    pq.write_table(pa.table(columns), "a.parquet")
    with pytest.raises(UserError, match=message):
        said(folder, "a.parquet")


def test_parquet_that_breaks_off_is_refused():
    folder = keeping.model("single", LABELS)
    pq.write_table(pa.table({"text": TEXTS * 100}), "a.parquet")
    broken = bytearray(Path("a.parquet").read_bytes())
    broken[20:60] = b"\xff" * 40
    Path("a.parquet").write_bytes(broken)
    with pytest.raises(UserError, match="a.parquet cannot be read"):
        said(folder, "a.parquet")


def test_a_row_keeps_its_id_or_has_its_line():
    folder = keeping.model("single", LABELS)
    assert [one["id"] for one in said(folder, write("a.txt", "很热\n\n冬天\n"))] == [1, 3]
    assert [one["id"] for one in said(folder, write("a.csv", "id,text\nx,很热\n,冬天\n"))] == ["x", 3]
    assert [one["id"] for one in said(folder, write("a.json", '[{"text": "热"}, {"text": "冷", "id": 7}]'))] == [0, 7]
    named = said(folder, write("b.csv", "编号,text\nx,很热\n"), columns={"id": "编号"})
    assert [one["id"] for one in named] == ["x"]
    pq.write_table(pa.table({"text": ["热", 3 * "热"], "id": [None, "b"]}), "a.parquet")
    assert [one["id"] for one in said(folder, "a.parquet")] == [0, "b"]


def test_an_empty_text_has_no_label_and_is_counted(capsys):
    folder = keeping.model("single", LABELS)
    rows = [{"text": "很热"}, {"text": ""}, {"text": None, "label": "热"}, {}, {"text": float("nan")}, {"text": 5}]
    found = said(folder, write("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert [one["label"] is None for one in found] == [False, True, True, True, True, False]
    assert [one["text"] for one in found] == ["很热", "", "", "", "", "5"]
    err = capsys.readouterr().err
    assert "no label for 4 with an empty text" in err and "accuracy" not in err
    predict.main(folder, "a.jsonl", Path("said.csv"), None, {})
    assert list(files.lines("said.csv"))[2] == "2,,,"


@pytest.mark.parametrize(
    ("name", "content", "labels"),
    [
        ("a.csv", 'text\n很热\n""\n冬天\n', [True, False, True]),
        ("a.csv", 'text\n""\n\n冬天\n', [False, True]),
        ("a.csv", "id,text\n,\n2,冬天\n", [False, True]),
        ("a.csv", 'text,label\n"",""\n冬天,冷\n', [False, True]),
        ("a.csv", 'text\n" "\n冬天\n  \n', [True]),
        ("a.tsv", "id\ttext\n\t\n2\t冬天\n", [False, True]),
        ("a.tsv", "text\n\n冬天\n", [True]),
    ],
)
def test_a_row_of_empty_cells_is_a_row_and_a_blank_line_is_none(name, content, labels):
    folder = keeping.model("single", LABELS)
    found = said(folder, write(name, content), columns={"text": "text"})
    assert [one["label"] is not None for one in found] == labels


def test_a_label_column_that_holds_something_else_is_left_aside(capsys):
    folder = keeping.model("single", LABELS)
    for name, content in (("a.csv", "text,label\n很热,5\n"), ("a.jsonl", '{"text": "很热", "label": 5}\n')):
        [one] = said(folder, write(name, content), columns={"label": ""})
        assert one["text"] == "很热" and "accuracy" not in capsys.readouterr().err


def test_a_first_line_with_a_label_or_of_a_file_of_texts_is_a_row():
    folder = keeping.model("single", LABELS)
    assert [one["text"] for one in said(folder, write("a.csv", "很热,热\n冬天,冷\n"))] == ["很热", "冬天"]
    assert [one["text"] for one in said(folder, write("b.csv", "评论\n很热\n"), form="text")] == ["评论", "很热"]


def test_carriage_returns_quotes_and_commas_come_back_out_of_the_table():
    folder = keeping.model("single", LABELS)
    texts = ["很热\r冬天", "很热\n冬天", "很热\r\n冬天", '他说"热"，冷,雨', "很热"]
    write("a.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in texts))
    predict.main(folder, "a.jsonl", Path("said.csv"), None, {})
    with open("said.csv", encoding="utf-8", newline="") as stream:
        assert [row["text"] for row in csv.DictReader(stream)] == texts
    assert b"\r\n1" not in Path("said.csv").read_bytes()


def test_long_texts_make_small_chunks():
    rows = [Given(Example((text,), -1), {}, None) for text in ("热" * 10, "冷", "雨" * 30, "雪" * 5, "风", "风")]
    assert [len(chunk) for chunk in predict.chunks(rows, 3, 12)] == [3, 3]
    assert [len(chunk) for chunk in predict.chunks(rows, 3, 5)] == [1, 2, 1, 2]


@pytest.mark.parametrize("kind", ["single", "reading"])
def test_the_bar_moves_with_each_forward_pass(kind, monkeypatch):
    monkeypatch.setitem(tuning.POSITIONS, "cpu", 8)
    _, model = predict.load(keeping.model(kind, LABELS if kind == "single" else ()))
    contents = [Example((text,), -1) for text in TEXTS]
    if kind == "reading":
        contents = [Question(str(number), "什么？", text * 5, (), None) for number, text in enumerate(TEXTS)]
    shares: list[float] = []
    with torch.inference_mode():
        model(contents, shares.append)
    assert len(shares) > 2 and shares == sorted(shares) and shares[-1] == 1


def test_what_a_gpu_has_no_memory_for_goes_through_in_halves():
    whole = torch.arange(35).reshape(7, 5)
    asked = []

    def forward(**inputs):
        asked.append(len(inputs["input_ids"]))
        if asked[-1] > 2:
            raise torch.OutOfMemoryError
        return SequenceClassifierOutput(logits=inputs["input_ids"] * 2)

    halved = passes.halving(forward)
    assert torch.equal(halved(input_ids=whole).logits, whole * 2) and asked == [7, 3, 1, 2, 2, 2]
    asked.clear()
    assert torch.equal(halved(input_ids=whole).logits, whole * 2) and asked == [1, 2, 2, 2]  # it has learned that


def test_one_text_that_a_gpu_has_no_memory_for_is_told():
    def forward(**inputs):
        raise torch.OutOfMemoryError

    with pytest.raises(UserError, match="no memory for 5 pieces of one text"):
        passes.halving(forward)(input_ids=torch.zeros(3, 5))


def test_an_answer_is_cut_out_of_the_text_as_it_was_given():
    folder = keeping.model("reading", (), simplify=True)
    rows = [
        {"question": "什麼時候？", "context": "春天鳥會飛嗎"},
        {"question": "什么时候？", "context": "春天鸟会飞吗"},
    ]
    traditional, simplified = said(folder, write("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert {one["answer"] for one in traditional["n_best"]} != {one["answer"] for one in simplified["n_best"]}
    for ours, theirs in zip(traditional["n_best"], simplified["n_best"]):
        assert ours["answer"] in rows[0]["context"] and ours["probability"] == theirs["probability"]
        assert rows[0]["context"].find(ours["answer"]) == rows[1]["context"].find(theirs["answer"])


def test_a_question_that_is_cut_and_one_without_context_are_counted(capsys):
    folder = keeping.model("reading", ())
    rows = [("什么时候热" * 5, "春天很热"), ("什么", ""), (" ", "春天很热"), ("什么", "春天很热")]
    asked = "".join(json.dumps({"question": question, "context": context}) + "\n" for question, context in rows)
    found = said(folder, write("a.jsonl", asked))
    assert [one["answer"] is None for one in found] == [False, True, True, False]
    err = capsys.readouterr().err
    assert "1 of the questions had more than 16 pieces and lost the rest" in err
    assert "no answer for 2 with an empty question or context" in err
    qas = [{"id": str(number), "question": question} for number, (question, _) in enumerate(rows)]
    squad = {"data": [{"paragraphs": [{"context": "春天很热", "qas": qas}, {"context": "", "qas": qas[:1]}]}]}
    found = said(folder, write("a.json", json.dumps(squad)))
    assert [one["answer"] is None for one in found] == [False, False, True, False, True]


@pytest.mark.parametrize("content", ['{"version": "1"}', '{"data": {}}', '[{"question": "什么", "context": "热"}]'])
def test_a_file_of_questions_without_data_is_refused(content):
    folder = keeping.model("reading", ())
    with pytest.raises(UserError, match="a.json has nothing to predict; give it a question or more under `data`"):
        said(folder, write("a.json", content))


def test_a_place_that_cannot_be_written_and_a_file_that_cannot_be_read_are_refused():
    folder = keeping.model("single", LABELS)
    write("a.txt", "很热\n")
    Path("folder.csv").mkdir()
    Path("link.csv").symlink_to("nowhere.csv")
    for output, message in (
        ("/proc/a.csv", "cannot be written"),
        ("folder.csv", "is a folder"),
        ("link.csv", "is a link to nowhere.csv, which is not there"),
        ("a.txt/a.csv", "cannot"),
    ):
        with pytest.raises(UserError, match=f"--output {output} {message}"):
            predict.main(folder, "a.txt", Path(output), None, {})
    with pytest.raises(UserError, match="/proc/self/mem cannot be read"):
        said(folder, "/proc/self/mem", form="text")


def test_standard_input_that_is_closed_is_refused(monkeypatch):
    folder = keeping.model("single", LABELS)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UserError, match="standard input is closed"):
        said(folder, "-")
