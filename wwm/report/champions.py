"""The models to use: the best one on each task, and the best one at filling in words."""

from pathlib import Path
from typing import NamedTuple

from wwm.report.gate import Contest
from wwm.report.results import Results, Task, mean

# Endings of task files that `wwm predict` reads as they are, or by a --format.
FORMS = {
    "reading": {".json": ""},
    "other": {".csv": "", ".tsv": "", ".json": "", ".jsonl": "", ".parquet": "", ".txt": " --format tsv"},
}
SENTENCE = "使用语言[MASK][MASK]来预测下一个词。"


class Best(NamedTuple):
    """The best model of one kind. task: None for the one that fills in words."""

    task: Task | None
    model: str
    folder: str
    contest: Contest
    scores: dict[str, float]


def best(results: Results) -> list[Best]:
    """By the mean over seeds on dev, so that test scores choose nothing, of models that are kept; and by whole words in
    cloze. The first of equals.
    """
    found = [one for task in results.tasks if (one := best_on(task))]
    words = {model: row["word_accuracy"] for model, row in results.cloze.items() if row["word_accuracy"]}
    if words:
        model = max(words, key=lambda model: words[model])
        row = results.cloze[model]
        contest: Contest = {
            "measure": "cloze whole words",
            "rows": row["rows"],
            "values": [words[model]],
            "count": row["words"],
        }
        found.append(Best(None, model, f"models/{model}", contest, {"cloze.word_accuracy": words[model]}))
    return found


def best_on(task: Task) -> Best | None:
    values = {
        model: values
        for model, row in task.rows.items()
        if row.get("kept", "none") != "none" and (values := task.values(model, "dev", task.main))
    }
    if not values:
        return None
    model = max(values, key=lambda model: mean(values[model]))
    contest: Contest = {
        "measure": f"dev {task.main}",
        "rows": task.rows[model]["hashes"]["dev"],
        "values": values[model],
        "count": None,
    }
    scores = {
        f"{task.name}.{split}_{measure}": mean(found)
        for split in task.scored
        for measure in task.measures
        if (found := task.values(model, split, measure))
    }
    return Best(task, model, f"models/finetuned/{task.name}/{model}", contest, scores)


def champions(results: Results) -> list[str]:
    """What each is best at, and a command that uses it."""
    return [told(one) for one in best(results)]


def told(one: Best) -> str:
    return f"{title(one)}: {one.model}. To use it:\n  {command(one)}"


def title(one: Best) -> str:
    if one.task is None:
        return f"Best at filling in words, {one.contest['values'][0]:.1f} % of whole words on held-out text"
    label, score = one.task.measures[one.task.main], mean(one.contest["values"])
    return f"Best on {one.task.title}, {label} {score:.1f} % on dev (mean over seeds)"


def command(one: Best) -> str:
    if one.task is None:
        return f"wwm fill {one.folder} '{SENTENCE}'"
    file = one.task.rows[one.model]["files"].get(one.task.last, "")
    form = FORMS["reading" if one.task.kind == "reading" else "other"].get(Path(file).suffix)
    if form is None or "/" in file:
        return f"wwm predict {one.folder} FILE"
    return f"wwm predict {one.folder} data/tasks/{one.task.name}/{file}{form} --output said.csv"
