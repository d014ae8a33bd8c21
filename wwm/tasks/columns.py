"""Rows of columns, with tabs or as CSV -> values by field, found by names in a first line or by their place."""

import csv
import io
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from wwm.common import files
from wwm.common.errors import UserError
from wwm.tasks.questions import Unlabelled

# Where a row has another number of columns.
REMEDY = {
    "csv": "put texts that hold a comma in quotes, and see that commas separate the columns",
    "tabs": "write a tab in a text as a space",
}
# A field may be a whole article.
csv.field_size_limit(sys.maxsize)


class Fields(NamedTuple):
    """What the rows of a file hold."""

    names: dict[str, tuple[str, ...]]  # field -> what files may call it
    spelling: dict[str, str]  # how files spell a label -> the label; it tells a label where no line of names does
    optional: Collection[str]  # fields that may be absent
    told: Collection[str] = ()  # fields that are found by their names alone, never by their place
    keep_empty: bool = False  # whether a row of empty cells is one, and no blank line


def cells(path: Path, ending: str, expected: Fields, counts: Counter) -> Iterator[tuple[str, dict]]:
    """Rows of a file of columns, read by its `ending`.

    A tab too many is put back into a single text where that is the only place for it; CSV has quotes for that.
    """
    known, spelling, optional, told, keep_empty = expected
    separated = "csv" if ending == ".csv" else "tabs"
    fields = None
    for number, row in cell_rows(path, ending):
        # A line of CSV that is `""` has one empty cell, a blank one has none.
        kept = keep_empty and fields is not None and (len(row) > 1 or (separated == "csv" and row == [""]))
        if not any(cell.strip() for cell in row) and not kept:
            counts["empty_lines"] += 1
            continue
        if fields is None:
            fields, is_header = layout(row, known, spelling)
            if separated == "csv" and len(row) == 1 and not is_header:
                refuse_other_separator(f"{path}:{number}", row[0], expected)
            if not is_header and told:
                looked_for = ", ".join(known[field][0] for field in told)
                raise UserError(f"{path}:{number} has the columns {', '.join(row)}; looked for {looked_for}")
            if is_header:
                names = [cell.strip().lower() for cell in row]
                read = [field and field != "id" for field in fields]
                twice = [cell for cell, name, one in zip(row, names, read) if one and names.count(name) > 1]
                if twice:
                    raise UserError(f"{path}:{number} has the column {twice[0]} twice; give each a name of its own")
                absent = [field for field in known if field not in fields and field not in optional]
                if absent:
                    lacking = (
                        f"{path}:{number} has the columns {', '.join(row)}, and no {absent[0]} (looked for:"
                        f" {', '.join(dict.fromkeys(known[absent[0]]))})"
                    )
                    raise (
                        Unlabelled(lacking)
                        if absent == ["label"]
                        else UserError(
                            f"{lacking}; name it by finetune.tasks.NAME.define.columns, or for `wwm predict` by"
                            f" --column {absent[0]}=..."
                        )
                    )
                continue
            extra = len(row if separated == "csv" else unquoted(row, len(fields))) - len(fields)
            if extra == -1 and "label" in optional:
                fields.remove("label")
            elif extra == -1:
                raise Unlabelled(
                    f"{path}:{number}: there is no label beside"
                    f" {', '.join(field for field in fields if field and field.startswith('text'))}"
                )
            if extra > 0:
                raise UserError(
                    f"{path}:{number}: {len(row)} columns where {len(fields)} are expected,"
                    f" {', '.join(filter(None, fields))}; put a line of names first, or {REMEDY[separated]}"
                )
        row = row if separated == "csv" else fitted(row, fields)
        if len(row) != len(fields):
            shown = [field or "(other)" for field in fields]
            raise UserError(
                f"{path}:{number}: {len(row)} columns where {len(shown)} are expected, {', '.join(shown)};"
                f" {REMEDY[separated]}"
            )
        yield f"{path}:{number}", {field: cell for field, cell in zip(fields, row) if field}


def refuse_other_separator(where: str, line: str, expected: Fields) -> None:
    """Raises UserError for a first line of CSV that has no comma but tabs, or semicolons, between its columns."""
    for sign, name in (("\t", "a tab"), (";", "a semicolon")):
        if sign in line and ("label" not in expected.optional or layout(line.split(sign), *expected[:2])[1]):
            remedy = ", or call the file .tsv" if sign == "\t" else ""
            raise UserError(f"{where} has no comma but {name}: separate the columns by commas{remedy}")


def cell_rows(path: Path, ending: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row, with commas in .csv and tabs in any other."""
    if ending == ".csv":
        return csv_rows(path)
    return ((number, line.split("\t")) for number, line in enumerate(files.lines(path), 1))


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    # A carriage return alone ends a row too.
    lines = (part for line in files.lines(path) for part in io.StringIO(f"{line}\n", newline=""))
    reader = csv.reader(lines, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(f"{path}:{line} is not CSV ({error}); write a quote in a field twice") from None


def layout(
    row: list[str], known: dict[str, tuple[str, ...]], spelling: dict[str, str]
) -> tuple[list[str | None], bool]:
    """The field of each column (None: another one), and whether `row` is a line of names."""
    names = [cell.strip().lower() for cell in row]
    fields: list[str | None] = [None] * len(row)
    for field, candidates in known.items():
        place = next((names.index(name.lower()) for name in candidates if name.lower() in names), None)
        if place is not None and fields[place] is None:
            fields[place] = field
    texts = [field for field in known if field.startswith("text")]
    if "label" in fields or set(texts) <= set(fields):
        return fields, True
    first = row[0].strip() in spelling and row[-1].strip() not in spelling
    return (["label", *texts] if first else [*texts, "label"]), False


def fitted(row: list[str], fields: list[str | None]) -> list[str]:
    """The cells of a row with tabs in its quotes or in its only text put together again."""
    row = unquoted(row, len(fields))
    extra = len(row) - len(fields)
    if extra > 0 and "text" in fields and (None not in fields or fields[-1] == "text"):
        place = fields.index("text")
        return [*row[:place], "\t".join(row[place : place + extra + 1]), *row[place + extra + 1 :]]
    return row


def unquoted(row: list[str], count: int) -> list[str]:
    """The cells of a row that is too long, if read with quotes it has `count` of them."""
    if len(row) > count and any('"' in cell for cell in row):
        quoted = next(csv.reader(["\t".join(row)], delimiter="\t"))
        return quoted if len(quoted) == count else row
    return row
