"""Segmented documents -> shards, by the stage itself."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wwm import mask, segment, vocab

ENGLISH = ["The unbelievable probability of rain.", "Masking whole words is harder.", "An unbelievable winter, she said.", "Whole probability again."]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """presets/tiny.yaml, and a vocabulary in which long words are several pieces."""
    text = Path("presets/tiny.yaml").read_text(encoding="utf-8")
    monkeypatch.setenv("RANK", "1")  # other ranks than 0 track nothing
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(text, encoding="utf-8")
    characters = sorted({character for line in ENGLISH for character in line.lower() if character != " "})
    tokens = [*vocab.SPECIAL, *characters, *(f"##{character}" for character in characters), "##ba", "##bility", "pro", "the"]
    Path("data/vocab").mkdir(parents=True)
    vocab.save(vocab.build(tokens, True), tokens, True, Path("data/vocab"))
    return tokens


def write_segments(texts: list[str], backend: str) -> None:
    """data/segment as the stage writes it, each text a document."""
    sentence_ends, word_ends = segment.segment_texts(texts, None, 10)
    columns = {"id": texts, "source": ["news"] * len(texts), "text": texts, "sentence_ends": sentence_ends, "word_ends": word_ends}
    table = pa.table({key: pa.array([list(v) if isinstance(v, np.ndarray) else v for v in values]) for key, values in columns.items()})
    for part in ("train", "heldout"):
        Path("data/segment", part).mkdir(parents=True)
        pq.write_table(table.replace_schema_metadata({"backend": backend}), f"data/segment/{part}/00000.parquet")


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
    write_segments(ENGLISH * 10, "ltp")  # every letter a word of its own
    with pytest.raises(ValueError, match="mask.joined_share_limit is"):
        mask.main("whole-word")
    assert not Path("data/mask/whole-word").exists()
