"""Word boundaries x WordPiece offsets -> units, what whole word masking masks together."""

import numpy as np
from numba import njit


@njit(cache=True)
def units(
    starts: np.ndarray, ends: np.ndarray, continuation: np.ndarray, word_ends: np.ndarray
) -> tuple[np.ndarray, int]:
    """Which pieces of a text begin a unit, (n_pieces,) bool, and how many characters of words share a unit with another
    word.

    starts, ends: (n_pieces,) int64 character offsets, in order; they may repeat, leave gaps and cover several
    characters. continuation: (n_pieces,) bool, the piece begins with `##`. word_ends: (n_words,) int64 character
    offsets at which words end, at least one; words partition the text.

    The finest grouping in which pieces of one word stay together, a `##` piece stays with its predecessor, and a piece
    that straddles a word boundary joins both words. A piece of no width touches the word it stands in.
    """
    begins = np.empty(len(starts), np.bool_)
    joined = 0
    word = 0  # that the piece begins in
    unit_first, unit_last = 0, -1  # words of the unit so far
    for i in range(len(starts)):
        while word + 1 < len(word_ends) and word_ends[word] <= starts[i]:
            word += 1
        # Unicode's canonical order may put a piece before its predecessor.
        while word > 0 and word_ends[word - 1] > starts[i]:
            word -= 1
        last = word
        while last + 1 < len(word_ends) and word_ends[last] < ends[i]:
            last += 1
        begins[i] = i == 0 or (word > unit_last and not continuation[i])
        if begins[i]:
            joined += shared(unit_first, unit_last, word_ends)
            unit_first = word
            unit_last = last
        else:
            unit_last = max(unit_last, last)
    return begins, joined + shared(unit_first, unit_last, word_ends)


@njit(cache=True)
def shared(first: int, last: int, word_ends: np.ndarray) -> int:
    """Characters of the words [first, last], none if it is one word."""
    if last <= first:
        return 0
    return word_ends[last] - (word_ends[first - 1] if first else 0)
