"""Words x WordPieces -> units, by the three rules that wwm/masks/align.py states."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwm.masks import align
from wwm.text.vocabulary import SPECIAL, build

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
    begins, _ = align.units(starts, ends, continuation, np.cumsum([len(word) for word in words]))
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
    begins, joined = align.units(np.array([0, 1, 3]), np.array([1, 3, 4]), np.zeros(3, bool), np.array([2, 4]))
    assert begins.tolist() == [True, False, False] and joined == 4


def test_nothing_is_joined_where_pieces_stop_at_word_ends():
    begins, joined = align.units(np.array([0, 1, 2]), np.array([1, 2, 3]), np.zeros(3, bool), np.array([2, 3]))
    assert begins.tolist() == [True, False, True] and joined == 0


def test_text_without_pieces_has_no_units():
    begins, joined = align.units(np.array([], np.int64), np.array([], np.int64), np.array([], bool), np.array([3]))
    assert not len(begins) and joined == 0


@st.composite
def pieces_and_words(draw):
    """Pieces whose offsets repeat, leave gaps and cover several characters, in order; words that partition the text."""
    n = draw(st.integers(1, 12))
    starts = np.sort(draw(st.lists(st.integers(0, 20), min_size=n, max_size=n)))
    ends = starts + draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    continuation = np.array([False, *draw(st.lists(st.booleans(), min_size=n - 1, max_size=n - 1))])
    words = draw(st.lists(st.integers(1, 5), min_size=1, max_size=12))
    words.append(max(1, int(ends.max()) + 1 - sum(words)))
    return starts, ends, continuation, np.cumsum(words)


@given(pieces_and_words())
def test_units_are_the_finest_grouping_that_the_three_rules_allow(case):
    starts, ends, continuation, word_ends = case
    begins, joined = align.units(*case)
    touched = [
        {w for w, (a, b) in enumerate(zip([0, *word_ends], word_ends)) if a < max(end, start + 1) and start < b}
        for start, end in zip(starts.tolist(), ends.tolist())
    ]
    # Pieces that share a word, and a continuation with its predecessor, are one; nothing else is.
    group = list(range(len(starts)))
    for i in range(len(starts)):
        for j in range(i):
            if touched[i] & touched[j] or (continuation[i] and j == i - 1):
                group = [group[j] if g == group[i] else g for g in group]
    assert begins.tolist() == [i == 0 or group[i] != group[i - 1] for i in range(len(starts))]
    lengths = np.diff([0, *word_ends])
    words = [set().union(*(touched[i] for i in range(len(starts)) if group[i] == g)) for g in set(group)]
    assert joined == sum(int(lengths[min(w) : max(w) + 1].sum()) for w in words if len(w) > 1)


@given(
    st.lists(
        st.text(st.sampled_from("使用语言模型T恤12９９ 　\u200c한é😀[MASK]a"), min_size=1, max_size=6),
        min_size=1,
        max_size=8,
    )
)
def test_every_piece_has_a_unit_and_no_word_is_in_two(words):
    encoding = TOKENIZER.encode("".join(words), add_special_tokens=False)
    starts, ends = np.array(encoding.offsets, np.int64).reshape(-1, 2).T
    word_ends = np.cumsum([len(word) for word in words])
    begins, _ = align.units(
        starts, ends, np.array([token.startswith("##") for token in encoding.tokens], bool), word_ends
    )
    assert len(begins) == len(encoding.ids) and (not len(begins) or begins[0])
    unit = np.cumsum(begins)
    for word_start, word_end in zip([0, *word_ends], word_ends):
        assert len(set(unit[(starts >= word_start) & (starts < word_end)])) <= 1
