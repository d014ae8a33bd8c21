"""The models to use: the best one on each task, and the best one at filling in words."""

from pathlib import Path

from wwm.report.results import Results, Task, mean

# Endings of task files that `wwm predict` reads as they are, or by a --format.
FORMS = {
    "reading": {".json": ""},
    "other": {".csv": "", ".tsv": "", ".json": "", ".jsonl": "", ".parquet": "", ".txt": " --format tsv"},
}
SENTENCE = "使用语言[MASK][MASK]来预测下一个词。"


def champions(results: Results) -> list[str]:
    """What each is best at, and a command that uses it. By the mean over seeds on dev, so that test scores choose
    nothing, of models that are kept; and by whole words in cloze. The first of equals.
    """
    found = [best for task in results.tasks if (best := of_task(task))]
    words = {model: row["word_accuracy"] for model, row in results.cloze.items() if row["word_accuracy"]}
    if words:
        best = max(words, key=lambda model: words[model])
        what = f"Best at filling in words, {words[best]:.1f} % of whole words on held-out text"
        found.append(told(what, best, f"wwm fill models/{best} '{SENTENCE}'"))
    return found


def of_task(task: Task) -> str | None:
    means = {
        model: mean(values)
        for model, row in task.rows.items()
        if row.get("kept", "none") != "none" and (values := task.values(model, "dev", task.main))
    }
    if not means:
        return None
    best = max(means, key=lambda model: means[model])
    what = f"Best on {task.title}, {task.measures[task.main]} {means[best]:.1f} % on dev (mean over seeds)"
    folder = f"models/finetuned/{task.name}/{best}"
    file = task.rows[best]["files"].get(task.last, "")
    form = FORMS["reading" if task.kind == "reading" else "other"].get(Path(file).suffix)
    if form is None or "/" in file:
        return told(what, best, f"wwm predict {folder} FILE")
    return told(what, best, f"wwm predict {folder} data/tasks/{task.name}/{file}{form} --output said.csv")


def told(what: str, model: str, command: str) -> str:
    return f"{what}: {model}. To use it:\n  {command}"
