"""Documents that repeat an earlier one, exactly or nearly (MinHash over runs of five characters, arXiv 2107.06499).

The index is on disk, 512 bytes a document; while it is compared, memory holds about 40 bytes a document.
"""

import tempfile
from pathlib import Path
from typing import Self

import numpy as np
from rensa import RMinHash

SHINGLE = 5  # characters
PERMUTATIONS = 128
SLICE = 100_000  # shingles, or signatures, at once
FOUND = 0.95  # chance that two documents at the threshold share a band at least


def signature(text: str, seed: int) -> np.ndarray:
    """(PERMUTATIONS,) uint32: the share of equal entries of two signatures estimates the Jaccard similarity of the
    texts.
    """
    characters = "".join(text.split())
    sketch = RMinHash(num_perm=PERMUTATIONS, seed=seed)
    count = max(1, len(characters) - SHINGLE + 1)
    for first in range(0, count, SLICE):
        sketch.update([characters[i : i + SHINGLE] for i in range(first, min(first + SLICE, count))])
    return np.array(sketch.digest(), np.uint32)


def rows_of(threshold: float) -> int:
    """Entries of a signature that make one band: as many as still find FOUND of the pairs at the threshold."""
    fitting = [
        rows for rows in range(1, PERMUTATIONS + 1) if 1 - (1 - threshold**rows) ** (PERMUTATIONS // rows) >= FOUND
    ]
    return max(fitting, default=1)


class Signatures:
    """Signatures of documents in a file without a name in `folder`, in the order in which they are added."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = tempfile.TemporaryFile(dir=folder)
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def add(self, signatures: np.ndarray) -> None:
        """signatures: (n, PERMUTATIONS) uint32."""
        signatures.tofile(self.file)
        self.count += len(signatures)

    def repeated(self, threshold: float, among: np.ndarray) -> np.ndarray:
        """(n,) bool: whether a document's similarity to an earlier one is at least `threshold`.

        among: (n,) bool, the documents that are looked at. Of those that share a band of their signatures, each is
        compared to the first and to the one before it.
        """
        found = np.zeros(self.count, bool)
        chosen = np.flatnonzero(among)
        if not len(chosen):
            return found
        self.file.flush()
        signatures = np.memmap(self.file, np.uint32, "r", shape=(self.count, PERMUTATIONS))
        rows = rows_of(threshold)
        # Multiply and add: two bands that only seem equal cost a comparison, no document.
        factors = np.random.default_rng(0).integers(2**63, size=rows, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        for band in range(PERMUTATIONS // rows):
            keys = np.empty(len(chosen), np.uint64)
            for start in range(0, len(chosen), SLICE):
                part = signatures[chosen[start : start + SLICE], band * rows : (band + 1) * rows]
                keys[start : start + SLICE] = (part * factors).sum(1, dtype=np.uint64)
            order = np.argsort(keys, kind="stable")
            keys, order = keys[order], chosen[order]
            later = np.flatnonzero(keys[1:] == keys[:-1]) + 1
            first = np.searchsorted(keys, keys[later])
            for earlier in (first, later - 1):
                for start in range(0, len(later), SLICE):
                    mine, its = order[later[start : start + SLICE]], order[earlier[start : start + SLICE]]
                    found[mine[(signatures[mine] == signatures[its]).mean(1) >= threshold]] = True
        return found


def exact(digests: np.ndarray) -> np.ndarray:
    """(n,) bool: whether the (n, 2) uint64 row stands earlier already."""
    order = np.lexsort(digests.T)
    found = np.zeros(len(digests), bool)
    found[order[1:]] = (digests[order[1:]] == digests[order[:-1]]).all(1)
    return found
