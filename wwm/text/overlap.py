"""Which texts stand in other text, of any size: their n-grams are hashed, and what is looked through streams past them.

The n-grams are of 13 characters, white space left out: shorter ones are turns of phrase, and a copy of which more than
every thirteenth character was changed is another text. GPT-3's are of 13 words (Brown et al. 2020, appendix C).
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

LENGTH = 13
FACTOR = np.uint64(0x9E3779B97F4A7C15)
BATCH = 1_000_000  # characters that are hashed at a time
COARSE = np.uint64(40)  # bits of a hash that a first look leaves out


class Grams(NamedTuple):
    """The runs of n characters of all texts that have min(n, LENGTH): `hashes` (different ones,) uint64, sorted, and
    which of them were `found` (different ones,) bool.

    coarse: (2 ** 24,) bool, by the first bits of a hash; texts: (texts,) int64 numbers; begins: (texts,) int64, where
    each begins in `grams` (all runs,) int64, places in `hashes`.
    """

    hashes: np.ndarray
    found: np.ndarray
    coarse: np.ndarray
    texts: np.ndarray
    begins: np.ndarray
    grams: np.ndarray


class Lookup:
    """Texts that are looked for in documents; wwm.text.cleaning has cleaned both."""

    def __init__(self, texts: Sequence[str]):
        self.count = len(texts)
        bare = [without_space(text) for text in texts]
        lengths = np.array([len(text) for text in bare], np.int64)
        self.grams: dict[int, Grams] = {}
        for n in np.unique(np.minimum(lengths, LENGTH)).tolist():
            if n:
                mine = np.flatnonzero(np.minimum(lengths, LENGTH) == n)
                self.grams[n] = grams("".join(bare[i] for i in mine), n, mine, lengths[mine])

    def look(self, documents: Iterable[str]) -> int:
        """Marks what stands in them; how many characters they have."""
        characters = 0
        for batch in batches(documents):
            characters += len(batch)
            for n, hashes in runs(batch):
                if known := self.grams.get(n):
                    likely = hashes[known.coarse[hashes >> COARSE]]
                    places = np.searchsorted(known.hashes, likely).clip(max=len(known.hashes) - 1)
                    known.found[places[known.hashes[places] == likely]] = True
        return characters

    def found(self) -> tuple[np.ndarray, np.ndarray]:
        """(texts,) bool each: some n-gram of the text stands there, and all of them do. A text of fewer than LENGTH
        characters is an n-gram itself; one of none is nowhere.
        """
        some, every = np.zeros(self.count, bool), np.zeros(self.count, bool)
        for known in self.grams.values():
            marked = known.found[known.grams]
            some[known.texts] = np.logical_or.reduceat(marked, known.begins)
            every[known.texts] = np.logical_and.reduceat(marked, known.begins)
        return some, every


def grams(joined: str, n: int, texts: np.ndarray, lengths: np.ndarray) -> Grams:
    """joined: the texts, each of n characters at least, one behind the other."""
    counts = lengths - n + 1
    begins = np.cumsum(counts) - counts
    # Where the runs of each text begin in `joined`, which has runs of two texts besides.
    places = np.arange(counts.sum()) + np.repeat(np.cumsum(lengths) - lengths - begins, counts)
    *_, (_, hashes) = runs(joined, n)
    different, inverse = np.unique(hashes[places], return_inverse=True)
    coarse = np.zeros(1 << (64 - int(COARSE)), bool)
    coarse[different >> COARSE] = True
    return Grams(different, np.zeros(len(different), bool), coarse, texts, begins, inverse)


def runs(text: str, longest: int = LENGTH) -> Iterator[tuple[int, np.ndarray]]:
    """(n, hashes of all runs of n characters, (len(text) - n + 1,) uint64) of each n up to `longest`: polynomials of
    the code points modulo 2 ** 64.
    """
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64)
    hashes = np.zeros(len(codes) + 1, np.uint64)
    for n in range(1, min(longest, len(codes)) + 1):
        hashes = hashes[:-1] * FACTOR + codes[n - 1 :]
        yield n, hashes


def batches(texts: Iterable[str]) -> Iterator[str]:
    """Texts without white space, about BATCH characters of them at a time; what stands between them is in none."""
    batch: list[str] = []
    filled = 0
    for text in map(without_space, texts):
        batch.append(text)
        filled += len(text)
        if filled >= BATCH:
            yield "\0".join(batch)
            batch, filled = [], 0
    if batch:
        yield "\0".join(batch)


def without_space(text: str) -> str:
    return "".join(text.split())


def documents(shards: Iterable[Path]) -> Iterator[str]:
    """The texts of Parquet files of `corpus`."""
    for path in shards:
        for batch in pq.ParquetFile(path).iter_batches(1000, columns=["text"]):
            yield from batch["text"].to_pylist()
