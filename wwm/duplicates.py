"""Documents that repeat an earlier one, exactly or nearly (MinHash over runs of five characters, arXiv 2107.06499)."""

import hashlib

from rensa import RMinHash, RMinHashDeduplicator

SHINGLE = 5  # characters
PERMUTATIONS = 128  # 512 bytes a document


class Duplicates:
    """threshold: estimated Jaccard similarity from which on a document counts as a near-duplicate; None: exact ones only."""

    def __init__(self, threshold: float | None, seed: int):
        self.seed = seed
        self.exact: set[bytes] = set()
        self.near = RMinHashDeduplicator(threshold=threshold, num_perm=PERMUTATIONS, use_lsh=True, seed=seed) if threshold is not None else None

    def found(self, text: str) -> str | None:
        """`duplicate` or `near_duplicate` if an earlier text is like this one; else None, and the text is remembered."""
        digest = hashlib.sha256(text.encode()).digest()[:16]
        if digest in self.exact:
            return "duplicate"
        self.exact.add(digest)
        if self.near is not None:
            characters = "".join(text.split())
            sketch = RMinHash(num_perm=PERMUTATIONS, seed=self.seed)
            sketch.update([characters[i : i + SHINGLE] for i in range(max(1, len(characters) - SHINGLE + 1))])
            if not self.near.add(digest.hex(), sketch):
                return "near_duplicate"
        return None
