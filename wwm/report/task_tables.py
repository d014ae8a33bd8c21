"""The models' scores on their tasks, as `max (mean)` over seeds beside the authors' figures, and on cloze."""

from wwm.report import authors
from wwm.report.results import CLOZE, Results, Task, marks, mean, of, parameters, training
from wwm.report.tables import Cell, Column, Note, Table, amount, plain, table
from wwm.report.words import known, say, sentences


def task_tables(results: Results) -> list[Table]:
    """One for each way in which tasks are measured, reading first; without any task one of nothing but the models."""
    groups: dict[tuple[str, ...], list[Task]] = {}
    for task in sorted(results.tasks, key=lambda task: task.kind != "reading"):
        groups.setdefault(tuple(task.measures.values()), []).append(task)
    made = []
    for measures, tasks in groups.items() or [(("accuracy",), [])]:
        what = say("Reading tasks") if tasks and tasks[0].kind == "reading" else say("Tasks")
        labels = " / ".join(known(measure) for measure in measures)
        if len(measures) > 1:
            title = say("{what}: {labels}, each max (mean) over seeds, in percent", what=what, labels=labels)
            remark = say(
                "{labels}: each has its own best seed (the authors do not say whether theirs have one in common).",
                labels=labels,
            )
        else:
            title = say("{what}: max (mean) {labels} over seeds, in percent", what=what, labels=labels)
            remark = ""
        made.append(task_table(results, tasks, title, remark))
    return made


def task_table(results: Results, tasks: list[Task], title: str, remark: str) -> Table:
    columns = [column for task in tasks for column in task_columns(results.models, task)]
    told = [caption(task) for task in tasks]
    told += [remark, say("Steps and tokens are all that a model has seen, its starting points' included.")]
    if not all(column.best for column in columns):
        told.append(
            say(
                "Columns of the authors: what they published for the model of that name; – for a model that is none of"
                " theirs."
            )
        )
    return table(title, sentences(*told), [*size_columns(results), *columns])


def caption(task: Task) -> str:
    """How many seeds and training examples, of models that differ all; and what the task asks."""
    found = {(len(row["seeds"]), row["examples"]["train"]) for row in task.rows.values()}
    runs = [say("seeds: {n}, training examples: {examples:,}", n=n, examples=examples) for n, examples in sorted(found)]
    how_many = say(" or ").join(runs)
    if not task.remark:
        return say("{task} ({how}).", task=task.title, how=how_many)
    return say("{task} ({how}): {remark}", task=task.title, how=how_many, remark=known(task.remark))


def size_columns(results: Results) -> list[Column]:
    """Model, parameters, steps and tokens."""
    rows = []
    for model in results.models:
        seen, size = training(results, model), parameters(results, model)
        reason = say("n/a (not trained here)") if of(results, model) else say("n/a (not measured)")
        # A model from elsewhere does not say what it saw before.
        own = {
            key: say("{amount} here", amount=amount(seen[f"own_{key}"]))
            for key in ("steps", "tokens")
            if seen.get(f"own_{key}")
        }
        spent = [own.get(key, reason) if seen.get(key) is None else amount(seen[key]) for key in ("steps", "tokens")]
        rows.append([model, f"{size / 1e6:.1f}M" if size else say("n/a (not fine-tuned)"), *spent])
    heads = [say(head) for head in ("model", "parameters", "steps", "tokens")]
    return [plain(head, list(texts)) for head, texts in zip(heads, zip(*rows))]


def task_columns(models: list[str], task: Task) -> list[Column]:
    """One for each split, and beside it the authors' where data are the official ones and a model is theirs."""
    columns = []
    for split in task.splits:
        head = f"{task.title} {known(split)}"
        columns.append(Column(Cell(head), [score(task, model, split) for model in models], best=max))
        theirs = [published(task, model, split) for model in models]
        if any(theirs) and not any(row["reduced"] for row in task.rows.values()):
            notes = (Note("", known(task.footnote)),) if task.footnote else ()
            columns.append(
                Column(Cell(say("authors: {head}", head=head), notes), [Cell(text or "–") for text in theirs])
            )
    return columns


def score(task: Task, model: str, split: str) -> Cell:
    if model not in task.rows:
        return Cell(say("n/a (not fine-tuned)"), None)
    found = [task.values(model, split, measure) for measure in task.measures]
    if not all(found):
        why = known(task.rows[model]["missing"].get(split, "not scored"))
        return Cell("n/a", (Note("", say("{what}: {why}.", what=f"{task.title} {known(split)}", why=why)),))
    return Cell(" / ".join(max_mean(max(values), mean(values)) for values in found), marks(task, model))


def published(task: Task, model: str, split: str) -> str:
    """The authors' figure; "" where they have none."""
    found = [authors.figure(model, task.name, split, measure) for measure in task.measures]
    return " / ".join(max_mean(*figure) for figure in found if figure) if all(found) else ""


def max_mean(best: float, mean: float | None) -> str:
    return f"{best:.1f}" if mean is None else f"{best:.1f} ({mean:.1f})"


def cloze_table(results: Results) -> Table:
    lengths, sources = (
        sorted({key for row in results.cloze.values() for key in row[part]}) for part in ("by_length", "by_source")
    )
    parts = [("by_length", length) for length in lengths] + [("by_source", source) for source in sources]
    rows = []
    for model in results.models:
        if model in results.cloze:
            row = results.cloze[model]
            cells = [row[key] for key in CLOZE] + [row[part].get(name, {}).get("word_accuracy") for part, name in parts]
            rows.append([model, *(say("n/a (no such word)") if cell is None else f"{cell:.1f}" for cell in cells)])
        else:
            rows.append([model, *[say("n/a (not measured)")] * (len(CLOZE) + len(parts))])
    words = " / ".join(f"{n:,}" for n in sorted({row["words"] for row in results.cloze.values()}))
    caption = say(
        "One whole word of 1 to 4 Chinese characters of each of {words} held-out sentences is masked; all its pieces"
        " are guessed at once. From the fifth column on: whole words, by characters in the word and by source.",
        words=words,
    )
    heads = [say(label) for label in CLOZE.values()]
    heads += [say("1 character") if n == "1" else say("{n} characters", n=n) for n in lengths] + sources
    models, *figures = zip(*rows)
    untrained = Note("", say("The MLM head was never trained, so this says nothing of the encoder."))
    unfit = results.cloze.keys() - results.guessed.keys()
    notes = [(untrained,) if model in unfit else () for model in models]
    columns = [
        Column(Cell(head), [Cell(text, note) for text, note in zip(texts, notes)], best=max)
        for head, texts in zip(heads, figures)
    ]
    return table(
        say("Cloze: accuracy on held-out text, in percent"), caption, [plain(say("model"), list(models)), *columns]
    )
