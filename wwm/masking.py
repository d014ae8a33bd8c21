"""Which units are masked, and what stands in their place: google-research/bert's create_masked_lm_predictions."""

import numpy as np
from numba import njit


@njit(cache=True)
def predictions(length: int, masked_lm_prob: float, max_predictions_per_seq: int) -> int:
    """How many pieces of an example are masked; `length` counts [CLS] and [SEP]."""
    return min(max_predictions_per_seq, max(1, int(np.rint(length * masked_lm_prob))))


@njit(cache=True)
def choose_units(starts, ends, limit, rng):
    """Mark pieces of randomly chosen whole units, at most `limit` pieces.

    starts, ends: (n_units,) int32, the positions [start, end) of each unit, ascending.
    Returns the chosen positions, (<= limit,) int32, ascending. Units come in random order; one that would go past
    `limit` is skipped and the next one tried, until `limit` is reached.
    """
    order = np.arange(len(starts))
    chosen = np.zeros(len(starts), np.bool_)
    count = 0
    for i in range(len(order)):
        if count == limit:
            break
        other = i + rng.integers(0, len(order) - i)
        order[i], order[other] = order[other], order[i]
        size = ends[order[i]] - starts[order[i]]
        if count + size <= limit:
            chosen[order[i]] = True
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
def replace(input_ids, positions, mask_id, replacements, rng):
    """Overwrite `input_ids` at `positions`, each piece on its own: 80 % [MASK], 10 % kept, 10 % uniform from `replacements`.

    Returns the original ids, (n_positions,).
    """
    original = input_ids[positions]
    for position in positions:
        draw = rng.random()
        if draw < 0.8:
            input_ids[position] = mask_id
        elif draw >= 0.9:
            input_ids[position] = replacements[rng.integers(0, len(replacements))]
    return original


def replacement_ids(tokens: list[str], random_token: str) -> np.ndarray:
    """Ids that a random replacement is drawn from: the whole `vocabulary`, or `words`: no special and no `##`+Han entries."""
    if random_token == "vocabulary":
        return np.arange(len(tokens))

    def is_word(token: str) -> bool:
        special = token.startswith("[") and token.endswith("]") and len(token) > 2
        return not special and not (token.startswith("##") and any("\u3400" <= c <= "\u9fff" or "\U00020000" <= c <= "\U0003ffff" for c in token))

    return np.array([i for i, token in enumerate(tokens) if is_word(token)])
