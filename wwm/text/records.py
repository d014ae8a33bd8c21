"""Rows of JSON lines and Parquet -> documents: the texts of chosen fields, a paragraph each."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from wwm.common.errors import UserError

SURROGATES = re.compile("[\ud800-\udfff]")
ABSENT = object()
KINDS = {dict: "an object", list: "a list", bool: "a boolean", int: "a number", float: "a number", bytes: "bytes"}


class Fields:
    """Which fields had text in some row of a source, over all of its files."""

    def __init__(self, remedy: str) -> None:
        self.remedy = remedy
        self.fit: set[str] = set()
        self.first: dict[str, str] = {}  # what was wrong where a field first had none

    def check(self) -> None:
        """Raises UserError for a field that has no text in any row: it is not the one that was meant."""
        for field, told in self.first.items():
            if field not in self.fit:
                raise UserError(f"{told}, and no row has text there; {self.remedy}")


def documents(
    rows: Iterable[tuple[str, dict]], fields: list[str], on_bad: str | None, counts: Counter, seen: Fields
) -> Iterator[str]:
    """The document of each row, which comes with the place where it stands; tells `seen` what its fields have.

    What is no text becomes no paragraph and is counted, unless `on_bad` is `error`: then it is a UserError that names
    the place.
    """
    for where, row in rows:
        parts: list[str] = []
        for field in fields:
            texts, problem = texts_of(row.get(field, ABSENT), counts)
            if problem and (on_bad == "error" or field not in seen.first):
                told = f"{where}: field {field!r} {problem}; it has {', '.join(map(str, row)) or 'no fields'}"
                if on_bad == "error":
                    raise UserError(f"{told}; mend it, or let the source's `on_bad` be drop")
                seen.first[field] = told
            if texts or not problem:
                seen.fit.add(field)
            # One that repeats the one before it is left out.
            if texts and texts != parts[-1:]:
                parts += texts
        yield "\n".join(parts)


def texts_of(value: Any, counts: Counter) -> tuple[list[str], str | None]:
    """(texts of a field, what is wrong with one that is none)."""
    texts, problem = [], None
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str):
            # JSON may hold half of a character outside the basic plane, which no UTF-8 can.
            texts += [SURROGATES.sub("", one)] if one else []
        elif one is ABSENT or one is None or one != one:
            problem = problem or ("is absent" if one is ABSENT else "is null")
            counts["missing_values"] += 1
        else:
            problem = f"holds {KINDS.get(type(one), type(one).__name__)}, {str(one)[:40]}, and no text"
            counts["bad_values"] += 1
    return texts, problem


def json_rows(lines: Iterable[str], name: str, on_bad: str | None, counts: Counter) -> Iterator[tuple[str, dict]]:
    """(place, object) of each line that is not blank. A line that is none is a UserError, or left out and counted if
    `on_bad` is `drop`.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            problem = None if isinstance(row, dict) else f"{line[:40]} is no JSON object"
        except (ValueError, RecursionError) as error:
            problem = f"no JSON ({error})"
        if problem is None:
            yield f"{name}, line {number}", row
        elif on_bad == "drop":
            counts["bad_lines"] += 1
        elif re.match(r"\s*\[\s*(\{|\[|$)", line):
            raise UserError(
                f"{name}, line {number}: a list of JSON and not an object a line; write each on a line of its"
                " own (`jq -c '.[]'`)"
            )
        else:
            raise UserError(
                f"{name}, line {number}: {problem}; each line is an object of its own: mend it, or let the source's"
                " `on_bad` be drop"
            )
