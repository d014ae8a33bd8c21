"""One text as masking sees it: its units, and draws of each kind of masking."""

from typing import NamedTuple

import numpy as np

from wwm.masks import masking

UNITS = ("wordpiece", "whole_word", "ngram")
NGRAM_PROBS = [0.4, 0.3, 0.2, 0.1]  # MacBERT's


class Draw(NamedTuple):
    """The pieces of a text after masking, and which of them were chosen, be they masked, kept or replaced at random."""

    pieces: list[str]
    chosen: list[bool]


class Looked(NamedTuple):
    """unit_begins: (n_pieces,) bool, a whole word unit begins there; draws by unit; limit: pieces masked at most."""

    words: list[str]
    pieces: list[str]
    unit_begins: np.ndarray
    limit: int
    draws: dict[str, list[Draw]]


def drawn(
    tokens: list[str], ids: list[int], unit_begins: np.ndarray, count: int, masked_lm_prob: float, seed: int
) -> tuple[int, dict[str, list[Draw]]]:
    """How many of the pieces `ids` are masked at most, and `count` draws by unit.

    tokens: the vocabulary in id order; ids: without [CLS] and [SEP], which are put around them for masking.
    """
    rng = np.random.default_rng(seed)
    settings = {
        "masked_lm_prob": masked_lm_prob,
        "max_predictions_per_seq": len(ids),
        "random_token": "vocabulary",
        "ngram_probs": NGRAM_PROBS,
    }
    whole = [tokens.index("[CLS]"), *ids, tokens.index("[SEP]")]
    draws: dict[str, list[Draw]] = {}
    for unit in UNITS:
        how = masking.of_set(tokens, settings | {"unit": unit})
        begins = np.concatenate(([True], unit_begins | (unit == "wordpiece"), [True]))
        draws[unit] = []
        for _ in range(count):
            row = np.array(whole)
            positions, _, _ = masking.mask_examples(row, begins, np.array([0, len(row)], np.int32), how, rng)
            chosen = np.isin(np.arange(len(row)), positions)
            draws[unit].append(Draw([tokens[i] for i in row[1:-1]], chosen[1:-1].tolist()))
    return masking.predictions(len(whole), masked_lm_prob, len(ids)), draws
