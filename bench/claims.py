"""How often the rule of the tables finds a difference between two models, where there is none and where there is one.

python -m bench.claims [--experiments 1000]

Models answer examples right or wrong: by how hard an example is for both, for this model, and for this run of it, and
by the luck of the run. Two equal models are drawn anew for each experiment; then the second one again, better by two
standard deviations of its seeds' scores. Words of documents: what a model gains is the document's own, and the word's.
"""

import argparse
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy import stats

from wwm.report import margins

# Standard deviations of what makes an answer right, the first one fixed at 1.
HARD, HARD_FOR_MODEL, HARD_FOR_RUN = 1.0, 0.3, 0.5


class Setting(NamedTuple):
    seeds: int
    examples: int
    share: float  # about so many of the answers are right
    luck: float  # of a run, as HARD is of an example


RUNS = [Setting(*each) for each in product((3, 5, 10), (200, 1000), (0.6, 0.9), (0.0, 0.1, 0.3))]
DOCUMENTS = (50, 200, 1000)


def whole(setting: Setting) -> float:
    """Standard deviation of all that makes an answer right."""
    return (HARD**2 + HARD_FOR_MODEL**2 + HARD_FOR_RUN**2 + setting.luck**2) ** 0.5


def answers(rng: np.random.Generator, setting: Setting, gain: float = 0.0) -> Iterator[np.ndarray]:
    """Of two models, of which the second one is better by `gain`: (seeds, examples) percent."""
    seeds, n = setting.seeds, setting.examples
    least = -whole(setting) * float(stats.norm.ppf(setting.share))
    hard = HARD * rng.standard_normal(n)
    for added in (0.0, gain):
        own = hard + HARD_FOR_MODEL * rng.standard_normal(n) + setting.luck * rng.standard_normal((seeds, 1))
        yield 100.0 * (own + HARD_FOR_RUN * rng.standard_normal((seeds, n)) + added > least)


def claimed(rng: np.random.Generator, setting: Setting, experiments: int, gain: float = 0.0) -> float:
    """In which share of the experiments a difference is found, in percent; `gain` as in `answers`."""
    return share(margins.of_runs(*answers(rng, setting, gain)) for _ in range(experiments))


def deviation(rng: np.random.Generator, setting: Setting) -> float:
    """Standard deviation of a model's scores over seeds, in points."""
    return float(next(answers(rng, setting._replace(seeds=1000))).mean(1).std(ddof=1))


def gain(setting: Setting, points: float) -> float:
    """How much better a model is whose score is higher by so many points."""
    before, after = stats.norm.ppf([setting.share, setting.share + points / 100])
    return float(after - before) * whole(setting)


def words_claimed(rng: np.random.Generator, documents: int, experiments: int) -> float:
    """As `claimed`, of questions in so many documents, three in each on the average, by equal models."""

    def one() -> margins.Margin | margins.Unknown:
        of = np.repeat(np.arange(documents), 1 + rng.poisson(2, documents))
        characters = rng.integers(1, 5, len(of))
        gains = characters * 0.5 * rng.standard_normal(documents)[of] + rng.standard_t(4, len(of)) * characters**0.5
        return margins.of_documents(np.bincount(of, gains), np.bincount(of, characters))

    return share(one() for _ in range(experiments))


def share(found: Iterator[margins.Margin | margins.Unknown]) -> float:
    return 100 * float(np.mean([margin.p < 1 - margins.LEVEL for margin in found]))


def main(experiments: int) -> None:
    print("| seeds | examples | right, in % | deviation over seeds | found, equal | found, two deviations apart |")
    print("|---|---|---|---|---|---|")
    for number, setting in enumerate(RUNS):
        rng = np.random.default_rng([number, 0])
        points = deviation(rng, setting)
        none, some = (claimed(rng, setting, experiments, gain(setting, apart * points)) for apart in (0, 2))
        cells = [setting.seeds, setting.examples, f"{100 * setting.share:.0f}", f"{points:.1f}"]
        print(f"| {' | '.join(map(str, cells))} | {none:.1f} % | {some:.1f} % |", flush=True)
    print("\n| documents | found, equal |\n|---|---|")
    for documents in DOCUMENTS:
        found = words_claimed(np.random.default_rng([documents, 1]), documents, experiments)
        print(f"| {documents} | {found:.1f} % |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=1000, help="of each setting; default 1000")
    main(parser.parse_args().experiments)
