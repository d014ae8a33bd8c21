"""The words of a dictionary in a text: the longest match from the left."""

from typing import NamedTuple

import numpy as np
from numba import njit

CHARACTER_BITS = 21  # of any Unicode character


class Trie(NamedTuple):
    """Nodes are numbered from the root, 0."""

    edges: np.ndarray  # (n,) int64, ascending: node << CHARACTER_BITS | character
    targets: np.ndarray  # (n,) int64, the node that each leads to
    is_word: np.ndarray  # (n + 1,) bool, a word ends at the node


def of_words(words: list[str]) -> Trie:
    edges: dict[int, int] = {}
    last = []
    for word in words:
        node = 0
        for character in word:
            node = edges.setdefault(node << CHARACTER_BITS | ord(character), len(edges) + 1)
        last.append(node)
    is_word = np.zeros(len(edges) + 1, bool)
    is_word[last] = True
    ascending = sorted(edges)
    return Trie(np.array(ascending, np.int64), np.array([edges[edge] for edge in ascending], np.int64), is_word)


@njit(cache=True)
def longest(characters: np.ndarray, start: int, trie: Trie) -> int:
    """Where the longest word that begins at `start` ends; `start` if none does."""
    node, end = 0, start
    for i in range(start, len(characters)):
        edge = node << CHARACTER_BITS | np.int64(characters[i])
        place = np.searchsorted(trie.edges, edge)
        if place == len(trie.edges) or trie.edges[place] != edge:
            break
        node = trie.targets[place]
        if trie.is_word[node]:
            end = i + 1
    return end


@njit(cache=True)
def count(characters: np.ndarray, trie: Trie) -> int:
    """How many matches a text has. characters: (n,) uint32."""
    found = start = 0
    while start < len(characters):
        end = longest(characters, start, trie)
        found += end > start
        start = max(end, start + 1)
    return found


@njit(cache=True)
def make_whole(characters: np.ndarray, is_end: np.ndarray, trie: Trie) -> bool:
    """Makes a word of its own of each match into which a boundary falls, in place; returns whether there was one.

    characters: (n,) uint32, a text; is_end: (n + 1,) bool, where its words end.
    """
    changed = False
    start = 0
    while start < len(characters):
        end = longest(characters, start, trie)
        if is_end[start + 1 : end].any():
            is_end[start + 1 : end] = False
            is_end[start], is_end[end] = start > 0, True
            changed = True
        start = max(end, start + 1)
    return changed
