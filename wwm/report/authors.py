"""What the authors published for their models, from wwm/report/authors.csv: best and mean of ten seeds in percent, and
parameters.

Of the three-layer models they gave the best of the test sets alone, and of three layers of the large model that were
not trained on, which they gave no name and are RBTL3-init here, that of one test set. A missing figure is one that they
did not give.
"""

import csv
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

FILE = Path(__file__).with_name("authors.csv")
SEEDS = 10
ROUNDING = 0.05
BASELINE = "RoBERTa-wwm-ext"
# The tasks of their table of small models.
SMALL = ("cmrc2018", "drcd", "xnli", "chnsenticorp", "lcqmc", "bq")


class Figure(NamedTuple):
    best: float
    mean: float | None

    def place(self, best: float) -> Literal["below", "within", "above"] | None:
        """Where the best of ten seeds lies against their mean and best, to the decimal that they give; None: they gave
        no mean.

        Who repeats them should be within. Above nothing is wrong; a best seed that does not reach the mean of theirs
        means a mistake, as they say themselves.
        """
        if self.mean is None:
            return None
        return "below" if best < self.mean - ROUNDING else "above" if best > self.best + ROUNDING else "within"


class Published(NamedTuple):
    figures: dict[str, dict[tuple[str, str, str], Figure]]  # by model as they spell it, then by task, split and measure
    parameters: dict[str, int]  # of the XNLI classifier, rounded to millions
    tasks: frozenset[str]


@cache
def published() -> Published:
    figures: dict[str, dict[tuple[str, str, str], Figure]] = {}
    parameters, tasks = {}, set()
    with open(FILE, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["measure"] == "parameters":
                parameters[row["model"]] = int(row["max"])
            else:
                figure = Figure(float(row["max"]), float(row["mean"]) if row["mean"] else None)
                figures.setdefault(row["model"], {})[row["task"], row["split"], row["measure"]] = figure
                tasks.add(row["task"])
    return Published(figures, parameters, frozenset(tasks))


def named(model: str) -> str | None:
    """Their name of a model that is called as in presets/ (`bert` or `google` is Google's) or as their releases; None:
    none of theirs.
    """
    spelled = {name.lower(): name for name in published().figures}
    spelled |= {f"chinese-{name}": title for name, title in spelled.items() if "wwm" in name} | {"google": "BERT"}
    return spelled.get(model)


def figure(model: str, task: str, split: str, measure: str) -> Figure | None:
    name = named(model)
    return None if name is None else published().figures.get(name, {}).get((task, split, measure))
