"""How a vocabulary fits a text: what is [UNK], which characters are rare, which words fall into many pieces."""

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer
from tqdm import tqdm

from wwm.text import tokenization

MANY = 3  # pieces of a word, from which it is told. A Chinese character is one by itself: these are of other scripts.
SELDOM = 5  # times that a character stands in the text at most, to be told as rare


class Coverage(NamedTuple):
    """By how often each stands in the text, as the tokenizer reads it."""

    unknown: Counter[str]  # what is [UNK]
    rare: Counter[str]  # single letters and digits that are entries and stand there SELDOM times at most
    split: Counter[str]  # words of MANY pieces or more
    pieces: dict[str, int]  # of those words

    def rows(self, most: int) -> list[tuple[str, str, int, int]]:
        """(kind, text, count, pieces), `most` of each kind: the most frequent, of rare characters the rarest."""
        unknown = [("unknown", text, count, 1) for text, count in ordered(self.unknown)[:most]]
        rare = [("rare", text, count, 1) for text, count in ordered(self.rare)[::-1][:most]]
        return [
            *unknown,
            *rare,
            *(("split", text, count, self.pieces[text]) for text, count in ordered(self.split)[:most]),
        ]


def ordered(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def measure(tokenizer: Tokenizer, tokens: list[str], lines: Iterable[str]) -> Coverage:
    encoder, unknown_id = tokenization.CorpusTokenizer(tokenizer), tokens.index("[UNK]")
    within = np.array([token.startswith("##") for token in tokens])
    unknown: Counter[str] = Counter()
    split: Counter[tuple[str, int]] = Counter()
    characters: Counter[str] = Counter()
    lines = iter(tqdm(lines, desc="vocab: words of many pieces", unit=" lines", mininterval=1))
    while batch := list(islice(lines, 1000)):
        ids, starts, ends = encoder.encode(batch)
        text = "".join(batch)
        characters.update(text)
        lost = ids == unknown_id
        unknown.update(text[a:b] for a, b in zip(starts[lost], ends[lost]))
        first = np.append(np.flatnonzero(~within[ids]), len(ids))
        counts = np.diff(first)
        for place in np.flatnonzero(counts >= MANY):
            begin, end = first[place], first[place + 1]
            split[text[starts[begin] : ends[end - 1]], int(counts[place])] += 1

    def as_read(word: str) -> str:
        return tokenizer.normalizer.normalize_str(word).strip() or word

    words: Counter[str] = Counter()
    pieces: dict[str, int] = {}
    for (word, parts), number in split.items():
        words[as_read(word)] += number
        pieces[as_read(word)] = parts
    read = summed(characters, as_read)
    known = {*tokens}
    rare = Counter({c: n for c, n in read.items() if n <= SELDOM and c.isalnum() and c in known})
    return Coverage(summed(unknown, as_read), rare, words, pieces)


def summed(counts: Counter[str], as_read: Callable[[str], str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for text, number in counts.items():
        found[as_read(text)] += number
    return found
