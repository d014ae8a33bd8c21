"""The forms of the files that `wwm predict` reads, and which one a file is in."""

import sys
from pathlib import Path
from typing import IO

import pyarrow.parquet as pq

from wwm.common import files
from wwm.common.errors import UserError
from wwm.tasks.splits import TAGGED

STDIN = Path("/dev/stdin")
FORMS = ("text", "csv", "tsv", "json", "jsonl", "parquet", "squad", "conll")
PACKED = ("gz", "bz2", "xz", "zst", "zip")
# Without --format, of standard input.
USUAL = {"single": "text", "pair": "tsv", "reading": "jsonl", "tagging": "text"}
TAKES = {
    "single": "texts",
    "pair": "pairs of texts",
    "reading": "questions on texts",
    "tagging": "texts, or tokens",
}
# Forms that models of some kinds alone read.
KINDS = {"squad": ("reading",), "text": ("single", "tagging"), "conll": ("tagging",)}


def standard_input() -> IO[bytes]:
    """Raises UserError where the shell closed it."""
    if sys.stdin is None:
        raise UserError("standard input is closed; name a file or a text, or pipe some into the command")
    return sys.stdin.buffer


def of(path: Path, kind: str) -> str:
    """By its ending."""
    if path == STDIN:
        return USUAL[kind]
    ending = path.suffix.lower().removeprefix(".")
    if ending == "json" and kind == "reading":
        return "squad"
    if ending == "txt":
        return "text" if kind in KINDS["text"] else "tsv"
    if ending in PACKED:
        raise UserError(f"{path} is packed; unpack it, or pipe what is in it into `wwm predict MODEL - --format ...`")
    if ending in ("xlsx", "xls", "ods"):
        raise UserError(f"{path} is a table of an office program; save it there as CSV in UTF-8")
    if kind == "tagging" and path.suffix.lower() in (".tsv", *TAGGED):
        return "conll"
    if ending not in FORMS:
        raise UserError(f"{path}: its ending says nothing; tell its form by --format {'|'.join(FORMS)}")
    return ending


def count(path: Path, form: str) -> int | None:
    """About how many rows: lines of a file that can be read twice."""
    if not path.is_file() or form in ("squad", "json", "conll"):
        return None
    if form == "parquet":
        return pq.ParquetFile(path).metadata.num_rows
    with files.opened(path) as stream:
        return sum(1 for _ in stream)
