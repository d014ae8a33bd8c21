"""How tasks are scored: a row for each metric. Plain values in, percent out.

What a metric measures goes into every result file beside the scores, and from there into the tables.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from wwm.tasks import span_scores

CLASSIFICATION = ("single", "pair")
READING = ("reading",)


class Metric(NamedTuple):
    """`figures` returns percent by name, of each example: the `measures`, and whatever else is worth keeping. A score
    is the mean of its figures, so that what examples make of it can be told; NaN of an example that it does not count.
    """

    title: str
    kinds: tuple[str, ...]  # of tasks that it can score
    measures: dict[
        str, str
    ]  # what tables show, name -> label, in order: the first one compares seeds, epochs and models
    figures: Callable[..., dict[str, np.ndarray]]  # (gold, predicted), see below

    def score(self, *gold_and_predicted: object) -> dict[str, float]:
        """Percent by name."""
        return {name: float(np.nanmean(found)) for name, found in self.figures(*gold_and_predicted).items()}


def accuracy(gold: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Whether the best label is the example's own. gold, predicted: (n,) int64, numbers of labels; figures: (n,)."""
    return {"accuracy": 100.0 * (predicted == gold)}


def macro_f1(gold: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Mean F1 of the labels that occur, each weighing the same however rare it is; and accuracy. gold, predicted: (n,)
    int64.

    F1 is a ratio of two sums over the examples; figures are of its linear approximation at these sums (the delta
    method), whose mean is the ratio itself.
    """
    labels = np.union1d(gold, predicted)[:, None]
    wanted, said = gold == labels, predicted == labels  # (labels, n)
    right, either = 2.0 * (wanted & said), 1.0 * wanted + said
    f1 = right.sum(1, keepdims=True) / either.sum(1, keepdims=True)
    figures = f1 + (right - f1 * either) / either.mean(1, keepdims=True)
    return {"macro_f1": 100 * figures.mean(0)} | accuracy(gold, predicted)


EM_AND_F1 = {"em": "EM", "f1": "F1"}
# Of a reading task gold is its questions, and predicted the answer of each by its id.
METRICS = {
    "accuracy": Metric("accuracy", CLASSIFICATION, {"accuracy": "accuracy"}, accuracy),
    "macro_f1": Metric("macro F1: the mean of each label's F1", CLASSIFICATION, {"macro_f1": "macro F1"}, macro_f1),
    "cmrc": Metric(
        "EM and F1 of CMRC 2018's script", READING, EM_AND_F1, partial(span_scores.figures, measure=span_scores.cmrc)
    ),
    "cjrc": Metric(
        "EM and F1 of CJRC's script, overall and by domain",
        READING,
        EM_AND_F1,
        partial(span_scores.figures, measure=span_scores.cjrc, domains=span_scores.DOMAINS),
    ),
}


def usual(kind: str, labels: tuple[str, ...]) -> str:
    """The metric of a task that names none: CJRC's where there may be no answer, which CMRC's F1 cannot score."""
    if kind in CLASSIFICATION:
        return "accuracy"
    return "cjrc" if "" in labels else "cmrc"
