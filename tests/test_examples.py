"""Examples as google-research/bert makes them; a piece's id tells its document and sentence here."""

import numpy as np
import pytest

from wwm.masks.examples import full_sentences, sentence_pairs, write
from wwm.masks.masking import Masking, mask_examples

CLS, SEP, MASK = 1, 2, 3


def shard(documents: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """(sentence_ends, document_ends) of documents given as sentence lengths."""
    return np.cumsum([length for document in documents for length in document]), np.cumsum(
        [len(document) for document in documents]
    )


def document_of(piece: int, sentence_ends, document_ends) -> int:
    return int(np.searchsorted(document_ends, np.searchsorted(sentence_ends, piece, side="right"), side="right"))


def pairs(documents, length=32, short=0.0, seed=0, copies=1):
    """`copies` of each text follow each other among the documents."""
    ends = shard(documents)
    text_ends = np.arange(copies, len(documents) + 1, copies)
    return sentence_pairs(*ends, text_ends, length, short, np.random.default_rng(seed)), ends


def test_chunk_of_one_sentence_always_takes_a_random_next():
    rows, _ = pairs([[10]] * 50)
    assert len(rows) == 50 and rows[:, 4].all()


def test_other_chunks_take_a_random_next_half_of_the_time():
    rows, _ = pairs([[40, 40]] * 4000, length=512)
    n = 4000
    # Each document is one chunk of two sentences; a random next puts the second back as a chunk of its own.
    first = rows[rows[:, 1] - rows[:, 0] > 0]
    starts_document = first[first[:, 0] % 80 == 0]
    assert abs(starts_document[:, 4].mean() - 0.5) < 5 * (0.25 / n) ** 0.5


def test_random_next_comes_from_another_document_and_the_real_one_follows_directly():
    rows, ends = pairs([[5, 6, 7, 8], [9, 4, 3], [12, 2]] * 30, seed=3)
    for a_start, a_end, b_start, b_end, random in rows:
        assert a_start < a_end and b_start < b_end
        if random:
            assert document_of(a_start, *ends) != document_of(b_start, *ends)
        else:
            assert document_of(a_start, *ends) == document_of(b_end - 1, *ends) and a_end <= b_start


def test_random_next_is_never_a_copy_of_the_same_text():
    found = set()
    for seed in range(60):
        rows, ends = pairs([[7, 5]] * 9, seed=seed, copies=3)
        found |= {(document_of(row[0], *ends), document_of(row[2], *ends)) for row in rows if row[4]}
    assert found == {(i, j) for i in range(9) for j in range(9) if i // 3 != j // 3}


def test_unused_sentences_are_put_back_so_that_every_sentence_is_some_first_or_second_segment():
    rows, ends = pairs([[5, 6, 7], [8, 9, 5]], length=128, seed=1)
    covered = {
        piece for row in rows for start, end in ((row[0], row[1]), (row[2], row[3])) for piece in range(start, end)
    }
    assert covered == set(range(40))


def test_pairs_never_exceed_the_length_and_are_cut_at_both_ends():
    rows, ends = pairs([[60, 70], [80, 90]] * 50, length=64, seed=2)
    assert ((rows[:, 1] - rows[:, 0]) + (rows[:, 3] - rows[:, 2]) == 61).all()
    boundaries = np.concatenate(([0], ends[0]))
    assert not np.isin(rows[:, 0], boundaries).any() and not np.isin(rows[:, 1], boundaries).any()


def test_full_sentences_never_cross_a_document_and_lose_no_piece():
    documents = [[5, 6, 7], [100], [30, 3]]
    ends = shard(documents)
    rows = full_sentences(*ends, 32, 0.0, np.random.default_rng(0))
    assert [(int(a), int(b)) for a, b, *_ in rows] == [
        (0, 18),
        (18, 48),
        (48, 78),
        (78, 108),
        (108, 118),
        (118, 148),
        (148, 151),
    ]


def test_sentence_that_fits_is_never_cut_even_for_a_short_example():
    ends = shard([[12, 9, 15, 30, 3]] * 200)
    rows = full_sentences(*ends, 32, 0.5, np.random.default_rng(0))
    boundaries = np.concatenate(([0], ends[0]))
    assert np.isin(rows[:, :2], boundaries).all()
    assert (rows[:, 1] - rows[:, 0] == 12).any()  # short: the next sentence would have fitted


def test_short_examples_are_as_frequent_as_asked():
    ends = shard([[1] * 200_000])
    rows = full_sentences(*ends, 34, 0.3, np.random.default_rng(0))
    lengths = (rows[:, 1] - rows[:, 0])[:-1]
    # A short target is uniform over 2..32, so 1 in 31 of them is full.
    expected = 1 - 0.3 * 30 / 31
    assert abs((lengths == 32).mean() - expected) < 5 * (expected * (1 - expected) / len(lengths)) ** 0.5


@pytest.fixture
def written():
    rng = np.random.default_rng(7)
    ends = shard([[11, 9, 14], [20, 8], [6, 7, 30]] * 20)
    pieces = np.arange(10, 10 + ends[0][-1]).astype(np.uint16)
    begins = np.zeros(len(pieces), bool)
    begins[::2] = True
    rows = sentence_pairs(*ends, np.arange(1, 61), 32, 0.1, rng)
    ids, types, unit_begins, offsets = write(rows, pieces, begins, CLS, SEP)
    masks = mask_examples(
        ids, unit_begins, offsets, Masking(CLS, SEP, MASK, np.arange(10), 0.15, 20, np.array([1.0]), 0.8, 0.1), rng
    )
    return rows, pieces, begins, (ids, types, offsets, *masks)


def test_written_examples_restore_to_cls_a_sep_b_sep(written):
    rows, pieces, _, (ids, types, offsets, positions, labels, masked_offsets) = written
    for i, (a_start, a_end, b_start, b_end, _) in enumerate(rows):
        row = ids[offsets[i] : offsets[i + 1]].copy()
        masked = slice(masked_offsets[i], masked_offsets[i + 1])
        row[positions[masked]] = labels[masked]
        assert row.tolist() == [CLS, *pieces[a_start:a_end], SEP, *pieces[b_start:b_end], SEP]
        assert types[offsets[i] : offsets[i + 1]].tolist() == [0] * (a_end - a_start + 2) + [1] * (b_end - b_start + 1)


def test_special_tokens_are_never_chosen_and_words_are_masked_whole_even_where_cut(written):
    rows, pieces, begins, (ids, _, offsets, positions, labels, masked_offsets) = written
    for i, row in enumerate(rows):
        chosen = set(labels[masked_offsets[i] : masked_offsets[i + 1]].tolist())
        assert not chosen & {CLS, SEP}
        for start, end in ((row[0], row[1]), (row[2], row[3])):
            unit: list[int] = []
            for piece in range(start, end + 1):
                if piece == end or begins[piece]:
                    assert len(chosen & set(unit)) in (0, len(unit))
                    unit = []
                if piece < end:
                    unit.append(int(pieces[piece]))
