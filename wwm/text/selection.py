"""Which documents of a corpus are kept, how often, where, and in which shards: decided by hashes of the documents."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

SAMPLE = 20  # dropped documents that are kept to be looked at, per rule and source
SAMPLE_CHARACTERS = 2000
RULES = ["", "short", "long", "not_language", "duplicate", "near_duplicate", "weight", "mark_up"]


class Documents(NamedTuple):
    """All documents read, n in blocks: what decisions over the whole corpus need of each."""

    sources: list[str]  # of each block
    blocks: list[Path]  # the file that has the texts of each block
    block: np.ndarray  # (n,) int32
    row: np.ndarray  # (n,) int32, in the block
    digests: np.ndarray  # (n, 4) uint64: sha256 of the clean text
    characters: np.ndarray  # (n,) int64, of the clean text
    dropped: np.ndarray  # (n,) uint8, into RULES
    heldout: np.ndarray  # (n,) bool, whether it is to be measured on
    copies: np.ndarray  # (n,) int64, how often it is taken, by its source's weight


def ends(fraction: float, characters: int, filled: int, size: int) -> bool:
    """Whether a block or shard ends after this document: `size` on average, half of it to twice as much, where the
    document's own hash says.

    What comes before moves only the ends that are near: after a change the old ones are soon met again.
    """
    return filled >= size / 2 and (fraction * size < 2 * characters or filled >= 2 * size)


def fraction(digest: bytes) -> float:
    """Uniform in [0, 1), the same for the same document wherever it stands."""
    return int.from_bytes(digest[:8], "big") / 2**64


def drawn(
    digests: np.ndarray, weight: np.ndarray, heldout_share: np.ndarray, always: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) bool, whether each document is held out; (n,) int64, how often it is taken so that its source weighs
    `weight` times what it has: what is held out is there once at most, or `always`. Other bits of its hash than the
    hold-out's decide of the weight.
    """
    heldout = digests[:, 0] / 2.0**64 < heldout_share
    copies = np.floor(weight).astype(np.int64) + (digests[:, 1] / 2.0**64 < weight % 1)
    return heldout, np.where(heldout, np.where(always, 1, np.minimum(copies, 1)), copies)


def split(documents: Documents) -> dict[str, np.ndarray]:
    """Part -> (n,) int64, how often it has each document."""
    copies = np.where(documents.dropped > 0, 0, documents.copies)
    return {"train": np.where(documents.heldout, 0, copies), "heldout": np.where(documents.heldout, copies, 0)}


def count(own: Counter, mine: np.ndarray, documents: Documents, parts: dict[str, np.ndarray]) -> None:
    """Adds the counts of one source, whose documents are `mine`."""
    for number, rule in enumerate(RULES[1:], 1):
        if dropped := int((documents.dropped[mine] == number).sum()):
            own[f"dropped_{rule}"] = dropped
    for part, copies in parts.items():
        own[f"{part}_documents"] = int(copies[mine].sum())
        own[f"{part}_characters"] = int((copies[mine] * documents.characters[mine]).sum())


def cut_shards(documents: Documents, copies: np.ndarray, characters_per_shard: int) -> list[np.ndarray]:
    """The documents of which there are copies, in shards; each has two at least, for next sentence prediction takes
    two.
    """
    chosen = np.flatnonzero(copies)
    starts, filled = [0], 0
    for n, (i, characters) in enumerate(zip(chosen, (documents.characters * copies)[chosen].tolist()), 1):
        filled += characters
        if (
            n - starts[-1] >= 2
            and n < len(chosen) - 1
            and ends(documents.digests[i, 2] / 2.0**64, characters, filled, characters_per_shard)
        ):
            starts.append(n)
            filled = 0
    return [chosen[start:end] for start, end in zip(starts, [*starts[1:], len(chosen)])]


def sample(documents: Documents) -> Iterator[dict]:
    """The first few documents that each rule dropped of each source."""
    source = np.unique(documents.sources, return_inverse=True)[1][documents.block]
    wanted = [
        np.flatnonzero((documents.dropped == number) & (source == s))[:SAMPLE]
        for number in range(1, len(RULES))
        for s in range(source.max() + 1)
    ]
    chosen = np.sort(np.concatenate(wanted))
    for block in np.unique(documents.block[chosen]):
        texts = pq.read_table(documents.blocks[block], columns=["text"])["text"]
        for i in chosen[documents.block[chosen] == block]:
            text = texts[documents.row[i]].as_py()
            rule = RULES[documents.dropped[i]]
            yield {
                "rule": rule,
                "source": documents.sources[block],
                "text": text[:SAMPLE_CHARACTERS],
                "characters": int(documents.characters[i]),
            }
