"""The tokenizer: trained or read, the same in tokenizers and in transformers, and literal special tokens are text."""

import tarfile
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase

import pytest

from wwm import vocab
from wwm.common.errors import UserError
from wwm.text import tokenization, vocabulary

TASKS = Path(__file__).parents[2] / "shared/data/tasks.tar.xz"

LINES = [
    "使用语言模型来预测下一个词的概率。",
    "１９９８年的iPhone和internet, internet的词。",
    "一个模型，一个词。iPhone 12 和 iPhone 13",
] * 3


def trained(size: int) -> list[str]:
    return vocab.train(vocabulary.build(vocabulary.SPECIAL, True), lambda: LINES, size, 1)


@pytest.fixture
def folder(tmp_path):
    tokens = trained(120)
    vocabulary.save(vocabulary.build(tokens, True), tokens, True, tmp_path)
    return tmp_path


def test_training_twice_gives_the_same_entries_in_the_same_order():
    assert trained(120) == trained(120)


def test_trained_vocabulary_has_the_special_tokens_first_and_splits_chinese_characters(folder):
    tokens = vocabulary.read_vocab(folder / "vocab.txt")
    assert tokens[:5] == vocabulary.SPECIAL
    assert tokenization.load(folder).encode("使用语言", add_special_tokens=False).tokens == ["使", "用", "语", "言"]


def test_transformers_bert_tokenizer_gives_the_same_ids(folder):
    from transformers import BertTokenizer

    text = "使用iPhone１９９８年internet, 词😀 É [MASK]的[SEP]"
    theirs = BertTokenizer.from_pretrained(folder)(text, add_special_tokens=False, split_special_tokens=True)[
        "input_ids"
    ]
    assert tokenization.load(folder).encode(text, add_special_tokens=False).ids == theirs


@pytest.mark.skipif(not TASKS.is_file(), reason="the vocabulary of BERT-base Chinese is not at hand")
def test_pieces_of_the_papers_example_are_those_of_the_released_vocabulary(tmp_path):
    with tarfile.open(TASKS) as archive:
        (tmp_path / "vocab.txt").write_bytes(archive.extractfile("vocab.txt").read())
    tokens, lower_case, mapped = vocab.load(str(tmp_path / "vocab.txt"))
    assert len(tokens) == 21128 and [tokens.index(token) for token in vocabulary.SPECIAL] == [0, 100, 101, 102, 103]
    pieces = (
        vocabulary.build(tokens, lower_case, mapped)
        .encode("使用语言模型来预测下一个词的probability。", add_special_tokens=False)
        .tokens
    )
    assert pieces == "使 用 语 言 模 型 来 预 测 下 一 个 词 的 pro ##ba ##bility 。".split()


def test_literal_mask_in_text_is_text(folder):
    tokenizer = tokenization.load(folder)
    assert tokenizer.token_to_id("[MASK]") not in tokenizer.encode("使[MASK]用").ids


def test_vocabulary_without_mask_is_named(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n的\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"vocab.txt: \[MASK\] missing"):
        vocabulary.read_vocab(path)


def test_text_is_lower_cased_where_the_vocabulary_has_no_capitals_whatever_its_folder_says(tmp_path):
    # bert-base-chinese: `do_lower_case: false`, and <S> and <T> for all its capitals.
    entries = [*vocabulary.SPECIAL, "<S>", "<T>", "t", "恤"]
    (tmp_path / "vocab.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert vocab.load(str(tmp_path)) == (entries, True, {})
    assert vocab.load(str(tmp_path / "vocab.txt")) == (entries, True, {})


@pytest.mark.parametrize(
    "text", ["[]", '"maybe"', "7", '{"do_lower_case": "maybe"}', '{"map_characters": [1]}', '{"do_', "", "[" * 200_000]
)
def test_tokenizer_config_that_says_nothing_clear_is_named(tmp_path, text):
    (tmp_path / "vocab.txt").write_text("\n".join([*vocabulary.SPECIAL, "T", "t"]) + "\n", encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="tokenizer_config.json") as error:
        vocab.load(str(tmp_path))
    assert "\n" not in str(error.value)


def test_text_keeps_its_case_where_the_vocabulary_has_capitals(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*vocabulary.SPECIAL, "T", "t"]) + "\n", encoding="utf-8")
    assert not vocab.load(str(tmp_path))[1] and not vocab.load(str(tmp_path / "vocab.txt"))[1]
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    assert vocab.load(str(tmp_path))[1]


@pytest.mark.parametrize(
    ("entries", "lower_case"),
    [
        (["iPhone"], True),
        (["CT", "GDP", "II"], True),
        (["Ⅱ", "Ａ", "Ω"], True),
        (["A", "B", "##C", "T恤"], True),
        (list(ascii_uppercase[:13]), True),
        (list(ascii_uppercase[:14]), False),
        (list(ascii_uppercase), False),
        ([*ascii_uppercase, "iPhone", "##ing"], False),
    ],
)
def test_a_few_entries_with_capitals_make_no_cased_vocabulary(tmp_path, entries, lower_case):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*vocabulary.SPECIAL, *ascii_lowercase, "的", *entries]), encoding="utf-8")
    assert vocab.load(str(path))[1] is lower_case
    assert vocab.load(str(path), lower_case=not lower_case)[1] is not lower_case
    told = vocab.casing(*vocab.load(str(path))[:2])
    assert ("never found" in told) == lower_case == ("lower-cased" in told)


PROSE = "“你好，”他说——‘真的…’"
MAP = {"“": '"', "”": '"', "‘": "'", "’": "'", "—": "-", "…": "..."}
ENTRIES = [*vocabulary.SPECIAL, *"你好他说真的，-.'\""]


@pytest.fixture
def mapped(tmp_path):
    vocabulary.save(vocabulary.build(ENTRIES, True, MAP), ENTRIES, True, tmp_path, MAP)
    return tmp_path


def test_mapped_punctuation_is_read_alike_by_every_stage_and_by_transformers(mapped):
    from transformers import AutoTokenizer

    expected = ['"', "你", "好", "，", '"', "他", "说", "-", "-", "'", "真", "的", ".", ".", ".", "'"]
    ours = tokenization.load(mapped)
    encoding = ours.encode(PROSE, add_special_tokens=False)
    assert encoding.tokens == expected
    # an answer or a word is cut out of the text as it is
    assert [PROSE[a:b] for a, b in encoding.offsets][:2] == ["“", "你"] and encoding.offsets[-4:-1] == [(12, 13)] * 3
    ids, starts, ends = tokenization.CorpusTokenizer(ours).encode([PROSE])
    assert ids.tolist() == encoding.ids and list(zip(starts.tolist(), ends.tolist())) == encoding.offsets
    assert AutoTokenizer.from_pretrained(mapped).tokenize(PROSE) == expected


def test_a_folder_that_was_made_with_mapped_characters_keeps_them(mapped):
    assert vocab.load(str(mapped)) == (ENTRIES, True, MAP)
    assert vocab.load(str(mapped), mapped={}) == (ENTRIES, True, {})


@pytest.mark.parametrize(
    "mapped", [{"～": "~"}, {"…": "—", "—": "～"}, {"α": "[UNK]"}, {"β": " "}, {"“": "”", "”": "'x"}]
)
def test_a_character_mapped_to_what_the_vocabulary_lacks_is_refused(mapped):
    with pytest.raises(UserError, match="vocab.map_characters: . is mapped to .*, which the vocabulary has not"):
        vocab.check_map(vocabulary.build(ENTRIES, True, mapped), mapped)


def test_unknown_letters_and_unknown_punctuation_are_counted_apart():
    tokenizer = vocabulary.build([*ENTRIES, "a", "##b", "1"], True)
    counts, unknown = vocab.unknown_shares(
        tokenizer, [*ENTRIES, "a", "##b", "1"], ["你好“龘”，ab1 ab Ⅱ 😀", "他说——龘"]
    )
    # 你 好 龘 ab1 a ##b Ⅱ 他 说 龘, and “ ” ， 😀 — —
    assert counts == {
        "heldout_pieces": 16,
        "unknown_share": pytest.approx(4 / 10),
        "unknown_punctuation_share": pytest.approx(5 / 6),
    }
    assert unknown == {"龘": 2, "—": 2, "ab1": 1, "Ⅱ": 1, "“": 1, "”": 1, "😀": 1}


def test_line_separators_are_entries_and_do_not_shift_ids(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes("\n".join([*vocabulary.SPECIAL, "\u2028", "\u0085", "的"]).encode() + b"\n")
    assert vocabulary.read_vocab(path).index("的") == 7


def test_repeated_entry_is_named_by_its_lines(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*vocabulary.SPECIAL, "的", "的"]), encoding="utf-8")
    with pytest.raises(UserError, match="line 7: '的' stands in line 6 too"):
        vocabulary.read_vocab(path)


def test_vocabulary_too_small_for_the_characters_is_named():
    with pytest.raises(UserError, match="vocab.vocab_size 20 is too small"):
        trained(20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"[PAD]": 0, "的": 1}', "this is JSON .*of a vocab.json"),
        ('{\n  "version": "1.0",\n}\n', "this is JSON"),
        ("的 120\n一 90\n", "SentencePiece with a number beside each entry"),
        ("<unk>\t0\n▁的\t-3.25\n的\t-1e-05\n", "SentencePiece with a number beside each entry"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a pointer of Git LFS .*git lfs pull"),
        ("的\n一\n", r"\[PAD\], .*missing"),
    ],
)
def test_another_kind_of_vocabulary_is_named(tmp_path, text, message):
    (tmp_path / "vocab.txt").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=f"vocab.txt: .*{message}"):
        vocabulary.read_vocab(tmp_path / "vocab.txt")
