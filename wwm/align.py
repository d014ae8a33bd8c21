"""Word boundaries x WordPiece offsets -> units, what whole word masking masks together."""

import numpy as np


def units(starts: np.ndarray, ends: np.ndarray, continuation: np.ndarray, word_ends: np.ndarray) -> np.ndarray:
    """Which pieces of a text begin a unit: (n_pieces,) bool.

    starts, ends: (n_pieces,) character offsets, in order; they may repeat, leave gaps and cover several characters.
    continuation: (n_pieces,) bool, the piece begins with `##`.
    word_ends: (n_words,) character offsets at which words end; words partition the text.

    The finest grouping in which pieces of one word stay together, a `##` piece stays with its predecessor, and a piece
    that straddles a word boundary joins both words (SPEC.md section 1, "Units").
    """
    if not len(starts):
        return np.zeros(0, bool)
    first, last = word_range(starts, ends, word_ends)
    begins = np.ones(len(starts), bool)
    begins[1:] = (first[1:] > np.maximum.accumulate(last)[:-1]) & ~continuation[1:]
    return begins


def joined_characters(begins: np.ndarray, starts: np.ndarray, ends: np.ndarray, word_ends: np.ndarray) -> int:
    """Characters of words that share a unit with another word, because pieces do not stop where words do."""
    if not len(starts):
        return 0
    first, last = word_range(starts, ends, word_ends)
    unit = np.flatnonzero(begins)
    low, high = first[unit], np.maximum.reduceat(last, unit)
    word_starts = np.concatenate(([0], word_ends[:-1]))
    return int((word_ends[high] - word_starts[low])[high > low].sum())


def word_range(starts: np.ndarray, ends: np.ndarray, word_ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the first and last word that each piece touches; a piece of no width touches the word it stands in."""
    return np.searchsorted(word_ends, starts, side="right"), np.searchsorted(word_ends, np.maximum(ends - 1, starts), side="right")
