"""Sentences and words as ends within the unchanged text, whatever a segmenter drops or is given in place of it."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from itertools import accumulate

import numpy as np

from wwm.text import sentences
from wwm.text.perceptron import Cut
from wwm.text.simplify import simplified

CHARACTERS = 200_000  # whose words are in memory at once: a word is some 60 bytes there


def segment_texts(
    texts: list[str], cut: Cut | None, unbroken: re.Pattern | None = None
) -> tuple[list[list[int]], list[np.ndarray]]:
    """Sentence ends and word ends, in characters, of each text. `cut` is None where every character is a word of its
    own; no sentence ends within what `unbroken` matches, as sentences.pattern_of makes it of a dictionary.
    """
    sentence_ends = [sentences.ends(text, unbroken) for text in texts]
    if cut is None:
        return sentence_ends, [np.arange(1, len(text) + 1) for text in texts]
    spans = [(number, start, end) for number, ends in enumerate(sentence_ends) for start, end in zip([0, *ends], ends)]
    word_ends = [[np.zeros(0, np.int32)] for _ in texts]
    for part in parts(spans, CHARACTERS):
        words = cut([texts[number][start:end] for number, start, end in part])
        for (number, start, end), own in zip(part, words):
            word_ends[number].append(start + np.array(find_word_ends(texts[number][start:end], own), np.int32))
    return sentence_ends, [np.concatenate(ends) for ends in word_ends]


def parts(spans: list[tuple[int, int, int]], characters: int) -> Iterator[list[tuple[int, int, int]]]:
    """`spans`, (text, start, end), in runs of at most so many characters, or of one span."""
    part: list[tuple[int, int, int]] = []
    filled = 0
    for span in spans:
        length = span[2] - span[1]
        if part and filled + length > characters:
            yield part
            part, filled = [], 0
        part.append(span)
        filled += length
    if part:
        yield part


def find_word_ends(sentence: str, words: list[str]) -> list[int]:
    """End offsets of `words` in `sentence`, which they partition.

    LTP drops some characters (U+3000, U+200C), so each word is searched forward; what lies between two words goes to
    the first of them when it is white space, and is a word of its own otherwise.
    """
    if "".join(words) == sentence:
        return list(accumulate(map(len, words)))
    ends: list[int] = []
    position = 0
    for word in words:
        found = sentence.find(word, position)
        if found < 0:
            continue
        gap = sentence[position:found]
        if position and gap and not gap.strip():
            ends[-1] = found
        elif gap.strip():
            ends.append(found)
        position = found + len(word)
        ends.append(position)
    if position < len(sentence):
        if ends and not sentence[position:].strip():
            ends[-1] = len(sentence)
        else:
            ends.append(len(sentence))
    return ends


def whole_words(dictionary: list[str]) -> Callable[[str, list[str]], list[str]]:
    """A function: sentence, its words -> words that leave those of `dictionary` whole: where a boundary falls into one,
    it is a word of its own. Of those that overlap it is the longest match from the left.
    """
    if not dictionary:
        return lambda sentence, words: words
    # numba takes a second to import.
    from wwm.text import trie

    made = trie.of_words(dictionary)

    def whole(sentence: str, words: list[str]) -> list[str]:
        characters = code_points(sentence)
        is_end = np.zeros(len(sentence) + 1, bool)
        is_end[find_word_ends(sentence, words)] = True
        if not trie.make_whole(characters, is_end, made):
            return words
        ends = np.flatnonzero(is_end).tolist()
        # A blank behind a word that was joined stays with it.
        return at_ends(sentence, [a for a, b in zip(ends, ends[1:]) if not sentence[a:b].isspace()] + ends[-1:])

    return whole


def matches(dictionary: list[str]) -> Callable[[str], int]:
    """A function: text -> how many times words of `dictionary` stand in it, by the longest match from the left."""
    from wwm.text import trie

    made = trie.of_words(dictionary)
    return lambda text: trie.count(code_points(text), made)


def code_points(text: str) -> np.ndarray:
    """(n,) uint32"""
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def with_dictionary(cut: Cut, dictionary: list[str]) -> Cut:
    """`cut`, but for the words of `dictionary`, which stay whole."""
    whole = whole_words(dictionary)
    return lambda sentences: list(map(whole, sentences, cut(sentences)))


def at_ends(sentence: str, ends: list[int]) -> list[str]:
    return [sentence[start:end] for start, end in zip([0, *ends], ends)]


def on_simplified(cut: Cut, dictionary: list[str] | None = None) -> Cut:
    """`cut` as it would cut the simplified form of each sentence; a character is one before and after, so word ends
    carry over. Words of `dictionary` stay whole where they stand in the sentence as it is.
    """
    # A word may be converted otherwise where it stands than alone.
    whole = whole_words(dictionary or [])

    def cut_simplified(sentences: list[str]) -> list[list[str]]:
        converted = list(map(simplified, sentences))
        # The words of a converted sentence are not to be searched in the text as it is.
        cuts = zip(sentences, converted, cut(converted))
        return [
            words if sentence == other else whole(sentence, original_words(sentence, other, words))
            for sentence, other, words in cuts
        ]

    return cut_simplified


def original_words(sentence: str, simplified: str, words: list[str]) -> list[str]:
    """The stretches of `sentence` at which the `words` of its simplified form stand."""
    return at_ends(sentence, find_word_ends(simplified, words))


def without_spaces(text: str) -> tuple[str, np.ndarray]:
    """Text whose words are separated by white space -> (text as it is written, word ends).

    A space stays where a Latin or other alphabetic word meets another one; it belongs to the word before it, as a
    line's end does.
    """
    parts: list[str] = []
    ends: list[int] = []
    length = 0
    for line in text.split("\n"):
        words = line.split()
        for i, word in enumerate(words):
            if i and spaced(words[i - 1][-1]) and spaced(word[0]):
                parts.append(" ")
                ends[-1] += 1
                length += 1
            parts.append(word)
            length += len(word)
            ends.append(length)
        if parts and ends:
            parts.append("\n")
            ends[-1] += 1
            length += 1
    if parts:
        parts.pop()
        ends[-1] -= 1
    return "".join(parts), np.array(ends, np.int64)


def spaced(character: str) -> bool:
    """Whether words in this character's script are written with spaces between them: all but punctuation, Chinese,
    Japanese and the like.
    """
    return unicodedata.category(character)[0] not in "PZ" and unicodedata.east_asian_width(character) not in ("W", "F")
