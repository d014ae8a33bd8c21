import csv
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import toy
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file

from wwm import cloze
from wwm.common import files, model_folder
from wwm.common.csv_text import csv_text
from wwm.common.errors import UserError
from wwm.report import nats
from wwm.text import blanks, tokenization
from wwm.text.blanks import Question
from wwm.training import fill_mask
from wwm.training.fill_mask import Guess

ROOT = Path(__file__).parent.parent
NEWS = [
    ["使用", "语言", "模型", "来", "预测", "下", "一个", "词", "的", "probability", "。"],
    ["社会主义核心", "，", "１９９８ ", "年", " 新年", "！"],
]
REVIEW = [["早餐", "豐富", "，", "T恤", "也", "好看", "👍"], ["iPhone", "12", "!"]]


def document(source, *segmented, id="0"):
    words = [word for sentence in segmented for word in sentence]
    sentence_ends = np.cumsum([len("".join(sentence)) for sentence in segmented]).tolist()
    word_ends = np.cumsum([len(word) for word in words]).tolist()
    return {
        "id": id,
        "source": source,
        "text": "".join(words),
        "sentence_ends": sentence_ends,
        "word_ends": word_ends,
    }


def drawn(documents, per_source, longest=100, seed=0):
    sources = sorted({document["source"] for document in documents})
    return blanks.draw(documents, sources, per_source, longest, np.random.default_rng(seed))


def test_words_are_of_one_to_four_chinese_characters_without_white_space():
    found = [
        (text, [text[start:end] for start, end in words]) for text, words in blanks.sentences(document("news", *NEWS))
    ]
    assert found == [
        ("使用语言模型来预测下一个词的probability。", ["使用", "语言", "模型", "来", "预测", "下", "一个", "词", "的"]),
        ("社会主义核心，１９９８ 年 新年！", ["年", "新年"]),
    ]
    assert [words for _, words in blanks.sentences(document("reviews", *REVIEW))] == [
        [(0, 2), (2, 4), (7, 8), (8, 10)],
        [],
    ]


def test_every_source_gives_the_same_number_of_sentences():
    found = drawn([document("news", *NEWS), document("news", *NEWS), document("reviews", *REVIEW)], 3)
    assert sorted(question.source for question in found.questions) == ["news", "reviews"]
    assert found.left_out == {"too_long": 0.0, "no_chinese_word": round(1 / 6, 6)}


def test_documents_are_drawn_at_random_and_each_gives_a_sentence_before_one_gives_two():
    numbers = [str(number) for number in range(30)]
    documents = [document("news", *[NEWS[0]] * 5, id=number) for number in numbers]
    few = [question.document for question in drawn(documents, 10).questions]
    assert len(set(few)) == 10 and set(few) != set(numbers[:10])
    some = [question.document for question in drawn(documents, 45).questions]
    assert sorted(map(some.count, numbers)) == [1] * 15 + [2] * 15
    assert len(drawn(documents, 1000).questions) == 150


def test_a_sentence_that_is_too_long_is_left_out_and_counted():
    found = drawn([document("news", *NEWS)], 2, longest=20)
    assert [question.text for question in found.questions] == ["".join(NEWS[1])]
    assert found.left_out == {"too_long": 0.5, "no_chinese_word": 0.0}


def test_the_same_seed_draws_the_same_words_and_all_words_are_drawn():
    documents = [document("news", NEWS[0], id=str(number)) for number in range(200)]
    found = drawn(documents, 200, seed=7)
    assert found == drawn(documents, 200, seed=7) != drawn(documents, 200, seed=8)
    assert {question.word for question in found.questions} == set(NEWS[0][:9])


@pytest.fixture
def folder(tmp_path):
    toy.model(tmp_path / "models/bert", "使用语言模型来预测下一个词的probability。早餐豐富")
    return tmp_path / "models/bert"


def question(text, start, end):
    return Question("news", "0", text, start, end)


def losses(model, tokenizer, text, masked):
    """-log p of the characters at `masked`, each a piece, out of one full forward pass; the five best of each."""
    ids = torch.tensor([tokenizer.encode(text).ids])
    positions = [1 + i for i in masked]  # after [CLS]
    labels = ids[0, positions]
    ids[0, positions] = tokenizer.token_to_id("[MASK]")
    with torch.inference_mode():
        said = model(input_ids=ids).prediction_logits[0, positions].log_softmax(-1)
    return -said.gather(1, labels[:, None])[:, 0], said.topk(5).indices == labels[:, None]


def test_a_word_is_asked_whole_and_by_its_characters_as_one_full_forward_pass_says(folder):
    model, tokenizer = cloze.load(folder), tokenization.load(folder)
    sentences = ["使用语言模型来预测下一个词的。", "早餐豐富", "语言", "一个词"] * 9
    questions = [question(text, i % 3 and 1, 2) for i, text in enumerate(sentences)]
    answers = cloze.ask(model, tokenizer, questions, 40)
    assert [answer[:2] for answer in answers] == [(asked, kind) for asked in questions for kind in cloze.KINDS]
    for answer in answers:
        text, word = answer.question.text, range(answer.question.start, answer.question.end)
        together = [list(word)] if answer.kind == "words" else [[i] for i in word]
        found = [losses(model, tokenizer, text, masked) for masked in together]
        assert answer.nats == pytest.approx(float(sum(nats.sum() for nats, _ in found)), rel=1e-5)
        assert [guess.right for guess in answer.guesses] == [hit for _, hits in found for hit in hits[:, 0].tolist()]
        assert [guess.in_top for guess in answer.guesses] == [hit for _, hits in found for hit in hits.any(1).tolist()]
    assert any(guess.in_top for answer in answers for guess in answer.guesses)


def test_a_text_of_too_many_pieces_is_shown_around_the_blank(folder):
    model, tokenizer = cloze.load(folder), tokenization.load(folder)
    text = "使用语言模型来预测下一个词的"
    [[cut]] = fill_mask.guesses(model, tokenizer, [(text, 12, 13)], 8)
    [[alone]] = fill_mask.guesses(model, tokenizer, [(text[-6:], 4, 5)], 8)
    assert (cut.piece, cut.start, cut.nats) == ("词", 12, pytest.approx(alone.nats, rel=1e-5))


def test_a_character_that_the_vocabulary_lacks_is_never_right_and_known_by_chance_alone(folder):
    model, tokenizer = cloze.load(folder), tokenization.load(folder)
    with torch.no_grad():
        model.cls.predictions.bias[tokenizer.token_to_id("[UNK]")] = 1e4
    [lacking, _] = cloze.ask(model, tokenizer, [question("早龘。", 1, 2)], 40)
    assert not lacking.right and lacking.guesses[0].nats == 0
    assert lacking.nats == pytest.approx(math.log(81_520))  # of so many Chinese characters it is one
    assert cloze.unknown_share(cloze.ask(model, tokenizer, [question("早龘。", 0, 2)], 40)) == 0.5


def guess(number, start, end, piece, nats, said):
    return Guess(number, start, end, piece, nats, piece == said, True, said)


def test_a_word_is_right_when_all_of_its_pieces_are():
    breakfast = question("早餐豐富", 0, 2)
    answers = [
        cloze.Answer(breakfast, kind, [guess(0, 0, 1, "早", 1.5, "早"), guess(1, 1, 2, "餐", nats, said)])
        for kind, nats, said in (("words", 2.5, "饭"), ("characters", 0.5, "餐"))
    ]
    header, *rows = csv.reader(csv_text(cloze.COLUMNS, cloze.rows(answers, [9.0])).splitlines())
    assert header == cloze.COLUMNS
    common = ["【早餐】豐富", "早餐"]
    assert rows == [
        ["news", "words", "0", "0", "2", "2", "4.0", "1", "2", "9.0", *common, "早 饭", "no"],
        ["news", "characters", "0", "0", "2", "2", "2.0", "2", "2", "9.0", *common, "早 餐", "yes"],
    ]
    assert cloze.figures(answers) == {
        "questions": 2,
        "pieces": 4,
        "characters": 4,
        "nats_per_piece": 1.5,
        "nats_per_character": 1.5,
        "piece_accuracy": 75.0,
        "piece_top5": 100.0,
        "word_accuracy": 50.0,
    }
    assert cloze.figures([])["questions"] == 0 and cloze.figures([])["nats_per_character"] is None


def test_a_piece_that_several_characters_are_read_as_gives_each_its_share():
    words = guess(0, 0, 4, "早餐豐富", 8.0, "早餐豐富")
    assert cloze.Answer(question("早餐豐富", 0, 2), "words", [words]).nats == 4.0
    assert cloze.Answer(question("早餐豐富", 0, 4), "words", [words]).nats == 8.0


def test_who_knows_no_context_knows_how_often_characters_stand():
    counts = Counter("的的的词")
    assert cloze.unigram_nats(question("的词", 0, 2), counts) == pytest.approx(-math.log(3 / 4) - math.log(1 / 4))


def test_a_checkpoint_without_its_mlm_head_is_named(folder):
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in tensors.items() if "cls.predictions.transform" not in name},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(
        ValueError, match="models/bert has no trained MLM head: cls.predictions.transform.LayerNorm.bias, "
    ):
        cloze.load(folder)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """params.yaml for few sentences, and a folder for the documents."""
    monkeypatch.chdir(tmp_path)
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["cloze"].update(sentences=4, max_seq_length=40)
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    Path("data/segment/heldout").mkdir(parents=True)


def test_the_stage_writes_one_file_per_model_and_the_same_again(folder, project):
    documents = [document("news", *NEWS, id="a"), document("reviews", *REVIEW, REVIEW[0], id="b")]
    pq.write_table(pa.Table.from_pylist(documents), "data/segment/heldout/00000.parquet")
    (folder / "training.json").unlink()  # as a model from elsewhere
    results = []
    for _ in range(2):
        cloze.main("bert")
        results.append(json.loads(Path("results/cloze/bert.json").read_text(encoding="utf-8")))
        results[-1]["csv"] = Path("results/cloze/bert.csv").read_text(encoding="utf-8")
    assert results[0] == results[1]
    result = results[0]
    assert (result["questions"], result["documents"]) == (4, 2)
    for kind in cloze.KINDS:
        assert sum(part[kind]["questions"] for part in result["by_length"].values()) == 4
        assert {source: part[kind]["questions"] for source, part in result["by_source"].items()} == {
            "news": 2,
            "reviews": 2,
        }
    assert result["training"] == dict.fromkeys(model_folder.COST)
    assert result["weights"] == model_folder.weights_hash(folder)
    assert not result["head_trained"]  # as in a new model


def test_the_report_reads_what_the_stage_writes(folder, project):
    documents = [document("news", *NEWS, id="a"), document("reviews", *REVIEW, id="b")]
    pq.write_table(pa.Table.from_pylist(documents), "data/segment/heldout/00000.parquet")
    cloze.main("bert")
    answers, sources = nats.read(Path("results/cloze/bert.csv"), files.read_json("results/cloze/bert.json"))
    assert sources == ["news", "reviews"]
    result = json.loads(Path("results/cloze/bert.json").read_text(encoding="utf-8"))
    for kind in cloze.KINDS:
        assert answers[kind].mean == pytest.approx(result[kind]["nats_per_character"], abs=1e-3)
    every = nats.together(answers)
    assert len(every.nats) == result["documents"] and every.characters.sum() == 2 * result["words"]["characters"]


@pytest.mark.parametrize(("untrained", "trained"), [([], True), (["bert.pooler"], True), (["cls.predictions"], False)])
def test_a_head_that_was_never_trained_is_marked(folder, project, capsys, untrained, trained):
    pq.write_table(pa.Table.from_pylist([document("news", *NEWS)]), "data/segment/heldout/00000.parquet")
    (folder / "training.json").write_text(json.dumps({"steps": None, "tokens": None, "untrained": untrained}))
    cloze.main("bert")
    assert json.loads(Path("results/cloze/bert.json").read_text(encoding="utf-8"))["head_trained"] == trained
    assert ("its MLM head was never trained" in capsys.readouterr().out) != trained


def test_a_model_that_does_not_look_at_the_characters_around_is_said_to(folder, project, capsys):
    pq.write_table(
        pa.Table.from_pylist([document("news", ["使用", "语言", "模型"])]), "data/segment/heldout/00000.parquet"
    )
    cloze.main("bert")  # with small weights, as drawn
    assert "what it guesses hardly depends on the characters around" in capsys.readouterr().out
    bert = cloze.load(folder)
    for tensor in bert.parameters():
        tensor.data *= 9
    bert.save_pretrained(folder)
    cloze.main("bert")
    assert "% of 1 words right\n" in capsys.readouterr().out


def test_a_model_that_is_not_there_is_named():
    with pytest.raises(UserError, match="models/nobody is not there or is no model"):
        cloze.load(Path("models/nobody"))
