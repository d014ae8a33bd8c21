"""Which pieces are masked and what replaces them, by the rule of google-research/bert's create_pretraining_data.py."""

from collections import Counter

import numpy as np
import pytest

from wwm.masks.masking import Masking, choose_units, predictions, random_ids, replace

WORDS = np.array([1.0])  # no n-grams
MACBERT = np.array([0.4, 0.7, 0.9, 1.0])


def spans(sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    ends = np.cumsum(sizes).astype(np.int32)
    return (ends - sizes).astype(np.int32), ends


@pytest.mark.parametrize(
    ("length", "limit", "expected"),
    [
        (128, 20, 19),  # round(19.2)
        (512, 77, 77),  # round(76.8)
        (3, 20, 1),  # never none: max(1, round(0.45))
        (128, 10, 10),  # never over max_predictions_per_seq
        (10, 20, 2),  # Python rounds half to even: round(1.5) is 2 ...
        (30, 20, 4),  # ... and round(4.5) is 4
    ],
)
def test_number_of_predictions_is_the_references(length, limit, expected):
    assert predictions(length, 0.15, limit) == expected


def test_words_are_masked_whole_or_not_at_all():
    starts, ends = spans([1, 2, 3, 4, 5, 6, 7, 8])
    for seed in range(200):
        positions = set(choose_units(starts, ends, 9, WORDS, np.random.default_rng(seed)).tolist())
        for start, end in zip(starts, ends):
            assert len(positions & set(range(start, end))) in (0, end - start)


def test_word_that_would_go_past_the_budget_is_skipped_and_the_next_one_tried():
    starts, ends = spans([5, 1])
    assert all(choose_units(starts, ends, 4, WORDS, np.random.default_rng(seed)).tolist() == [5] for seed in range(20))


def test_budget_is_reached_exactly_when_single_characters_are_left():
    starts, ends = spans([3, 3, 1, 1, 1, 1])
    assert {len(choose_units(starts, ends, 4, WORDS, np.random.default_rng(seed))) for seed in range(100)} == {4}


def test_every_word_is_as_likely_as_any_other_of_its_length():
    starts, ends = spans([2] * 20)
    n = 20_000
    rng = np.random.default_rng(0)
    counts = np.zeros(20)
    for _ in range(n):
        counts[np.unique(choose_units(starts, ends, 6, WORDS, rng) // 2)] += 1
    share, deviation = 3 / 20, (3 / 20 * 17 / 20 / n) ** 0.5
    assert np.abs(counts / n - share).max() < 5 * deviation


def test_ngrams_are_40_30_20_and_10_percent_for_one_to_four_words():
    n, limit = 400_000, 4000
    starts, ends = spans([1] * n)
    chosen = np.zeros(n, bool)
    chosen[choose_units(starts, ends, limit, MACBERT, np.random.default_rng(0))] = True
    edges = np.flatnonzero(np.diff(np.concatenate(([0], chosen.astype(int), [0]))))
    runs = edges[1::2] - edges[::2]
    # One span in a hundred or so adjoins another one.
    for length, share in enumerate([0.4, 0.3, 0.2, 0.1], 1):
        assert abs((runs == length).mean() - share) < 5 * (share * (1 - share) / len(runs)) ** 0.5 + 0.02


def test_ngram_is_made_of_whole_words_and_shortened_to_the_budget():
    starts, ends = spans([2, 3, 2, 4, 1, 2, 3])
    for seed in range(300):
        chosen = choose_units(starts, ends, 6, MACBERT, np.random.default_rng(seed)).tolist()
        assert len(chosen) <= 6
        assert all(len(set(chosen) & set(range(start, end))) in (0, end - start) for start, end in zip(starts, ends))


def test_ngram_never_reaches_over_a_separator_into_the_other_segment():
    """[CLS] a [SEP] b c [SEP], always two words, two pieces: `a` comes first in a third of the draws, then `b` or `c`
    by itself.
    """
    starts, ends = np.array([1, 3, 4], np.int32), np.array([2, 4, 5], np.int32)
    n = 6000
    drawn = Counter(
        tuple(choose_units(starts, ends, 2, np.array([0.0, 1.0]), np.random.default_rng(seed)).tolist())
        for seed in range(n)
    )
    # `a` and `b` as one n-gram would make it a third.
    assert abs(drawn[1, 3] / n - 1 / 6) < 5 * (1 / 6 * 5 / 6 / n) ** 0.5


@pytest.mark.parametrize(("masked", "random"), [(0.8, 0.1), (1.0, 0.0), (0.5, 0.5)])
def test_pieces_are_masked_kept_and_replaced_each_on_its_own_in_their_shares(masked, random):
    n, vocabulary = 100_000, 1000
    ids = np.full(n, 7)
    how = Masking(2, 3, 4, np.arange(vocabulary), 0.15, 20, WORDS, masked, random)
    labels = replace(ids, np.arange(n, dtype=np.int32), how, np.random.default_rng(0))
    assert (labels == 7).all()
    # A random replacement is [MASK] or the piece itself once in a thousand.
    for piece, share in ((4, masked + random / vocabulary), (7, 1 - masked - random + random / vocabulary)):
        assert abs((ids == piece).mean() - share) <= 5 * (share * (1 - share) / n) ** 0.5
    assert len(np.unique(ids[(ids != 4) & (ids != 7)])) > (990 if random else -1)


def test_the_same_seed_masks_the_same_pieces():
    starts, ends = spans([1, 2, 1, 3, 2, 1])
    first, second = (choose_units(starts, ends, 4, WORDS, np.random.default_rng(5)) for _ in range(2))
    assert first.tolist() == second.tolist()


def test_random_words_leave_out_special_entries_and_continued_han():
    tokens = ["[PAD]", "[UNK]", "中", "##国", "##ing", "的", "["]
    assert [tokens[i] for i in random_ids(tokens, "words")] == ["中", "##ing", "的", "["]
    assert len(random_ids(tokens, "vocabulary")) == len(tokens)
