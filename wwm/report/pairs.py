"""Experiments in pairs: models that differ in one thing, each pair pre-trained with a seed of its own, so that what is
found holds for pre-training and not for one model.
"""

from typing import NamedTuple, Protocol

import numpy as np

from wwm.report import margins
from wwm.report.margins import Margin, Unknown
from wwm.report.results import WAYS, Results, Task
from wwm.report.tables import Table
from wwm.report.words import known, listed, say


class Pairs(Protocol):
    """One of `scores.pairs`; wwm/params/tasks.py says what each key means."""

    name: str
    models: list[str]
    against: list[str]


class Line(NamedTuple):
    """What came of one measure, in percent, or of cloze in nats per character, of which fewer are better.

    margin: by how much the first are better, over the pairs and what they were asked.
    """

    measure: str
    claimed: bool
    nats: bool
    first: list[float]  # pair by pair
    second: list[float]
    margin: Margin | Unknown


def lines(results: Results, pairs: Pairs) -> list[Line]:
    """Of each measure of each task and each way of asking in cloze, over the pairs that were measured on both sides."""
    both = list(zip(pairs.models, pairs.against))
    found = [of_task(task, measure, both) for task in results.tasks for measure in task.measures]
    found += [of_cloze(results, way, both) for way in WAYS]
    return [line for line in found if line.first]


def of_task(task: Task, measure: str, both: list[tuple[str, str]]) -> Line:
    """On the means over the seeds of fine-tuning, whose chance is in what differs from pair to pair."""
    key = task.last, measure
    there = [pair for pair in both if all(key in task.figures.get(model, {}) for model in pair)]
    asked = {task.rows[model]["hashes"][task.last] for pair in there for model in pair}
    first, second = ([task.figures[pair[side]][key].mean(0) for pair in there] for side in (0, 1))
    means, others = ([float(figures.mean()) for figures in side] for side in (first, second))
    margin = margins.of_pairs(np.subtract(first, second)) if len(asked) == 1 else other_examples()
    label = f"{task.title} {known(task.last)}{task.suffix(measure)}"
    return Line(label, measure == task.main, False, means, others, margin)


def of_cloze(results: Results, way: str, both: list[tuple[str, str]]) -> Line:
    there = [pair for pair in both if all(model in results.guessed for model in pair)]
    asked = {results.guessed[model]["rows"] for pair in there for model in pair}
    first, second = ([results.answers[pair[side]][way] for pair in there] for side in (0, 1))
    margin: Margin | Unknown = other_examples()
    if len(asked) == 1:
        fewer = np.array([theirs.nats - ours.nats for ours, theirs in zip(first, second)])
        margin = margins.of_pairs(margins.ratios(fewer, first[0].characters))
    means, others = ([answers.mean for answers in side] for side in (first, second))
    return Line(say(WAYS[way]), True, True, means, others, margin)


def other_examples() -> Unknown:
    return Unknown(say("scored on other examples"))


def pair_table(results: Results, pairs: Pairs) -> Table:
    rows = []
    for line in lines(results, pairs):
        digits = 3 if line.nats else 2
        means = [f"{np.mean(side):.{digits}f}" for side in (line.first, line.second)]
        differences = np.subtract(line.first, line.second)
        deviation = f"{differences.std(ddof=1):.{digits}f}" if len(differences) > 1 else "–"
        found = [line.margin.difference(line.nats), deviation, line.margin.interval(line.nats)]
        rows.append([line.measure, str(len(differences)), *means, *found, line.margin.probability])
    both = [say("{one} and {other}", one=one, other=other) for one, other in zip(pairs.models, pairs.against)]
    caption = say(
        "Pairs: {pairs}. Percent and points; of cloze nats per character, and how many fewer the first has. The"
        " interval covers the difference in 95 % of experiments with other pairs and other examples or documents. p is"
        " of a line alone; what is claimed of it is corrected for all that is claimed.",
        pairs=listed(both),
    )
    heads = ("measure", "pairs", "first", "second", "difference", "its deviation", "95 % interval", "p")
    return Table(pairs.name, caption, list(map(say, heads)), rows, [])
