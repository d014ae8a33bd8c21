"""Words of a domain become entries of a vocabulary, and of a released model that has it."""

import csv
import json
from pathlib import Path

import pytest
import torch
import toy
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file
from transformers import BertForPreTraining, BertTokenizer, BertTokenizerLegacy

from wwm import corpus, init, params, vocab
from wwm.common import files
from wwm.common.errors import UserError
from wwm.text import added, tokenization, vocabulary

ROOT = Path(__file__).parent.parent
TEXT = "患者服用pd1抑制剂，剂量为mg级，囍。"
OLD = [
    *("[PAD]", "[unused1]", "[unused2]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *sorted({*"患者服用抑制剂量为级，。", "p", "##d", "##1", "m", "##g", "a", "##a"}),
]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """presets/tiny.yaml whose text is of a domain and whose model `random` is a released one with [unused*]."""
    monkeypatch.chdir(tmp_path)
    values = YAML(typ="safe").load((ROOT / "presets/tiny.yaml").read_text(encoding="utf-8"))
    values["corpus"] |= {"folder": "text", "sources": {"own": "own.txt"}, "near_duplicate_similarity": None}
    values["corpus"]["heldout_share"] = 0.3
    Path("text").mkdir()
    Path("text/own.txt").write_text("\n\n".join(f"{TEXT}{'量' * n}。" for n in range(60)), encoding="utf-8")
    values["vocab"] |= {"source": "released", "unknown_share_limit": 0.5}
    values["init"]["models"] = {"random": {"source": "released", "architecture": None}}
    torch.manual_seed(1)
    config = toy.model().config
    config.vocab_size = len(OLD)
    bert = BertForPreTraining(config)
    torch.nn.init.normal_(bert.cls.predictions.bias)
    bert.save_pretrained("released")
    vocabulary.save(vocabulary.build(OLD, True), OLD, True, Path("released"))
    write(values)
    corpus.main()
    return values


def write(values: dict, **of_vocab) -> None:
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values | {"vocab": values["vocab"] | of_vocab}, file)


def test_entries_take_the_unused_places_first_and_tell_how_much_was_unknown_before(project, capsys):
    write(project, add=["pd1", "囍", "mg"])
    vocab.main()
    tokens = vocabulary.read_vocab(Path("data/vocab/vocab.txt"))
    assert tokens == ["[PAD]", "pd1", "囍", *OLD[3:], "mg"]
    told = json.loads(Path("results/vocab.json").read_text(encoding="utf-8"))
    assert told["added"] == ["pd1", "囍", "mg"] and (told["before"]["size"], told["size"]) == (len(OLD), len(OLD) + 1)
    assert told["before"]["unknown_share"] > 0.02 and told["unknown_share"] == 0
    assert "3 entries were added; " in capsys.readouterr().out
    pieces = ["服", "用", "pd1", "抑", "囍", "mg", "a"]
    for tokenizer in (BertTokenizer, BertTokenizerLegacy):
        assert tokenizer.from_pretrained("data/vocab").tokenize("服用PD1抑囍mg a") == pieces
    assert tokenization.load("data/vocab").encode("服用PD1抑囍mg a", add_special_tokens=False).tokens == pieces


def test_a_file_of_lines_says_the_same_as_a_list(project):
    Path("words.txt").write_text("pd1\n囍\n", encoding="utf-8")
    write(project, add="words.txt")
    vocab.main()
    assert vocabulary.read_vocab(Path("data/vocab/vocab.txt")) == ["[PAD]", "pd1", "囍", *OLD[3:]]


@pytest.mark.parametrize("tied", [True, False])
def test_what_a_released_model_has_of_a_new_entry_is_the_mean_of_what_it_was(project, tied, capsys):
    if not tied:
        tensors = load_file("released/model.safetensors")
        words = tensors["bert.embeddings.word_embeddings.weight"]
        tensors["cls.predictions.decoder.weight"] = words + 1
        tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"].clone()
        save_file(tensors, "released/model.safetensors", {"format": "pt"})
        config = files.read_json("released/config.json")
        files.write_json(Path("released/config.json"), config | {"tie_word_embeddings": False})
    write(project, add=["pd1", "囍", "mg", "##ga"])
    vocab.main()
    init.main("random")
    assert "4 entries of its vocabulary are new" in capsys.readouterr().out
    old, new = load_file("released/model.safetensors"), load_file("models/random/model.safetensors")
    were = {1: ["p", "##d", "##1"], 2: ["[UNK]"], len(OLD): ["m", "##g"], len(OLD) + 1: ["##g", "##a"]}
    names = ["bert.embeddings.word_embeddings.weight", "cls.predictions.bias"]
    for name in names + ([] if tied else ["cls.predictions.decoder.weight"]):
        assert len(new[name]) == len(OLD) + 2
        for place, pieces in were.items():
            mean = old[name][[OLD.index(piece) for piece in pieces]].mean(0)
            torch.testing.assert_close(new[name][place], mean)
        kept = [place for place in range(len(OLD)) if place not in were]
        assert new[name][kept].equal(old[name][kept])
    model = BertForPreTraining.from_pretrained("models/random")
    assert model.config.vocab_size == len(BertTokenizer.from_pretrained("models/random")) == len(OLD) + 2
    assert model.cls.predictions.decoder.out_features == len(OLD) + 2


def test_another_vocabulary_is_still_refused(project):
    write(project)
    vocab.main()
    lines = Path("data/vocab/vocab.txt").read_text(encoding="utf-8").replace("\n患\n", "\n忠\n")
    Path("data/vocab/vocab.txt").write_text(lines, encoding="utf-8")
    with pytest.raises(UserError, match="'患' and '忠'; set vocab.source to released too"):
        init.main("random")


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("抑制剂", "has Chinese characters, each of which is a piece of its own"),
        ("pd1抗", "has Chinese characters"),
        ("##抗", "has Chinese characters"),
        ("量", "is an entry already"),
        ("", "is empty"),
        ("  ", "is empty"),
        ("PD1", "is never found, for text is read as 'pd1'; write it so"),
        ("café", "is never found, for text is read as 'cafe'"),
        ("mg/l", "is never found, for it is cut into mg / l"),
        ("two words", "is never found, for it is cut into two words"),
        ("x" * 101, "has 101 characters"),
    ],
)
def test_what_no_text_would_ever_become_is_refused_with_the_reason(entry, why):
    tokenizer = vocabulary.build(OLD, True)
    with pytest.raises(UserError, match=f"^words.txt, line 2: .*{why}") as raised:
        added.placed(OLD, [("words.txt, line 1", "new"), ("words.txt, line 2", entry)], tokenizer)
    assert "\n" not in str(raised.value)
    cased = vocabulary.build(OLD, False)
    assert "PD1" in added.placed(OLD, [("vocab.add.0", "PD1")], cased)


def test_an_entry_twice_and_a_file_that_is_not_there_are_named(project):
    write(project, add=["pd1", "pd1"])
    with pytest.raises(UserError, match="vocab.add.1: 'pd1' is an entry already"):
        vocab.main()
    write(project, add="nowhere.txt")
    with pytest.raises(UserError, match="vocab.add: nowhere.txt does not exist"):
        vocab.main()
    write(project, add=[])
    with pytest.raises(UserError, match="vocab.add"):
        params.read()


def test_what_is_unknown_rare_and_in_many_pieces_is_listed_by_frequency(project, capsys):
    write(project)
    vocab.main()
    with open("results/vocab.csv", encoding="utf-8", newline="") as file:
        rows = {(row["kind"], row["text"]): (int(row["count"]), int(row["pieces"])) for row in csv.DictReader(file)}
    trained = sum(TEXT in text for path in files.shards("corpus", "train") for text in texts_of(path))
    assert rows["split", "pd1"] == (trained, 3) and ("split", "mg") not in rows
    assert rows["unknown", "囍"] == (trained, 1)
    told = json.loads(Path("results/vocab.json").read_text(encoding="utf-8"))
    assert told["most_frequent_split"] == [["pd1", trained, 3]] and told["words_of_many_pieces"] == trained
    assert "added" not in told and "before" not in told
    assert f"words of 3 pieces or more in the text: pd1 {trained}; results/vocab.csv" in capsys.readouterr().out


def texts_of(path: Path) -> list[str]:
    return [text for batch in files.batches(path, columns=["text"]) for text in batch["text"].to_pylist()]
