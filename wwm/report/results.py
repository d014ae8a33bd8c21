"""What the stages measured, as `scores` compares it. All that it says of a task comes from the task's result files."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from wwm.common.errors import UserError
from wwm.common.result_files import CHARACTERS, Finetuned, Overlap
from wwm.report import authors, forms, nats
from wwm.report.forms import Figures
from wwm.report.nats import Answers
from wwm.report.tables import Note
from wwm.report.words import known, listed, say

# What the tables say of cloze: name -> label, and which figure of which way of asking results/cloze/MODEL.json has.
# Nats are per character, so that they compare models of any vocabularies.
CLOZE = {
    "words_nats": ("whole words, nats", "words", "nats_per_character"),
    "words_accuracy": ("whole words, %", "words", "word_accuracy"),
    "characters_nats": ("single characters, nats", "characters", "nats_per_character"),
    "characters_accuracy": ("single characters, %", "characters", "piece_accuracy"),
}
NATS = [name for name in CLOZE if name.endswith("_nats")]
WAYS = {"words": "cloze, whole words", "characters": "cloze, single characters"}  # of asking, as claims call them


class Task(NamedTuple):
    """A task, and the results of the models that were fine-tuned on it and of CHARACTERS, by name: at least one of
    results/finetune/TASK/*.json.
    """

    name: str
    title: str
    kind: str
    remark: str
    footnote: str  # of the authors' figures
    splits: list[str]  # that the task reports
    measures: dict[str, str]  # name -> label in tables, in order; the first one is what claims are made on
    rows: dict[str, Finetuned]
    figures: dict[str, Figures]  # by model
    overlap: Overlap | None  # of its scored splits with the pre-training text

    @property
    def fine_tuned(self) -> dict[str, Finetuned]:
        return {model: row for model, row in self.rows.items() if model != CHARACTERS}

    @property
    def main(self) -> str:
        """The measure that claims are made on."""
        return next(iter(self.measures))

    def suffix(self, measure: str) -> str:
        """What names a measure behind the name of the task: nothing for accuracy, which is what one expects."""
        return "" if measure == "accuracy" else f" {known(self.measures[measure])}"

    @property
    def scored(self) -> list[str]:
        """Splits that a model has scores of."""
        return [
            split
            for split in self.splits
            if any(split in seed["scores"] for row in self.rows.values() for seed in row["seeds"])
        ]

    @property
    def last(self) -> str:
        """The split that claims are made on."""
        return "test" if "test" in self.scored else "dev"

    def standing(self, model: str, split: str) -> tuple[float, float] | None:
        """Percent of the examples of a split of which a part, and a whole text, stands in the pre-training text; None
        where it was not looked for, or other examples were.
        """
        hashes = self.rows[model]["hashes"] if model in self.rows else {}
        if self.overlap is None or split not in hashes or self.overlap["hashes"].get(split) != hashes[split]:
            return None
        return self.overlap["some"][split], self.overlap["whole"][split]

    def by_seed(self, model: str, split: str, measure: str) -> dict[int | None, float]:
        """Percent by seed; {} where the model has no such score."""
        seeds = self.rows[model]["seeds"] if model in self.rows else []
        return {seed["seed"]: seed["scores"][split][measure] for seed in seeds if split in seed["scores"]}

    def values(self, model: str, split: str, measure: str) -> list[float]:
        """Percent, one for each seed."""
        return list(self.by_seed(model, split, measure).values())


class Results(NamedTuple):
    """What the stages measured; a model that was not measured has no entry."""

    folder: Path
    models: list[str]
    pretrain: dict[str, dict]
    curves: dict[str, list[tuple[int, float]]]  # (step, training MLM loss in nats)
    cloze: dict[str, dict]
    tasks: list[Task]
    unmeasured: list[str]  # tasks that no model was fine-tuned on
    starts: dict[str, dict]  # cloze of the very weights that pre-trained models began as, compared or not
    answers: dict[str, dict[str, Answers]]  # of the models of `cloze` and `starts`, by way of asking
    sources: dict[str, list[str]]  # of the same, of each document
    weights: dict[str, str]  # hash of those that a model was measured with
    renamed: list[str]  # models whose cloze is of other weights of their name, and left out

    @property
    def networks(self) -> list[str]:
        return [model for model in self.models if model != CHARACTERS]

    @property
    def guessed(self) -> dict[str, dict]:
        """`cloze` without models whose MLM head was never trained, though their encoder may have been: what they guess
        is compared with nothing. Random weights have nothing better to show, and stay.
        """
        return {model: row for model, row in self.cloze.items() if guesses(row)}

    @property
    def guessed_starts(self) -> dict[str, dict]:
        """`starts` without those whose MLM head was never trained, as in `guessed`."""
        return {model: row for model, row in self.starts.items() if guesses(row)}


def guesses(row: dict) -> bool:
    return row["head_trained"] or row["training"].get("steps") == 0


def read(folder: Path, models: list[str], names: list[str]) -> Results:
    """The results of `models` under `folder`, of the tasks `names`. Raises UserError where there are none."""

    def found(stage: str, models: Iterable[str] = models) -> dict[str, Any]:
        rows = {model: path for model in models if (path := folder / stage / f"{model}.json").exists()}
        return {model: forms.result(path, stage.partition("/")[0]) for model, path in rows.items()}

    finetuned, overlaps = {name: found(f"finetune/{name}") for name in names}, found("overlap", names)
    each = {
        name: {model: forms.figures(folder / f"finetune/{name}/{model}.parquet", row) for model, row in rows.items()}
        for name, rows in finetuned.items()
    }
    tasks = [task(name, rows, each[name], overlaps.get(name)) for name, rows in finetuned.items() if rows]
    # Files of models that are no longer pre-trained or measured on cloze lie about, and another model may have such a
    # name now.
    weights = weights_of(tasks)

    def current(rows: dict[str, Any]) -> dict[str, Any]:
        return {model: row for model, row in rows.items() if row["weights"] == weights.get(model, row["weights"])}

    measured = found("cloze")
    pretrain, cloze = current(found("pretrain")), current(measured)
    curves = {
        model: forms.curve(path, row)
        for model, row in pretrain.items()
        if (path := folder / f"pretrain/{model}.csv").exists()
    }
    inits = {row["init"]: row["init_weights"] for row in pretrain.values()}
    starts = {model: row for model, row in found("cloze", inits).items() if row["weights"] == inits[model]}
    empty = [name for name, rows in finetuned.items() if not rows]
    asked = {model: nats.read(folder / f"cloze/{model}.csv", row) for model, row in (cloze | starts).items()}
    answers = {model: answers for model, (answers, _) in asked.items()}
    sources = {model: sources for model, (_, sources) in asked.items()}
    weights = {model: row["weights"] for model, row in cloze.items()} | weights
    renamed = [model for model in measured if model not in cloze]
    if not (tasks or measured or pretrain):
        raise UserError(f"{folder} has no result of {', '.join(models)}; run `dvc repro`")
    return Results(folder, models, pretrain, curves, cloze, tasks, empty, starts, answers, sources, weights, renamed)


def weights_of(tasks: list[Task]) -> dict[str, str]:
    """Hash of the weights that each model has in its cells. Raises UserError where those of two cells differ."""
    found: dict[str, tuple[str, str]] = {}
    for each in tasks:
        for model, row in each.fine_tuned.items():
            weights, first = found.setdefault(model, (row["weights"], each.name))
            if row["weights"] != weights:
                raise UserError(
                    f"results/finetune: {first}/{model}.json and {each.name}/{model}.json are two models of one name,"
                    f" whose weights differ; run `dvc repro finetune@{model}-{first} finetune@{model}-{each.name}`"
                )
    return {model: weights for model, (weights, _) in found.items()}


def task(name: str, rows: dict[str, Finetuned], figures: dict[str, Figures], overlap: Overlap | None = None) -> Task:
    first = next(iter(rows.values()))
    if other := next((row["model"] for row in rows.values() if row.get("measures") != first.get("measures")), None):
        raise UserError(
            f"results/finetune/{name}: {first['model']}.json and {other}.json were scored by different metrics; "
            "run `dvc repro finetune` for both"
        )
    return Task(
        name,
        first["title"],
        first["kind"],
        first["remark"],
        first["footnote"],
        first["scored"],
        first["measures"],
        rows,
        figures,
        overlap,
    )


def cloze_figures(row: Mapping[str, Any]) -> dict[str, float | None]:
    """CLOZE of results/cloze/MODEL.json, or of one of its parts by length or source."""
    return {name: row[kind][figure] for name, (_, kind, figure) in CLOZE.items()}


def mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)


def of(results: Results, model: str) -> list[Mapping[str, Any]]:
    every: list[Mapping[str, Mapping[str, Any]]] = [results.cloze, *(task.rows for task in results.tasks)]
    return [rows[model] for rows in every if model in rows]


def training(results: Results, model: str) -> dict:
    """What the model has seen since random weights ("steps", "tokens", "examples", "flops"; None: its folder does not
    say), "cut_from" of a truncated one; {} of one that was not measured.
    """
    return next((row["training"] for row in of(results, model)), {})


def parameters(results: Results, model: str) -> int | None:
    """Of the XNLI classifier, as the authors count, or of another one where there is none; heads differ by a few
    thousand.
    """
    order = sorted(results.tasks, key=lambda task: (task.name != "xnli", task.kind == "reading"))
    return next((task.rows[model].get("parameters") for task in order if model in task.fine_tuned), None)


def marks(task: Task, model: str) -> tuple[Note, ...]:
    """What keeps a figure from being compared: with those of other models, for it is of fewer seeds; or with those that
    the authors published, of which nothing is told where the task is not theirs.
    """
    if model not in task.fine_tuned:
        return ()
    row = task.rows[model]
    made = []
    most = max(len(other["seeds"]) for other in task.rows.values())
    if len(row["seeds"]) < most:
        how = say("seeds: {count} instead of {most}", count=len(row["seeds"]), most=most)
        made.append(Note("", say("{what}: {why}.", what=task.title, why=how)))
    if task.name not in authors.published().tasks:
        return tuple(made)
    if row["reduced"]:
        how = listed([known(each) for each in row["reduced"]])
        made.append(Note("†", say("{task} ({how})", task=task.title, how=how)))
    if len(row["seeds"]) < authors.SEEDS:
        made.append(Note("‡", say("{task} ({how})", task=task.title, how=len(row["seeds"]))))
    unlike = [
        say("{key} {value} instead of {other}", key=key, value=row["how"][key], other=value)
        for key, value in row["recipe"].items()
        if row["how"][key] != value
    ]
    if unlike:
        made.append(Note("", say("{what}: {why}.", what=task.title, why=listed(unlike))))
    return tuple(made)
