"""Every model against the baseline, on every split and measure."""

from itertools import product
from statistics import stdev
from typing import NamedTuple

from wwm.report import margins
from wwm.report.claims import difference
from wwm.report.margins import Margin, Unknown
from wwm.report.results import Results, marks, mean
from wwm.report.tables import Cell, Column, Table, plain, table
from wwm.report.words import known, say


class Tested(NamedTuple):
    """One model's scores, and what came of the test against the baseline, or why there was none."""

    task: Cell
    model: str
    split: str
    measure: str
    values: list[float]
    found: Margin | Unknown | str


def tested(results: Results, baseline: str) -> list[Tested]:
    """Against the baseline on all but dev, by which epochs and rates are chosen, where there is more than dev."""
    rows = []
    for task in results.tasks:
        for split, measure, model in product(task.scored, task.measures, results.models):
            if not (values := task.values(model, split, measure)):
                continue
            found: Margin | Unknown | str
            if model == baseline:
                found = say("baseline")
            elif split == "dev" and task.last != "dev":
                found = say("not tested")
            elif baseline not in task.rows:
                found = say("n/a (no score of {baseline})", baseline=baseline)
            else:
                found = difference(task, model, baseline, split, measure)
            labels = known(split), known(task.measures[measure])
            rows.append(Tested(Cell(task.title, marks(task, model)), model, *labels, values, found))
    return rows


def baseline_table(results: Results, baseline: str) -> Table:
    rows = tested(results, baseline)
    made = [row.found for row in rows if isinstance(row.found, Margin)]
    corrected = iter(margins.holm([*made]))
    outcomes = []
    for row in rows:
        if isinstance(row.found, str):
            outcomes.append([row.found, "–", "–", "–"])
        else:
            p = margins.probability(next(corrected)) if isinstance(row.found, Margin) else "–"
            outcomes.append([row.found.difference(), row.found.interval(), row.found.probability, p])
    caption = say(
        "Difference: to the mean of {baseline}, with an interval that covers it in 95 % of experiments with other seeds"
        " and other examples. {count} comparisons were made; the last column is p corrected for all of them (Holm)."
        " Dev, by which epochs and learning rates are chosen, is tested only where there is nothing else. This is what"
        " chance in fine-tuning and in the examples makes of the scores; one pre-training is behind each model, whose"
        " chance it does not show.",
        baseline=baseline,
        count=len(made),
    )
    told = {
        say("model"): [row.model for row in rows],
        say("split"): [row.split for row in rows],
        say("measure"): [row.measure for row in rows],
        say("seeds"): [str(len(row.values)) for row in rows],
        say("mean"): [f"{mean(row.values):.2f}" for row in rows],
        say("deviation"): [
            f"{stdev(row.values):.2f}" if len(row.values) > 1 else say("n/a (one seed)") for row in rows
        ],
    }
    told |= {
        head: [outcome[i] for outcome in outcomes]
        for i, head in enumerate((say("against {model}", model=baseline), say("95 % interval"), "p", "p (Holm)"))
    }
    tasks = Column(Cell(say("task")), [row.task for row in rows])
    columns = [tasks, *(plain(head, texts) for head, texts in told.items())]
    return table(say("Against the baseline"), caption, columns)
