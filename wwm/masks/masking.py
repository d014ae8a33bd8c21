"""Which units are masked, and what stands in their place: google-research/bert's create_masked_lm_predictions.

N-grams of whole words are those of MacBERT (arXiv 2004.13922, section 3): 40, 30, 20 and 10 % for 1 to 4 words.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

REPLACEMENTS = {"mask": 0.8, "same": 0.1, "random": 0.1}  # google-research/bert's


class Masking(NamedTuple):
    """What one example set is masked with."""

    cls_id: int
    sep_id: int
    mask_id: int
    random_ids: np.ndarray  # (n,) int64, what a random replacement is drawn from
    masked_lm_prob: float
    max_predictions_per_seq: int
    ngram_ends: (
        np.ndarray
    )  # (n,) float64, ascending to 1: chance of at most 1, 2, ... n units together; [1.0] is the reference
    mask_share: float  # of the chosen pieces, those that become [MASK]; 0.8 in the reference
    random_share: float  # those that become a random one; 0.1 in the reference, and the rest stays


@njit(cache=True)
def predictions(length: int, masked_lm_prob: float, max_predictions_per_seq: int) -> int:
    """How many pieces of an example are masked; `length` counts [CLS] and [SEP]."""
    return min(max_predictions_per_seq, max(1, int(np.rint(length * masked_lm_prob))))


@njit(cache=True)
def choose_units(
    starts: np.ndarray, ends: np.ndarray, limit: int, ngram_ends: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Mark pieces of randomly chosen whole units, at most `limit` pieces.

    starts, ends: (n_units,) int32, the positions [start, end) of each unit, ascending; ngram_ends: see `Masking`.
    Returns the chosen positions, (<= limit,) int32, ascending. Units come in random order; one that would go past
    `limit` is skipped and the next one tried, until `limit` is reached. An n-gram begins at the unit that came; where
    the following units do not adjoin, are chosen already or would go past `limit`, it is shorter.
    """
    order = np.arange(len(starts))
    chosen = np.zeros(len(starts), np.bool_)
    count = 0
    for i in range(len(order)):
        if count == limit:
            break
        other = i + rng.integers(0, len(order) - i)
        order[i], order[other] = order[other], order[i]
        unit = order[i]
        wanted = 1
        if len(ngram_ends) > 1:
            if chosen[unit]:
                continue
            wanted += int(np.searchsorted(ngram_ends, rng.random(), side="right"))
        for following in range(unit, min(unit + wanted, len(order))):
            size = ends[following] - starts[following]
            adjoins = following == unit or starts[following] == ends[following - 1]
            if chosen[following] or not adjoins or count + size > limit:
                break
            chosen[following] = True
            count += size
    positions = np.empty(count, np.int32)
    count = 0
    for unit in range(len(starts)):
        if chosen[unit]:
            for position in range(starts[unit], ends[unit]):
                positions[count] = position
                count += 1
    return positions


@njit(cache=True)
def replace(input_ids: np.ndarray, positions: np.ndarray, masking: Masking, rng: np.random.Generator) -> np.ndarray:
    """Overwrite `input_ids` at `positions`, each piece on its own: with [MASK], as it was, or uniform from
    `random_ids`.

    Returns the original ids, (n_positions,).
    """
    original = input_ids[positions]
    for position in positions:
        draw = rng.random()
        if draw < masking.mask_share:
            input_ids[position] = masking.mask_id
        elif draw >= 1 - masking.random_share:
            input_ids[position] = masking.random_ids[rng.integers(0, len(masking.random_ids))]
    return original


@njit(cache=True)
def mask_examples(
    input_ids: np.ndarray, unit_begins: np.ndarray, offsets: np.ndarray, masking: Masking, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks examples in place.

    input_ids: (n_pieces,) ids of examples one after the other; unit_begins: (n_pieces,) bool, a unit begins there, and
    after [CLS] and [SEP] one always does; offsets: (n_examples + 1,) where examples begin and end.
    Returns masked_lm_positions (within the example) uint16, masked_lm_ids, and their offsets (n_examples + 1,) int32.
    """
    masked_offsets = np.zeros(len(offsets), np.int32)
    longest = (offsets[1:] - offsets[:-1]).max()
    most = (len(offsets) - 1) * min(masking.max_predictions_per_seq, longest)
    positions, labels = np.empty(most, np.uint16), np.empty(most, input_ids.dtype)
    starts, ends = np.empty(longest, np.int32), np.empty(longest, np.int32)
    for i in range(len(offsets) - 1):
        row, begins = input_ids[offsets[i] : offsets[i + 1]], unit_begins[offsets[i] : offsets[i + 1]]
        n_units = 0
        for position in range(len(row)):
            if row[position] == masking.cls_id or row[position] == masking.sep_id:
                continue
            if begins[position]:
                starts[n_units] = position
                n_units += 1
            ends[n_units - 1] = position + 1
        limit = predictions(len(row), masking.masked_lm_prob, masking.max_predictions_per_seq)
        chosen = choose_units(starts[:n_units], ends[:n_units], limit, masking.ngram_ends, rng)
        masked_offsets[i + 1] = masked_offsets[i] + len(chosen)
        positions[masked_offsets[i] : masked_offsets[i + 1]] = chosen
        labels[masked_offsets[i] : masked_offsets[i + 1]] = replace(row, chosen, masking, rng)
    return positions[: masked_offsets[-1]], labels[: masked_offsets[-1]], masked_offsets


def random_ids(tokens: list[str], random_token: str) -> np.ndarray:
    """Ids that a random replacement is drawn from: the whole `vocabulary`, or `words`: no special and no `##`+Han
    entries.
    """
    match random_token:
        case "vocabulary":
            return np.arange(len(tokens))
        case "words":
            return np.array([i for i, token in enumerate(tokens) if is_word(token)])
        case _:
            raise AssertionError(random_token)


def is_word(token: str) -> bool:
    special = token.startswith("[") and token.endswith("]") and len(token) > 2
    within = token.startswith("##") and any(
        "\u3400" <= c <= "\u9fff" or "\U00020000" <= c <= "\U0003ffff" for c in token
    )
    return not special and not within


def of_set(tokens: list[str], settings: dict) -> Masking:
    """What a vocabulary (entries in id order) and an example set's `settings`, as in a shard's header, come to."""
    match settings["unit"]:
        case "ngram":
            ngram_probs = settings["ngram_probs"]
        case "whole_word" | "wordpiece":
            ngram_probs = [1.0]
        case unit:
            raise AssertionError(unit)
    ngram_ends = np.cumsum(ngram_probs)
    shares = settings.get("replacements", REPLACEMENTS)
    cls_id, sep_id, mask_id = (tokens.index(token) for token in ("[CLS]", "[SEP]", "[MASK]"))
    return Masking(
        cls_id,
        sep_id,
        mask_id,
        random_ids(tokens, settings["random_token"]),
        settings["masked_lm_prob"],
        settings["max_predictions_per_seq"],
        ngram_ends / ngram_ends[-1],
        shares["mask"],
        shares["random"],
    )
