"""Whether a difference of means is more than chance: its interval and the p value of no difference, with chance in what
is repeated (seeds of fine-tuning, pairs of models) and in what is asked (examples, documents).
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from wwm.report.words import say

LEVEL = 0.95
# Of fewer runs the deviation is hardly known. With fewer examples or documents intervals are too narrow: two equal
# models differ by the bootstrap in 9 % of cases with 20 documents, and in 7 % with 40.
FEWEST_RUNS, FEWEST_ASKED = 3, 50
POWER = 0.8  # of a test that is planned
MOST_RUNS, MOST_ASKED = 1_000, 1_000_000
RESAMPLES, AT_ONCE = 9_999, 500  # of the bootstrap, and in memory


class Margin(NamedTuple):
    """A difference of means; an interval that covers it in 95 % of such experiments; two-sided p of no difference."""

    mean: float
    low: float
    high: float
    p: float

    def difference(self, nats: bool = False) -> str:
        return say("{number} nats", number=f"{self.mean:+.3f}") if nats else f"{self.mean:+.2f}"

    def interval(self, nats: bool = False) -> str:
        low, high = (f"{number:+.{3 if nats else 2}f}" for number in (self.low, self.high))
        return say("{low} to {high}", low=low, high=high)

    @property
    def probability(self) -> str:
        return probability(self.p)


class Unknown(NamedTuple):
    """In the place of a margin: why there is none."""

    why: str

    def difference(self, nats: bool = False) -> str:
        return say("n/a ({why})", why=self.why)

    def interval(self, nats: bool = False) -> str:
        return "–"

    @property
    def probability(self) -> str:
        return "–"


class Needed(NamedTuple):
    """What would tell a difference of the size seen in four of five experiments: so many runs of the same examples, or
    so many examples with as many runs. None where no number up to MOST_RUNS or MOST_ASKED would.
    """

    runs: int | None
    examples: int | None


def of_runs(ours: np.ndarray, theirs: np.ndarray) -> Margin | Unknown:
    """ours, theirs: (runs, n) figures of the same n examples, in any unit, or (n,) where another run would be the same.

    Runs and examples are crossed: a figure is the sum of the model's mean, of what its run and its example make of it,
    and of what only both together do. Variances come from the mean squares of this layout, those of the examples from
    differences, for both models have the same; degrees of freedom are Satterthwaite's. A part below 0 counts as 0.
    """
    drawn = [figures for figures in (ours, theirs) if figures.ndim == 2]
    if any(len(figures) < FEWEST_RUNS for figures in drawn):
        return Unknown(say("fewer than {count} seeds or pairs", count=FEWEST_RUNS))
    n = ours.shape[-1]
    if n < FEWEST_ASKED:
        return Unknown(say("fewer than {count} examples or documents", count=FEWEST_ASKED))
    examples = np.atleast_2d(ours).mean(0) - np.atleast_2d(theirs).mean(0)
    mean, of_examples = float(examples.mean()), float(examples.var(ddof=1)) / n
    variance, squares = of_examples, of_examples**2 / (n - 1)
    for figures in drawn:
        runs, of_run = len(figures), figures.mean(1)
        left = figures - figures.mean(0) - of_run[:, None] + of_run.mean()
        both = float((left**2).sum()) / ((runs - 1) * (n - 1)) / (runs * n)
        alone = float(of_run.var(ddof=1)) / runs  # and what is in `both` besides, which of_examples has, too
        variance += max(0.0, alone - both)
        squares += (alone**2 + both**2 / (n - 1)) / (runs - 1)
    if not variance:
        return Margin(mean, mean, mean, float(mean == 0))
    error, freedom = variance**0.5, variance**2 / squares
    reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    return Margin(mean, mean - reach, mean + reach, 2 * float(stats.t.sf(abs(mean) / error, freedom)))


def needed(ours: np.ndarray, theirs: np.ndarray) -> Needed:
    """Of figures that `of_runs` makes a margin of, by its parts of variance, for a test of that LEVEL."""
    n = ours.shape[-1]
    examples = np.atleast_2d(ours).mean(0) - np.atleast_2d(theirs).mean(0)
    of_examples, of_runs, of_both, noise = float(examples.var(ddof=1)), 0.0, 0.0, 0.0
    for figures in (ours, theirs):
        if figures.ndim == 2:
            runs, of_run = len(figures), figures.mean(1)
            left = figures - figures.mean(0) - of_run[:, None] + of_run.mean()
            both = float((left**2).sum()) / ((runs - 1) * (n - 1))
            noise += both / runs
            of_both += both
            of_runs += max(0.0, float(of_run.var(ddof=1)) - both / n)
    runs = max(len(np.atleast_2d(figures)) for figures in (ours, theirs))
    alike = max(0.0, of_examples - noise)  # of examples that a run is the same on
    allowed = (float(examples.mean()) / (stats.norm.ppf((1 + LEVEL) / 2) + stats.norm.ppf(POWER))) ** 2
    left_for_runs, left_for_examples = allowed - alike / n, allowed - of_runs / runs
    by_runs = (of_runs + of_both / n) / left_for_runs if left_for_runs > 0 else np.inf
    by_examples = (alike + of_both / runs) / left_for_examples if left_for_examples > 0 else np.inf
    return Needed(
        max(FEWEST_RUNS, math.ceil(by_runs)) if by_runs <= MOST_RUNS else None,
        max(FEWEST_ASKED, math.ceil(by_examples)) if by_examples <= MOST_ASKED else None,
    )


def of_pairs(differences: np.ndarray) -> Margin | Unknown:
    """Of differences between models in pairs: (pairs, n) figures of the same n examples."""
    return of_runs(differences, np.zeros(differences.shape[-1]))


def of_documents(sums: np.ndarray, weights: np.ndarray) -> Margin | Unknown:
    """Of sum(sums) / sum(weights), such as nats for each character: (documents,) each.

    Percentile bootstrap over documents, since the questions of one have much in common.
    """
    if len(sums) < FEWEST_ASKED:
        return Unknown(say("fewer than {count} examples or documents", count=FEWEST_ASKED))
    drawn = stats.bootstrap(
        (sums, weights),
        lambda sums, weights, axis: sums.sum(axis) / weights.sum(axis),
        n_resamples=RESAMPLES,
        batch=AT_ONCE,
        vectorized=True,
        paired=True,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(0),  # the same results have the same intervals
    )
    interval, ratios = drawn.confidence_interval, drawn.bootstrap_distribution
    rarer = min(np.sum(ratios <= 0), np.sum(ratios >= 0))
    p = min(1.0, 2 * (float(rarer) + 1) / (RESAMPLES + 1))
    return Margin(float(sums.sum() / weights.sum()), float(interval.low), float(interval.high), p)


def ratios(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Figures (runs, documents) for `of_runs`, whose means over documents are sum(sums) / sum(weights) in each run: its
    linear approximation (the delta method). sums: (runs, documents), weights: (documents,).
    """
    shares = weights / weights.mean()
    return sums / weights.mean() - (sums.sum() / weights.sum() / len(sums)) * (shares - 1)


def holm(made: list[Margin | Unknown]) -> list[float]:
    """p values of tests that were made together, corrected by Holm's step-down method, in their order; 1 of what is
    unknown, which is no test.
    """
    corrected, highest = [1.0] * len(made), 0.0
    tests = sorted((one.p, i) for i, one in enumerate(made) if isinstance(one, Margin))
    for rank, (p, i) in enumerate(tests):
        highest = max(highest, min(1.0, (len(tests) - rank) * p))
        corrected[i] = highest
    return corrected


def probability(p: float) -> str:
    return f"{p:.3f}" if p >= 0.0005 else "< 0.001"
