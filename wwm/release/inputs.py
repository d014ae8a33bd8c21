"""Files of texts, pairs or questions of any size -> one after the other, as `wwm predict` takes them.

Their labels, where they have some, are for comparison.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from wwm.common import files
from wwm.common.errors import UserError
from wwm.params import one_of
from wwm.tasks.columns import Fields
from wwm.tasks.kept import Kept
from wwm.tasks.questions import Question, walk
from wwm.tasks.rows import Example, labelled, named, rows, streamed, texts_of
from wwm.tasks.task import COLUMNS, TEXTS, Task, own_task

STDIN = Path("/dev/stdin")
FORMS = ("text", "csv", "tsv", "json", "jsonl", "parquet", "squad")
# Without --format, of standard input.
USUAL = {"single": "text", "pair": "tsv", "reading": "jsonl"}
# What files of questions call their columns.
QUESTION = {"question": ("question", "query"), "context": ("context", "passage", "text"), "id": ("id",)}


class Given(NamedTuple):
    """One row of a file."""

    content: Any  # an Example or a Question
    shown: dict[str, str]  # what stands beside a prediction: texts, id
    label: str | None  # that the file gives


def read(file: str, form: str | None, kept: Kept, columns: dict[str, str]) -> tuple[Iterator[Given], int | None]:
    """The rows of `file`, `-` for standard input, and about how many there are, None where that is not known.

    form: one of FORMS, by default that of the file's ending; columns: field -> what the file calls it. Raises UserError
    for a file that is not there, is empty, or is in another form than the model reads.
    """
    path = STDIN if file == "-" else Path(file)
    if not path.exists() or path.is_dir():
        raise UserError(f"{path} does not exist or is a folder; name a file, or - for standard input")
    form = one_of("--format", form, FORMS) if form else form_of(path, kept["kind"])
    if (form == "squad" and kept["kind"] != "reading") or (form == "text" and kept["kind"] != "single"):
        takes = {"single": "texts", "pair": "pairs of texts", "reading": "questions on texts"}[kept["kind"]]
        raise UserError(f"{path} as {form}: this model takes {takes}; see docs/use.md for what their files look like")
    if columns and form in ("text", "squad"):
        raise UserError(f"--column: {path} as {form} has no columns that could be named; leave it out")
    match form:
        case "text":
            found = texts(path, kept)
        case "squad":
            found = squad(path)
        case _:
            found = (questions if kept["kind"] == "reading" else examples)(path, form, kept, columns)
    first = next(found, None)
    if first is None:
        raise UserError(f"{path} has nothing to predict; give it a {'question' if form == 'squad' else 'row'} or more")
    return chain([first], found), count(path, form)


def form_of(path: Path, kind: str) -> str:
    """By its ending."""
    if path == STDIN:
        return USUAL[kind]
    ending = path.suffix.lower().removeprefix(".")
    if ending == "json" and kind == "reading":
        return "squad"
    if ending == "txt":
        return "text" if kind == "single" else "tsv"
    if ending not in FORMS:
        raise UserError(f"{path}: its ending says nothing; tell its form by --format {'|'.join(FORMS)}")
    return ending


def looked_for(names: dict[str, tuple[str, ...]], columns: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Fields -> what a file may call them, which is one name where --column says it. Raises UserError for a field that
    this kind of model has not.
    """
    for field in columns:
        if field not in names:
            raise UserError(f"--column {field}=...: this model has no {field}, but {', '.join(names)}")
    return names | {field: (name,) for field, name in columns.items()}


def texts(path: Path, kept: Kept) -> Iterator[Given]:
    """A text a line. Raises UserError where the lines have labels beside the texts."""
    labels, names = {*kept["labels"], *kept["spellings"]}, {*COLUMNS["text"], *COLUMNS["label"]}
    for number, line in enumerate(files.lines(path), 1):
        if text := line.strip():
            cells = [cell.strip() for cell in line.split("\t")]
            outer = {cells[0], cells[-1]}
            if len(cells) > 1 and (outer & labels or number == 1 and {*map(str.lower, outer)} & names):
                raise UserError(f"{path}:{number} has a label beside its text; read it by --format tsv")
            yield Given(Example((text,), -1), {"text": text}, None)


def examples(path: Path, form: str, kept: Kept, columns: dict[str, str]) -> Iterator[Given]:
    task = task_of(kept)
    spelling = {label: label for label in kept["labels"]} | kept["spellings"]
    expected = Fields(looked_for(named(task), columns), spelling, {"label", "language"} - set(columns), columns)
    for where, label, values in labelled(path, f".{form}", task, expected, Counter()):
        # -1 stands for a label that is kept in data sets of the hub.
        if label in task.ignored_labels or (label == "-1" and label not in spelling):
            label = ""
        if label and label not in spelling:
            hint = "if this is a line of names, tell them by --column; else " if where.endswith(":1") else ""
            raise UserError(
                f"{where}: label {label!r} is none of the model's, {', '.join(spelling)}; {hint}take that column out,"
                " or name another one by --column label=NAME"
            )
        yield given(where, values, task)._replace(label=spelling[label] if label else None)


def questions(path: Path, form: str, kept: Kept, columns: dict[str, str]) -> Iterator[Given]:
    """Rows with a question and a context each, and an id if they have one."""
    task = task_of(kept)
    expected = Fields(looked_for(QUESTION, columns), {}, {"id"}, columns)
    for number, (where, values) in enumerate(rows(path, f".{form}", expected, Counter()), 1):
        yield given(where, {"id": number} | {k: v for k, v in values.items() if v is not None}, task)


def given(where: str, values: dict, task: Task) -> Given:
    """A row whose fields are those of the task's kind: `text`, `text_a` and `text_b`, or `id`, `question` and
    `context`. Raises UserError that begins with `where` and names one that is missing or empty.
    """
    if task.kind != "reading":
        content = texts_of(where, values, task)
        return Given(Example(content, -1), dict(zip(TEXTS[task.kind], content)), None)
    for field in ("question", "context"):
        if not str(values.get(field) or "").strip():
            raise UserError(f"{where}: {field} is missing or empty; a row has question and context")
    return asked(Question(str(values["id"]), str(values["question"]), str(values["context"]), (), None))


def task_of(kept: Kept) -> Task:
    labels, ignored = tuple(kept["labels"]), tuple(kept["ignored_labels"])
    task = own_task(kept["task"], kept["kind"], labels, kept["columns"], ignored, "")
    return replace(task, language=kept["language"], segmented=kept["segmented"])


def squad(path: Path) -> Iterator[Given]:
    with open(path, "rb") as stream:
        for _, _, question in walk(streamed(stream, "data.item", path), path):
            yield asked(question)


def asked(question: Question) -> Given:
    return Given(question, {"id": question.id, "question": question.question}, None)


def count(path: Path, form: str) -> int | None:
    """About how many rows: lines of a file that can be read twice."""
    if not path.is_file() or form in ("squad", "json"):
        return None
    if form == "parquet":
        return pq.ParquetFile(path).metadata.num_rows
    with open(path, "rb") as stream:
        return sum(1 for _ in stream)
