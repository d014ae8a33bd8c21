import json
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
from wwm.common import model_folder
from wwm.common.errors import UserError
from wwm.text import tokenization

ROOT = Path(__file__).parent.parent
NEWS = [
    ["使用", "语言", "模型", "来", "预测", "下", "一个", "词", "的", "probability", "。"],
    ["社会主义核心", "，", "１９９８ ", "年", " 新年", "！"],
]
REVIEW = [["早餐", "豐富", "，", "T恤", "也", "好看", "👍"], ["iPhone", "12", "!"]]


def document(source, *segmented):
    words = [word for sentence in segmented for word in sentence]
    sentence_ends = np.cumsum([len("".join(sentence)) for sentence in segmented]).tolist()
    word_ends = np.cumsum([len(word) for word in words]).tolist()
    return {
        "id": source,
        "source": source,
        "text": "".join(words),
        "sentence_ends": sentence_ends,
        "word_ends": word_ends,
    }


def test_words_are_of_one_to_four_chinese_characters_without_white_space():
    found = [
        (text, [text[start:end] for start, end in words]) for text, words in cloze.sentences(document("news", *NEWS))
    ]
    assert found == [
        ("使用语言模型来预测下一个词的probability。", ["使用", "语言", "模型", "来", "预测", "下", "一个", "词", "的"]),
        ("社会主义核心，１９９８ 年 新年！", ["年", "新年"]),
    ]
    assert [words for _, words in cloze.sentences(document("reviews", *REVIEW))] == [
        [(0, 2), (2, 4), (7, 8), (8, 10)],
        [],
    ]


def test_every_source_gives_the_same_number_of_sentences():
    documents = [document("news", *NEWS), document("news", *NEWS), document("reviews", *REVIEW)]
    questions, left_out = cloze.draw(documents, ["news", "reviews"], 3, 100, np.random.default_rng(0))
    assert [(question.source, question.text) for question in questions] == [
        ("news", "".join(NEWS[0])),
        ("reviews", "".join(REVIEW[0])),
    ]
    assert left_out == {
        "too_long": 0.0,
        "no_chinese_word": 0.2,
    }  # five were looked at: the third of news was the last it needed


def test_a_sentence_that_is_too_long_is_left_out_and_counted():
    questions, left_out = cloze.draw([document("news", *NEWS)], ["news"], 2, 20, np.random.default_rng(0))
    assert [question.text for question in questions] == ["".join(NEWS[1])]
    assert left_out == {"too_long": 0.5, "no_chinese_word": 0.0}


def test_the_same_seed_draws_the_same_words_and_all_words_are_drawn():
    documents = [document("news", NEWS[0])] * 200
    questions, _ = cloze.draw(documents, ["news"], 200, 100, np.random.default_rng(7))
    assert questions == cloze.draw(documents, ["news"], 200, 100, np.random.default_rng(7))[0]
    assert {question.text[question.start : question.end] for question in questions} == set(NEWS[0][:9])


@pytest.fixture
def folder(tmp_path):
    toy.model(tmp_path / "models/bert", "使用语言模型来预测下一个词的probability。早餐豐富")
    return tmp_path / "models/bert"


def test_batches_and_masked_positions_give_what_one_full_forward_pass_gives(folder):
    model, tokenizer = cloze.load(folder), tokenization.load(folder)
    sentences = ["使用语言模型来预测下一个词的。", "早餐豐富", "语言", "一个词"] * 9
    questions = [cloze.Question("news", text, i % 3 and 1, 2) for i, text in enumerate(sentences)]
    answers, _ = cloze.ask(model, tokenizer, questions, 40)
    for question, answer in zip(questions, answers):
        ids = torch.tensor([tokenizer.encode(question.text).ids])
        asked = list(range(question.start + 1, question.end + 1))  # one piece a character, after [CLS]
        labels = ids[0, asked]
        ids[0, asked] = tokenizer.token_to_id("[MASK]")
        with torch.inference_mode():
            best = model(input_ids=ids).prediction_logits[0, asked].topk(5).indices
        assert answer.right == (best[:, 0] == labels).tolist()
        assert answer.in_top == (best == labels[:, None]).any(1).tolist()
    assert any(any(answer.in_top) for answer in answers)


def test_a_character_that_the_vocabulary_lacks_is_never_right(folder):
    model, tokenizer = cloze.load(folder), tokenization.load(folder)
    with torch.no_grad():
        model.cls.predictions.bias[tokenizer.token_to_id("[UNK]")] = 1e9
    answers, unknown = cloze.ask(model, tokenizer, [cloze.Question("news", "早龘。", 0, 2)], 40)
    assert answers[0].right == [False, False]
    assert unknown == 0.5


def test_a_word_is_right_when_all_of_its_pieces_are():
    question = cloze.Question("news", "早餐豐富", 0, 2)
    asked, said = ["早", "餐"], [["早", "饭"], ["早", "餐"]]
    answers = [
        cloze.Answer(question, right, [True, True], asked, guesses)
        for right, guesses in zip(([True, False], [True, True]), said)
    ]
    assert cloze.table(answers).splitlines() == [
        "sentence,word,guess,right,source",
        "【早餐】豐富,早餐,早 饭,no,news",
        "【早餐】豐富,早餐,早 餐,yes,news",
    ]
    assert cloze.figures(answers) == {
        "words": 2,
        "pieces": 4,
        "piece_accuracy": 75.0,
        "piece_top5": 100.0,
        "word_accuracy": 50.0,
    }
    assert cloze.figures([]) == {
        "words": 0,
        "pieces": 0,
        "piece_accuracy": None,
        "piece_top5": None,
        "word_accuracy": None,
    }


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
    documents = [document("news", *NEWS), document("reviews", *REVIEW, REVIEW[0])]
    pq.write_table(pa.Table.from_pylist(documents), "data/segment/heldout/00000.parquet")
    (folder / "training.json").unlink()  # as a model from elsewhere
    results = []
    for _ in range(2):
        cloze.main("bert")
        results.append(json.loads(Path("results/cloze/bert.json").read_text(encoding="utf-8")))
    assert results[0] == results[1]
    assert results[0]["sentences"] == results[0]["words"] == 4
    assert sum(part["words"] for part in results[0]["by_length"].values()) == 4
    assert {source: part["words"] for source, part in results[0]["by_source"].items()} == {"news": 2, "reviews": 2}
    assert results[0]["training"] == {"steps": None, "tokens": None}
    assert results[0]["weights"] == model_folder.weights_hash(folder)
    assert not results[0]["head_trained"]  # as in a new model


@pytest.mark.parametrize(("untrained", "trained"), [([], True), (["bert.pooler"], True), (["cls.predictions"], False)])
def test_a_head_that_was_never_trained_is_marked(folder, project, capsys, untrained, trained):
    pq.write_table(pa.Table.from_pylist([document("news", *NEWS)]), "data/segment/heldout/00000.parquet")
    (folder / "training.json").write_text(json.dumps({"steps": None, "tokens": None, "untrained": untrained}))
    cloze.main("bert")
    assert json.loads(Path("results/cloze/bert.json").read_text(encoding="utf-8"))["head_trained"] == trained
    assert ("its MLM head was never trained" in capsys.readouterr().out) != trained


def test_a_model_that_is_not_there_is_named():
    with pytest.raises(UserError, match="models/nobody is not there or is no model"):
        cloze.load(Path("models/nobody"))


def test_who_always_says_the_most_frequent_piece_is_right_where_it_is_the_whole_word():
    def asked(*pieces):
        return cloze.Answer(cloze.Question("news", "", 0, 0), [False], [False], list(pieces), [])

    answers = [asked("的"), asked("我", "的"), asked("我", "们"), asked("的")]
    said = {"piece": "的", "piece_accuracy": 50.0, "word_accuracy": 50.0}
    assert cloze.most_frequent(answers) == said
    assert cloze.most_frequent([*answers, *[asked("[UNK]", "[UNK]")] * 5])["piece"] == "的"
