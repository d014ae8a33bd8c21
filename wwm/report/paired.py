"""Scores in pairs (models that differ in one thing, or runs with the same seed): the mean difference, and what chance
makes of it.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from wwm.report.words import say

ROUNDING = 1e-9  # differences of the same two decimals differ by less


class Paired(NamedTuple):
    """Differences over pairs, in points; an interval that covers 95 % of such experiments; two-sided p value."""

    pairs: int
    mean: float
    deviation: float
    low: float
    high: float
    p: float


def paired(ours: list[float], theirs: list[float]) -> Paired:
    """Student's paired t. ours, theirs: (n,) scores, pair by pair, n of two or more. Differences that are all the same
    have an interval of width 0.
    """
    differences = np.subtract(ours, theirs)
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1))
    if deviation < ROUNDING:
        return Paired(len(differences), mean, 0.0, mean, mean, 1.0 if abs(mean) < ROUNDING else 0.0)
    test = stats.ttest_rel(ours, theirs)
    interval = test.confidence_interval(0.95)
    return Paired(len(differences), mean, deviation, float(interval.low), float(interval.high), float(test.pvalue))


def holm(values: list[float]) -> list[float]:
    """p values of tests that were made together, corrected by Holm's step-down method, in their order."""
    corrected, highest = [0.0] * len(values), 0.0
    for rank, i in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[i]))
        corrected[i] = highest
    return corrected


def told(found: Paired) -> list[str]:
    """Mean difference, interval and p."""
    return [
        f"{found.mean:+.2f}",
        say("{low:+.2f} to {high:+.2f}", low=found.low, high=found.high),
        probability(found.p),
    ]


def probability(p: float) -> str:
    return f"{p:.3f}" if p >= 0.0005 else "< 0.001"


HEADER = ["measure", "pairs", "first", "second", "difference", "its deviation", "95 % interval", "p"]


def rows(measures: dict[str, dict[str, float]], models: list[str], against: list[str]) -> list[list[str]]:
    """A row for each measure (model -> score); a pair that was not measured on both sides is left out."""
    made = []
    for measure, scored in measures.items():
        both = [
            (scored[one], scored[other]) for one, other in zip(models, against) if one in scored and other in scored
        ]
        if len(both) < 2:
            made.append([measure, str(len(both)), *[say("n/a (fewer than two pairs)")] * 6])
            continue
        found = paired(*map(list, zip(*both)))
        means = [f"{sum(side) / len(side):.2f}" for side in zip(*both)]
        difference, interval, p = told(found)
        made.append([measure, str(found.pairs), *means, difference, f"{found.deviation:.2f}", interval, p])
    return made
