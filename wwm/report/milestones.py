"""How long a training was worth it: what its model scored as it was at each milestone, and up to which of them it still
became better.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from wwm.report import answer, claims, margins, nats, plot
from wwm.report.claims import Claim, Comparison
from wwm.report.margins import Margin, Unknown
from wwm.report.results import Results, Task
from wwm.report.tables import Table
from wwm.report.words import clauses, say


class Measure(NamedTuple):
    """A task, or cloze on a part of the documents."""

    on: str
    task: Task | None
    part: np.ndarray  # (documents,) of bool; of a task nothing


class Point(NamedTuple):
    """What the model scored after so many steps, in percent or in nats per character; `held`: against the last one
    before it that was better than those before, None of the first.
    """

    step: int
    model: str
    score: float
    margin: Margin | Unknown
    held: Comparison | None


class Curve(NamedTuple):
    source: str  # the model that was trained
    on: str
    nats: bool
    points: list[Point]  # by step, two at least

    @property
    def best(self) -> Point:
        """The last one that was better than those before, by more than chance; the first where none was."""
        return [one for one in self.points if one.held is None or one.held.outcome == "holds"][-1]


def curves(results: Results) -> list[Curve]:
    """Of each training of which milestones were measured, on all that they were measured on. p is corrected for all
    comparisons (Bonferroni): which ones are made hangs on what comes of those before, their number does not.
    """
    found = [
        (source, measure, models)
        for source in results.pretrain
        for measure in measures(results, source)
        if (models := measured(results, source, measure))
    ]
    tests = sum(len(models) - 1 for _, _, models in found)
    return [curve(results, *one, tests) for one in found]


def curve(results: Results, source: str, measure: Measure, models: list[tuple[int, str]], tests: int) -> Curve:
    points: list[Point] = []
    best = ""
    for step, model in models:
        held = None
        if best:
            margin = difference(results, measure, model, best)
            p = 1.0 if isinstance(margin, Unknown) else min(1.0, tests * margin.p)
            held = Comparison("", model, best, measure.on, measure.task is None, margin, p)
        if held is None or held.outcome == "holds":
            best = model
        points.append(Point(step, model, *score(results, measure, model), held))
    return Curve(source, measure.on, measure.task is None, points)


def measures(results: Results, source: str) -> Iterator[Measure]:
    for task in results.tasks:
        if task.values(source, task.last, task.main):
            yield Measure(task.title, task, np.array([]))
    if source in results.guessed:
        parts = list(answer.apart(results, source))
        for on, part in parts:
            yield Measure(on if len(parts) > 1 else say("cloze"), None, part)


def measured(results: Results, source: str, measure: Measure) -> list[tuple[int, str]]:
    """(step, model) of the start, milestones and the end, those that were measured so; [] without any milestone."""
    row, named = results.pretrain[source], {weights: model for model, weights in results.weights.items()}
    asked = results.guessed_starts | results.guessed

    def there(model: str | None) -> bool:
        if measure.task:
            return bool(model and measure.task.values(model, measure.task.last, measure.task.main))
        return model in asked and asked[model]["rows"] == asked[source]["rows"]

    kept = [(int(step), named[weights]) for step, weights in row.get("milestones", {}).items() if weights in named]
    kept = sorted((step, model) for step, model in kept if there(model))
    starts = answer.starts(results, row)
    start = next(((0, model) for model in (starts if measure.task else starts[:1]) if there(model)), None)
    return [*([start] if start else []), *kept, (row["own_steps"], source)] if kept else []


def score(results: Results, measure: Measure, model: str) -> tuple[float, Margin | Unknown]:
    """With an interval of the score itself."""
    if task := measure.task:
        figures = task.figures[model][task.last, task.main]
        return float(figures.mean()), margins.of_pairs(figures)
    answers = nats.together(results.answers[model])
    own, characters = answers.nats[measure.part], answers.characters[measure.part]
    return float(own.sum() / characters.sum()), margins.of_documents(own, characters)


def difference(results: Results, measure: Measure, model: str, against: str) -> Margin | Unknown:
    if task := measure.task:
        return claims.difference(task, model, against, task.last, task.main)
    ours, theirs = (nats.together(results.answers[name]) for name in (model, against))
    return margins.of_documents((theirs.nats - ours.nats)[measure.part], ours.characters[measure.part])


def verdicts(made: list[Curve]) -> list[Claim]:
    """One for each training."""
    sources = dict.fromkeys(one.source for one in made)
    return [verdict(source, [one for one in made if one.source == source]) for source in sources]


def verdict(source: str, made: list[Curve]) -> Claim:
    ended = [one.best == one.points[-1] for one in made]
    held = [point.held for one in made for point in one.points if point.held]
    if all(one.outcome == "unknown" for one in held):
        mark = "–"
    else:
        mark = "✔" if all(ended) else "◐" if any(one.best != one.points[0] for one in made) else "✘"
    text = say("How long {model} was worth training: {which}.", model=source, which=clauses([*map(reached, made)]))
    return Claim(mark, text, claims.details(held))


def reached(made: Curve) -> str:
    best, first, last = made.best, made.points[0], made.points[-1]
    after = [point for point in made.points if point.step > best.step]
    worse = [point.step for point in after if point.held and point.held.outcome == "reverse"]
    unknown = [point.held.margin for point in made.points if point.held and isinstance(point.held.margin, Unknown)]
    if best == last:
        told = say("on {on} to its end, step {step:,}", on=made.on, step=best.step)
    elif best != first:
        told = say("on {on} up to step {step:,} ({model})", on=made.on, step=best.step, model=best.model)
    elif len(unknown) == len(made.points) - 1:
        told = say("on {on} n/a ({why})", on=made.on, why=unknown[0].why)
    else:
        told = say("on {on} nothing is better than {model} by more than chance", on=made.on, model=first.model)
    # What a training forgets, it mostly forgets from there on.
    return say("{told}, and step {step:,} is worse", told=told, step=worse[0]) if worse else told


def table(made: list[Curve]) -> Table:
    rows = []
    for one in made:
        digits = 3 if one.nats else 2
        for point in one.points:
            numbers = [] if isinstance(point.margin, Unknown) else [point.margin.low, point.margin.high]
            low_high = [f"{number:.{digits}f}" for number in numbers]
            interval = say("{low} to {high}", low=low_high[0], high=low_high[1]) if numbers else "–"
            held = [point.held.against, *point.held.cells] if point.held else ["–"] * 5
            rows.append(
                [one.source, one.on, f"{point.step:,}", point.model, f"{point.score:.{digits}f}", interval, *held]
            )
    heads = ("trained", "on", "step", "model", "score", "95 % interval", "against", "difference", "95 % interval")
    caption = say(
        "Score: mean over the seeds, in percent, of the split that claims are made on; of cloze nats per character, of"
        " which fewer are better. The first interval covers it in 95 % of experiments with other seeds and other"
        " examples or documents; differences are surer, since all were asked the same. Each is held against the last"
        " one before it that was better by more than chance, at first against the start: the last of these is how long"
        " training was worth it. p is corrected for all {count} comparisons of this table (Bonferroni). A milestone"
        " that is chosen by these scores does a little worse on others.",
        count=sum(len(one.points) - 1 for one in made),
    )
    header = [*map(say, heads), say("p (Bonferroni)"), say("verdict")]
    return Table(say("Milestones: how long training was worth it"), caption, header, rows, [])


def plots(made: list[Curve]) -> list[go.Figure]:
    """Of each training one of tasks and one of cloze."""
    figures = []
    for source, of_cloze in dict.fromkeys((one.source, one.nats) for one in made):
        lines = {
            one.on: [(point.step, point.score, *reach(point)) for point in one.points]
            for one in made
            if (one.source, one.nats) == (source, of_cloze)
        }
        title = say("{model} at its milestones: score and 95 % interval", model=source)
        figures.append(plot.milestones(title, say("nats per character") if of_cloze else "%", lines))
    return figures


def reach(point: Point) -> tuple[float, float]:
    """Ends of the interval; the score itself where there is none."""
    if isinstance(point.margin, Unknown):
        return point.score, point.score
    return point.margin.low, point.margin.high
