"""What counting makes of a task: naive Bayes over character n-grams, which no model should need pre-training to beat.

Of a pair, n-grams of each text and those that both have. Presence counts and not frequency, as Wang and Manning (2012)
found best for naive Bayes on short texts.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.naive_bayes import MultinomialNB
from tqdm import tqdm

from wwm.tasks.metrics import Metric
from wwm.tasks.rows import Example

LONGEST = (1, 2, 3)
SMOOTHING = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)
OF_TEXT, OF_BOTH = "ab", "="  # in front of an n-gram: which text it is of


class Counted(NamedTuple):
    """What came of it: the n-grams' greatest length and what is added to each count, of which `tried` has the dev
    score; and the number of the label that each example is given, (n,) int64, by split.
    """

    longest: int
    smoothing: float
    tried: dict[tuple[int, float], float]
    said: dict[str, np.ndarray]


def counted(splits: dict[str, list[Example]], metric: Metric, title: str) -> Counted:
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
        found = {split: hashed.transform(examples) for split, examples in splits.items()}
        for smoothing in SMOOTHING:
            model = MultinomialNB(alpha=smoothing).fit(found["train"], gold(splits["train"]))
            score = metric.score(gold(splits["dev"]), model.predict(found["dev"]))[measure]
            tried[longest, smoothing] = round(score, 4)
            if best is None or score > tried[best.longest, best.smoothing]:
                said = {split: model.predict(rows) for split, rows in found.items() if split != "train"}
                best = Counted(longest, smoothing, tried, said)
    assert best is not None
    return best


def gold(examples: list[Example]) -> np.ndarray:
    """(n,) int64 numbers of their labels."""
    return np.array([example.label for example in examples])


def n_grams(example: Example, longest: int) -> Iterator[str]:
    """Those of 1 to `longest` characters, each marked by its text."""
    own = [
        {text[begin : begin + n] for n in range(1, longest + 1) for begin in range(len(text) - n + 1)}
        for text in example.texts
    ]
    for mark, grams in zip(OF_TEXT, own):
        yield from (mark + gram for gram in grams)
    if len(own) == 2:
        yield from (OF_BOTH + gram for gram in own[0] & own[1])
