"""A file of labelled texts -> which column is what, and the definition of a task that reads it."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from wwm.common import files
from wwm.common.errors import UserError
from wwm.tasks import tagged
from wwm.tasks.columns import cell_rows
from wwm.tasks.rows import HAN, json_objects, parquet
from wwm.tasks.tags import OUTSIDE, SCHEMES, TAG, Sentence
from wwm.tasks.task import COLUMNS

LABELS = (*COLUMNS["label"], "标签", "类别", "category", "class", "target", "y")
UNLABELLED = "-1"  # of a row whose label is kept in data sets of the hub
MOST_LABELS = 200
LOOKED_AT = 5000  # rows whose texts are measured, and that are searched for tags
HAN_CHARACTERS = re.compile(f"[{HAN}]")
BETWEEN_TAGS = re.compile(r"[\s,;|'\"\[\]]+")


class Table(NamedTuple):
    """What a task's file holds."""

    kind: str  # single, pair or tagging
    columns: dict[str, str]  # `text`, or `text_a` and `text_b`, and `label` -> the file's name for it
    labels: list[str]
    lengths: list[int]  # characters of each row, both texts of a pair together, from short to long
    scheme: str | None = None  # of tags whose types are the labels
    unread: Sequence[str] = ()  # names of other columns

    @property
    def rows(self) -> int:
        return len(self.lengths)

    @property
    def longest(self) -> int:
        """Characters of all but one in twenty rows."""
        return self.lengths[int(0.95 * (len(self.lengths) - 1))]

    @property
    def define(self) -> dict[str, Any]:
        scheme = {"scheme": self.scheme} if self.scheme else {}
        return {"kind": self.kind, "labels": self.labels, "columns": self.columns} | scheme


def look(path: Path, columns: Mapping[str, str] = MappingProxyType({}), others: Sequence[Path] = ()) -> Table:
    """columns: by field, where they are known; others: files of other splits, which may have labels of their own.
    Raises UserError where it cannot be told which column is what, or there is nothing to learn.
    """
    if has_tags(path):
        return of_tags(path, others)
    found = list(rows_of(path))
    rows = [as_texts(row) for _, row in found]
    for (where, _), row in zip(found, rows):
        refuse_tags(where, row)
    if not rows:
        raise UserError(f"--task {path}: no rows in it; it needs a line of names, and texts with labels below")
    names = list(dict.fromkeys(name for row in rows for name in row))
    if unknown := [f"{field}={name}" for field, name in columns.items() if name not in names]:
        raise UserError(f"--set ...columns.{unknown[0]}: {path} has {', '.join(names)}")
    label = columns.get("label") or label_of(path, names, rows)
    counts = Counter(row[label].strip() for row in rows if row.get(label, "").strip())
    if UNLABELLED in counts:
        where = next(where for (where, _), row in zip(found, rows) if row.get(label, "").strip() == UNLABELLED)
        raise UserError(
            f"--task {where}: its {label} is {UNLABELLED}, which stands for a hidden label in the official files of"
            " tasks; call this class otherwise, or leave out rows that have no label"
        )
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
    texts = [columns[field] for field in ("text", "text_a", "text_b") if field in columns]
    texts = texts or texts_of(path, [name for name in names if name != label], rows)
    kind = "pair" if len(texts) == 2 else "single"
    fields = dict(zip(("text_a", "text_b") if kind == "pair" else ("text",), texts)) | {"label": label}
    refuse_values(found, fields)
    lengths = sorted(sum(len(row.get(name, "")) for name in texts) for row in rows)
    for other in others:
        read: list[tuple[str, dict[str, Any]]] = []
        with suppress(UserError):  # what is wrong with it is told where all is read
            read += rows_of(other)
        refuse_values(read, fields)
        counts.update(as_texts(row).get(label, "").strip() for _, row in read)
    unread = [name for name in names if name not in fields.values()]
    return Table(kind, fields, sorted({*counts} - {"", UNLABELLED}), lengths, None, unread)


def has_tags(path: Path) -> bool:
    """By its beginning: a tag behind its token and no line of names, or an object with tags."""
    match path.suffix.lower():
        case ".csv":
            return False
        case ".jsonl" | ".json" | ".parquet" as ending:
            rows = parquet(path) if ending == ".parquet" else (row for _, row in json_objects(path, Counter()))
            return any(
                isinstance(row.get(name), list) or are_tags(row.get(name))
                for row in islice(rows, LOOKED_AT)
                if isinstance(row, dict)
                for name in tagged.NAMES["label"]
            )
    first = next((line.split() for line in files.lines(path) if line.strip()), [])
    return first[:1] == [tagged.DOCUMENT] or len(first) > 1 and TAG.fullmatch(first[-1]) is not None


def are_tags(value: Any) -> bool:
    """Whether it is a text of several tags, as "O B-PER I-PER"."""
    parts = [part for part in BETWEEN_TAGS.split(value) if part] if isinstance(value, str) else []
    return len(parts) > 1 and all(map(TAG.fullmatch, parts))


def refuse_tags(where: str, row: dict[str, str]) -> None:
    """Raises UserError for a row whose label is several tags, or which has a list of them."""
    for name, value in row.items():
        if (value.startswith("[") or name.lower() in (*LABELS, *tagged.NAMES["label"])) and are_tags(value):
            raise UserError(
                f"--task {where}: {name} has tags, {value!r:.40}; {tagged.LAYOUT}, or write JSON lines with `tokens`"
                " and `tags`"
            )


def refuse_values(rows: Iterable[tuple[str, dict[str, Any]]], fields: Mapping[str, str]) -> None:
    """Raises UserError for a row of JSON or Parquet that has no text or label in `fields`, but a list, an object or
    NaN, which pandas writes for nothing: each would be read as the text that Python spells it by.
    """
    for where, row in rows:
        for name in fields.values():
            value = row.get(name)
            if value != value:
                raise UserError(f"--task {where}: {name} is NaN, which is nothing; fill it in, or take the row out")
            if isinstance(value, list | dict):
                shown = json.dumps(value, ensure_ascii=False, default=str)
                raise UserError(
                    f"--task {where}: {name} is {shown:.60}, {'a list' if isinstance(value, list) else 'an object'};"
                    " write one text or number there"
                )


def of_tags(path: Path, others: Sequence[Path]) -> Table:
    """Types, and the scheme that the letters before them are of; or the letters, where there are no types."""
    lengths, seen = [], set()
    for where, sentence in sentences(path):
        if not sentence.tags:
            raise UserError(f"--task {where}: there are no tags; {tagged.LAYOUT}")
        lengths.append(len(sentence.text))
        seen |= {*sentence.tags}
    if not seen - {OUTSIDE}:
        raise UserError(f"--task {path}: its tags are {OUTSIDE} alone; a task needs others")
    for other in others:
        with suppress(UserError):  # what is wrong with it is told where all is read
            seen |= {tag for _, sentence in sentences(other) for tag in sentence.tags}
    parts = [tag.partition("-") for tag in seen]
    types = sorted({kind for _, _, kind in parts if kind})
    letters = {letter for letter, _, _ in parts} - {OUTSIDE}
    fitting = [scheme for scheme, own in SCHEMES.items() if letters <= {*own}]
    if types and fitting and all(kind for letter, _, kind in parts if letter != OUTSIDE):
        return Table("tagging", {}, types, sorted(lengths), fitting[0])
    return Table("tagging", {}, sorted(seen), sorted(lengths))


def sentences(path: Path) -> Iterator[tuple[str, Sentence]]:
    return tagged.sentences(path, path.suffix.lower(), tagged.NAMES, (), Counter())


def rows_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place for messages, value by column)."""
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
            for number, row in table:
                if any(cell.strip() for cell in row):
                    yield f"{path}:{number}", dict(zip(header, row))
        case ".jsonl" | ".json":
            for where, row in json_objects(path, Counter()):
                if not isinstance(row, dict):
                    raise UserError(f"--task {where}: no JSON object; write an object a line")
                yield where, row
        case ".parquet":
            for number, row in enumerate(parquet(path)):
                yield f"{path}, row {number}", row
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
    """One column, or two of a pair: those of usual names; of several, and where there are none, that with most text."""
    known = {name.lower(): name for name in names}
    pair = [next((known[name] for name in COLUMNS[field] if name in known), None) for field in ("text_a", "text_b")]
    if pair[0] and pair[1]:
        return [pair[0], pair[1]]
    if not names:
        raise UserError(f"--task {path}: no column beside the label; it needs one of texts")

    def text(name: str) -> tuple[int, int]:
        """Han characters, which addresses and numbers have none of, and all."""
        cells = [row.get(name, "") for row in islice(rows, LOOKED_AT)]
        return sum(len(HAN_CHARACTERS.findall(cell)) for cell in cells), sum(map(len, cells))

    # A title beside something longer is no text.
    usual = [known[name] for name in COLUMNS["text"] if name in known and name != "title"]
    return [max(usual or names, key=text)]
