"""The models to use: the best one on each task, and the best one at filling in words."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from wwm.common.result_files import CHARACTERS
from wwm.report import claims, margins, nats
from wwm.report.gate import Contest
from wwm.report.margins import Margin, Unknown
from wwm.report.results import Results, Task, mean, parameters
from wwm.report.words import known, listed, say, sentences

CONLL = ("", ".txt", ".train", ".dev", ".test", ".data")
# Endings of task files that `wwm predict` reads as they are, or by a --format.
FORMS = {
    "reading": {".json": ""},
    "tagging": {".json": "", ".jsonl": "", ".parquet": "", **dict.fromkeys(CONLL, " --format conll")},
    "other": {".csv": "", ".tsv": "", ".json": "", ".jsonl": "", ".parquet": "", ".txt": " --format tsv"},
}
GROUPS = 400  # whose figures a contest holds: MLflow keeps 100,000 characters of it
SENTENCE = "使用语言[MASK][MASK]来预测下一个词。"


class Champion(NamedTuple):
    """The best model of one kind. task: None for the one that fills in words. rivals: what is told of models that may
    be as good, if there are any.
    """

    task: Task | None
    model: str
    folder: str
    contest: Contest
    rivals: str

    @property
    def title(self) -> str:
        figures, characters = self.contest["figures"], self.contest["characters"]
        if self.task is None:
            score = sum(figures[0]) / sum(characters or ())
            return say("Best at filling in words, {score:.2f} nats per character of held-out text", score=score)
        measure = known(self.task.measures[self.task.main])
        return say(
            "Best model on {task}, by {measure} on dev (mean over seeds, {score:.1f} %)",
            task=self.task.title,
            measure=measure,
            score=float(np.mean(figures)),
        )

    @property
    def told(self) -> str:
        if not self.rivals:
            return say("{title}: {model}. To use it:", title=self.title, model=self.model)
        return say("{title}: {model}. {rivals} To use {model}:", title=self.title, model=self.model, rivals=self.rivals)

    @property
    def command(self) -> str:
        if self.task is None:
            return f"wwm fill {self.folder} '{SENTENCE}'"
        files = self.task.rows[self.model]["files"]
        file = files.get(self.task.last, "")
        form = FORMS.get(self.task.kind, FORMS["other"]).get(Path(file).suffix)
        # One file that was divided holds what was trained on, too.
        if form is None or "/" in file or list(files.values()).count(file) > 1:
            return f"wwm predict {self.folder} FILE"
        return f"wwm predict {self.folder} data/tasks/{self.task.name}/{file}{form} --output said.csv"

    def __str__(self) -> str:
        return f"{self.told}\n  {self.command}"


def champions(results: Results) -> list[Champion]:
    """By the mean over seeds on dev, so that test scores choose nothing, of models that are kept; and by nats in cloze.
    The first of equals.
    """
    found = [one for task in results.tasks if (one := of_task(results, task))]
    answers = {model: nats.together(results.answers[model]) for model in results.guessed}
    # What guesses worse than who counts characters is nothing to use.
    answers = {model: said for model, said in answers.items() if said.nats.sum() < said.unigram_nats.sum()}
    if answers:
        model = min(answers, key=lambda model: answers[model].mean)
        contest: Contest = {
            "measure": "cloze nats",
            "rows": results.cloze[model]["rows"],
            "figures": [grouped(answers[model].nats)],
            "characters": grouped(answers[model].characters),
        }
        told = rivals(results, model, say("held-out text"), in_cloze(answers, model))
        found.append(Champion(None, model, f"models/{model}", contest, told))
    return found


def grouped(figures: np.ndarray) -> list[float]:
    """Sums over groups of examples or documents."""
    return [round(float(group.sum()), 3) for group in np.array_split(figures, min(GROUPS, len(figures)))]


def in_cloze(answers: dict[str, nats.Answers], best: str) -> dict[str, Margin | Unknown]:
    """How many nats fewer the best one has than each of the others."""
    ours = answers[best]
    return {
        model: margins.of_documents(theirs.nats - ours.nats, ours.characters)
        if np.array_equal(theirs.characters, ours.characters)
        else Unknown(say("asked different questions"))
        for model, theirs in answers.items()
        if model != best
    }


def rivals(results: Results, best: str, where: str, better: dict[str, Margin | Unknown]) -> str:
    """Of models that the best one is `better` than by so much, those where that may be chance (Holm), with their sizes,
    those that were not tested, and those that are better by more than chance where nothing was chosen by it.
    """
    open_, lacking, ahead = list[str](), list[str](), list[str]()
    for (model, margin), p in zip(better.items(), margins.holm([*better.values()])):
        if isinstance(margin, Unknown):
            lacking.append(say("{model} ({why})", model=model, why=margin.why))
        elif p >= 1 - margins.LEVEL:
            open_.append(sized(results, model))
        elif margin.mean < 0:
            ahead.append(sized(results, model))
    told = [
        say(
            "On {where} {best} cannot be told apart from {others}: take the one that costs you least.",
            where=where,
            best=sized(results, best),
            others=listed(open_),
        )
        if open_
        else "",
        say("On {where} {others} did better.", where=where, others=listed(ahead)) if ahead else "",
        say("Not tested against {others}.", others=listed(lacking)) if lacking else "",
    ]
    return sentences(*told)


def counted(task: Task, model: str) -> str:
    """That counting characters does better than a model by more than chance, where it does."""
    if CHARACTERS not in task.rows:
        return ""
    margin = claims.difference(task, CHARACTERS, model, task.last, task.main)
    if isinstance(margin, Unknown) or margin.low <= 0:
        return ""
    return say(
        "Counting characters (naive Bayes), which costs next to nothing, does better on {where} by {points:.1f} points"
        " ({low:+z.1f} to {high:+z.1f}).",
        where=known(task.last),
        points=margin.mean,
        low=margin.low,
        high=margin.high,
    )


def sized(results: Results, model: str) -> str:
    size = parameters(results, model)
    return say("{model} ({size:.1f}M parameters)", model=model, size=size / 1e6) if size else model


def of_task(results: Results, task: Task) -> Champion | None:
    values = {
        model: values
        for model, row in task.rows.items()
        if row.get("kept", "none") != "none" and (values := task.values(model, "dev", task.main))
    }
    if not values:
        return None
    model = max(values, key=lambda model: mean(values[model]))
    runs = task.figures[model]["dev", task.main]
    share = min(GROUPS, runs.shape[1]) / runs.shape[1]
    contest: Contest = {
        "measure": f"dev {task.main}",
        "rows": task.rows[model]["hashes"]["dev"],
        "figures": [grouped(run * share) for run in runs],
        "characters": None,
    }
    # Dev chose the best one, so test, where there is one, says whether it is.
    better = {other: claims.difference(task, model, other, task.last, task.main) for other in values if other != model}
    told = sentences(counted(task, model), rivals(results, model, known(task.last), better))
    return Champion(task, model, f"models/finetuned/{task.name}/{model}", contest, told)
