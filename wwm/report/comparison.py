"""Which models differ by more than chance: what pre-training and continuing are worth, tests over seeds, and
experiments in pairs.
"""

from itertools import product
from statistics import stdev
from typing import NamedTuple, Protocol

from wwm.report import margins, nats, paired
from wwm.report.results import CLOZE, Results, cloze_figures, marks, mean, training
from wwm.report.tables import Cell, Column, Table, plain, table
from wwm.report.words import clauses, known, listed, say, sentences


class Pairs(Protocol):
    """One of `scores.pairs`; wwm/params/tasks.py says what each key means."""

    name: str
    models: list[str]
    against: list[str]


class Comparison(NamedTuple):
    """A model against one that it should beat: difference of mean scores in points, of cloze in nats per character, and
    what chance makes of it.
    """

    task: str
    model: str
    against: str
    margin: float
    spread: float

    @property
    def holds(self) -> bool:
        return margins.Margin(self.margin, self.spread).holds

    @property
    def on(self) -> str:
        return say("cloze") if self.task == "cloze" else self.task

    @property
    def told(self) -> tuple[str, str]:
        """Margin and spread."""
        if self.task == "cloze":
            return say("{number} nats", number=f"{self.margin:+.2f}"), f"{self.spread:.2f}"
        return f"{self.margin:+.1f}", f"{self.spread:.1f}"


class Claim(NamedTuple):
    """A statement with its verdict, which `mark` is the sign of, and the comparisons for and against it."""

    mark: str
    text: str
    details: list[str]


def compare(results: Results, model: str, against: str) -> list[Comparison]:
    """One for each task that both have, on its first measure (spread: the wider of the two ranges over seeds), and one
    for cloze, if both have a trained head and were asked the same (measured once: half of the interval over documents).
    """
    found = []
    for task in results.tasks:
        ours, theirs = (task.values(name, task.last, task.main) for name in (model, against))
        if ours and theirs:
            found.append(Comparison(task.name, model, against, *margins.of_seeds(ours, theirs)))
    one, other = results.guessed.get(model), results.guessed.get(against)
    if one and other and one["rows"] == other["rows"]:
        first, second = (nats.together(results.answers[name]) for name in (model, against))
        gain = nats.gain(first.nats, second.nats, first.characters)
        found.append(Comparison("cloze", model, against, gain.mean, gain.mean - gain.low))
    return found


def comparisons(results: Results) -> tuple[list[Comparison], list[Comparison]]:
    """Every pre-trained model against every untrained one, and every continued model against the truncation that it
    began as.
    """
    others = [model for model in results.models if model not in results.pretrain]
    untrained = [model for model in others if training(results, model).get("steps") == 0]
    trained = [c for model, against in product(results.pretrain, untrained) for c in compare(results, model, against)]
    cut = [model for model in others if "cut_from" in training(results, model)]
    continued = [(model, row["init"]) for model, row in results.pretrain.items() if row.get("init") in cut]
    return trained, [c for model, against in continued for c in compare(results, model, against)]


def claims(results: Results) -> list[Claim]:
    """What pre-training and continuing are worth, said of these very figures."""
    trained, continued = comparisons(results)
    return [
        claim(say("Pre-trained models beat random initialisation by more than the spread"), trained),
        claim(say("A truncated model that is trained on beats plain truncation by more than the spread"), continued),
    ]


def claim(statement: str, made: list[Comparison]) -> Claim:
    if not made:
        return Claim("–", say("{statement}: n/a (no such pair of models was measured).", statement=statement), [])
    told: dict[bool, list[str]] = {True: [], False: []}
    for c in made:
        margin, spread = c.told
        told[c.holds].append(
            say("{model} on {task} ({margin}, spread {spread})", model=c.model, task=c.on, margin=margin, spread=spread)
        )
    kept = len(told[True])
    mark, text = (
        ("✔", "{statement}: holds, in {kept} of {made} comparisons.")
        if kept == len(made)
        else ("◐", "{statement}: holds in part, in {kept} of {made} comparisons.")
        if kept
        else ("✘", "{statement}: does not hold, in {kept} of {made} comparisons.")
    )
    details = [say("It holds for {which}.", which=listed(told[True]))] if told[True] else []
    details += [say("It does NOT hold for {which}.", which=listed(told[False]))] if told[False] else []
    return Claim(mark, say(text, statement=statement, kept=kept, made=len(made)), details)


def comparison_table(results: Results) -> Table:
    rows = [
        [c.model, c.against, c.on, *c.told, say("yes") if c.holds else say("no")]
        for made in comparisons(results)
        for c in made
    ]
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
    caption = sentences(
        say(
            "Margin: {what}.",
            what=clauses(
                [
                    say("difference of mean test scores, in points, and in nats for cloze"),
                    *measures,
                    *without_test,
                ]
            ),
        ),
        say("Spread: the wider of the two ranges over seeds; for cloze, half of the interval that covers 95 %."),
    )
    header = [say(head) for head in ("model", "against", "on", "margin", "spread", "margin > spread")]
    return Table(say("What pre-training and continuing are worth"), caption, header, rows, [])


class Tested(NamedTuple):
    """One model's scores by seed, and what came of the test against the baseline; None: not tested, for `reason`."""

    task: Cell
    model: str
    split: str
    measure: str
    values: list[float]
    found: paired.Paired | None
    reason: str


def tested(results: Results, baseline: str) -> list[Tested]:
    """Every model on every split and measure; against the baseline on all but dev, by which epochs and rates are
    chosen, where there is more than dev.
    """
    rows = []
    for task in results.tasks:
        for split, measure, model in product(task.scored, task.measures, results.models):
            scores, base = (task.by_seed(name, split, measure) for name in (model, baseline))
            common = [seed for seed in scores if seed in base]
            if model == baseline:
                reason = say("baseline")
            elif split == "dev" and task.last != "dev":
                reason = say("not tested")
            elif not base:
                reason = say("n/a (no score of {baseline})", baseline=baseline)
            else:
                reason = "" if len(common) > 1 else say("n/a (fewer than two common seeds)")
            found = (
                None if reason else paired.paired([scores[seed] for seed in common], [base[seed] for seed in common])
            )
            if scores:
                rows.append(
                    Tested(
                        Cell(task.title, marks(task, model)),
                        model,
                        known(split),
                        known(task.measures[measure]),
                        list(scores.values()),
                        found,
                        reason,
                    )
                )
    return rows


def seed_table(results: Results, baseline: str) -> Table:
    rows = tested(results, baseline)
    family = [row.found.p for row in rows if row.found and row.found.deviation]
    corrected = iter(paired.holm(family))
    outcomes = []
    for row in rows:
        if row.found is None:
            outcomes.append([row.reason, "–", "–", "–"])
        elif row.found.deviation == 0:
            # Few seeds on a small test set can differ by the same number by chance, of which t would make certainty.
            outcomes.append([f"{row.found.mean:+.2f}", say("n/a (the same for all seeds)"), "–", "–"])
        else:
            outcomes.append([*paired.told(row.found), paired.probability(next(corrected))])
    caption = say(
        "Difference: to the mean of {baseline}, over the seeds that both have, with an interval that covers 95 %"
        " (Student's paired t). {count} comparisons were made; the last column is p corrected for all of them"
        " (Holm). Dev, by which epochs and learning rates are chosen, is tested only where there is nothing else. This"
        " is what chance in fine-tuning makes of the scores; one pre-training is behind each model, whose chance it"
        " does not show.",
        baseline=baseline,
        count=len(family),
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
    return table(say("Over seeds, against the baseline"), caption, columns)


def paired_table(results: Results, pairs: Pairs) -> Table:
    """On the means over the seeds of fine-tuning, and on cloze."""
    measures = {
        f"{task.title} {known(task.last)}{task.suffix(measure)}": {
            m: mean(values) for m in task.rows if (values := task.values(m, task.last, measure))
        }
        for task in results.tasks
        for measure in task.measures
    }
    measures |= {
        say("{source}: {label}", source=say("cloze"), label=say(label)): {
            m: figure for m, row in results.guessed.items() if (figure := cloze_figures(row)[name]) is not None
        }
        for name, (label, *_) in CLOZE.items()
    }
    both = [say("{one} and {other}", one=one, other=other) for one, other in zip(pairs.models, pairs.against)]
    caption = say(
        "Pairs: {pairs}. Percent and points, or nats; the interval covers 95 % (Student's t).",
        pairs=listed(both),
    )
    return Table(
        pairs.name, caption, list(map(say, paired.HEADER)), paired.rows(measures, pairs.models, pairs.against), []
    )
