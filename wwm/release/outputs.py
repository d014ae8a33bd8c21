"""Where the predictions of `wwm predict` go: a file of JSON lines or CSV, or JSON lines on standard output."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from wwm.common import files
from wwm.common import output as writable
from wwm.common.errors import UserError


def check(output: Path, file: str) -> None:
    """Raises UserError for a file that cannot be written, or that is read."""
    writable.check(output, ".jsonl", ".csv")
    if output.exists() and Path(file).exists() and output.samefile(file):
        raise UserError(f"--output {output} is the file that is read; name another")


class Lines:
    """Rows of csv.writer, which puts a carriage return in quotes only where rows end in one, with \\n at their end."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, row: str) -> int:
        return self.stream.write(row.removesuffix("\r\n") + "\n")


def flattened(row: dict) -> dict:
    """What a row of CSV shows: of lists those of words, such as tags, with spaces between."""
    lists = {key: value for key, value in row.items() if isinstance(value, list)}
    words = {
        key: " ".join(value) for key, value in lists.items() if value and all(isinstance(one, str) for one in value)
    }
    return {
        key: words.get(key, value) for key, value in row.items() if key in words or not isinstance(value, dict | list)
    }


@contextmanager
def writer(output: Path | None) -> Iterator[Callable[[dict], object]]:
    """Writes a row; a file appears whole or not at all."""
    if output is None:
        yield lambda row: print(json.dumps(row, ensure_ascii=False))
        return
    with files.new_file(output) as temporary, open(temporary, "w", encoding="utf-8", newline="") as stream:
        if output.suffix == ".jsonl":
            yield lambda row: stream.write(json.dumps(row, ensure_ascii=False) + "\n")
            return
        table = csv.writer(Lines(stream))
        header: list[str] = []

        def write(row: dict) -> None:
            flat = flattened(row)
            if not header:
                header.extend(flat)
                table.writerow(header)
            table.writerow([flat.get(key) for key in header])

        yield write
