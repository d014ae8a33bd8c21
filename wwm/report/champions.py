"""The models to use: the best one on each task, and the best one at filling in words."""

from pathlib import Path
from typing import NamedTuple

from wwm.report.results import Results, Task, mean
from wwm.report.words import known, say

# Endings of task files that `wwm predict` reads as they are, or by a --format.
FORMS = {
    "reading": {".json": ""},
    "other": {".csv": "", ".tsv": "", ".json": "", ".jsonl": "", ".parquet": "", ".txt": " --format tsv"},
}
SENTENCE = "使用语言[MASK][MASK]来预测下一个词。"


class Champion(NamedTuple):
    told: str
    command: str

    def __str__(self) -> str:
        return f"{self.told}\n  {self.command}"


def champions(results: Results) -> list[Champion]:
    """What each is best at, and a command that uses it. By the mean over seeds on dev, so that test scores choose
    nothing, of models that are kept; and by whole words in cloze. The first of equals.
    """
    found = [best for task in results.tasks if (best := of_task(task))]
    words = {model: row["word_accuracy"] for model, row in results.cloze.items() if row["word_accuracy"]}
    if words:
        first = max(words, key=lambda model: words[model])
        told = say(
            "Best at filling in words, {score:.1f} % of whole words on held-out text: {model}. To use it:",
            score=words[first],
            model=first,
        )
        found.append(Champion(told, f"wwm fill models/{first} '{SENTENCE}'"))
    return found


def of_task(task: Task) -> Champion | None:
    means = {
        model: mean(values)
        for model, row in task.rows.items()
        if row.get("kept", "none") != "none" and (values := task.values(model, "dev", task.main))
    }
    if not means:
        return None
    best = max(means, key=lambda model: means[model])
    told = say(
        "Best on {task}, {measure} {score:.1f} % on dev (mean over seeds): {model}. To use it:",
        task=task.title,
        measure=known(task.measures[task.main]),
        score=means[best],
        model=best,
    )
    folder = f"models/finetuned/{task.name}/{best}"
    file = task.rows[best]["files"].get(task.last, "")
    form = FORMS["reading" if task.kind == "reading" else "other"].get(Path(file).suffix)
    if form is None or "/" in file:
        return Champion(told, f"wwm predict {folder} FILE")
    return Champion(told, f"wwm predict {folder} data/tasks/{task.name}/{file}{form} --output said.csv")
