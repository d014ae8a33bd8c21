"""What `wwm fill` finds, on models so small that all fillings can be tried one by one."""

import inspect
import json
import math
import shutil
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
import toy
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    ElectraConfig,
    ElectraForMaskedLM,
    GPT2Config,
    pipeline,
)
from typer.testing import CliRunner

from wwm import cli
from wwm.common.errors import UserError
from wwm.release import fill, gaps, masked_lm
from wwm.text import tokenization, vocabulary

CPU = torch.device("cpu")
CHARACTERS = "使用语言模型来预测"


@pytest.fixture
def folder(tmp_path):
    toy.model(tmp_path / "bert", CHARACTERS)
    return tmp_path / "bert"


def with_entries(folder: Path, *entries: str) -> Path:
    """A random model whose vocabulary has other entries than characters."""
    bert = toy.model(folder, "".join(chr(0x4E00 + i) for i in range(len(entries))))
    tokens = [*vocabulary.SPECIAL, *entries]
    assert bert.config.vocab_size == len(tokens)
    vocabulary.save(vocabulary.build(tokens, True), tokens, True, folder)
    return folder


def filler(folder: Path, beam: int, silence: bool = False) -> fill.Filler:
    """silence: the model never says a special token, so that all it says makes words."""
    found = fill.Filler(masked_lm.load(folder, CPU), beam)
    if silence:
        with torch.no_grad():
            found.model.network.get_output_embeddings().bias[: len(vocabulary.SPECIAL)] = -1e9
    return found


def filled(one: fill.Filler, text: str, count: int = 5, longest: int = 4) -> dict[tuple[str, ...], float]:
    (found,) = one.fill([gaps.read(text, longest, "text")], count)
    return {filling.words: filling.probability for filling in found}


def says(one: fill.Filler, pieces: list[str]) -> list[dict[str, float]]:
    """What the model itself says at each place of a text given in pieces."""
    model = one.model
    ids = [model.tokenizer.token_to_id(piece) for piece in ("[CLS]", *pieces, "[SEP]")]
    with torch.no_grad():
        probabilities = model.network(torch.tensor([ids])).logits[0].softmax(-1)[1:-1]
    return [dict(zip(one.pieces.entries, row)) for row in probabilities.tolist()]


def test_masks_in_a_row_are_one_word_and_all_else_parts_words():
    read = gaps.read("使[MASK][MASK] [MASK][WORD]。", 3, "text")
    assert read.parts == ["使", " ", "", "。"]
    assert read.gaps == [
        gaps.Gap(range(2, 3), punctuation=False),
        gaps.Gap(range(1, 2), punctuation=True),
        gaps.Gap(range(1, 4), punctuation=False),
    ]
    assert read.filled(("用语", "言", "模型")) == "使用语 言模型。"


def test_a_single_mask_has_the_probabilities_of_transformers(folder):
    text = "使用语言模型来[MASK]测。"
    peer = pipeline("fill-mask", model=str(folder), top_k=len(CHARACTERS) + len(vocabulary.SPECIAL))
    theirs = {(one["token_str"],): one["score"] for one in peer(text) if one["token_str"] in CHARACTERS}
    ours = filled(filler(folder, 20), text, 20)
    assert list(ours) == list(theirs) and len(ours) == len(CHARACTERS)
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_a_beam_of_all_fillings_is_the_enumeration_and_adds_up_to_one(folder):
    one = filler(folder, 400, silence=True)
    ours = filled(one, "使[MASK][MASK]来", 400)
    first, second = says(one, ["使", "[MASK]", "[MASK]", "来"])[1:3]
    after = {a: says(one, ["使", a, "[MASK]", "来"])[2] for a in CHARACTERS}
    mean = {b: sum(first[a] * after[a][b] for a in CHARACTERS) for b in CHARACTERS}
    expected = {a + b: first[a] * after[a][b] * second[b] / mean[b] for a, b in product(CHARACTERS, repeat=2)}
    assert {words[0]: p for words, p in ours.items()} == pytest.approx(expected, rel=1e-4)
    assert sum(ours.values()) == pytest.approx(1, abs=1e-5)


def test_over_a_beam_of_all_fillings_the_last_place_has_what_the_model_says_of_it_in_the_gap(folder):
    one = filler(folder, 2000, silence=True)
    ours = filled(one, "使[MASK][MASK][MASK]来", 2000)
    assert len(ours) == len(CHARACTERS) ** 3
    last = {b: sum(p for (word,), p in ours.items() if word[2] == b) for b in CHARACTERS}
    said = says(one, ["使", "[MASK]", "[MASK]", "[MASK]", "来"])[3]
    assert last == pytest.approx({b: said[b] for b in CHARACTERS}, rel=1e-4)


def test_a_narrow_beam_finds_the_best_of_the_enumeration_here(folder):
    text = "使[MASK][MASK]来"
    assert next(iter(filled(filler(folder, 5), text))) == next(iter(filled(filler(folder, 400), text)))


def test_gaps_of_unknown_length_share_one_probability_between_their_lengths(folder):
    one = filler(folder, 400, silence=True)
    both = filled(one, "使[WORD]来", 400, longest=2)
    given = {n: filled(one, f"使{'[MASK]' * n}来", 400) for n in (1, 2)}
    assert sum(both.values()) == pytest.approx(1, abs=1e-5)
    beside = {
        n: [says(one, pieces) for pieces in (["[MASK]"] * (n + 1) + ["来"], ["使"] + ["[MASK]"] * (n + 1))]
        for n in given
    }
    weight = {n: left[0]["使"] * right[-1]["来"] for n, (left, right) in beside.items()}
    for n, words in given.items():
        share = weight[n] / sum(weight.values())
        assert {word: both[word] for word in words} == pytest.approx({w: share * p for w, p in words.items()}, rel=1e-4)


def test_words_are_guessed_together_where_pieces_alone_would_mix_them(folder, tmp_path):
    """Three texts have 语言, two 模型 and two 预型: alone, 语 and 型 are the likeliest."""
    bert = toy.model(None, CHARACTERS)
    tokenizer = tokenization.load(folder)
    texts = ["使用语言来"] * 3 + ["使用模型来"] * 2 + ["使用预型来"] * 2
    labels = torch.tensor([encoding.ids for encoding in tokenizer.encode_batch(texts)])
    mask = tokenizer.token_to_id("[MASK]")
    optimizer = torch.optim.Adam(bert.parameters(), lr=5e-3)
    for step in range(180):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / 180)
        masked = torch.zeros_like(labels, dtype=torch.bool)
        masked[:, [[3, 4], [3], [4]][step % 3]] = True
        logits = bert(labels.masked_fill(masked, mask)).prediction_logits
        loss = torch.nn.functional.cross_entropy(logits[masked], labels[masked])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    bert.save_pretrained(tmp_path / "trained")
    shutil.copy(folder / "tokenizer.json", tmp_path / "trained")
    one = filler(tmp_path / "trained", 8)
    alone = [max(said, key=said.get) for said in says(one, ["使", "用", "[MASK]", "[MASK]", "来"])[2:4]]
    assert alone == ["语", "型"]
    found = filled(one, "使用[MASK][MASK]来", 3)
    assert list(found)[0] == ("语言",) and set(found) == {("语言",), ("模型",), ("预型",)}
    assert found["语言",] == pytest.approx(3 / 7, abs=0.05)
    assert next(iter(filled(one, "使用[WORD]来"))) == ("语言",)


def test_several_gaps_are_filled_together(folder):
    one = filler(folder, 400, silence=True)
    ours = filled(one, "[MASK]用[MASK]", 400)
    assert len(ours) == len(CHARACTERS) ** 2 and all(len(words) == 2 for words in ours)
    assert sum(ours.values()) == pytest.approx(1, abs=1e-5)
    (best, *_) = one.fill([gaps.read("[MASK]用[MASK]", 4, "text")], 1)[0]
    assert best.text == f"{best.words[0]}用{best.words[1]}"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Pieces of a vocabulary that has more in it than Chinese characters."""
    entries = ["pro", "##b", "##的", "[unused1]", "<S>", "Pro", "的", "词", "，", "2", "##2", "℃", "##℃", "##，"]
    folder = with_entries(tmp_path_factory.mktemp("mixed"), *entries)
    tokenizer = tokenization.load(folder)
    return gaps.Pieces(tokenizer, tokenizer.get_vocab_size() + 3)


@pytest.mark.parametrize(
    ("after", "before", "punctuation", "expected"),
    [
        (False, False, True, "pro 的 词 ， 2 ℃"),  # one piece of any kind
        (False, False, False, "pro 的 词 2 ℃"),  # punctuation is no part of a word
        (True, False, False, "##b 的 词 ##2 ##℃"),  # after letters: their word goes on, or another script begins
        (False, True, False, "的 词"),  # before letters, which would be of the same word
        (True, True, True, "的 词 ，"),
    ],
)
def test_only_what_the_tokenizer_could_cut_out_there_is_offered(mixed, after, before, punctuation, expected):
    place = gaps.Place(after, before, punctuation)
    assert [mixed.entries[i] for i in mixed.fitting[*map(int, place)].nonzero()[0]] == expected.split()


def test_what_touches_a_gap_decides_and_white_space_does_not(mixed):
    def places(text):
        (layout,) = gaps.layouts(gaps.read(text, 1, "text"), mixed, 40)
        return layout.places

    place = gaps.Place
    assert places("pro[MASK][MASK]的") == [place(True, False, False), place(None, False, False)]
    assert places("pro [MASK]2") == [place(False, True, True)]
    assert places("的[MASK] 2") == places("，[MASK]") == places("[MASK]") == [place(False, False, True)]
    assert places("[MASK][WORD]") == [place(False, False, True), place(None, False, False)]


def test_latin_words_go_on_with_their_pieces_and_chinese_ones_never(tmp_path):
    one = filler(with_entries(tmp_path, "pro", "##b", "##le", "的", "词", "##的"), 60)
    words = {word for (word,) in filled(one, "的[MASK][MASK]", 60)}
    assert words == {"prob", "prole", "pro的", "pro词", "的pro", "词pro", "的的", "的词", "词的", "词词"}
    assert {word for (word,) in filled(one, "pro[MASK]", 60)} == {"b", "le", "的", "词"}


def test_special_tokens_are_never_offered_however_much_the_model_likes_them(folder):
    one = filler(folder, 10)
    with torch.no_grad():
        one.model.network.get_output_embeddings().bias[: len(vocabulary.SPECIAL)] = 5
    found = filled(one, "使[MASK]语", 20)
    assert {word for (word,) in found} == set(CHARACTERS) and sum(found.values()) < 0.5


def test_texts_of_many_lengths_are_filled_as_each_is_alone(folder, monkeypatch):
    texts = [
        "使[MASK]",
        "使用语言[MASK][MASK]来预测。",
        "[WORD]语言",
        "来[MASK]使用[MASK][MASK]",
        "使用语言模型[WORD]",
    ] * 8
    one = filler(folder, 6)
    alone = [filled(one, text) for text in texts]
    monkeypatch.setattr(masked_lm, "TOKENS", 100)
    gapped = (gaps.read(text, 4, "text") for text in texts)
    together = [{f.words: f.probability for f in found} for _, found in fill.all_filled(one, gapped, 5)]
    for ours, theirs in zip(together, alone, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_texts_are_read_as_they_are_needed(folder):
    seen = []
    texts = (seen.append(i) or gaps.read("使[MASK]", 4, "text") for i in range(10 * fill.TEXTS))
    next(fill.all_filled(filler(folder, 6), texts, 5))
    assert len(seen) == fill.TEXTS


SMALL = {"vocab_size": 14, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}


@pytest.mark.parametrize(
    ("config", "kind"),
    [(AlbertConfig(**SMALL, embedding_size=4), AlbertForMaskedLM), (ElectraConfig(**SMALL), ElectraForMaskedLM)],
    ids=["albert", "electra"],
)
def test_models_of_other_kinds_say_what_they_say_at_every_position(folder, tmp_path, config, kind):
    network = kind(config)
    network.save_pretrained(tmp_path / "other")
    shutil.copy(folder / "tokenizer.json", tmp_path / "other")
    model = masked_lm.load(tmp_path / "other", CPU)
    ids, asked = torch.tensor([[2, 5, 4, 4, 3], [2, 4, 7, 3, 0]]), torch.tensor([[2, 3], [1, 2]])
    (said,) = model.log_probs(ids, torch.tensor([5, 4]), asked)
    with torch.no_grad():
        for row, used in enumerate((5, 4)):
            full = network.eval()(ids[row : row + 1, :used]).logits[0].log_softmax(-1)
            torch.testing.assert_close(said[row], full[asked[row]])


def broken(folder: Path, how: str) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    match how:
        case "folder":
            shutil.rmtree(folder)
        case "weights":
            (folder / "model.safetensors").unlink()
        case "tokenizer":
            (folder / "tokenizer.json").unlink()
        case "cut":
            text = (folder / "tokenizer.json").read_text(encoding="utf-8")
            (folder / "tokenizer.json").write_text(text[: len(text) // 2], encoding="utf-8")
        case "classifier":
            BertForSequenceClassification.from_pretrained(folder).save_pretrained(folder)
        case "head":
            BertModel.from_pretrained(folder).save_pretrained(folder)
            changed = json.loads((folder / "config.json").read_text(encoding="utf-8")) | {"architectures": None}
            (folder / "config.json").write_text(json.dumps(changed), encoding="utf-8")
        case "kind":
            GPT2Config().save_pretrained(folder)
        case "vocabulary":
            config["vocab_size"] -= 1
            BertForMaskedLM(toy.BertConfig(**config)).save_pretrained(folder)
        case "marks":
            text = (folder / "tokenizer.json").read_text(encoding="utf-8")
            (folder / "tokenizer.json").write_text(text.replace("[MASK]", "<mask>"), encoding="utf-8")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("folder", "bert is not there or is no model; `make demo` makes"),
        ("weights", "bert has no weights; copy model.safetensors there"),
        ("tokenizer", "tokenizer.json is not there"),
        ("cut", r"tokenizer.json cannot be read as a tokenizer \(.*; copy it again from where it comes"),
        (
            "classifier",
            "is a BertForSequenceClassification, fine-tuned, and has no MLM head; name the model that it was",
        ),
        ("head", "bert has no trained MLM head: cls.predictions.bias, "),
        ("kind", "bert is of type 'gpt2', which has no MLM head"),
        (
            "vocabulary",
            "config.json: 13 rows of embeddings, .* and a vocabulary of 14 entries; take all from",
        ),
        ("marks", "tokenizer.json has no \\[MASK\\] and is not BERT's"),
    ],
)
def test_a_folder_that_cannot_fill_is_told_apart(folder, how, said):
    broken(folder, how)
    with pytest.raises(UserError, match=said):
        masked_lm.load(folder, CPU)


def wwm_fill(*arguments: object, given: str = ""):
    done = CliRunner().invoke(cli.commands, ["fill", *map(str, arguments)], input=given)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["没有空"], "", "'没有空' has no gap; put \\[MASK\\]"),
        (["使[MASK]", "--beam", "4"], "", "--beam 4 keeps fewer fillings than --top-k 5 prints; give --beam 5"),
        (["使[MASK]" + "用" * 40], "", "has up to 44 pieces with \\[CLS\\] and \\[SEP\\], and the model 40 positions"),
        (
            ["[WORD]" * 5],
            "",
            "has 1,024 choices of lengths, more than 256; give some of its \\[WORD\\]s as \\[MASK\\]s",
        ),
        (["-"], "", "standard input is empty; give it a text a line"),
        (["-"], "使[MASK]\n\n没有空\n", "standard input, line 3 has no gap"),
    ],
)
def test_what_is_wrong_with_a_text_is_one_line_with_a_remedy(folder, arguments, given, said):
    with pytest.raises(UserError, match=said):
        wwm_fill(folder, *arguments, given=given)


def test_what_nobody_says_is_the_same_in_the_command_the_server_and_the_playground():
    parameters = inspect.signature(cli.fill).parameters
    assert [parameters[name].default for name in ("beam", "longest", "top_k")] == [
        gaps.BEAM,
        gaps.LONGEST,
        gaps.FILLINGS,
    ]


def test_a_table_has_rank_probability_and_word(folder):
    head, title, *rows = wwm_fill(folder, "使用[MASK]言", "--top-k", 3).splitlines()
    assert head == "使用[MASK]言" and title.split() == ["rank", "probability", "word"]
    expected = filled(filler(folder, 32), head, 3)
    assert [row.split() for row in rows] == [
        [str(rank), f"{100 * p:.3f}%", word] for rank, ((word,), p) in enumerate(expected.items(), 1)
    ]


def test_with_several_gaps_the_filled_texts_stand_in_one_column(tmp_path):
    with_entries(tmp_path, "pro", "的", "词")
    _, title, *rows = wwm_fill(tmp_path, "的[MASK]词[MASK]", "--top-k", 9, "--beam", 9).splitlines()
    assert title.split() == ["rank", "probability", "words", "text"] and len(rows) == 9
    assert len(
        {fill.columns(row[: row.rindex("的" if row.endswith("的") is False else row.split()[-1])]) for row in rows}
    )
    starts = {fill.columns(row[: len(row) - len(row.split()[-1])]) for row in rows}
    assert starts == {fill.columns(title[: title.index("text")])}


def test_lines_of_standard_input_give_a_json_object_each(folder):
    said = wwm_fill(folder, "-", "--json", "--top-k", 2, given="\ufeff使[MASK]\n\n用[MASK][MASK]言\r\n")
    first, second = map(json.loads, said.splitlines())
    assert (first["text"], second["text"]) == ("使[MASK]", "用[MASK][MASK]言")
    expected = filled(filler(folder, 32), "用[MASK][MASK]言", 2)
    assert [tuple(one["words"]) for one in second["fillings"]] == list(expected)
    assert [one["probability"] for one in second["fillings"]] == pytest.approx(list(expected.values()), rel=1e-5)
    assert all(
        one["text"] == f"用{one['words'][0]}言" and not math.isnan(one["probability"]) for one in second["fillings"]
    )


def test_a_gap_that_no_word_fits_is_said_to_have_none(tmp_path):
    with_entries(tmp_path, "pro", "词")
    assert wwm_fill(tmp_path, "pro[MASK]pro").splitlines()[-1].split()[-1] == "词"


def test_standard_input_that_is_closed_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UserError, match="standard input is closed; name a file or a text"):
        cli.fill(Path("model"), "-", 5, 32, 4, False)
