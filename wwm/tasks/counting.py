"""What counting makes of a task: naive Bayes over character n-grams, which no model should need pre-training to beat.

Of a pair, n-grams of each text and those that both have; of a token that has a tag, those near it. Presence counts and
not frequency, as Wang and Manning (2012) found best for naive Bayes on short texts.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.naive_bayes import MultinomialNB
from tqdm import tqdm

from wwm.tasks.figures import Said, compared
from wwm.tasks.metrics import Metric
from wwm.tasks.rows import Example
from wwm.tasks.tags import Sentence

LONGEST = (1, 2, 3)
SMOOTHING = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)
OF_TEXT, OF_BOTH = "ab", "="  # in front of an n-gram: which text it is of
NEAR = 2  # tokens before and behind one that are looked at for its tag


class Counted(NamedTuple):
    """What came of it: the n-grams' greatest length and what is added to each count, of which `tried` has the dev
    score; and by split the label that each example is given, or the tags of each sentence.
    """

    longest: int
    smoothing: float
    tried: dict[tuple[int, float], float]
    said: dict[str, Said]


class Place(NamedTuple):
    """A token of a sentence."""

    sentence: Sentence
    token: int


def counted(splits: dict[str, list], labels: Sequence[str], metric: Metric, title: str) -> Counted:
    """Learnt from `train`; the first of those that are best on `dev` by the metric's first measure. title: of a bar."""
    measure = next(iter(metric.measures))
    tried: dict[tuple[int, float], float] = {}
    best: Counted | None = None
    for longest in tqdm(LONGEST, desc=title, unit=" lengths"):
        hashed = HashingVectorizer(
            analyzer=partial(n_grams, longest=longest),
            binary=True,
            norm=None,
            alternate_sign=False,
        )
        found = {split: hashed.transform(rows(examples)) for split, examples in splits.items()}
        for smoothing in SMOOTHING:
            model = MultinomialNB(alpha=smoothing).fit(found["train"], gold(splits["train"], labels))
            told = named(splits["dev"], model.predict(found["dev"]), labels)
            score = metric.score(*compared(splits["dev"], labels, told))[measure]
            tried[longest, smoothing] = round(score, 4)
            if best is None or score > tried[best.longest, best.smoothing]:
                said = {
                    split: named(splits[split], model.predict(own), labels)
                    for split, own in found.items()
                    if split != "train"
                }
                best = Counted(longest, smoothing, tried, said)
    assert best is not None
    return best


def rows(examples: list) -> Iterator[Example | Place]:
    """What is given a label: examples, or the tokens of sentences."""
    for example in examples:
        if isinstance(example, Sentence):
            yield from (Place(example, token) for token in range(len(example.tokens)))
        else:
            yield example


def gold(examples: list, labels: Sequence[str]) -> np.ndarray:
    """(rows,) int64 numbers of their labels."""
    numbers = {label: number for number, label in enumerate(labels)}
    if isinstance(examples[0], Sentence):
        return np.array([numbers[tag] for sentence in examples for tag in sentence.tags])
    return np.array([example.label for example in examples])


def named(examples: list, numbers: np.ndarray, labels: Sequence[str]) -> Said:
    """The labels of examples, or the tags of each sentence. numbers: (rows,) int64."""
    names = [labels[number] for number in numbers]
    if not isinstance(examples[0], Sentence):
        return names
    left = iter(names)
    return [[*islice(left, len(sentence.tokens))] for sentence in examples]


def n_grams(row: Example | Place, longest: int) -> Iterator[str]:
    """Those of 1 to `longest` characters, each marked by its text; or of so many tokens NEAR one, by their distance."""
    return near(row, longest) if isinstance(row, Place) else within(row, longest)


def near(place: Place, longest: int) -> Iterator[str]:
    begin = max(0, place.token - NEAR)
    tokens = place.sentence.tokens[begin : place.token + NEAR + 1]
    for n in range(1, longest + 1):
        for i in range(len(tokens) - n + 1):
            yield f"{begin + i - place.token} {' '.join(tokens[i : i + n])}"


def within(example: Example, longest: int) -> Iterator[str]:
    own = [
        {text[begin : begin + n] for n in range(1, longest + 1) for begin in range(len(text) - n + 1)}
        for text in example.texts
    ]
    for mark, grams in zip(OF_TEXT, own):
        yield from (mark + gram for gram in grams)
    if len(own) == 2:
        yield from (OF_BOTH + gram for gram in own[0] & own[1])
