"""Sentences whose tokens have tags: of names and the like by type (B-PER), or of words (B M E S). Plain values."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

OUTSIDE = "O"
# Scheme -> letters of its tags, besides OUTSIDE.
SCHEMES = {"BIO": "BI", "BIOES": "BIES", "BMES": "BMES"}
TAG = re.compile(r"O|[BIMES](-\S+)?")
WORD = "word"  # stands for the type of tags that have none


class Sentence(NamedTuple):
    """`tags` has one for each token, or none where the file has none; `id` is the file's, else its line or place."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    id: int | str = ""

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    @property
    def shown(self) -> dict[str, Any]:
        """The `text`, and the `tokens` where they are not its characters."""
        characters = all(len(token) == 1 for token in self.tokens)
        return {"text": self.text} | ({} if characters else {"tokens": [*self.tokens]})


class Entity(NamedTuple):
    """What tokens `begin` to `end`, the latter not included, are: `type` is "" where tags have none."""

    type: str
    begin: int
    end: int


def of_types(types: Sequence[str], scheme: str) -> tuple[str, ...]:
    """The tags that entities of these types have."""
    return (OUTSIDE, *(f"{letter}-{kind}" for kind in types for letter in SCHEMES[scheme]))


def entities(tags: Sequence[str]) -> list[Entity]:
    """In their order, by conlleval's rules for tags that do not fit together: an I that continues nothing, or another
    type, begins an entity; M and E are I, and S is B, but that nothing goes on behind E and S.
    """
    read, over = [], False
    for tag in tags:
        letter, _, kind = tag.partition("-")
        begins = letter in "BS" or over
        read.append(OUTSIDE if letter == OUTSIDE else f"{'B' if begins else 'I'}-{kind or WORD}")
        over = letter in "ES"
    found = bio().decode_labels(bio().repair_labels(read, "conlleval"))
    typed = any("-" in tag for tag in tags)
    return [Entity(one.type if typed else "", one.span.start, one.span.end) for one in found]


@cache
def bio() -> Any:
    from seqscore.encoding import get_encoding  # which a rented GPU host lacks

    return get_encoding("BIO")


def counts(gold: Sequence[str], said: Sequence[str]) -> tuple[int, int, int]:
    """Of two rows of tags for the same tokens: entities that both have, that are wanted, and that are said."""
    wanted, found = set(entities(gold)), set(entities(said))
    return len(wanted & found), len(wanted), len(found)


def answer(tokens: Sequence[str], tags: Sequence[str], probabilities: Sequence[float]) -> dict[str, Any]:
    """What is said of a sentence: its tags, and entities with the tokens that they are of, which in a text are its
    characters. An entity's probability is that of its least likely tag. probabilities: of each tag.
    """
    return {
        "tags": [*tags],
        "entities": [
            {
                "type": kind,
                "text": "".join(tokens[begin:end]),
                "begin": begin,
                "end": end,
                "probability": round(min(probabilities[begin:end]), 6),
            }
            for kind, begin, end in entities(tags)
        ],
    }
