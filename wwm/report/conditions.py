"""What the scores were measured with: the tasks' data, how the models were fine-tuned, and how much of the texts they
can read.
"""

from collections.abc import Callable

from wwm.common.result_files import Finetuned
from wwm.report import authors
from wwm.report.results import Results, Task
from wwm.report.tables import Table
from wwm.report.words import clauses, known, listed, say


def condition_tables(results: Results) -> list[Table]:
    if not results.tasks:
        return []
    reading = [task for task in results.tasks if task.kind == "reading"]
    return [
        unknown_table(results),
        *([unreachable_table(results.networks, reading)] if reading else []),
        data_table(results),
        recipe_table(results),
    ]


def unknown_table(results: Results) -> Table:
    rows = [
        [
            model,
            *(
                f"{100 * task.rows[model]['unknown_share']:.2f}" if model in task.rows else say("n/a (not fine-tuned)")
                for task in results.tasks
            ),
        ]
        for model in results.networks
    ]
    caption = say("Of the WordPieces of all texts of the scored splits, uncut.")
    header = [say("model"), *(task.title for task in results.tasks)]
    return Table(say("Share of [UNK], in percent"), caption, header, rows, [])


def unreachable_table(models: list[str], tasks: list[Task]) -> Table:
    columns = [(task, split) for task in tasks for split in task.scored]
    rows = [[model, *(unreachable(task, model, split) for task, split in columns)] for model in models]
    caption = say(
        "Questions none of whose answers the model's windows, WordPieces and longest answer let it return to the"
        " letter."
    )
    header = [say("model"), *(f"{task.title} {known(split)}" for task, split in columns)]
    return Table(say("Answers out of reach, in percent"), caption, header, rows, [])


def unreachable(task: Task, model: str, split: str) -> str:
    if model not in task.rows or split not in task.rows[model]["unreachable"]:
        return say("n/a (not fine-tuned)") if model not in task.rows else say("n/a (not scored)")
    return f"{100 * task.rows[model]['unreachable'][split] / task.rows[model]['examples'][split]:.2f}"


def data_table(results: Results) -> Table:
    splits = list(dict.fromkeys(split for task in results.tasks for split in ("train", *task.splits)))
    rows = []
    for task in results.tasks:
        for models, row in alike(
            task.rows, lambda row: [row["examples"], row["dropped"], row["duplicates"], row["reduced"], row["missing"]]
        ):
            counts = [examples(task, row, split) for split in splits]
            noted = clauses(
                [
                    f"{known(split)}: {listed([f'{known(what)} {count:,}' for what, count in found.items()])}"
                    for split, found in row["dropped"].items()
                ]
            )
            twice = listed([f"{known(splits)} {count:,}" for splits, count in row["duplicates"].items()])
            theirs = task.name in authors.published().tasks
            whole = say("official") if theirs else say("n/a (not one of the authors' tasks)")
            reduced = clauses([known(how) for how in row["reduced"]])
            rows.append([task.title, models, *counts, noted or say("nothing"), twice or "n/a", reduced or whole])
    caption = say(
        "Examples of each split. Twice: texts of one split that stand in another, too, whatever their labels. Put"
        " right, in whole files: moved are answers that stood elsewhere in their text, misaligned ones that stand"
        " nowhere in it and only score, lost are questions that cannot be trained on for having no other."
    )
    last = [say(head) for head in ("left out or put right", "twice", "in what reduced or not official")]
    header = [say("task"), say("models"), *map(known, splits), *last]
    return Table(say("Data of the tasks"), caption, header, rows, [])


def examples(task: Task, row: Finetuned, split: str) -> str:
    if split in row["examples"]:
        return f"{row['examples'][split]:,}"
    why = row["missing"].get(split, "not scored") if split in task.splits else "no such split"
    return say("n/a ({why})", why=known(why))


def recipe_table(results: Results) -> Table:
    rows = []
    for task in results.tasks:
        for models, row in alike(task.fine_tuned, lambda row: [row["how"], row["swept"], len(row["seeds"])]):
            how, tried = row["how"], ", ".join(f"{rate}: {score:.1f}" for rate, score in row["swept"].items())
            numbers = [
                f"{how['learning_rate']:g}",
                *(str(how[key]) for key in ("batch_size", "epochs")),
                known(how["select"]),
                str(how["max_seq_length"]),
            ]
            of_windows = {
                "reading": ("stride", "max_query_length", "max_answer_length"),
                "tagging": ("stride",),
            }.get(task.kind, ())
            windows = " / ".join(str(how[key]) for key in of_windows) or "–"
            simplified = say("yes") if how["simplify"] else say("no")
            kept = [how["precision"], simplified, str(len(row["seeds"])), tried or say("none")]
            rows.append([task.title, models, *numbers, windows, *kept])
    caption = say(
        "Scored epoch: the last one, or the best one by dev. Windows, in reading: stride / longest question / longest"
        " answer; in tagging: stride. Tried: learning rates, by the first seed's dev score."
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
    return Table(say("How the models were fine-tuned"), caption, list(map(say, header)), rows, [])


def alike(rows: dict[str, Finetuned], what: Callable[[Finetuned], list]) -> list[tuple[str, Finetuned]]:
    """(names of the models whose results agree in `what`, one of these results), in their order. rows: by model."""
    groups: list[tuple[list[str], Finetuned]] = []
    for model, row in rows.items():
        known = next((models for models, other in groups if what(other) == what(row)), None)
        if known is None:
            groups.append(([model], row))
        else:
            known.append(model)
    return [(say("all") if len(groups) == 1 else ", ".join(models), row) for models, row in groups]
