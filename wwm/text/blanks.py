"""Which words of held-out text cloze asks for: characters and words decide, not pieces, so that every model gets the
same questions.
"""

import heapq
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

# What BERT's tokenizer takes for Chinese characters: each is a piece of its own, so a word is as many pieces as
# characters.
CHINESE = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)
CHINESE_CHARACTERS = sum(last - first + 1 for first, last in CHINESE)
LONGEST = 4
WORD = re.compile(f"[{''.join(f'{chr(first)}-{chr(last)}' for first, last in CHINESE)}]{{1,{LONGEST}}}")


class Question(NamedTuple):
    """A sentence of a document, and the word in it, text[start:end], that is to be guessed."""

    source: str
    document: str
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        return self.text[self.start : self.end]


class Drawn(NamedTuple):
    """left_out: shares of all sentences that are no question. characters: how often each stands in the words that could
    have been asked for.
    """

    questions: list[Question]
    left_out: dict[str, float]
    characters: Counter[str]


def draw(
    documents: Iterable[dict], sources: list[str], per_source: int, max_characters: int, rng: np.random.Generator
) -> Drawn:
    """At most `per_source` questions of each source, and the same number of all: a sentence of as many documents as
    there are, drawn at random, then a second one of as many, and so on; of each sentence one word.

    documents: rows of data/segment. Left out are sentences of more than `max_characters`, and those without a Chinese
    word.
    """
    found: dict[str, list[tuple[int, float, Question]]] = {source: [] for source in sources}
    seen, too_long, no_word = 0, 0, 0
    characters: Counter[str] = Counter()
    for document in documents:
        fit = []
        for text, words in sentences(document):
            seen += 1
            if len(text) > max_characters:
                too_long += 1
            elif not words:
                no_word += 1
            else:
                fit.append((text, words))
                for start, end in words:
                    characters.update(text[start:end])
        kept = found[document["source"]]
        for turn, i in enumerate(rng.permutation(len(fit)).tolist()):
            text, words = fit[i]
            word = words[rng.integers(len(words))]
            kept.append((turn, rng.random(), Question(document["source"], document["id"], text, *word)))
        if len(kept) > 4 * per_source:
            kept[:] = heapq.nsmallest(per_source, kept)
    chosen = [[question for *_, question in heapq.nsmallest(per_source, kept)] for kept in found.values()]
    number = min(map(len, chosen), default=0)
    left_out = {"too_long": round(too_long / max(1, seen), 6), "no_chinese_word": round(no_word / max(1, seen), 6)}
    return Drawn([question for questions in chosen for question in questions[:number]], left_out, characters)


def sentences(document: dict) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Each sentence and where its words of 1 to 4 Chinese characters begin and end; white space at a word's edge is not
    of it.
    """
    text, word_ends = document["text"], document["word_ends"]
    spans = list(zip([0, *word_ends], word_ends))
    next_word = 0
    for first, last in zip([0, *document["sentence_ends"]], document["sentence_ends"]):
        words = []
        while next_word < len(spans) and spans[next_word][1] <= last:
            start, end = spans[next_word]
            next_word += 1
            word = text[start:end]
            if WORD.fullmatch(word.strip()):
                start += len(word) - len(word.lstrip())
                words.append((start - first, start - first + len(word.strip())))
        yield text[first:last], words
