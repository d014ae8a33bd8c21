"""Where raw text comes from: files of a folder, of a hub data set or at a URL -> documents, still uncleaned.

A file may be compressed by gzip, bzip2, xz or Zstandard, whatever its name. A document is its paragraphs joined by
newlines; that of a wiki dump is still in wiki mark-up.
"""

import io
import json
import lzma
import re
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.compression import compr

from wwm.common import files, hub, kinds
from wwm.common.errors import UserError, in_a_line
from wwm.text import download, dumps, records, shape, streams

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# JSON lines of brightmart/nlp_chinese_corpus: the fields that make a document, a paragraph each.
LAYOUTS = {
    "wiki2019zh": ["text"],
    "news2016zh": ["title", "desc", "content"],
    "baike_qa2019": ["title", "desc", "answer"],
    "webtext2019zh": ["title", "desc", "content"],
}
COLUMNS = {"text", "content", "title", "label", "sentence", "id"}  # one of which a table has in its first line
WITHIN_JSON = re.compile(r'\{|"[^"]*"\s*(?:[:,]|$)')  # the second line of JSON that is no JSON lines
CHUNK = 1 << 20  # bytes read at once
BROKEN = (EOFError, OSError, lzma.LZMAError, zlib.error, zstd.ZstdError, pa.ArrowException, UnicodeDecodeError)

Format = Literal[
    "text",
    "jsonl",
    "parquet",
    "mediawiki",
    "wikiextractor",
    "wiki2019zh",
    "news2016zh",
    "baike_qa2019",
    "webtext2019zh",
]


class Source(Protocol):
    """What is needed of a source of `corpus.sources`; wwm/params/text.py says what each key means."""

    files: str
    format: Format | None
    fields: list[str] | None
    dataset: str | None
    sha1: str | None
    on_bad: Literal["error", "drop"] | None


class Place(NamedTuple):
    """One file: where it is, and how many bytes."""

    path: str
    size: int


def layout(source: Source) -> Format:
    """What the files of a source hold: text, a paragraph a line, where params.yaml does not say."""
    return source.format or "text"


def division(source: Source) -> str:
    """What makes more documents of its files, for a message."""
    return "separate documents by a blank line, " if layout(source) == "text" else ""


def find(folder: Path, key: str, source: Source) -> list[Place]:
    """The files of one source, sorted. Raises UserError, which names `key`, when there is none."""
    if download.is_url(source.files):
        path = download.download(source.files, key, source.sha1)
        return [Place(str(path), path.stat().st_size)]
    if Path(source.files).is_absolute() or ".." in Path(source.files).parts:
        raise UserError(
            f"{key}: {source.files} is outside of corpus.folder; set corpus.folder to the folder and this key to a file"
            " or glob in it"
        )
    if source.dataset:
        folder = hub.folder(
            source.dataset,
            key,
            [source.files],
            hub.CHOICES["corpus"],
            repo_type="dataset",
        )
    try:
        matching = sorted(folder.glob(source.files))
    except (ValueError, IndexError) as error:
        raise UserError(
            f"{key}: {source.files} is no name of a file and no glob ({in_a_line(error)}); ** stands between slashes"
            " alone, as in **/*.txt"
        ) from None
    if lost := next((path for path in matching if path.is_symlink() and not path.exists()), None):
        raise UserError(f"{key}: {lost} is a link to {lost.readlink()}, which is not there; mend or remove it")
    for path in matching:
        files.check_ends(path)
    found = [path for path in matching if path.is_file()]
    if not found:
        remedy = (
            "see which files the data set has"
            if source.dataset
            else "set corpus.folder to the folder of your text and this key to a file or glob in it"
        )
        raise UserError(f"{key}: no file matches {source.dataset or folder}/{source.files}; {remedy}")
    return [Place(str(path), path.stat().st_size) for path in found]


def documents(
    places: Iterable[Place],
    source: Source,
    counts: Counter,
    progress: Callable[[int], object] = lambda count: None,
    longest: int = sys.maxsize // streams.BYTES,
) -> Iterator[str]:
    """The documents of the files of a source as they stand there, those of a dump in wiki mark-up; calls `progress`
    with bytes as they are read. Adds to `counts` what a row had that is no text, and rows that were left out. Of a
    document of more than `longest` characters on many lines the rest is left out.

    Raises UserError that names file and line for what is not UTF-8, no JSON, or cut off, for a line of more than
    `longest` characters, and for a file without text or of another format; and, unless `on_bad` is `drop`, for a field
    that has text in no row of any file.
    """
    known = LAYOUTS.get(layout(source), ["text"])
    own = f"set another `format`: {layout(source)} has {', '.join(known)}"
    seen = records.Fields("set the source's `fields`" if source.fields else own)
    for place in places:
        yield from documents_of(place, source, counts, progress, seen, longest)
    if source.on_bad != "drop":
        seen.check()


def documents_of(
    place: Place, source: Source, counts: Counter, progress: Callable[[int], object], seen: records.Fields, longest: int
) -> Iterator[str]:
    empty, found, text = True, 0, ""
    try:
        for text in read(place, source, counts, progress, seen, longest):
            found += 1
            empty = empty and not text.strip()
            yield text
    except PermissionError as error:
        raise UserError(f"{place.path} cannot be read: {error.strerror}; see who may read it") from None
    except BROKEN as error:
        raise UserError(f"{place.path} cannot be read, {in_a_line(error)}; is it cut off? Fetch it again") from None
    if empty:
        seen.check()
        raise UserError(f"{place.path}: no text in it; remove it or fill it")
    counts["files"] += 1
    counts["undivided_files"] += layout(source) == "text" and found == 1 and text.count("\n") >= shape.LINES


def read(
    place: Place, source: Source, counts: Counter, progress: Callable[[int], object], seen: records.Fields, longest: int
) -> Iterator[str]:
    format, fields, name = layout(source), source.fields or LAYOUTS.get(layout(source)), place.path
    with open(name, "rb") as raw:
        counted = streams.Counted(raw, progress)
        stream = plain(io.BufferedReader(counted, CHUNK), name, format == "parquet")
        if format == "parquet":
            assert fields is not None, "params.yaml is checked for it"
            yield from records.documents(parquet_rows(name, fields), fields, source.on_bad, counts, seen)
            progress(place.size - counted.total)
            return
        if format == "mediawiki":
            yield from dumps.articles(stream, name, streams.BYTES * longest)
            return
        lines = streams.short_lines(stream, name, longest)
        match format:
            case "text":
                yield from paragraphs(lines, name, longest)
            case "wikiextractor":
                yield from wikiextractor(lines, name, source.on_bad, counts, seen)
            case _ if format == "jsonl" or format in LAYOUTS:
                assert fields is not None, "params.yaml is checked for it"
                rows = records.json_rows(without_mark_up(lines, name), name, source.on_bad, counts)
                yield from records.documents(rows, fields, source.on_bad, counts, seen)
            case other:
                raise AssertionError(other)


def plain(stream: io.BufferedReader, name: str, parquet: bool) -> io.BufferedReader:
    """The bytes of a file, decompressed if its first ones say so. Raises UserError for what is none of our formats."""
    if compression := kinds.compression(stream.peek()):
        stream = io.BufferedReader(compr[compression](stream, mode="rb"), CHUNK)
    kinds.refuse_foreign(stream.peek(), name, parquet)
    return stream


def paragraphs(lines: Iterable[str], name: str, longest: int) -> Iterator[str]:
    """A paragraph a line, a blank line between documents, of which no more than `longest` characters and a line are
    kept. Raises UserError if the first lines are of another format.
    """
    document: list[str] = []
    head: list[str] = []
    characters = 0
    for number, line in enumerate(lines, 1):
        if line.strip():
            if len(head) < 2:
                head.append(line.strip())
                if known := format_of(*head):
                    raise UserError(
                        f"{name}, line {number}: this is no plain text, set the source's `format` to {known}"
                    )
            if characters <= longest:
                document.append(line)
            characters += len(line) + 1
        elif document:
            yield "\n".join(document)
            document, characters = [], 0
    if document:
        yield "\n".join(document)


def format_of(line: str, second: str = "") -> str | None:
    """The format, if it is not text, of a file that begins with these lines."""
    keys = keys_of(line)
    if dumps.ARTICLE.match(line):
        return "wikiextractor"
    if {"id", "url", "title", "text"} <= keys:
        return "wikiextractor, or to wiki2019zh if it is of that corpus"
    if line.startswith("<mediawiki") or second.startswith("<mediawiki"):
        return "mediawiki"
    if line.startswith("<?xml") and second:
        return "jsonl, once this XML is converted to an object a line"
    names = [cell.strip(' "').lower() for cell in re.split("[,;\t]", line)]
    if len(names) > 1 and COLUMNS & set(names) and all(re.fullmatch(r"[a-z_]\w*", name, re.A) for name in names):
        return "jsonl, once this table is converted to an object a line"
    if keys:
        return "jsonl, and `fields` to those that hold text, or to the name of a corpus that has them"
    # A listing of a program may begin with a bracket as well.
    if line in ("[", "{", "[{") and WITHIN_JSON.match(second):
        return "jsonl, once each object stands on a line of its own (`jq -c '.[]'`)"
    return None


def without_mark_up(lines: Iterable[str], name: str) -> Iterator[str]:
    """Lines of JSON as they are. Raises UserError if the first one is of a dump of Wikipedia."""
    begun = False
    for number, line in enumerate(lines, 1):
        if not begun and line.strip():
            begun = True
            if line.startswith("<") and (known := format_of(line.strip())):
                raise UserError(f"{name}, line {number}: this is no JSON, set the source's `format` to {known}")
        yield line


def keys_of(line: str) -> set[str]:
    """The keys of a JSON object; none for other text."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return set()
    return set(row) if isinstance(row, dict) else set()


def wikiextractor(
    lines: Iterator[str], name: str, on_bad: str | None, counts: Counter, seen: records.Fields
) -> Iterator[str]:
    """WikiExtractor's output, <doc ...> or, as by its --json, JSON lines."""
    blank, first = [], ""
    for first in lines:
        if first.strip():
            break
        blank.append(first)
    whole = chain(blank, [first], lines)
    if not first.startswith("{"):
        yield from dumps.extracted(whole, name)
        return
    rows = records.json_rows(whole, name, on_bad, counts)
    yield from records.documents(dumps.untitled_rows(rows), ["text"], on_bad, counts, seen)


def parquet_rows(path: str, fields: list[str]) -> Iterator[tuple[str, dict]]:
    """(place, chosen columns) of each row. Raises UserError for a column that the file has not."""
    file = pq.ParquetFile(pa.OSFile(path))  # of a path with a colon it would make a URL
    for field in fields:
        if field not in file.schema_arrow.names:
            raise UserError(
                f"{path}: no column {field!r}; it has {', '.join(file.schema_arrow.names)}, set the source's `fields`"
            )
    batches = (batch.to_pylist() for batch in file.iter_batches(1000, columns=fields))
    return ((f"{path}, row {number}", row) for number, row in enumerate(chain.from_iterable(batches), 1))
