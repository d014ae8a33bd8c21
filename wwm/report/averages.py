"""The best test scores of each model with their average, and the same relative to a baseline, in the form of the
authors' tables of small models.

Where the data are the official ones, the same two tables of the authors' own figures follow.
"""

from itertools import product
from typing import NamedTuple

from wwm.common.result_files import CHARACTERS
from wwm.report import authors
from wwm.report.results import Results, Task, marks, mean, parameters
from wwm.report.tables import Cell, Column, Note, Table, plain, table, unmeasured
from wwm.report.words import known, listed, say, sentences


class Figures(NamedTuple):
    """Scores that are averaged; a model may lack some."""

    heads: dict[str, list[str]]  # column head -> its keys: one, or two for EM / F1
    classification: list[str]  # keys
    rows: dict[str, dict[str, float]]  # by model, then by key; percent
    parameters: dict[str, int]  # by model
    notes: dict[tuple[str, str], tuple[Note, ...]]  # by model and column head
    ours: bool  # measured here, so that rows can be compared


def average_tables(results: Results, baseline: str) -> list[Table]:
    """Two of the tasks that are the authors', two of the authors' figures on these, and two of other tasks; those that
    have a column.
    """
    theirs = [task for task in results.tasks if task.name in authors.published().tasks]
    others = [task for task in results.tasks if task not in theirs]
    small = [task for task in theirs if task.name in authors.SMALL] or theirs
    left_out = [say("{task} (as in the authors' table)", task=task.title) for task in theirs if task not in small]
    left_out += [say("{task} (no test scores)", task=task.title) for task in small if "test" not in task.scored]
    small = [task for task in small if "test" in task.scored]
    official = [task for task in small if not any(row["reduced"] for row in task.rows.values())]
    made = []
    if small:
        caption = say("Left out: {tasks}.", tasks=listed(left_out)) if left_out else ""
        titles = say("Best test scores, in percent"), say("Relative to the baseline, in percent")
        made += own_tables(results, small, baseline, titles, caption)
    if official:
        published = reference(official)
        named = authors.named(baseline)
        base = named if named in published.rows else authors.BASELINE
        source = (
            say("As the authors published them, of the tasks above; parameters rounded to millions.")
            if official == small
            else say(
                "As the authors published them, of those tasks above whose data are the official ones; parameters"
                " rounded to millions."
            )
        )
        caption = sentences(source, *(known(task.footnote) for task in official))
        titles = (
            say("Reference: the authors' best test scores, in percent"),
            say("Reference: the authors' scores relative to a baseline, in percent"),
        )
        made += two_tables(published, base, titles, caption)
    if others:
        titles = (
            (say("Best scores on other tasks, in percent"), say("Relative to the baseline on other tasks, in percent"))
            if theirs
            else (say("Best scores, in percent"), say("Relative to the baseline, in percent"))
        )
        made += own_tables(results, others, baseline, titles, "")
    return made


def own_tables(
    results: Results, tasks: list[Task], baseline: str, titles: tuple[str, str], caption: str
) -> list[Table]:
    figures = ours(results, tasks)
    lacking = [model for model in results.models if model not in figures.rows]
    return two_tables(figures, baseline, titles, sentences(caption, unmeasured(lacking)))


def ours(results: Results, tasks: list[Task]) -> Figures:
    """Of the models compared that have any, on the split that claims are made on."""
    heads = {head(task): keys(task) for task in tasks}
    rows: dict[str, dict[str, float]] = {}
    for model, task in product(results.models, tasks):
        for key, measure in zip(keys(task), task.measures):
            if found := task.values(model, task.last, measure):
                rows.setdefault(model, {})[key] = max(found)
    sizes = {model: size for model in results.models if (size := parameters(results, model))}
    return Figures(
        heads,
        classification(tasks),
        rows,
        sizes,
        {(model, head(task)): marks(task, model) for model, task in product(results.models, tasks)},
        ours=True,
    )


def reference(tasks: list[Task]) -> Figures:
    """Of the authors' models that have all of these tasks."""
    rows = {}
    for model, figures in authors.published().figures.items():
        found = {
            key: figures.get((task.name, "test", measure))
            for task in tasks
            for key, measure in zip(keys(task), task.measures)
        }
        if all(found.values()):
            rows[model] = {key: figure.best for key, figure in found.items() if figure}
    heads = {head(task): keys(task) for task in tasks}
    return Figures(heads, classification(tasks), rows, authors.published().parameters, {}, ours=False)


def head(task: Task) -> str:
    """Task, split where it is not test, and measure where it is the only one and not what one expects."""
    split = "" if task.last == "test" else f" {known(task.last)}"
    return f"{task.title}{split}{task.suffix(task.main) if len(task.measures) == 1 else ''}"


def keys(task: Task) -> list[str]:
    return [f"{task.name} {measure}" for measure in task.measures]


def classification(tasks: list[Task]) -> list[str]:
    return [key for task in tasks if task.kind in ("single", "pair") for key in keys(task)]


def two_tables(figures: Figures, baseline: str, titles: tuple[str, str], caption: str) -> list[Table]:
    """The scores with their average, and both relative to `baseline`."""
    count = sum(map(len, figures.heads.values()))
    forms = say("Reading: EM / F1, a figure each.") if count > len(figures.heads) else ""
    best = say(
        "Best of the seeds, as in the authors' tables; which model is better is told by the intervals, not by this."
        " Average: of the {count} figures of a row; parameters: with their share of {baseline}'s.",
        count=count,
        baseline=baseline,
    )
    relation = say(
        "Best of the seeds, as in the authors' tables; which model is better is told by the intervals, not by this."
        " {baseline} = 100. Overall: ratio of the averages. Classification: mean of the tasks' percentages.",
        baseline=baseline,
    )
    return [
        average_table(figures, baseline, titles[0], sentences(forms, best, caption)),
        relative_table(figures, baseline, titles[1], sentences(forms, relation, caption)),
    ]


def average_table(figures: Figures, baseline: str, title: str, caption: str) -> Table:
    count = sum(map(len, figures.heads.values()))
    averages = [f"{mean(list(row.values())):.2f}" if len(row) == count else lacks() for row in figures.rows.values()]
    sizes = []
    for model in figures.rows:
        percent = share(figures, model, baseline)
        size = f"{figures.parameters[model] / 1e6:.1f}M ({percent:.1f} %)" if percent else uncounted(model)
        sizes.append(size)
    average = plain(say("average"), averages, max if figures.ours else None)
    return table(title, caption, [*columns(figures, figures.rows), average, plain(say("parameters"), sizes)])


def uncounted(model: str) -> str:
    return "–" if model == CHARACTERS else say("n/a (not counted)")


def lacks() -> str:
    return say("n/a (a score is missing)")


def relative_table(figures: Figures, baseline: str, title: str, caption: str) -> Table:
    percents = relative(figures.rows, baseline, figures.classification)
    sizes = [
        f"{percent:.1f}" if (percent := share(figures, model, baseline)) else uncounted(model) for model in figures.rows
    ]
    model, *tasks = columns(figures, percents)
    means = [
        plain(
            say(name),
            [f"{row[name]:.1f}" if name in row else lacks() for row in percents.values()],
            max if figures.ours else None,
        )
        for name in ("overall", "classification")
        if name == "overall" or figures.classification
    ]
    return table(title, caption, [model, plain(say("parameters"), sizes), *tasks, *means])


def columns(figures: Figures, rows: dict[str, dict[str, float]]) -> list[Column]:
    """The models' names and, of `rows`, the figures of each column; marked as `figures` has it."""
    made = [plain(say("model"), list(rows))]
    for head, keys in figures.heads.items():
        cells = [
            (
                Cell(" / ".join(f"{row[key]:.1f}" for key in keys), figures.notes.get((model, head), ()))
                if all(key in row for key in keys)
                else Cell(lacks(), None)
            )
            for model, row in rows.items()
        ]
        made.append(Column(Cell(head), cells, max if figures.ours else None))
    return made


def share(figures: Figures, model: str, baseline: str) -> float | None:
    """Parameters in percent of the baseline's."""
    sizes = figures.parameters
    return 100 * sizes[model] / sizes[baseline] if model in sizes and baseline in sizes else None


def relative(
    figures: dict[str, dict[str, float]], baseline: str, classification: list[str]
) -> dict[str, dict[str, float]]:
    """Percent of `baseline` for each model and column, as the authors compute them.

    `overall` is the ratio of the two averages over all columns, `classification` the mean of the percentages of those
    columns; both only for a model that has every column.
    """
    base, every = figures.get(baseline, {}), {column for row in figures.values() for column in row}
    percents = {}
    for model, row in figures.items():
        percents[model] = {column: 100 * value / base[column] for column, value in row.items() if base.get(column)}
        if base and len(percents[model]) == len(every):
            percents[model]["overall"] = 100 * mean(list(row.values())) / mean(list(base.values()))
            if classification:
                percents[model]["classification"] = mean([percents[model][column] for column in classification])
    return percents
