"""A text with gaps in it, and which pieces make a word in a gap."""

import math
import re
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from wwm.common.errors import UserError

MASK, WORD = "[MASK]", "[WORD]"
MARKS = re.compile(r"(?:\[MASK\])+|\[WORD\]")
LAYOUTS = 256
BEAM, LONGEST, FILLINGS = 32, 4, 5  # where nobody says: --beam, --longest and --top-k of `wwm fill`


class Gap(NamedTuple):
    lengths: range  # the numbers of pieces that it may have
    punctuation: bool  # whether it may be there, which is no word and no part of one


class Gapped(NamedTuple):
    """A text in parts: parts[0], gaps[0], parts[1], gaps[1], and so on, the last part last."""

    name: str  # for messages
    text: str
    parts: list[str]
    gaps: list[Gap]

    def filled(self, words: tuple[str, ...]) -> str:
        return "".join(part + word for part, word in zip(self.parts, [*words, ""]))


class Place(NamedTuple):
    """What a masked piece stands beside; text runs on into it where letters, digits and the like touch it.

    after: whether the text before it does; None where a piece that is still to be filled in decides.
    before: whether the text after it does.
    punctuation: whether this may be there.
    """

    after: bool | None
    before: bool
    punctuation: bool


class Layout(NamedTuple):
    """The pieces of a text, with a number of them chosen for each gap.

    ids have [CLS] and [SEP]; those at `positions` are masked, those at `beside` are the text's own next to a gap.
    """

    ids: list[int]
    positions: list[int]
    places: list[Place]
    lengths: tuple[int, ...]
    beside: list[int]


def read(text: str, longest: int, name: str) -> Gapped:
    """[MASK]s in a row are one word of so many pieces, a single one is any piece; [WORD] is a word of 1 to `longest`.

    Raises UserError, which begins with `name`, if there is neither.
    """
    marks = MARKS.findall(text)
    if not marks:
        raise UserError(
            f"{name} has no gap; put {MASK} for each piece of a word that is wanted, or {WORD} for a word of unknown"
            " length"
        )
    lengths = [range(1, longest + 1) if mark == WORD else range(len(mark) // 6, len(mark) // 6 + 1) for mark in marks]
    gaps = [Gap(of_mark, punctuation=mark == MASK) for mark, of_mark in zip(marks, lengths)]
    return Gapped(name, text, MARKS.split(text), gaps)


class Pieces:
    """The entries of a vocabulary by how they stand in a text.

    Arrays of bool over ids: `offered` may be in a word at all, `runs` are written together with letters, digits and the
    like that touch them, `continues` begin with ## and do so, `punctuation` is what else is no letter or digit.
    `fitting`, (2, 2, 2, V), is indexed by the fields of a Place: what may stand there.
    """

    def __init__(self, tokenizer: Tokenizer, size: int):
        """size: how many ids the model knows; those beyond the vocabulary are never offered."""
        self.tokenizer = tokenizer
        known = tokenizer.get_vocab()
        self.cls, self.sep, self.mask = known["[CLS]"], known["[SEP]"], known[MASK]
        self.entries = [tokenizer.id_to_token(i) or "" for i in range(size)]
        self.offered, self.runs, self.continues, self.punctuation = np.zeros((4, size), bool)
        for i, encoding in enumerate(tokenizer.encode_batch(self.entries, add_special_tokens=False)):
            entry, rest = self.entries[i], self.entries[i].removeprefix("##")
            self.continues[i] = entry != rest != "" and self.words(f"a{rest}") == [f"a{rest}"]
            # [CLS], [unused1] and what else is no word to this tokenizer, as capitals where it lowers them, come out as
            # other pieces.
            self.offered[i] = self.continues[i] or encoding.ids == [i]
            self.runs[i] = self.continues[i] or (self.offered[i] and self.run(entry))
            self.punctuation[i] = self.offered[i] and not self.runs[i] and not entry.isalnum()
        self.fitting = np.array([self.fits(*truth) for truth in product([False, True], repeat=3)])
        self.fitting = self.fitting.reshape(2, 2, 2, size)

    def words(self, text: str) -> list[str]:
        """What the tokenizer cuts into pieces one by one: Chinese characters, punctuation, and runs of all else."""
        normal = self.tokenizer.normalizer.normalize_str(text)
        return [word for word, _ in self.tokenizer.pre_tokenizer.pre_tokenize_str(normal)]

    def run(self, text: str) -> bool:
        """Whether letters would run on through `text`."""
        return text != "" and len(self.words(f"a{text}a")) == 1

    def fits(self, after: bool, before: bool, punctuation: bool) -> np.ndarray:
        """What the tokenizer, given the filled text, could cut out of it there."""
        fits = self.offered & (self.continues | ~self.runs if after else ~self.continues)
        if before:
            fits &= ~self.runs
        return fits if punctuation else fits & ~self.punctuation

    def word(self, ids: list[int]) -> str:
        return "".join(self.entries[i].removeprefix("##") for i in ids)


def layouts(gapped: Gapped, pieces: Pieces, longest: int) -> Iterator[Layout]:
    """A layout for each choice of lengths.

    Raises UserError if one has more than `longest` pieces, or if there are more than LAYOUTS of them.
    """
    choices = math.prod(len(gap.lengths) for gap in gapped.gaps)
    if choices > LAYOUTS:
        raise UserError(
            f"{gapped.name} has {choices:,} choices of lengths, more than {LAYOUTS}; give some of its {WORD}s as"
            f" {MASK}s, or a smaller --longest"
        )
    parts = [encoding.ids for encoding in pieces.tokenizer.encode_batch(gapped.parts, add_special_tokens=False)]
    size = 2 + sum(map(len, parts)) + sum(gap.lengths[-1] for gap in gapped.gaps)
    if size > longest:
        raise UserError(
            f"{gapped.name} has up to {size} pieces with [CLS] and [SEP], and the model {longest} positions; shorten it"
        )
    for lengths in product(*(gap.lengths for gap in gapped.gaps)):
        ids, positions, places = [pieces.cls, *parts[0]], list[int](), list[Place]()
        beside: set[int] = set()
        for number, length in enumerate(lengths):
            before, after = gapped.parts[number : number + 2]
            first, last = len(ids), len(ids) + length - 1
            opening = pieces.run(before[-1:]) if before or not number else None
            closing = pieces.run(after[:1])
            for i in range(first, last + 1):
                places.append(
                    Place(opening if i == first else None, closing and i == last, gapped.gaps[number].punctuation)
                )
            positions += range(first, last + 1)
            beside |= {first - 1} if parts[number] else set()
            beside |= {last + 1} if parts[number + 1] else set()
            ids += [*[pieces.mask] * length, *parts[number + 1]]
        yield Layout([*ids, pieces.sep], positions, places, lengths, sorted(beside))
