"""What the report claims: of models that were made and measured here, which beats the one that it differs from in what
is claimed, and whether by more than chance. What was not measured is not claimed.
"""

from collections.abc import Iterator
from itertools import product
from statistics import stdev
from typing import Literal, NamedTuple

from wwm.common.result_files import CHARACTERS
from wwm.report import margins, pairs
from wwm.report.margins import Margin, Unknown
from wwm.report.pairs import Pairs
from wwm.report.results import WAYS, Results, Task, training
from wwm.report.tables import Table
from wwm.report.words import clauses, known, listed, say, sentences

STEADY = 5.0  # points of standard deviation between seeds of one model; well-trained ones have some 1
UNITS = {"wordpiece": "WordPieces", "whole_word": "whole words", "ngram": "n-grams"}  # of masking, from small to large


class Comparison(NamedTuple):
    """A model against one that it should beat: in points on the split and measure of a task that claims are made on, or
    in nats per character of cloze.
    """

    statement: str
    model: str
    against: str
    on: str
    nats: bool
    margin: Margin | Unknown
    p: float = 1.0  # corrected for all that is claimed

    @property
    def outcome(self) -> Literal["unknown", "open", "holds", "reverse"]:
        if isinstance(self.margin, Unknown):
            return "unknown"
        if self.p >= 1 - margins.LEVEL:
            return "open"
        return "holds" if self.margin.mean > 0 else "reverse"

    @property
    def cells(self) -> list[str]:
        """Of a table: difference, interval, p, verdict."""
        verdicts = {"unknown": "–", "open": say("not told apart"), "holds": say("better"), "reverse": say("worse")}
        p = "–" if self.outcome == "unknown" else margins.probability(self.p)
        return [self.margin.difference(self.nats), self.margin.interval(self.nats), p, verdicts[self.outcome]]

    @property
    def told(self) -> str:
        difference = self.margin.difference(self.nats)
        if isinstance(self.margin, Margin):
            interval = self.margin.interval(self.nats)
            difference = say("{difference}, {interval}", difference=difference, interval=interval)
        return say(
            "{model} against {against} on {task} ({difference})",
            model=self.model,
            against=self.against,
            task=self.on,
            difference=difference,
        )


class Claim(NamedTuple):
    """A statement with its verdict, which `mark` is the sign of, and the comparisons for and against it."""

    mark: str
    text: str
    details: list[str]


def comparisons(results: Results, experiments: list[Pairs], more: list[Comparison]) -> list[Comparison]:
    """All that is claimed, `more` too, with p corrected for their number (Holm)."""
    told = {(one.model, one.against) for one in more}
    made = [
        found
        for contest in contests(results, experiments)
        if contest[1:] not in told
        for found in compare(results, *contest)
    ]
    made += more
    made += [found for experiment in experiments for found in compare_pairs(results, experiment)]
    return [one._replace(p=p) for one, p in zip(made, margins.holm([one.margin for one in made]))]


def contests(results: Results, experiments: list[Pairs]) -> Iterator[tuple[str, str, str]]:
    """(statement, model, the one that it should beat)."""
    others = [model for model in results.models if model not in results.pretrain]
    untrained = [model for model in others if training(results, model).get("steps") == 0]
    for model, against in product(results.pretrain, untrained):
        yield say("Pre-trained models beat random initialisation"), model, against
    if CHARACTERS in results.models:
        for model in results.pretrain:
            yield say("Pre-trained models beat counting characters"), model, CHARACTERS
    for model, row in results.pretrain.items():
        start = row["init"]
        # Another model may have the start's name now.
        if start not in untrained and results.weights.get(start) == row["init_weights"]:
            if "cut_from" in training(results, start):
                yield say("A truncated model that is trained on beats plain truncation"), model, start
            else:
                yield say("A model that is trained on beats the one that it began as"), model, start
    repeated = {model for each in experiments for model in (*each.models, *each.against)}
    alone = [(model, row) for model, row in results.pretrain.items() if model not in repeated]
    sizes = list(UNITS)
    for (model, row), (other, its) in product(alone, alone):
        larger, smaller = (one["recipe"]["examples"]["unit"] for one in (row, its))
        if row["all_else"] == its["all_else"] and sizes.index(larger) > sizes.index(smaller):
            names = {"larger": say(UNITS[larger]), "smaller": say(UNITS[smaller])}
            yield say("Masks of {larger} beat masks of {smaller}, all else equal", **names), model, other
        if row.get("all_but_teacher") == its["all_else"] and larger == smaller:
            yield say("Training with a teacher beats training without, all else equal"), model, other


def compare(results: Results, statement: str, model: str, against: str) -> Iterator[Comparison]:
    """One for each task that both were fine-tuned on, and for each way of asking in cloze, where both have a trained
    head and were asked the same.
    """
    for task in results.tasks:
        if model in task.rows and against in task.rows:
            margin = difference(task, model, against, task.last, task.main)
            yield Comparison(statement, model, against, task.title, False, margin)
    one, other = results.guessed.get(model), results.guessed.get(against)
    if one and other and one["rows"] == other["rows"]:
        for way, label in WAYS.items():
            ours, theirs = (results.answers[name][way] for name in (model, against))
            margin = margins.of_documents(theirs.nats - ours.nats, ours.characters)
            yield Comparison(statement, model, against, say(label), True, margin)


def compare_pairs(results: Results, experiment: Pairs) -> Iterator[Comparison]:
    statement = say("{name}, the first is better", name=experiment.name)
    for line in pairs.lines(results, experiment):
        if line.claimed:
            yield Comparison(statement, say("first"), say("second"), line.measure, line.nats, line.margin)


def difference(task: Task, model: str, against: str, split: str, measure: str) -> Margin | Unknown:
    """Of two models that were fine-tuned on the task."""
    ours, theirs = (task.figures[name].get((split, measure)) for name in (model, against))
    if ours is None or theirs is None:
        return Unknown(say("not scored"))
    if task.rows[model]["hashes"][split] != task.rows[against]["hashes"][split]:
        return Unknown(say("scored on other examples"))
    return margins.of_runs(ours, theirs)


def asked(task: Task, *models: str) -> str:
    """What a difference of two fine-tuned models rests on."""
    return say(
        "{seeds} seeds, {examples:,} examples of {split}",
        seeds=min(len(task.values(model, task.last, task.main)) for model in models if model in task.fine_tuned),
        examples=task.rows[models[0]]["examples"][task.last],
        split=known(task.last),
    )


def unsteady(task: Task, *models: str) -> str:
    """Which of the fine-tuned models, if any, learned or not as the seed had it: its seeds differ by more points than
    the draw of its examples would make of equal ones.
    """
    spread = {}
    for model in models:
        values, figures = task.values(model, task.last, task.main), task.figures[model].get((task.last, task.main))
        if len(values) > 1 and figures is not None and figures.ndim == 2:
            drawn = float((figures.std(1) / figures.shape[1] ** 0.5).mean())
            if stdev(values) > max(STEADY, 2 * drawn):
                spread[model] = stdev(values)
    if not spread:
        return ""
    model = max(spread, key=spread.__getitem__)
    return say(
        "On {task} the seeds of {model} have a standard deviation of {points:.1f} points: whether it learns the task"
        " hangs on the seed; more epochs may mend that (finetune.tasks.{name}.epochs, here {epochs}).",
        task=task.title,
        name=task.name,
        epochs=task.rows[model]["how"]["epochs"],
        model=model,
        points=spread[model],
    )


def claims(made: list[Comparison]) -> list[Claim]:
    """One for each statement that something was measured for."""
    statements = dict.fromkeys(one.statement for one in made)
    return [claim(statement, [one for one in made if one.statement == statement]) for statement in statements]


def claim(statement: str, made: list[Comparison]) -> Claim:
    """made: one at least."""
    kept = sum(one.outcome == "holds" for one in made)
    mark, text = (
        ("✔", "{statement}: holds, in {kept} of {made} comparisons.")
        if kept == len(made)
        else ("◐", "{statement}: holds in part, in {kept} of {made} comparisons.")
        if kept
        else ("–", "{statement}: n/a, in {kept} of {made} comparisons.")
        if all(one.outcome == "unknown" for one in made)
        else ("✘", "{statement}: does not hold, in {kept} of {made} comparisons.")
    )
    return Claim(mark, say(text, statement=statement, kept=kept, made=len(made)), details(made))


def details(made: list[Comparison]) -> list[str]:
    """Which of them came out how."""
    told = {
        outcome: clauses([one.told for one in made if one.outcome == outcome])
        for outcome in ("holds", "open", "reverse", "unknown")
    }
    return [
        *([say("It holds for {which}.", which=told["holds"])] if told["holds"] else []),
        *([say("Not told apart: {which}.", which=told["open"])] if told["open"] else []),
        *([say("The reverse holds for {which}.", which=told["reverse"])] if told["reverse"] else []),
        *([say("Without an interval: {which}.", which=told["unknown"])] if told["unknown"] else []),
    ]


def claim_table(results: Results, made: list[Comparison]) -> Table:
    """Of all that is claimed of single models; experiments in pairs have tables of their own."""
    rows = [[one.model, one.against, one.on, *one.cells] for one in made if one.model in results.models]
    measured_by: dict[str, list[str]] = {}
    for task in results.tasks:
        measured_by.setdefault(task.measures[task.main], []).append(task.title)
    measures = [
        say("by {measure}: {tasks}", measure=known(label), tasks=listed(titles))
        for label, titles in measured_by.items()
        if label != "accuracy"
    ]
    splits = listed([f"{task.title} ({known('dev')})" for task in results.tasks if task.last == "dev"])
    without_test = [say("dev scores where there is no test: {tasks}", tasks=splits)] if splits else []
    in_points = say("of mean test scores, in points; of cloze how many nats per character fewer")
    caption = sentences(
        say("Difference: {what}.", what=clauses([in_points, *measures, *without_test])),
        say(
            "The interval covers it in 95 % of experiments with other seeds of fine-tuning and other examples (variance"
            " components of seeds by examples), in cloze with other documents (bootstrap); there is none with fewer"
            " than {runs} seeds or {asked} examples. p is corrected for all {count} comparisons that are claimed"
            " (Holm). One pre-training is behind each model, whose chance this does not show.",
            runs=margins.FEWEST_RUNS,
            asked=margins.FEWEST_ASKED,
            count=sum(one.outcome != "unknown" for one in made),
        ),
    )
    header = [*map(say, ("model", "against", "on", "difference", "95 % interval")), "p (Holm)", say("verdict")]
    return Table(say("Which model beats which"), caption, header, rows, [])
