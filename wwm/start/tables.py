"""A file of labelled texts -> the definition of a task that reads it."""

import math
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from wwm.common import files
from wwm.common.errors import UserError
from wwm.common.model_folder import FILL_MASK
from wwm.tasks import splits, tagged
from wwm.tasks.columns import cell_rows
from wwm.tasks.rows import json_objects, parquet
from wwm.tasks.splits import split_of
from wwm.tasks.table import TASKS
from wwm.tasks.tags import OUTSIDE, SCHEMES, TAG
from wwm.tasks.task import COLUMNS

LABELS = (*COLUMNS["label"], "标签", "类别", "category", "class", "target", "y")
MOST_LABELS = 200
READ = (*splits.ENDINGS, *splits.TAGGED)
LOOKED_AT = 5000  # rows whose texts are measured
# What tasks, folders of the demo and measures are called.
TAKEN = {*TASKS, "cloze", FILL_MASK, "reviews", "continuation"}


class Table(NamedTuple):
    """What a task's file holds."""

    kind: str  # single, pair or tagging
    columns: dict[str, str]  # `text`, or `text_a` and `text_b`, and `label` -> the file's name for it
    labels: list[str]
    lengths: list[int]  # characters of each row, both texts of a pair together, from short to long
    scheme: str | None = None  # of tags whose types are the labels

    @property
    def rows(self) -> int:
        return len(self.lengths)

    @property
    def longest(self) -> int:
        """Characters of all but one in twenty rows."""
        return self.lengths[int(0.95 * (len(self.lengths) - 1))]

    @property
    def told(self) -> str:
        columns = ", ".join(self.columns.values()) or "tokens and tags"
        return f"{self.kind}, {self.rows:,} rows, {len(self.labels)} labels, from {columns}"

    @property
    def define(self) -> dict[str, Any]:
        scheme = {"scheme": self.scheme} if self.scheme else {}
        return {"kind": self.kind, "labels": self.labels, "columns": self.columns} | scheme


def task_of(task: Path) -> tuple[Table, str, Path | None]:
    """What the file, or the training file of the folder, holds; the task's name; and where it is copied to, None where
    it lies there already. Raises UserError where other files lie there.
    """
    if task.is_dir():
        inside = [path for path in taken_of(task) if split_of(path.name) == "train" and path.suffix.lower() in READ]
        if not inside:
            raise UserError(
                f"--task {task}: no train file in it; name one file, which is divided, or put train, dev and test there"
            )
        table = look(inside[0])
    elif task.is_file():
        table = look(task)
    else:
        raise UserError(f"--task {task}: no such file or folder")
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", task.resolve().stem if task.is_file() else task.resolve().name).strip("-_")
    name = name or "task"
    if name in TAKEN:
        name = f"own-{name}"
    home = Path("data/tasks", name)
    if task.resolve() in (home.resolve(), *(path.resolve() for path in home.glob("*"))):
        return table, name, None
    if other := sorted({path.name for path in home.glob("*")} - {path.name for path in taken_of(task)}):
        raise UserError(f"--task {task}: {home} is there already, and has {other[0]}; rename the one or the other")
    return table, name, home


def taken_of(task: Path) -> list[Path]:
    return [task] if task.is_file() else sorted(path for path in task.iterdir() if path.is_file())


def copy(task: Path, home: Path) -> None:
    """To data/tasks, whole or not at all."""
    with files.new_folder(home) as folder:
        for path in taken_of(task):
            shutil.copyfile(path, folder / path.name)


def run(table: Table, task: Path, positions: int) -> dict[str, Any]:
    """An entry of finetune.tasks but for its learning rate, for models of so many positions; a file that is alone is
    divided by hash.
    """
    alone = [task] if task.is_file() else [path for path in taken_of(task) if path.suffix.lower() in READ]
    length = 16 * math.ceil((table.longest + 3) / 16)
    return {
        "define": table.define,
        "epochs": 3,
        "batch_size": 32,
        "max_seq_length": min(512, positions, max(32, length)),
        **({"split_file": alone[0].name} if len(alone) == 1 else {}),
    }


def check(task: Path, name: str, run: Any) -> dict[str, int]:
    """How many examples each split has, read as fine-tuning will read them. Raises UserError as it would.

    run: the entry of finetune.tasks.
    """
    own = splits.task_of(name, run.define)
    limits = run.split_dev, run.train_examples, run.scored_examples, run.split_file
    data = splits.load_task(task.parent if task.is_file() else task, own, *limits)
    return {split: len(one.examples) for split, one in data.splits.items()}


def look(path: Path) -> Table:
    """Raises UserError where it cannot be told which column is what, or there is nothing to learn."""
    if has_tags(path):
        return of_tags(path)
    rows = list(rows_of(path))
    if not rows:
        raise UserError(f"--task {path}: no rows in it; it needs a line of names, and texts with labels below")
    names = list(rows[0])
    label = label_of(path, names, rows)
    counts = Counter(row[label].strip() for row in rows if row.get(label, "").strip())
    if len(counts) < 2:
        only = f"{next(iter(counts))!r} alone" if counts else "nothing"
        raise UserError(f"--task {path}: its column {label} has {only}; a task needs two labels or more")
    if label in counts:
        raise UserError(
            f"--task {path}: its first line has {label!r}, a label, and no names; write names of columns there"
        )
    if len(counts) > MOST_LABELS:
        raise UserError(
            f"--task {path}: its column {label} has {len(counts):,} different values; call the column of labels `label`"
        )
    texts = texts_of(path, [name for name in names if name != label], rows)
    kind = "pair" if len(texts) == 2 else "single"
    columns = dict(zip(("text_a", "text_b") if kind == "pair" else ("text",), texts)) | {"label": label}
    lengths = sorted(sum(len(row.get(name, "")) for name in texts) for row in rows)
    return Table(kind, columns, sorted(counts), lengths)


def has_tags(path: Path) -> bool:
    """By the first row: a tag behind its token and no line of names, or an object with a list of tags."""
    match path.suffix.lower():
        case ".csv":
            return False
        case ".jsonl" | ".json" | ".parquet" as ending:
            rows = parquet(path) if ending == ".parquet" else (row for _, row in json_objects(path, Counter()))
            first = next(iter(rows), None)
            return isinstance(first, dict) and any(isinstance(first.get(name), list) for name in tagged.NAMES["label"])
    first = next((line.split() for line in files.lines(path) if line.strip()), [])
    return first[:1] == [tagged.DOCUMENT] or len(first) > 1 and TAG.fullmatch(first[-1]) is not None


def of_tags(path: Path) -> Table:
    """Types, and the scheme that the letters before them are of; or the letters, where there are no types."""
    lengths, seen = [], set()
    for where, sentence in tagged.sentences(path, path.suffix.lower(), tagged.NAMES, (), Counter()):
        if not sentence.tags:
            raise UserError(f"--task {where}: there are no tags; {tagged.LAYOUT}")
        lengths.append(len(sentence.text))
        seen |= {*sentence.tags}
    parts = [tag.partition("-") for tag in seen]
    types = sorted({kind for _, _, kind in parts if kind})
    if not seen - {OUTSIDE}:
        raise UserError(f"--task {path}: its tags are {OUTSIDE} alone; a task needs others")
    letters = {letter for letter, _, _ in parts} - {OUTSIDE}
    fitting = [scheme for scheme, own in SCHEMES.items() if letters <= {*own}]
    if types and fitting and all(kind for letter, _, kind in parts if letter != OUTSIDE):
        return Table("tagging", {}, types, sorted(lengths), fitting[0])
    return Table("tagging", {}, sorted(seen), sorted(lengths))


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    match path.suffix.lower():
        case ".csv" | ".tsv" | ".txt" as ending:
            table = cell_rows(path, ending)
            header = [cell.strip() for cell in next(table, (1, []))[1]]
            if not any(header):
                raise UserError(f"--task {path} is empty; it needs a line of names, and texts with labels below")
            if len(header) < 2:
                raise UserError(
                    f"--task {path}: its first line has one column, {' '.join(header)[:40]!r}; write names of columns"
                    f" there, with {'commas' if ending == '.csv' else 'tabs'} between them"
                )
            for _, row in table:
                if any(cell.strip() for cell in row):
                    yield dict(zip(header, row))
        case ".jsonl" | ".json":
            for where, row in json_objects(path, Counter()):
                if not isinstance(row, dict):
                    raise UserError(f"--task {where}: no JSON object; write an object a line")
                yield as_texts(row)
        case ".parquet":
            yield from map(as_texts, parquet(path))
        case ending:
            raise UserError(
                f"--task {path}: {ending or 'its ending'} is not read; save it as .csv, .tsv, .jsonl or .parquet"
            )


def as_texts(row: dict[str, Any]) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in row.items()}


def label_of(path: Path, names: list[str], rows: list[dict[str, str]]) -> str:
    known = {name.lower(): name for name in names}
    for name in LABELS:
        if name in known:
            return known[name]
    few = [name for name in names if len({row.get(name, "") for row in rows}) <= max(2, min(50, len(rows) // 5))]
    if len(few) != 1:
        raise UserError(f"--task {path}: which of {', '.join(names)} is the label? Call it `label` in the first line")
    return few[0]


def texts_of(path: Path, names: list[str], rows: list[dict[str, str]]) -> list[str]:
    """One column, or two of a pair: those of usual names, else the longest one."""
    known = {name.lower(): name for name in names}
    pair = [next((known[name] for name in COLUMNS[field] if name in known), None) for field in ("text_a", "text_b")]
    if pair[0] and pair[1]:
        return [pair[0], pair[1]]
    if one := next((known[name] for name in COLUMNS["text"] if name in known), None):
        return [one]
    if not names:
        raise UserError(f"--task {path}: no column beside the label; it needs one of texts")
    lengths = {name: sum(len(row.get(name, "")) for row in islice(rows, LOOKED_AT)) for name in names}
    return [max(lengths, key=lambda name: lengths[name])]
