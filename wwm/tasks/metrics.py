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
    """`score` returns percent by name: the `measures`, and whatever else is worth keeping."""

    title: str
    kinds: tuple[str, ...]  # of tasks that it can score
    measures: dict[
        str, str
    ]  # what tables show, name -> label, in order: the first one compares seeds, epochs and models
    score: Callable[..., dict[str, float]]  # (gold, predicted), see below


def accuracy(gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Share of examples whose best label is their own. gold, predicted: (n,) int64, numbers of labels."""
    return {"accuracy": 100 * float((predicted == gold).mean())}


def macro_f1(gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Mean F1 of the labels that occur, each weighing the same however rare it is; and accuracy. gold, predicted: (n,)
    int64.
    """
    labels = np.union1d(gold, predicted)[:, None]
    wanted, said = gold == labels, predicted == labels
    f1 = 2 * (wanted & said).sum(1) / (wanted.sum(1) + said.sum(1))
    return {"macro_f1": 100 * float(f1.mean())} | accuracy(gold, predicted)


EM_AND_F1 = {"em": "EM", "f1": "F1"}
# Of a reading task gold is its questions, and predicted the answer of each by its id.
METRICS = {
    "accuracy": Metric("accuracy", CLASSIFICATION, {"accuracy": "accuracy"}, accuracy),
    "macro_f1": Metric("macro F1: the mean of each label's F1", CLASSIFICATION, {"macro_f1": "macro F1"}, macro_f1),
    "cmrc": Metric(
        "EM and F1 of CMRC 2018's script", READING, EM_AND_F1, partial(span_scores.score, measure=span_scores.cmrc)
    ),
    "cjrc": Metric(
        "EM and F1 of CJRC's script, overall and by domain",
        READING,
        EM_AND_F1,
        partial(span_scores.score, measure=span_scores.cjrc, domains=span_scores.DOMAINS),
    ),
}


def usual(kind: str, labels: tuple[str, ...]) -> str:
    """The metric of a task that names none: CJRC's where there may be no answer, which CMRC's F1 cannot score."""
    if kind in CLASSIFICATION:
        return "accuracy"
    return "cjrc" if "" in labels else "cmrc"
