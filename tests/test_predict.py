import json
import os
import subprocess
import sys
from pathlib import Path

import keeping
import numpy as np
import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification, AutoTokenizer, pipeline

from wwm.common import files
from wwm.common.errors import UserError
from wwm.release import predict
from wwm.tasks import kept

TEXTS = ["春天很热", "冬天在下大雪。", "山上开花了吗？", "鱼会飞吗", "河里鱼很多，鸟在飞"]
LABELS = ("冷", "热")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def said(folder: Path, file: str, form: str | None = None, columns: dict | None = None) -> list[dict]:
    predict.main(folder, file, Path("said.jsonl"), form, columns or {})
    return [json.loads(line) for line in files.lines("said.jsonl")]


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
    assert said(folder, write("pairs.csv", named)) == found
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
    assert said(folder, write("texts.json", "\ufeff" + listed)) == whole


def test_labels_in_the_file_are_compared_with(capsys):
    folder = keeping.model("single", LABELS)
    predicted = said(folder, write("texts.txt", "\n".join(TEXTS)))
    wrong = {"冷": "热", "热": "冷"}
    labels = [wrong[one["label"]] if i == 0 else one["label"] for i, one in enumerate(predicted)]
    table = "text,label\n" + "".join(f"{text},{label}\n" for text, label in zip(TEXTS, labels))
    assert said(folder, write("texts.csv", table)) == predicted
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
    assert "1 longer than 32 pieces were cut there" in capsys.readouterr().err


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
    assert header == "text,label,probability" and len(rows) == len(TEXTS)


BAD = {
    "nothing there": (("nowhere.txt", ""), "nowhere.txt does not exist"),
    "nothing in it": (("empty.txt", ""), "empty.txt has nothing to predict"),
    "no column": (
        ("a.csv", "说法,label\n很热,热\n"),
        r"a.csv:1 has the columns 说法, label, and no text.*--column text=",
    ),
    "too many columns": (("a.csv", "1,2,很热\n"), "a.csv:1: 3 columns where 2 are expected"),
    "unknown label": (("a.tsv", "text\tlabel\n很热\t温\n"), "a.tsv:2: label '温' is none of the model's, 冷, 热"),
    "no text": (("a.jsonl", '{"text": "热"}\n{"text": ""}\n'), "a.jsonl:2: text is missing or empty"),
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
}


@pytest.mark.parametrize("case", BAD)
def test_input_that_cannot_be_predicted_is_refused_and_leaves_no_file(case):
    (name, content), message = BAD[case]
    folder = keeping.model("single", LABELS)
    if name != "nowhere.txt":
        write(name, content)
    if content == "gb":
        Path(name).write_bytes("很热".encode("gb18030"))
    with pytest.raises(UserError, match=message):
        said(folder, name)
    assert not list(Path().glob("*said.jsonl*"))


def test_a_named_column_that_is_not_there_and_a_form_of_another_kind_are_refused():
    folder = keeping.model("single", LABELS)
    write("a.csv", "text\n很热\n")
    with pytest.raises(UserError, match="a.csv:1 has the columns text; looked for 评论"):
        said(folder, "a.csv", columns={"text": "评论"})
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
    (folder / kept.WEIGHTS).unlink()
    with pytest.raises(UserError, match="has a config.json and no model.safetensors"):
        said(folder, "a.txt")
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match="finetune.models.bert.keep is `none`; set it to `best`"):
        said(folder, "a.txt")
