"""What the scores were measured with: the tasks' data, how the models were fine-tuned, and how much of the texts they
can read.
"""

from collections.abc import Callable

from wwm.common.result_files import Finetuned
from wwm.report import authors
from wwm.report.results import Results, Task
from wwm.report.tables import Table


def condition_tables(results: Results) -> list[Table]:
    if not results.tasks:
        return []
    reading = [task for task in results.tasks if task.kind == "reading"]
    return [
        unknown_table(results),
        *([unreachable_table(results.models, reading)] if reading else []),
        data_table(results),
        recipe_table(results),
    ]


def unknown_table(results: Results) -> Table:
    rows = [
        [
            model,
            *(
                f"{100 * task.rows[model]['unknown_share']:.2f}" if model in task.rows else "n/a (not fine-tuned)"
                for task in results.tasks
            ),
        ]
        for model in results.models
    ]
    caption = "Of the WordPieces of all texts of the scored splits, uncut."
    return Table("Share of [UNK], in percent", caption, ["model", *(task.title for task in results.tasks)], rows, [])


def unreachable_table(models: list[str], tasks: list[Task]) -> Table:
    columns = [(task, split) for task in tasks for split in task.scored]
    rows = [[model, *(unreachable(task, model, split) for task, split in columns)] for model in models]
    caption = (
        "Questions none of whose answers the model's windows, WordPieces and longest answer let it return to the"
        " letter."
    )
    return Table(
        "Answers out of reach, in percent",
        caption,
        ["model", *(f"{task.title} {split}" for task, split in columns)],
        rows,
        [],
    )


def unreachable(task: Task, model: str, split: str) -> str:
    if model not in task.rows or split not in task.rows[model]["unreachable"]:
        return "n/a (not fine-tuned)" if model not in task.rows else "n/a (not scored)"
    return f"{100 * task.rows[model]['unreachable'][split] / task.rows[model]['examples'][split]:.2f}"


def data_table(results: Results) -> Table:
    splits = list(dict.fromkeys(split for task in results.tasks for split in ("train", *task.splits)))
    rows = []
    for task in results.tasks:
        for models, row in alike(
            task, lambda row: [row["examples"], row["dropped"], row["duplicates"], row["reduced"], row["missing"]]
        ):
            counts = [examples(task, row, split) for split in splits]
            noted = "; ".join(
                f"{split}: {', '.join(f'{what} {count:,}' for what, count in found.items())}"
                for split, found in row["dropped"].items()
            )
            twice = ", ".join(f"{split} {count:,}" for split, count in row["duplicates"].items())
            whole = "official" if task.name in authors.published().tasks else "n/a (not one of the authors' tasks)"
            rows.append(
                [task.title, models, *counts, noted or "nothing", twice or "n/a", "; ".join(row["reduced"]) or whole]
            )
    caption = (
        "Examples of each split. Twice: texts of one split that stand in another, too, whatever their labels. Put"
        " right, in whole files: moved are answers that stood elsewhere in their text, misaligned ones that stand"
        " nowhere in it and only score, lost are questions that cannot be trained on for having no other."
    )
    header = ["task", "models", *splits, "left out or put right", "twice", "in what reduced or not official"]
    return Table("Data of the tasks", caption, header, rows, [])


def examples(task: Task, row: Finetuned, split: str) -> str:
    if split in row["examples"]:
        return f"{row['examples'][split]:,}"
    return f"n/a ({row['missing'].get(split, 'not scored') if split in task.splits else 'no such split'})"


def recipe_table(results: Results) -> Table:
    rows = []
    for task in results.tasks:
        for models, row in alike(task, lambda row: [row["how"], row["swept"], len(row["seeds"])]):
            how, tried = row["how"], ", ".join(f"{rate}: {score:.1f}" for rate, score in row["swept"].items())
            numbers = [
                f"{how['learning_rate']:g}",
                *(str(how[key]) for key in ("batch_size", "epochs")),
                how["select"],
                str(how["max_seq_length"]),
            ]
            windows = (
                " / ".join(str(how[key]) for key in ("stride", "max_query_length", "max_answer_length"))
                if task.kind == "reading"
                else "–"
            )
            kept = [how["precision"], "yes" if how["simplify"] else "no", str(len(row["seeds"])), tried or "none"]
            rows.append([task.title, models, *numbers, windows, *kept])
    caption = (
        "Scored epoch: the last one, or the best one by dev. Windows, in reading: stride / longest question / longest"
        " answer. Tried: learning rates, by the first seed's dev score."
    )
    header = [
        "task",
        "models",
        "learning rate",
        "batch",
        "epochs",
        "scored epoch",
        "length",
        "windows",
        "precision",
        "simplified",
        "seeds",
        "tried",
    ]
    return Table("How the models were fine-tuned", caption, header, rows, [])


def alike(task: Task, what: Callable[[Finetuned], list]) -> list[tuple[str, Finetuned]]:
    """(names of the models whose results agree in `what`, one of these results), in the order of the models."""
    groups: list[tuple[list[str], Finetuned]] = []
    for model, row in task.rows.items():
        known = next((models for models, other in groups if what(other) == what(row)), None)
        if known is None:
            groups.append(([model], row))
        else:
            known.append(model)
    return [("all" if len(groups) == 1 else ", ".join(models), row) for models, row in groups]
