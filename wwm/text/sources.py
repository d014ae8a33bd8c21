"""Where raw text comes from: files of a folder, of a hub data set or at a URL -> documents, still uncleaned.

A file may be compressed (.gz .bz2 .xz .zst). A document is its paragraphs joined by newlines; that of a wiki dump is
still in wiki mark-up.
"""

import io
import json
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, Protocol
from urllib.parse import urlsplit
from xml.etree import ElementTree

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.compression import compr
from fsspec.utils import infer_compression

from wwm.common import files, hub
from wwm.common.errors import UserError

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
SURROGATES = re.compile("[\ud800-\udfff]")
CHUNK = 1 << 20  # bytes read at once
BROKEN = (EOFError, OSError, lzma.LZMAError, zlib.error, zstd.ZstdError, pa.ArrowInvalid)

Format = Literal["text", "jsonl", "parquet", "mediawiki", "wiki2019zh", "news2016zh", "baike_qa2019", "webtext2019zh"]


class Source(Protocol):
    """What is needed of a source of `corpus.sources`; wwm/params/text.py says what each key means."""

    files: str
    format: Format | None
    fields: list[str] | None
    dataset: str | None


class Place(NamedTuple):
    """One file: where it is, and how many bytes; 0 where a server does not say."""

    path: str
    size: int


class Counted(io.RawIOBase):
    """A stream that tells `progress` how many bytes were read."""

    def __init__(self, stream: IO[bytes], progress: Callable[[int], object]):
        self.stream, self.progress = stream, progress

        self.total = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self.stream.read(len(buffer))
        buffer[: len(found)] = found
        self.total += len(found)
        self.progress(len(found))
        return len(found)


def layout(source: Source) -> Format:
    """What the files of a source hold: text, a paragraph a line, where params.yaml does not say."""
    return source.format or "text"


def find(folder: Path, key: str, source: Source) -> list[Place]:
    """The files of one source, sorted. Raises UserError, which names `key`, when there is none."""
    if urlsplit(source.files).scheme in ("http", "https"):
        return [Place(source.files, size_at(source.files))]
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
            "a folder in the layout of a hub data set, or a hub name",
            repo_type="dataset",
        )
    found = sorted(path for path in folder.glob(source.files) if path.is_file())
    if not found:
        remedy = (
            "see which files the data set has"
            if source.dataset
            else "set corpus.folder to the folder of your text and this key to a file or glob in it"
        )
        raise UserError(f"{key}: no file matches {source.dataset or folder}/{source.files}; {remedy}")
    return [Place(str(path), path.stat().st_size) for path in found]


def size_at(address: str) -> int:
    try:
        return fsspec.open(address).fs.size(address) or 0
    except OSError as error:
        raise UserError(f"{address} cannot be read, {type(error).__name__}: {error}") from None


def documents(place: Place, source: Source, progress: Callable[[int], object] = lambda count: None) -> Iterator[str]:
    """The documents of one file as they stand there, those of a dump in wiki mark-up; calls `progress` with bytes as
    they are read.

    Raises UserError that names file and line for what is not UTF-8, no JSON, without a field, or cut off, and for a
    file without text.
    """
    empty = True
    try:
        for text in read(place, source, progress):
            empty = empty and not text.strip()
            yield text
    except Exception as error:
        if not isinstance(error, BROKEN) and type(error).__module__.partition(".")[0] != "aiohttp":
            raise
        raise UserError(
            f"{place.path} cannot be read, {type(error).__name__}: {error}; is it cut off? Fetch it again"
        ) from None
    if empty:
        raise UserError(f"{place.path}: no text in it; remove it or fill it")


def read(place: Place, source: Source, progress: Callable[[int], object]) -> Iterator[str]:
    fields = source.fields or LAYOUTS.get(layout(source))
    if layout(source) == "parquet":
        assert fields is not None, "params.yaml is checked for it"
        batches = pq.ParquetFile(place.path).iter_batches(1000, columns=fields)
        for number, row in enumerate((row for batch in batches for row in batch.to_pylist()), 1):
            yield joined(row, fields, f"{place.path}, row {number}")
        progress(place.size)
        return
    with fsspec.open(place.path, "rb") as raw:
        counted = Counted(raw, progress)
        stream = decompressed(io.BufferedReader(counted, CHUNK), place.path)
        match layout(source):
            case "mediawiki":
                yield from articles(stream, place.path)
            case "text":
                yield from paragraphs(files.decoded(stream, place.path))
            case name if name == "jsonl" or name in LAYOUTS:
                assert fields is not None, "params.yaml is checked for it"
                for number, line in enumerate(files.decoded(stream, place.path), 1):
                    if line.strip():
                        yield joined(parsed(line, place.path, number), fields, f"{place.path}, line {number}")
            case other:
                raise AssertionError(other)
        if urlsplit(place.path).scheme and counted.total < place.size:
            raise EOFError(f"{counted.total:,} of {place.size:,} bytes came")


def decompressed(stream: IO[bytes], name: str) -> IO[bytes]:
    compression = infer_compression(name)
    return compr[compression](stream, mode="rb") if compression else stream


def paragraphs(lines: Iterator[str]) -> Iterator[str]:
    """A paragraph a line, a blank line between documents."""
    document: list[str] = []
    for line in lines:
        if line.strip():
            document.append(line)
        elif document:
            yield "\n".join(document)
            document = []
    if document:
        yield "\n".join(document)


def parsed(line: str, path: str, number: int) -> dict:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UserError(f"{path}, line {number}: no JSON ({error}); each line is an object of its own") from None
    if not isinstance(row, dict):
        raise UserError(f"{path}, line {number}: {line[:40]} is no JSON object; each line is an object of its own")
    return row


def joined(row: dict, fields: list[str], where: str) -> str:
    """The fields, a paragraph each; one that repeats the one before it is left out, and a missing value is no
    paragraph.
    """
    parts: list[str] = []
    for field in fields:
        if field not in row:
            raise UserError(
                f"{where}: no field {field!r}; it has {', '.join(map(str, row)) or 'none'}, set the source's `fields`"
            )
        values = row[field] if isinstance(row[field], list) else [row[field]]
        if not all(isinstance(value, str | int | float | None) for value in values):
            raise UserError(
                f"{where}: field {field!r} holds {type(row[field]).__name__} {str(row[field])[:40]}; a document is made"
                " of text, set the source's `fields`"
            )
        # JSON may hold half of a character outside the basic plane, which no UTF-8 can.
        texts = [SURROGATES.sub("", str(value)) for value in values if value]
        if texts and texts != parts[-1:]:
            parts += texts
    return "\n".join(parts)


def articles(stream: IO[bytes], name: str) -> Iterator[str]:
    """The articles of a MediaWiki dump (pages-articles XML), in its mark-up: no redirects, no pages of other
    namespaces.
    """
    try:
        root = None
        for event, element in ElementTree.iterparse(stream, ("start", "end")):
            if root is None:
                root = element
            if event != "end" or local(element) != "page":
                continue
            parts = {local(child): child for child in element.iter()}
            if parts["ns"].text == "0" and "redirect" not in parts and "text" in parts:
                yield parts["text"].text or ""
            # Finished pages would stay in memory.
            root.clear()
    except ElementTree.ParseError as error:
        raise UserError(f"{name}: no whole MediaWiki dump, {error}; fetch it again") from None


def local(element: ElementTree.Element) -> str:
    """The tag without its namespace, which changes with the version of the export format."""
    return element.tag.rpartition("}")[2]
