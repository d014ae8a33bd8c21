"""Cloze in nats: what models make of the same questions, and by how much one is better than another."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

RESAMPLES = 9999
AT_ONCE = 500  # resamples in memory


class Answers(NamedTuple):
    """Sums over the questions of each document, float64 (documents,) each; the same documents in the same order for
    models that were asked the same questions.
    """

    nats: np.ndarray  # -log p of the true characters
    unigram_nats: np.ndarray  # the same of who knows how often each character stands in held-out text, and no context
    characters: np.ndarray

    @property
    def mean(self) -> float:
        """Nats per character."""
        return float(self.nats.sum() / self.characters.sum())


class Gain(NamedTuple):
    """How many nats per character one has less than another: more than 0 is better. An interval that covers 95 %."""

    mean: float
    low: float
    high: float


def read(path: Path) -> dict[str, Answers]:
    """By way of asking (`words`, `characters`), out of results/cloze/MODEL.csv."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = {document: i for i, document in enumerate(dict.fromkeys(row["document"] for row in rows))}
    found: dict[str, Answers] = {}
    for row in rows:
        sums = found.setdefault(row["kind"], Answers(*np.zeros((len(Answers._fields), len(numbers)))))
        for name, column in sums._asdict().items():
            column[numbers[row["document"]]] += float(row[name])
    return found


def together(kinds: Mapping[str, Answers]) -> Answers:
    """Over all ways of asking."""
    return Answers(*(np.sum(columns, 0) for columns in zip(*kinds.values())))


def gain(ours: np.ndarray, theirs: np.ndarray, characters: np.ndarray) -> Gain:
    """ours, theirs, characters: (documents,), the nats of each and what they are of, document by document.

    Percentile bootstrap over documents, since the questions of one have much in common. One document has no interval.
    """
    less = np.subtract(theirs, ours)
    mean = float(np.sum(less) / np.sum(characters))
    if len(less) < 2:
        return Gain(mean, -np.inf, np.inf)
    found = stats.bootstrap(
        (less, np.asarray(characters)),
        lambda less, characters, axis: less.sum(axis) / characters.sum(axis),
        n_resamples=RESAMPLES,
        batch=AT_ONCE,
        vectorized=True,
        paired=True,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Gain(mean, float(found.low), float(found.high))
