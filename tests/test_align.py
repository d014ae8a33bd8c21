"""Words x WordPieces -> units (SPEC.md section 1)."""

import numpy as np
import pytest

from wwm import align
from wwm.vocab import SPECIAL, build

VOCAB = [
    *SPECIAL,
    *"使用语言模型来预测下一个词的。卡拉恤繁體字龍我",
    "pro",
    "##ba",
    "##bility",
    "ok",
    "t",
    "iphone",
    "##12",
    "19",
    "##99",
    "ᄒ",
    "##ᅡ",
    "##ᆫ",
    "１９",
    "##９９",
]
TOKENIZER = build(VOCAB, lower_case=True)


def units(words: list[str]) -> list[str]:
    """Units, as strings of pieces, of the text that `words` make up."""
    encoding = TOKENIZER.encode("".join(words), add_special_tokens=False)
    starts, ends = np.array(encoding.offsets).T
    continuation = np.array([token.startswith("##") for token in encoding.tokens])
    begins = align.units(starts, ends, continuation, np.cumsum([len(word) for word in words]))
    return ["".join(unit) for unit in np.split(np.array(encoding.tokens, object), np.flatnonzero(begins)[1:])]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["使用", "语言", "模型", "来", "预测", "下", "一个", "词", "的", "probability", "。"],
            ["使用", "语言", "模型", "来", "预测", "下", "一个", "词", "的", "pro##ba##bility", "。"],
        ),
        (["卡拉OK", "的"], ["卡拉ok", "的"]),
        (["T恤", "。"], ["t恤", "。"]),
        (["iPhone", "12", "。"], ["iphone##12", "。"]),
        (["繁體字", "的", "龍"], ["繁體字", "的", "龍"]),
        (["１９９９", "。"], ["１９##９９", "。"]),
        (["我 ", "用"], ["我", "用"]),
        (["한", "我"], ["ᄒ##ᅡ##ᆫ", "我"]),
        (["我", "😀😀", "用"], ["我", "[UNK]", "用"]),
    ],
)
def test_units_keep_words_together_and_continuation_pieces_with_their_predecessor(words, expected):
    assert units(words) == expected


def test_word_across_unknown_character_is_masked_whole():
    assert units(["使", "㍿语言", "的"]) == ["使", "[UNK]语言", "的"]


def test_piece_that_straddles_a_word_boundary_joins_both_words_and_is_counted():
    starts, ends = np.array([0, 1, 3]), np.array([1, 3, 4])
    word_ends = np.array([2, 4])
    begins = align.units(starts, ends, np.zeros(3, bool), word_ends)
    assert begins.tolist() == [True, False, False]
    assert align.joined_characters(begins, starts, ends, word_ends) == 4


def test_nothing_is_joined_where_pieces_stop_at_word_ends():
    starts, ends, word_ends = np.array([0, 1, 2]), np.array([1, 2, 3]), np.array([2, 3])
    begins = align.units(starts, ends, np.zeros(3, bool), word_ends)
    assert begins.tolist() == [True, False, True]
    assert align.joined_characters(begins, starts, ends, word_ends) == 0


def test_text_without_pieces_has_no_units():
    assert not len(align.units(np.array([]), np.array([]), np.array([], bool), np.array([3])))
