"""Models that differ in one thing, pair by pair: the mean difference, and what chance makes of it (Student's paired t)."""

from typing import NamedTuple

import numpy as np
from scipy import stats


class Paired(NamedTuple):
    """Differences over pairs, in points; an interval that covers 95 % of such experiments, and the two-sided p value."""

    pairs: int
    mean: float
    deviation: float
    low: float
    high: float
    p: float


def paired(ours: list[float], theirs: list[float]) -> Paired:
    """ours, theirs: (n,) scores, pair by pair, n of two or more. Differences that are all the same have an interval of width 0."""
    differences = np.subtract(ours, theirs)
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1))
    if deviation == 0:
        return Paired(len(differences), mean, 0.0, mean, mean, 1.0 if mean == 0 else 0.0)
    test = stats.ttest_rel(ours, theirs)
    interval = test.confidence_interval(0.95)
    return Paired(len(differences), mean, deviation, float(interval.low), float(interval.high), float(test.pvalue))


HEADER = ["measure", "pairs", "first", "second", "difference", "its deviation", "95 % interval", "p"]


def rows(measures: dict[str, dict[str, float]], models: list[str], against: list[str]) -> list[list[str]]:
    """A row for each measure (model -> score); a pair that was not measured on both sides is left out."""
    told = []
    for measure, scored in measures.items():
        both = [(scored[one], scored[other]) for one, other in zip(models, against) if one in scored and other in scored]
        if len(both) < 2:
            told.append([measure, str(len(both)), *["n/a (fewer than two pairs)"] * 6])
            continue
        found = paired(*map(list, zip(*both)))
        means = [f"{sum(side) / len(side):.2f}" for side in zip(*both)]
        told.append(
            [measure, str(found.pairs), *means, f"{found.mean:+.2f}", f"{found.deviation:.2f}", f"{found.low:+.2f} to {found.high:+.2f}", f"{found.p:.3f}"]
        )
    return told
