"""Segmented documents -> shards, by the stage itself."""

import json
from collections import Counter
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wwm import mask
from wwm.common import files
from wwm.common.errors import UserError
from wwm.masks import align
from wwm.text import boundaries, tokenization, vocabulary
from wwm.training import loader

ENGLISH = [
    "The unbelievable probability of rain.",
    "Masking whole words is harder.",
    "An unbelievable winter, she said.",
    "Whole probability again.",
]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """presets/tiny.yaml, and a vocabulary in which long words are several pieces."""
    text = Path("presets/tiny.yaml").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(text, encoding="utf-8")
    characters = sorted({character for line in ENGLISH for character in line.lower() if character != " "})
    tokens = [
        *vocabulary.SPECIAL,
        *characters,
        *(f"##{character}" for character in characters),
        "##ba",
        "##bility",
        "pro",
        "the",
    ]
    Path("data/vocab").mkdir(parents=True)
    vocabulary.save(vocabulary.build(tokens, True), tokens, True, Path("data/vocab"))
    return tokens


def write_segments(texts: list[str], segmenter: str) -> None:
    """data/segment as the stage writes it, each text a document."""
    sentence_ends, word_ends = boundaries.segment_texts(texts, None)
    columns = {
        "id": texts,
        "source": ["news"] * len(texts),
        "text": texts,
        "sentence_ends": sentence_ends,
        "word_ends": word_ends,
    }
    table = pa.table(
        {
            key: pa.array([list(v) if isinstance(v, np.ndarray) else v for v in values])
            for key, values in columns.items()
        }
    )
    for part in ("train", "heldout"):
        Path("data/segment", part).mkdir(parents=True)
        pq.write_table(table.replace_schema_metadata({"segmenter": segmenter}), f"data/segment/{part}/00000.parquet")


def test_english_without_a_segmenter_is_masked_by_whole_words_that_continuation_pieces_make(project):
    write_segments(ENGLISH * 10, "none")
    mask.main("whole-word")
    assert "joined_share" not in json.loads(Path("results/mask/whole-word.json").read_text())
    continuation = np.array([token.startswith("##") for token in project])
    several = 0
    for path in Path("data/mask/whole-word").rglob("*.arrow"):
        table = pa.ipc.open_file(str(path)).read_all().to_pydict()
        for ids, positions, labels in zip(table["input_ids"], table["masked_lm_positions"], table["masked_lm_ids"]):
            original = np.array(ids)
            original[positions] = labels
            begins = np.flatnonzero(~continuation[original])
            for start, end in zip(begins, [*begins[1:], len(ids)]):
                chosen = len(set(positions) & set(range(start, end)))
                assert chosen in (0, end - start)
                several += chosen > 1
    assert several


def test_pieces_that_fit_no_word_stop_the_stage_above_the_limit(project):
    write_segments(ENGLISH * 10, "a1b2")  # every letter a word of its own
    with pytest.raises(UserError, match="mask.joined_share_limit is"):
        mask.main("whole-word")
    assert not Path("data/mask/whole-word").exists()


def test_documents_of_one_sentence_stop_a_set_with_next_sentences(project):
    write_segments(ENGLISH * 10, "none")
    with pytest.raises(UserError, match=r"at max_seq_length 32 1.0000 of all next sentences are random ones.*_limit"):
        mask.main("wordpiece-nsp")
    assert not Path("data/mask/wordpiece-nsp").exists()


def test_copies_of_one_text_have_no_random_next(project):
    write_segments([" ".join(ENGLISH)] * 3, "none")
    with pytest.raises(UserError, match="random sentences from other documents, and a part of the corpus has only one"):
        mask.main("wordpiece-nsp")


def test_text_that_is_one_sentence_to_the_splitter_stops_a_set_that_loses_most_of_it(project):
    text = " ".join(ENGLISH * 30).replace(".", "")
    write_segments([f"{text} {number}" for number in range(3)], "none")
    path = Path("params.yaml")
    lenient = path.read_text(encoding="utf-8").replace("next_share_limit: 0.95", "next_share_limit: 1.0")
    path.write_text(lenient, encoding="utf-8")
    with pytest.raises(UserError, match=r"of all pieces are in no example.*mask.unused_share_limit 0.7"):
        mask.main("wordpiece-nsp")
    mask.main("whole-word")  # full sentences lose nothing
    assert json.loads(Path("results/mask/whole-word.json").read_text())["32"]["unused_share"] == 0


def test_pairs_without_their_loss_have_both_token_types_and_no_label(project):
    documents = [" ".join(ENGLISH[i % 4 :] + ENGLISH[: i % 4]) + f" {i}" for i in range(20)]
    write_segments(documents, "none")
    path = Path("params.yaml")
    without = "next_sentence_prediction: false"
    pairs = path.read_text(encoding="utf-8").replace(without, f"{without}\n      input: pairs")
    path.write_text(pairs, encoding="utf-8")
    mask.main("whole-word")
    rows = pa.ipc.open_file("data/mask/whole-word/32/train/00000.arrow").read_all().to_pylist()
    for row in rows:
        types, second = row["token_type_ids"], row["input_ids"].index(3) + 1  # behind the first [SEP]
        assert types == [0] * second + [1] * (len(types) - second) and types[-1] == 1
        assert row["next_sentence_label"] is None
    found = json.loads(Path("results/mask/whole-word.json").read_text())["32"]
    assert 0.3 < found["random_next_share"] < 0.9
    # The loss changes nothing but the label.
    path.write_text(pairs.replace(without, "next_sentence_prediction: true"), encoding="utf-8")
    mask.main("whole-word")
    labelled = pa.ipc.open_file("data/mask/whole-word/32/train/00000.arrow").read_all().to_pylist()
    assert {row.pop("next_sentence_label") for row in labelled} == {0, 1}
    assert [row | {"next_sentence_label": None} for row in labelled] == rows


def test_segments_have_no_next_sentence_to_predict(project):
    path = Path("params.yaml")
    both = path.read_text(encoding="utf-8").replace(
        "next_sentence_prediction: true", "next_sentence_prediction: true\n      input: segments"
    )
    path.write_text(both, encoding="utf-8")
    with pytest.raises(UserError, match="sets.wordpiece-nsp.*input segments has no next sentence to predict; set"):
        mask.main("wordpiece-nsp")


@pytest.mark.parametrize("masking", ["static", "dynamic"])
def test_words_too_long_to_be_masked_stop_the_stage(project, masking):
    text = Path("params.yaml").read_text(encoding="utf-8").replace("masking: static", f"masking: {masking}")
    Path("params.yaml").write_text(text, encoding="utf-8")
    # Each line one word, as a segmenter that learned from lines without spaces has it.
    write_segments(["probability " * 10] * 20, "none")
    for path in Path("data/segment").rglob("*.parquet"):
        table = pq.read_table(path)
        ends = pa.array([[len(text)] for text in table["text"].to_pylist()])
        pq.write_table(table.set_column(table.schema.get_field_index("word_ends"), "word_ends", ends), path)
    with pytest.raises(UserError, match="mask whole-word: of the pieces at max_seq_length 32 0.00% are masked, less"):
        mask.main("whole-word")
    assert not Path("data/mask/whole-word").exists()


def test_masked_share_of_dynamic_masks_is_that_of_static_ones(project):
    write_segments(ENGLISH * 50, "none")
    text = Path("params.yaml").read_text(encoding="utf-8")
    shares = []
    for masking in ("static", "dynamic"):
        Path("params.yaml").write_text(text.replace("masking: static", f"masking: {masking}"), encoding="utf-8")
        mask.main("whole-word")
        shares.append(json.loads(Path("results/mask/whole-word.json").read_text())["32"]["masked_share"])
    assert shares[0] == shares[1] > 0


def test_a_set_has_a_share_and_replacements_of_its_own(project):
    write_segments([f"{' '.join(ENGLISH)} {number}" for number in range(10)], "none")
    text = Path("params.yaml").read_text(encoding="utf-8")
    text = text.replace("max_predictions_per_seq: 5", "max_predictions_per_seq: 13")
    own = "unit: wordpiece\n      masked_lm_prob: 0.4\n      replacements: {mask: 1.0, same: 0.0, random: 0.0}"
    Path("params.yaml").write_text(text.replace("unit: wordpiece", own), encoding="utf-8")
    shares = {}
    for name in ("wordpiece-nsp", "whole-word"):
        mask.main(name)
        shares[name] = json.loads(Path(f"results/mask/{name}.json").read_text())["32"]["masked_share"]
        header = loader.header(pa.ipc.open_file(f"data/mask/{name}/32/train/00000.arrow"))
        assert header["masked_lm_prob"] == (0.4 if name == "wordpiece-nsp" else 0.15)
    assert shares["wordpiece-nsp"] > 0.35 > 0.2 > shares["whole-word"]
    rows = pa.ipc.open_file("data/mask/wordpiece-nsp/32/train/00000.arrow").read_all().to_pylist()
    assert {row["input_ids"][position] for row in rows for position in row["masked_lm_positions"]} == {4}


def test_header_names_the_vocabulary_the_segmenter_and_every_setting(project):
    write_segments(ENGLISH * 10, "none")
    mask.main("whole-word")
    header = loader.header(pa.ipc.open_file("data/mask/whole-word/32/train/00000.arrow"))
    assert (
        header["vocab"] == files.content_hash("data/vocab/vocab.txt")
        and header["segmenter"] == "none"
        and len(header["params"]) == 64
    )
    assert (header["set"], header["unit"], header["masking"], header["max_seq_length"], header["masked_lm_prob"]) == (
        "whole-word",
        "whole_word",
        "static",
        32,
        0.15,
    )


def test_dynamic_set_holds_text_and_units_and_no_masks(project):
    text = Path("params.yaml").read_text(encoding="utf-8")
    write_segments(ENGLISH * 10, "none")
    mask.main("whole-word")
    static = pa.ipc.open_file("data/mask/whole-word/32/train/00000.arrow").read_all().to_pylist()
    Path("params.yaml").write_text(text.replace("masking: static", "masking: dynamic"), encoding="utf-8")
    mask.main("whole-word")
    dynamic = pa.ipc.open_file("data/mask/whole-word/32/train/00000.arrow").read_all().to_pylist()
    for one, other in zip(static, dynamic, strict=True):
        for position, label in zip(one.pop("masked_lm_positions"), one.pop("masked_lm_ids")):
            one["input_ids"][position] = label
        assert one == other


@given(
    st.lists(
        st.text(st.sampled_from("the probablity 中文字　\u200cé😀[MASK][SEP]\n,"), max_size=20), min_size=1, max_size=5
    ),
    st.randoms(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pieces_of_a_shard_are_those_of_each_document_by_itself(project, texts, random):
    tokenizer = tokenization.load("data/vocab")
    table = {"id": texts, "text": texts, "word_ends": [], "sentence_ends": []}
    for text in texts:
        for column in ("word_ends", "sentence_ends"):
            table[column].append(
                [end for end in range(1, len(text)) if random.random() < 0.4] + ([len(text)] if text else [])
            )
    table = pa.table(
        {
            key: pa.array(values, pa.list_(pa.int32()) if key.endswith("ends") else pa.string())
            for key, values in table.items()
        }
    )
    alone = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    if not any(len(encoding) for encoding in alone):
        return
    pieces = mask.tokenize(table, tokenization.CorpusTokenizer(tokenizer), project, "whole_word")
    assert pieces.ids.tolist() == [i for encoding in alone for i in encoding.ids]
    begins, sentences = [], []
    for encoding, words, ends in zip(alone, table["word_ends"].to_pylist(), table["sentence_ends"].to_pylist()):
        if len(encoding):
            starts, stops = np.array(encoding.offsets, np.int64).T
            continuation = np.array([token.startswith("##") for token in encoding.tokens])
            begins += align.units(starts, stops, continuation, np.array(words))[0].tolist()
            sentences.append(sorted(Counter(np.searchsorted(ends, starts, side="right").tolist()).items()))
    assert pieces.unit_begins.tolist() == begins
    assert np.diff([0, *pieces.sentence_ends]).tolist() == [count for document in sentences for _, count in document]
    assert np.diff([0, *pieces.document_ends]).tolist() == [len(document) for document in sentences]
    copies = [len(list(group)) for _, group in groupby(text for text, own in zip(texts, alone) if len(own))]
    assert np.diff([0, *pieces.text_ends]).tolist() == copies
    assert pieces.characters == sum(map(len, texts))


def test_the_report_says_how_much_text_of_each_source_is_trained_on(project):
    write_segments(ENGLISH, "none")
    mask.main("whole-word")
    found = json.loads(Path("results/mask/whole-word.json").read_text())
    assert found["train_characters"] == {"news": sum(map(len, ENGLISH))}
