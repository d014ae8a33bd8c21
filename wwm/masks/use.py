"""What examples make of their text, in counts: how much of it they use and mask, and how many next sentences are
random.
"""

from collections import Counter

import numpy as np
import pyarrow as pa

from wwm.masks import examples, masking


def counts_of(
    batch: pa.RecordBatch, rows: np.ndarray, pieces: int, tokens: list[str], settings: dict, rng: np.random.Generator
) -> Counter:
    """Counts of one pass at one length. batch: its examples; rows: (n_examples, 5), see wwm/masks/examples.py; pieces:
    of the shard that they were made of; rng: of a draw of masks that is not kept, where masks are dynamic.
    """
    counts = {
        "examples": len(batch),
        "pieces": len(batch.column("input_ids").values),
        "pairs": len(batch) if examples.in_pairs(settings) else 0,
        "random_next": rows[:, 4].sum().item(),
        "masked": masked(batch, tokens, settings, rng),
        "source_pieces": pieces,
        "unused": unused(rows, pieces),
    }
    return Counter({f"{settings['max_seq_length']}.{key}": number for key, number in counts.items()})


def masked(batch: pa.RecordBatch, tokens: list[str], settings: dict, rng: np.random.Generator) -> int:
    """How many pieces of the examples are masked."""
    if settings["masking"] == "static":
        return len(batch.column("masked_lm_ids").values)
    ids, begins = batch.column("input_ids"), batch.column("unit_begins").values.to_numpy(zero_copy_only=False)
    chosen = masking.of_set(tokens, settings)
    _, labels, _ = masking.mask_examples(ids.values.to_numpy().copy(), begins, ids.offsets.to_numpy(), chosen, rng)
    return len(labels)


def unused(rows: np.ndarray, pieces: int) -> int:
    """How many pieces are in no example: what truncation left out."""
    edges = np.zeros(pieces + 1, np.int64)
    for begin in (0, 2):
        np.add.at(edges, rows[:, begin], 1)
        np.add.at(edges, rows[:, begin + 1], -1)
    return int((np.cumsum(edges[:-1]) == 0).sum())


def bytes_per_piece(settings: dict) -> float:
    """What a piece of the text takes in an Arrow shard of one length, with all passes over it: id (uint16), token type
    (uint8), whether a unit begins (a bit), its part of the example's label and of an offset of four bytes for each of
    these lists; where masks are static, two more lists, place and id of those that are masked (uint16 each).
    """
    written = 2 + 1 + 1 / 8 + (3 * 4 + 1) / settings["max_seq_length"]
    if settings["masking"] == "static":
        written += 4 * settings["masked_lm_prob"] + 2 * 4 / settings["max_seq_length"]
    return settings["dupe_factor"] * written


def summary(counts: Counter, length: int) -> dict[str, float]:
    """Shares of all passes at one length."""
    keys = ("examples", "pieces", "pairs", "random_next", "masked", "source_pieces", "unused")
    examples, pieces, pairs, random_next, masked, source_pieces, unused = (counts[f"{length}.{key}"] for key in keys)
    shares = {"examples": examples, "pieces": pieces, "fill": pieces / (examples * length)}
    shares |= {"masked_share": masked / pieces, "unused_share": unused / source_pieces}
    return shares | ({"random_next_share": random_next / pairs} if pairs else {})
