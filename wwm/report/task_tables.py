"""The models' scores on their tasks, as `max (mean)` over seeds beside the authors' figures, and on cloze."""

from itertools import product
from typing import Any

from wwm.common.result_files import CHARACTERS
from wwm.report import authors
from wwm.report.results import CLOZE, NATS, Results, Task, cloze_figures, marks, mean, of, parameters, training
from wwm.report.tables import Cell, Column, Note, Table, amount, flops, plain, table, unmeasured
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
    columns = [column for task in tasks for column in task_columns(results, task)]
    told = [caption(task) for task in tasks]
    if CHARACTERS in results.models:
        told.append(
            say(
                "{name} is no model: naive Bayes over n-grams of characters, which learns from the same examples, once,"
                " since nothing is drawn.",
                name=CHARACTERS,
            )
        )
    told += [remark, say("Steps, tokens and FLOPs are all that a model has seen, its starting points' included.")]
    if overlaps := [task.overlap for task in tasks if task.overlap]:
        told.append(
            say(
                "In its text: percent of the examples of which {n} characters in a row / of which a whole text stands"
                " in the text that the model was pre-trained on, white space aside; of a text of fewer characters, the"
                " whole. – for what saw no text.",
                n=overlaps[0]["n"],
            )
        )
    if any(task_published(results.models, task) for task in tasks):
        told.append(
            say(
                "Columns of the authors: what they published for the model of that name, and whether our best of ten"
                " seeds is within their mean and best, below or above; – for a model that is none of theirs."
            )
        )
    return table(title, sentences(*told), [*size_columns(results), *columns])


def caption(task: Task) -> str:
    """How many seeds and training examples, of models that differ all; and what the task asks."""
    found = {(len(row["seeds"]), row["examples"]["train"]) for row in (task.fine_tuned or task.rows).values()}
    runs = [say("seeds: {n}, training examples: {examples:,}", n=n, examples=examples) for n, examples in sorted(found)]
    how_many = say(" or ").join(runs)
    if not task.remark:
        return say("{task} ({how}).", task=task.title, how=how_many)
    return say("{task} ({how}): {remark}", task=task.title, how=how_many, remark=known(task.remark))


def size_columns(results: Results) -> list[Column]:
    """Model, parameters, steps, tokens and FLOPs."""
    rows = []
    for model in results.models:
        if model == CHARACTERS:
            rows.append([model, *["–"] * 4])
            continue
        seen, size = training(results, model), parameters(results, model)
        reason = say("n/a (not trained in this run)") if of(results, model) else say("n/a (not measured)")
        # A model from elsewhere does not say what it saw before.
        spent = []
        for key, told in {"steps": amount, "tokens": amount, "flops": flops}.items():
            own = seen.get(f"own_{key}")
            here = say("{amount} here", amount=told(own)) if own else reason
            spent.append(here if seen.get(key) is None else told(seen[key]))
        rows.append([model, f"{size / 1e6:.1f}M" if size else say("n/a (not fine-tuned)"), *spent])
    heads = [say(head) for head in ("model", "parameters", "steps", "tokens", "FLOPs")]
    return [plain(head, list(texts)) for head, texts in zip(heads, zip(*rows))]


def task_published(models: list[str], task: Task) -> bool:
    """Whether the authors' figures stand beside ours: where data are the official ones and a model is theirs."""
    theirs = any(published(task, model, split) for model in models for split in task.splits)
    return theirs and not any(row["reduced"] for row in task.rows.values())


def task_columns(results: Results, task: Task) -> list[Column]:
    """One for each split, and beside it how much of it stands in the pre-training text, and the authors' figures."""
    columns = []
    models = results.models
    for split in task.splits:
        head = f"{task.title} {known(split)}"
        columns.append(Column(Cell(head), [score(task, model, split) for model in models], best=max))
        if task.overlap:
            columns.append(
                plain(
                    say("{head}: in its text", head=head), [standing(results, task, model, split) for model in models]
                )
            )
        theirs = [published(task, model, split) for model in models]
        if any(theirs) and task_published(models, task):
            notes = (Note("", known(task.footnote)),) if task.footnote else ()
            columns.append(
                Column(
                    Cell(say("authors: {head}", head=head), notes),
                    [Cell(text or "–", suspects(task, model, split)) for model, text in zip(models, theirs)],
                )
            )
    return columns


def standing(results: Results, task: Task, model: str, split: str) -> str:
    """How many examples of a split a model may have seen in pre-training."""
    if model == CHARACTERS or (steps := training(results, model).get("steps")) == 0:
        return "–"
    if (found := task.standing(model, split)) is None:
        return say("n/a (not measured)")
    return say("n/a (its text is not all here)") if steps is None else f"{found[0]:.1f} / {found[1]:.1f}"


def score(task: Task, model: str, split: str) -> Cell:
    if model not in task.rows:
        return Cell(say("n/a (not measured)") if model == CHARACTERS else say("n/a (not fine-tuned)"), None)
    found = [task.values(model, split, measure) for measure in task.measures]
    if not all(found):
        why = known(task.rows[model]["missing"].get(split, "not scored"))
        return Cell("n/a", (Note("", say("{what}: {why}.", what=f"{task.title} {known(split)}", why=why)),))
    drawn = model != CHARACTERS
    told = [max_mean(max(values), mean(values) if drawn else None) for values in found]
    return Cell(" / ".join(told), marks(task, model))


def published(task: Task, model: str, split: str) -> str:
    """The authors' figure, and where ours lies; "" where they have none."""
    found = [authors.figure(model, task.name, split, measure) for measure in task.measures]
    if not all(found):
        return ""
    told = [max_mean(figure.best, figure.mean) for figure in found if figure]
    places = [place and say(place) for place in placed(task, model, split)]
    return " / ".join(" ".join(filter(None, both)) for both in zip(told, places))


def placed(task: Task, model: str, split: str) -> list[str | None]:
    """Of each measure whether our best lies `below`, `within` or `above` the authors' mean and best; None where it is
    not of their number of seeds.
    """
    found: list[str | None] = []
    for measure in task.measures:
        figure, values = authors.figure(model, task.name, split, measure), task.values(model, split, measure)
        found.append(figure.place(max(values)) if figure and len(values) >= authors.SEEDS else None)
    return found


def suspects(task: Task, model: str, split: str) -> tuple[Note, ...]:
    """What a score below the authors' may come from, as their answers have it."""
    if "below" not in placed(task, model, split):
        return ()
    row = task.rows[model]
    text = say(
        "Below: the best of ten seeds does not reach the authors' mean, which by their word is a mistake somewhere."
        " Suspect the batch (here {batch}; a smaller one lowers scores noticeably), the learning rate (here {rate:g};"
        " it matters most), the vocabulary ({unknown:.2f} % [UNK]; theirs has 21,128 entries), the text"
        " (simplified here: {simplified}; theirs stays as it is) and the casing (theirs is lower-cased).",
        batch=row["how"]["batch_size"],
        rate=row["how"]["learning_rate"],
        unknown=100 * row["unknown_share"],
        simplified=say("yes") if row["how"]["simplify"] else say("no"),
    )
    return (Note("", text),)


def max_mean(best: float, mean: float | None) -> str:
    return f"{best:.1f}" if mean is None else f"{best:.1f} ({mean:.1f})"


def cloze_table(results: Results) -> Table:
    lengths, sources = (
        sorted({key for row in results.cloze.values() for key in row[part]}) for part in ("by_length", "by_source")
    )
    columns = [cloze_column(results, say(label), name) for name, (label, *_) in CLOZE.items()]
    for length in lengths:
        head = say("1 character") if length == "1" else say("{n} characters", n=length)
        columns.append(cloze_column(results, head, "words_nats", "by_length", length))
    for source, name in product(sources, NATS):
        head = say("{source}: {label}", source=source, label=say(CLOZE[name][0]))
        columns.append(cloze_column(results, head, name, "by_source", source))
    rows = results.cloze.values()
    counts = " / ".join(f"{count:,}" for count in sorted({row["questions"] for row in rows}))
    unigram = " / ".join(f"{nats:.2f}" for nats in sorted({row["unigram_nats_per_character"] for row in rows}))
    caption = say(
        "One word of 1 to 4 Chinese characters of each of {counts} held-out sentences, drawn from documents at random,"
        " is asked for in two ways: masked whole, and each of its characters masked alone. Nats: -log p of the true"
        " characters, the mean over characters; less is better. Who knows no more than how often each character stands"
        " in held-out text has {unigram}. By number of characters: nats of whole words.",
        counts=counts,
        unigram=unigram,
    )
    lacking = [
        say("{model} (measured with other weights)", model=model) if model in results.renamed else model
        for model in results.networks
        if model not in results.cloze
    ]
    caption = sentences(caption, unmeasured(lacking))
    models = plain(say("model"), list(results.cloze))
    return table(say("Cloze: how well held-out text is filled in"), caption, [models, *columns])


def cloze_column(results: Results, head: str, name: str, *part: str) -> Column:
    """The figure `name` of each model, of all questions or of a part, such as "by_source", "news"."""
    untrained = Note("", say("The MLM head was never trained, so this says nothing of the encoder."))
    unfit = results.cloze.keys() - results.guessed.keys()
    cells = []
    for model in results.cloze:
        row: Any = results.cloze[model]
        for key in part:
            row = row.get(key, {})
        figure = cloze_figures(row)[name] if row else None
        form = "{:.2f}" if name in NATS else "{:.1f}"
        text = say("n/a (no such word)") if figure is None else form.format(figure)
        cells.append(Cell(text, (untrained,) if model in unfit else ()))
    return Column(Cell(head), cells, min if name in NATS else max)
