"""The fast way to the pieces of much text gives what the tokenizer gives for each text by itself."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wwm.text import tokenization, vocabulary

VOCABULARY = [
    *vocabulary.SPECIAL,
    *"使用语言模型来预测的。，、“”!?.-'=a",
    "##a",
    "pro",
    "##ba",
    "##bility",
    "é",
    "e",
    "ok",
    "t",
    "iphone",
    "12",
    "##12",
    "１",
    "##９",
    "ᄒ",
    "##ᅡ",
    "##ᆫ",
    "ｋ",
]
# What changes its length or its neighbours on the way: combining, invisible, decomposing, wide, astral characters.
ODD = (
    "使用语a的é한가İßﬁ≠\u0301\u0338\u200c\u200d\u3000"
    " \t\n\u00a0\u0085\u2028\x00\ufffd\ufeff😀👨‍👩‍👧豈㍿１９ＴＫ繁體𠮷。，-'[MASK]12kＡ"
)
CASED = vocabulary.build(VOCABULARY, lower_case=False)
UNCASED = vocabulary.build(VOCABULARY, lower_case=True)


def one_by_one(tokenizer, texts: list[str]) -> list[tuple[int, int, int]]:
    begin, pieces = 0, []
    for text in texts:
        encoding = tokenizer.encode(text, add_special_tokens=False)
        pieces += [(i, begin + start, begin + end) for i, (start, end) in zip(encoding.ids, encoding.offsets)]
        begin += len(text)
    return pieces


@pytest.mark.parametrize("tokenizer", [CASED, UNCASED], ids=["cased", "uncased"])
@given(texts=st.lists(st.text() | st.text(st.sampled_from(ODD), max_size=30), max_size=6))
@example(texts=["probability", "probability", "", "\u0301", "a\u0301", "é", "e", "\u0301e"])
@example(texts=["a" * 101, "的" + "a" * 100 + "的"])
def test_ids_and_offsets_are_those_of_each_text_by_itself(tokenizer, texts):
    ids, starts, ends = tokenization.CorpusTokenizer(tokenizer).encode(texts)
    assert list(zip(ids.tolist(), starts.tolist(), ends.tolist())) == one_by_one(tokenizer, texts)


def test_what_was_seen_before_changes_nothing():
    remembering = tokenization.CorpusTokenizer(UNCASED)
    texts = ["使用iPhone12。", "１９的ＯＫ", "使用iPhone12。"]
    for _ in range(2):
        for text in texts:
            assert [i for i, *_ in one_by_one(UNCASED, [text])] == remembering.encode([text])[0].tolist()


@given(st.text(st.sampled_from(ODD), max_size=40))
def test_ids_are_those_of_transformers_bert_tokenizer(text):
    theirs = transformers_tokenizer()(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert np.array_equal(tokenization.CorpusTokenizer(UNCASED).encode([text])[0], theirs)


def transformers_tokenizer(found=[]):  # noqa: B006 one for all examples: it takes seconds to import
    if not found:
        import tempfile
        from pathlib import Path

        from transformers import BertTokenizer

        with tempfile.TemporaryDirectory() as folder:
            vocabulary.save(UNCASED, VOCABULARY, True, Path(folder))
            found.append(BertTokenizer.from_pretrained(folder))
    return found[0]
