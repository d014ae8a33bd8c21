"""The models' scores on their tasks, as `max (mean)` over seeds beside the authors' figures, and on cloze."""

from wwm.report import authors
from wwm.report.results import CLOZE, Results, Task, marks, mean, of, parameters, training
from wwm.report.tables import Cell, Column, Note, Table, amount, plain, table

NOT_FINE_TUNED = Cell("n/a (not fine-tuned)", None)


def task_tables(results: Results) -> list[Table]:
    """One for each way in which tasks are measured, reading first; without any task one of nothing but the models."""
    groups: dict[tuple[str, ...], list[Task]] = {}
    for task in sorted(results.tasks, key=lambda task: task.kind != "reading"):
        groups.setdefault(tuple(task.measures.values()), []).append(task)
    made = []
    for labels, tasks in groups.items() or [(("accuracy",), [])]:
        what = "Reading tasks" if tasks and tasks[0].kind == "reading" else "Tasks"
        if len(labels) > 1:
            title = f"{what}: {' / '.join(labels)}, each max (mean) over seeds, in percent"
            remark = (
                f"{' and '.join(labels)} each have their own best seed (the authors do not say whether theirs have one"
                " in common)."
            )
        else:
            title, remark = f"{what}: max (mean) {labels[0]} over seeds, in percent", ""
        made.append(task_table(results, tasks, title, remark))
    return made


def task_table(results: Results, tasks: list[Task], title: str, remark: str) -> Table:
    columns = [column for task in tasks for column in task_columns(results.models, task)]
    told = [f"{task.title} ({' or '.join(runs(task))}){f': {task.remark}' if task.remark else '.'}" for task in tasks]
    told += [remark, "Steps and tokens are all that a model has seen, its starting points' included."]
    if any(column.head.text.startswith("authors") for column in columns):
        told.append(
            "Columns of the authors: what they published for the model of that name; – for a model that is none of"
            " theirs."
        )
    return table(title, " ".join(filter(None, told)), [*size_columns(results), *columns])


def runs(task: Task) -> list[str]:
    """How many seeds and training examples; more than one entry where the models differ."""
    found = {(len(row["seeds"]), row["examples"]["train"]) for row in task.rows.values()}
    return [f"seeds: {seeds}, training examples: {examples:,}" for seeds, examples in sorted(found)]


def size_columns(results: Results) -> list[Column]:
    """Model, parameters, steps and tokens."""
    rows = []
    for model in results.models:
        seen, size = training(results, model), parameters(results, model)
        reason = "n/a (not trained here)" if of(results, model) else "n/a (not measured)"
        # A model from elsewhere does not say what it saw before.
        own = {key: f"{amount(seen[f'own_{key}'])} here" for key in ("steps", "tokens") if seen.get(f"own_{key}")}
        spent = [own.get(key, reason) if seen.get(key) is None else amount(seen[key]) for key in ("steps", "tokens")]
        rows.append([model, f"{size / 1e6:.1f}M" if size else NOT_FINE_TUNED.text, *spent])
    return [plain(head, list(texts)) for head, texts in zip(("model", "parameters", "steps", "tokens"), zip(*rows))]


def task_columns(models: list[str], task: Task) -> list[Column]:
    """One for each split, and beside it the authors' where data are the official ones and a model is theirs."""
    columns = []
    for split in task.splits:
        columns.append(Column(Cell(f"{task.title} {split}"), [score(task, model, split) for model in models]))
        theirs = [published(task, model, split) for model in models]
        if any(theirs) and not any(row["reduced"] for row in task.rows.values()):
            notes = (Note("", task.footnote),) if task.footnote else ()
            columns.append(
                Column(Cell(f"authors: {task.title} {split}", notes), [Cell(text or "–") for text in theirs])
            )
    return columns


def score(task: Task, model: str, split: str) -> Cell:
    if model not in task.rows:
        return NOT_FINE_TUNED
    found = [task.values(model, split, measure) for measure in task.measures]
    if not all(found):
        return Cell(
            "n/a", (Note("", f"{task.title} {split}: {task.rows[model]['missing'].get(split, 'not scored')}."),)
        )
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
            rows.append([model, *("n/a (no such word)" if cell is None else f"{cell:.1f}" for cell in cells)])
        else:
            rows.append([model, *["n/a (not measured)"] * (len(CLOZE) + len(parts))])
    words = {row["words"] for row in results.cloze.values()}
    caption = (
        f"One whole word of 1 to 4 Chinese characters of each of {' or '.join(f'{n:,}' for n in sorted(words)) or 'no'}"
        " held-out sentences is masked; all its pieces are guessed at once. From the fifth column on: whole words, by"
        " characters in the word and by source."
    )
    header = ["model", *CLOZE.values(), *(f"{n} character{'s' if n > '1' else ''}" for n in lengths), *sources]
    return Table("Cloze: accuracy on held-out text, in percent", caption, header, rows, [])
