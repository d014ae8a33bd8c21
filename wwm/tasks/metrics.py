"""How tasks are scored: a row for each metric. Plain values in, percent out.

What a metric measures goes into every result file beside the scores, and from there into the tables.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from wwm.tasks import span_scores, tags
from wwm.tasks.tags import Sentence

CLASSIFICATION = ("single", "pair")
READING = ("reading",)
TAGGING = ("tagging",)


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

    F1 is a ratio of two sums over the examples: see `ratio`.
    """
    labels = np.union1d(gold, predicted)[:, None]
    wanted, said = gold == labels, predicted == labels  # (labels, n)
    figures = ratio(2.0 * (wanted & said), 1.0 * wanted + said)
    return {"macro_f1": 100 * figures.mean(0)} | accuracy(gold, predicted)


def entity_f1(gold: Sequence[Sentence], predicted: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """F1 of the entities of all sentences together, precision and recall, as conlleval has them; 0 where there are none
    to be found. predicted: the tags of each sentence; figures: (n,), ratios as in macro_f1.
    """
    counts = [tags.counts(sentence.tags, said) for sentence, said in zip(gold, predicted, strict=True)]
    right, wanted, said = np.array(counts, float).reshape(-1, 3).T
    return {
        "entity_f1": 100 * ratio(2 * right, wanted + said),
        "entity_precision": 100 * ratio(right, said),
        "entity_recall": 100 * ratio(right, wanted),
    }


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Of the sum of `part` and that of `whole`, over n examples, the share of each: what the ratio's linear
    approximation (the delta method) has of it, whose mean is the ratio itself; 0 where there is nothing. (..., n) each.
    """
    sums = whole.sum(-1, keepdims=True)
    found = part.sum(-1, keepdims=True) / np.where(sums, sums, 1)
    means = whole.mean(-1, keepdims=True)
    return found + (part - found * whole) / np.where(means, means, 1)


EM_AND_F1 = {"em": "EM", "f1": "F1"}
# Of a reading task gold is its questions, and predicted the answer of each by its id; of a tagging task its sentences,
# and the tags of each.
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
    "entity_f1": Metric(
        "F1 of entities as conlleval has it, or of words", TAGGING, {"entity_f1": "entity F1"}, entity_f1
    ),
}


def usual(kind: str, labels: tuple[str, ...]) -> str:
    """The metric of a task that names none: CJRC's where there may be no answer, which CMRC's F1 cannot score."""
    if kind in CLASSIFICATION:
        return "accuracy"
    if kind in TAGGING:
        return "entity_f1"
    return "cjrc" if "" in labels else "cmrc"
