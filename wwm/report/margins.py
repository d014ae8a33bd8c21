"""Whether a difference of means is more than chance: its interval and the p value of no difference, with chance in what
is repeated (seeds of fine-tuning, pairs of models) and in what is asked (examples, documents).
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from wwm.report.words import say

LEVEL = 0.95
# Of fewer runs the deviation is hardly known. With fewer examples or documents intervals are too narrow: two equal
# models differ by the bootstrap in 9 % of cases with 20 documents, and in 7 % with 40.
FEWEST_RUNS, FEWEST_ASKED = 3, 50
POWER = 0.8  # of a test that is planned
MOST_RUNS, MOST_ASKED, TRIED = 1_000, 1_000_000, 1_000  # TRIED: how many factors of what there is
RESAMPLES, AT_ONCE = 9_999, 500  # of the bootstrap, and in memory


class Margin(NamedTuple):
    """A difference of means; an interval that covers it in 95 % of such experiments; two-sided p of no difference."""

    mean: float
    low: float
    high: float
    p: float

    def difference(self, nats: bool = False) -> str:
        return say("{number} nats", number=f"{self.mean:+z.3f}") if nats else f"{self.mean:+z.2f}"

    def interval(self, nats: bool = False) -> str:
        low, high = (f"{number:+z.{3 if nats else 2}f}" for number in (self.low, self.high))
        return say("{low} to {high}", low=low, high=high)

    @property
    def probability(self) -> str:
        return probability(self.p)

    @property
    def reversed(self) -> "Margin":
        """Of the same two the other way round."""
        return Margin(-self.mean, -self.high, -self.low, self.p)

    @property
    def none(self) -> bool:
        """Both have the same figures throughout, as two classifiers that always say the same."""
        return self.low == self.high == 0


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
    """What would tell a difference of the size seen in four of five experiments; None: as many as there are."""

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


def needed(ours: np.ndarray, theirs: np.ndarray, level: float) -> Needed | None:
    """More runs, else more examples, else more of both by one factor, so that a test at this level (of p, corrected for
    what is tested besides) tells a difference that `of_runs` was made of and that is not told; None where
    MOST_RUNS and MOST_ASKED would not.

    The mean squares expected of so many are made of the parts of variance seen, and `of_runs` says what becomes of
    them.
    """
    n, drawn = ours.shape[-1], [figures for figures in (ours, theirs) if figures.ndim == 2]
    seen = np.atleast_2d(ours).mean(0) - np.atleast_2d(theirs).mean(0)
    mean, alike = float(seen.mean()), float(seen.var(ddof=1))  # of examples, in the end: that a run is the same on
    parts = []
    for figures in drawn:
        of_run = figures.mean(1)
        left = figures - figures.mean(0) - of_run[:, None] + of_run.mean()
        both = float((left**2).sum()) / ((len(figures) - 1) * (n - 1))
        parts.append((max(0.0, float(of_run.var(ddof=1)) - both / n), both))
        alike -= both / len(figures)
    if not mean:
        return None

    def first(runs: np.ndarray, examples: np.ndarray) -> tuple[int, int] | None:
        of_examples = (max(0.0, alike) + sum(both for _, both in parts) / runs) / examples
        variance, squares = of_examples, of_examples**2 / (examples - 1)
        for alone, both in parts:
            together = both / runs / examples
            variance = variance + alone / runs
            squares = squares + ((alone / runs + together) ** 2 + together**2 / (examples - 1)) / (runs - 1)
        freedom = variance**2 / squares
        reach = (stats.t.ppf(1 - level / 2, freedom) + stats.t.ppf(POWER, freedom)) * variance**0.5
        [told] = np.nonzero(reach <= abs(mean))
        return (int(runs[told[0]]), int(examples[told[0]])) if len(told) else None

    have = min((len(figures) for figures in drawn), default=MOST_RUNS)
    more_runs = np.arange(have + 1.0, MOST_RUNS + 1)
    if found := first(more_runs, np.full_like(more_runs, n)):
        return Needed(found[0], None)
    factors = np.geomspace(1, max(MOST_RUNS / have, MOST_ASKED / n, 1), TRIED)
    more_runs = np.minimum(np.maximum(np.ceil(have * factors), have + 1), MOST_RUNS)
    more_examples = np.minimum(np.maximum(np.ceil(n * factors), n + 1), MOST_ASKED)
    if found := first(np.full_like(factors, have), more_examples):
        return Needed(None, found[1])
    return Needed(*found) if drawn and (found := first(more_runs, more_examples)) else None


def enough(ours: np.ndarray, theirs: np.ndarray, level: float) -> str:
    """What `needed` finds, as a sentence."""
    found = needed(ours, theirs, level)
    if found is None:
        return say("A difference of this size is too small to tell by any realistic number of seeds and examples.")
    if found.examples is None:
        return say("A difference of this size takes about {count} seeds to tell.", count=found.runs)
    if found.runs is None:
        return say(
            "A difference of this size takes about {count:,} scored examples to tell, and here are {have:,}; more seeds"
            " alone will not do.",
            count=found.examples,
            have=ours.shape[-1],
        )
    return say(
        "A difference of this size takes about {seeds} seeds and {examples:,} scored examples to tell, and here are"
        " {have:,}; more of one alone will not do.",
        seeds=found.runs,
        examples=found.examples,
        have=ours.shape[-1],
    )


def correction(margin: Margin, p: float, count: int) -> str:
    """Why a difference is open whose interval, which is of that test alone, says otherwise; nothing where it does not.
    p: corrected for this count of tests.
    """
    if margin.p >= 1 - LEVEL:
        return ""
    return say(
        "The interval is of this comparison alone; among the {count} that were made, one like it arises by chance too"
        " often (p corrected for them, by Holm: {p}).",
        count=count,
        p=probability(p),
    )


def open_level(corrected: list[float]) -> float:
    """The level for one of the tests that are open after `holm`, alone, to be told: those told before it are no more
    counted.
    """
    return (1 - LEVEL) / max(1, sum(p >= 1 - LEVEL for p in corrected))


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
