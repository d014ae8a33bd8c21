"""Which models differ by more than chance: what pre-training and continuing are worth, tests over seeds, and
experiments in pairs.
"""

from itertools import product
from statistics import stdev
from typing import NamedTuple, Protocol

from wwm.report import margins, paired
from wwm.report.results import CLOZE, Results, marks, mean, training
from wwm.report.tables import Cell, Column, Table, plain, table


class Pairs(Protocol):
    """One of `scores.pairs`; wwm/params/tasks.py says what each key means."""

    name: str
    models: list[str]
    against: list[str]


class Comparison(NamedTuple):
    """A model against one that it should beat: difference of mean scores in points, and what chance makes of it."""

    task: str
    model: str
    against: str
    margin: float
    spread: float

    @property
    def holds(self) -> bool:
        return self.margin > self.spread


def compare(results: Results, model: str, against: str) -> list[Comparison]:
    """One for each task that both have, on its first measure (spread: the wider of the two ranges over seeds), and one
    for the cloze words (measured once: two standard errors of a difference of shares).
    """
    found = []
    for task in results.tasks:
        ours, theirs = (task.values(name, task.last, task.main) for name in (model, against))
        if ours and theirs:
            found.append(Comparison(task.name, model, against, *margins.of_seeds(ours, theirs)))
    if model in results.cloze and against in results.cloze:
        one, other = results.cloze[model], results.cloze[against]
        margin = margins.of_shares(one["word_accuracy"], other["word_accuracy"], one["words"], other["words"])
        found.append(Comparison("cloze", model, against, *margin))
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


def claims(results: Results) -> list[str]:
    """What pre-training and continuing are worth, said of these very figures."""
    trained, continued = comparisons(results)
    return [
        claim("Pre-trained models beat random initialisation by more than the spread", trained),
        claim("A truncated model that is trained on beats plain truncation by more than the spread", continued),
    ]


def claim(statement: str, made: list[Comparison]) -> str:
    if not made:
        return f"{statement}: n/a (no such pair of models was measured)."
    told: dict[bool, list[str]] = {True: [], False: []}
    for c in made:
        told[c.holds].append(f"{c.model} on {c.task} ({c.margin:+.1f}, spread {c.spread:.1f})")
    kept = len(told[True])
    verdict = "holds" if kept == len(made) else "holds in part" if kept else "does not hold"
    parts = [f"{statement}: {verdict}, in {kept} of {len(made)} comparisons."]
    if told[True]:
        parts.append(f"It holds for {', '.join(told[True])}.")
    if told[False]:
        parts.append(f"It does NOT hold for {', '.join(told[False])}.")
    return " ".join(parts)


def comparison_table(results: Results) -> Table:
    rows = [
        [c.model, c.against, c.task, f"{c.margin:+.1f}", f"{c.spread:.1f}", "yes" if c.holds else "no"]
        for made in comparisons(results)
        for c in made
    ]
    measured_by: dict[str, list[str]] = {}
    for task in results.tasks:
        measured_by.setdefault(task.measures[task.main], []).append(task.title)
    measures = "".join(
        f"; by {label}: {', '.join(titles)}" for label, titles in measured_by.items() if label != "accuracy"
    )
    splits = ", ".join(f"{task.title} (dev)" for task in results.tasks if task.last == "dev")
    without_test = f"; dev scores where there is no test: {splits}" if splits else ""
    caption = (
        f"Margin: difference of mean test scores, in points{measures}{without_test}. Spread: the wider of the two "
        "ranges over seeds; for cloze, two standard errors of the margin."
    )
    header = ["model", "against", "on", "margin", "spread", "margin > spread"]
    return Table("What pre-training and continuing are worth", caption, header, rows, [])


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
            common = sorted(set(scores) & set(base))
            if model == baseline:
                reason = "baseline"
            elif split == "dev" and task.last != "dev":
                reason = "not tested"
            elif not base:
                reason = f"n/a (no score of {baseline})"
            else:
                reason = "" if len(common) > 1 else "n/a (fewer than two common seeds)"
            found = (
                None if reason else paired.paired([scores[seed] for seed in common], [base[seed] for seed in common])
            )
            if scores:
                rows.append(
                    Tested(
                        Cell(task.title, marks(task, model)),
                        model,
                        split,
                        task.measures[measure],
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
            outcomes.append([f"{row.found.mean:+.2f}", "n/a (the same for all seeds)", "–", "–"])
        else:
            outcomes.append([*paired.told(row.found), paired.probability(next(corrected))])
    caption = (
        f"Difference: to the mean of {baseline}, over the seeds that both have, with an interval that covers 95 %"
        f" (Student's paired t). {len(family)} comparisons were made; the last column is p corrected for all of them"
        " (Holm). Dev, by which epochs and learning rates are chosen, is tested only where there is nothing else. This"
        " is what chance in fine-tuning makes of the scores; one pre-training is behind each model, whose chance it"
        " does not show."
    )
    told = {
        "model": [row.model for row in rows],
        "split": [row.split for row in rows],
        "measure": [row.measure for row in rows],
        "seeds": [str(len(row.values)) for row in rows],
        "mean": [f"{mean(row.values):.2f}" for row in rows],
        "deviation": [f"{stdev(row.values):.2f}" if len(row.values) > 1 else "n/a (one seed)" for row in rows],
    }
    told |= {
        head: [outcome[i] for outcome in outcomes]
        for i, head in enumerate((f"against {baseline}", "95 % interval", "p", "p (Holm)"))
    }
    columns = [Column(Cell("task"), [row.task for row in rows]), *(plain(head, texts) for head, texts in told.items())]
    return table("Over seeds, against the baseline", caption, columns)


def paired_table(results: Results, pairs: Pairs) -> Table:
    """On the means over the seeds of fine-tuning, and on cloze."""
    measures = {
        f"{task.title} {task.last}{task.suffix(measure)}": {
            m: mean(values) for m in task.rows if (values := task.values(m, task.last, measure))
        }
        for task in results.tasks
        for measure in task.measures
    }
    measures |= {f"cloze {label}": {m: row[key] for m, row in results.cloze.items()} for key, label in CLOZE.items()}
    caption = (
        f"Pairs: {', '.join(f'{one} and {other}' for one, other in zip(pairs.models, pairs.against))}. Percent and"
        " points; the interval covers 95 % (Student's paired t)."
    )
    return Table(pairs.name, caption, paired.HEADER, paired.rows(measures, pairs.models, pairs.against), [])
