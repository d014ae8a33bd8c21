"""A folder of text -> the sources of `corpus` that read it, and how much it is."""

import json
import re
from collections import Counter
from contextlib import suppress
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from wwm.common import files
from wwm.common.errors import UserError, reading
from wwm.common.result_files import GENERAL
from wwm.params.text import Source
from wwm.text import sources

PACKED = {".gz", ".bz2", ".xz", ".zst"}
# Fields that hold text, by the names that the corpora of brightmart/nlp_chinese_corpus and others have for them.
FIELDS = ("title", "desc", "question", "content", "text", "answer", "body", "abstract", "review")
ROWS = 1000  # of a JSON file whose fields are looked at
SAMPLE = 3_000_000  # characters that are read of a file, many times what is read ahead


class Found(NamedTuple):
    sources: dict[str, dict[str, Any]]  # by name, as params.yaml has them
    characters: dict[str, float]  # by name: about how many, by what a part of each file is
    documents: dict[str, float]  # the same
    left_out: Counter[str]  # endings of files that are no text
    unread: dict[str, list[str]]  # by name: other fields of its files that hold text

    @property
    def general(self) -> list[str]:
        return [name for name in self.sources if name.startswith(GENERAL)]

    @property
    def own_characters(self) -> float:
        """Of what is no general text."""
        return sum(count for name, count in self.characters.items() if name not in self.general)

    @property
    def own_documents(self) -> float:
        return sum(count for name, count in self.documents.items() if name not in self.general)


def look(folder: Path) -> Found:
    """Raises UserError where there is no text, and for the first file that is none in UTF-8 or of a known layout."""
    if not folder.is_dir():
        raise UserError(f"--text {folder}: no such folder; name the one that your text is in")
    grouped: dict[str, list[Path]] = {}
    left_out: Counter[str] = Counter()
    apart = (folder / GENERAL).is_dir()
    for path in sorted(path for path in folder.rglob("*") if not path.name.startswith(".")):
        if path.is_symlink() and not path.exists():
            raise UserError(
                f"--text {folder}: {path} is a link to {path.readlink()}, which is not there; mend or remove it"
            )
        if path.is_symlink() and path.is_dir():
            left_out["link to a folder"] += 1  # which a glob does not go into
        if not path.is_file():
            continue
        group = group_of(path.relative_to(folder), apart)
        if group:
            grouped.setdefault(group, []).append(path)
        else:
            left_out[path.suffix or path.name] += 1
    if not grouped:
        raise UserError(
            f"--text {folder}: no text in it ({said(left_out) or 'it is empty'}); put .txt, .jsonl, .parquet or a"
            " pages-articles dump there, packed by gzip, bzip2, xz or Zstandard if you like"
        )
    found: dict[str, dict[str, Any]] = {}
    characters: dict[str, float] = {}
    documents: dict[str, float] = {}
    unread: dict[str, list[str]] = {}
    for group, paths in grouped.items():
        name = unique(group, {*found})
        held = {path: holds(path) for path in paths}
        found[name] = {"files": group} | layout(held)
        source = Source.model_validate(found[name])
        # Of fields, those that this file has: others have the rest.
        sizes = [
            size(path, source.model_copy(update={"fields": [one for one in source.fields if one in held[path].texts]}))
            if source.fields
            else size(path, source)
            for path in paths
        ]
        characters[name], documents[name] = (sum(column) for column in zip(*sizes))
        if source.fields:
            texts = (text for one in held.values() for text in one.texts)
            unread[name] = [text for text in dict.fromkeys(texts) if text not in source.fields]
    return Found(found, characters, documents, left_out, unread)


def unique(group: str, taken: set[str]) -> str:
    """A name for the files of a glob: GENERAL and more for those of the folder of that name, and for no other."""
    name = re.sub("[^A-Za-z0-9]+", "-", group).strip("-") or "text"
    if name.startswith(GENERAL) and not group.startswith(f"{GENERAL}/"):
        name = f"own-{name}"
    return next(one for one in chain([name], (f"{name}-{number}" for number in count(2))) if one not in taken)


def group_of(path: Path, apart: bool) -> str | None:
    """The glob of all files like this one, with each folder `apart` or over all; None of what is no text."""
    packed = path.suffix.lower() in PACKED
    plain = path.with_suffix("") if packed else path
    ending = plain.suffix + (path.suffix if packed else "")
    below = f"{path.parts[0]}/**/" if len(path.parts) > 1 else ""
    place = below if apart else "**/"
    match plain.suffix.lower():
        case ".txt" | ".text" | ".jsonl" | ".json" | ".parquet":
            return f"{place}*{ending}"
        case ".xml":
            return f"{place}*pages-articles*{ending}" if "pages-articles" in plain.name else None
    return None


class Held(NamedTuple):
    """Names of the fields of a file, and of those with text; none of what has no fields."""

    names: list[str]
    texts: list[str]


def holds(path: Path) -> Held:
    """By its schema, or by its first rows. Raises UserError where a JSON file has no objects, one a line."""
    name = path.name.lower()
    if ".parquet" in name:
        with reading(path, pa.ArrowException, OSError, remedy="fetch it again"):
            schema = pq.read_schema(path)
        kinds = {one.name: one.type for one in schema}
        for name in {*FIELDS} & {*kinds}:
            kinds[name] = getattr(kinds[name], "value_type", kinds[name])  # of a list
        return Held(schema.names, [name for name, kind in kinds.items() if kind in (pa.string(), pa.large_string())])
    if ".json" not in name:
        return Held([], [])
    rows: list[dict] = []
    with files.opened(path) as raw:
        for number, line in enumerate(islice(sources.plain(raw, str(path), False), ROWS), 1):
            row = None
            with suppress(ValueError, RecursionError):
                row = json.loads(line)
            if isinstance(row, dict):
                rows.append(row)
            elif line.strip():
                raise UserError(
                    f"{path}, line {number}: no JSON object; write an object a line (`jq -c '.[]'` makes them of a"
                    " list)"
                )
    if not rows:
        raise UserError(f"{path} is empty; remove it")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Held(names, [name for name in names if any(is_text(name, row.get(name)) for row in rows)])


def is_text(name: str, value: Any) -> bool:
    """A list is one of paragraphs where its name says so: others have tokens or keywords."""
    parts = value if isinstance(value, list) and name in FIELDS else [value]
    return any(isinstance(part, str) for part in parts)


def layout(held: dict[Path, Held]) -> dict[str, Any]:
    """Format and fields of files of one ending. Fields are those that some file has; of Parquet, those of all."""
    path = next(iter(held))
    name = path.name.lower()
    if ".xml" in name:
        return {"format": "mediawiki"}
    if ".parquet" not in name and ".json" not in name:
        return {}
    names = list(dict.fromkeys(name for one in held.values() for name in one.names))
    texts = [name for name in names if any(name in one.texts for one in held.values())]
    if not texts:
        raise UserError(
            f"{path}: none of its fields ({', '.join(names)}) holds a text, but numbers, lists or the like; write the"
            " text of a document as one string, or as a list of paragraphs in a field called text"
        )
    if ".parquet" in name:
        texts = [name for name in texts if all(name in one.texts for one in held.values())]
    chosen = fields(path, texts, names)
    for other, one in held.items():
        if not {*chosen} & {*one.texts}:
            raise UserError(
                f"{other} has no text in {', '.join(chosen)}, as {path} has, but {', '.join(one.names)}; call its field"
                f" {chosen[0]}"
            )
    return {"format": "parquet" if ".parquet" in name else "jsonl", "fields": chosen}


def fields(path: Path, texts: list[str], names: list[str]) -> list[str]:
    chosen = [name for name in FIELDS if name in texts]
    if not chosen and len(texts) == 1:
        chosen = texts
    if not chosen:
        raise UserError(
            f"{path}: which of its fields are text? It has {', '.join(names)}; call one of them {' or '.join(FIELDS)}"
        )
    return chosen


def size(path: Path, source: Source) -> tuple[float, float]:
    """Characters and documents of a file: what its beginning has, times how often that goes into the whole."""
    counted, characters, texts = 0, 0, 0
    place = sources.Place(str(path), path.stat().st_size)

    def add(bytes_read: int) -> None:
        nonlocal counted
        counted += bytes_read

    for text in sources.documents([place], source, Counter(), add):
        characters += len(text)
        texts += 1
        if characters > SAMPLE:
            break
    else:
        return characters, texts
    if source.format == "parquet":
        times = pq.read_metadata(path).num_rows / texts
    else:
        times = place.size / counted
    return characters * times, texts * times


def said(left_out: Counter[str]) -> str:
    """ "3 .pdf, 1 .docx"; "" of none."""
    return ", ".join(f"{count} {ending}" for ending, count in islice(left_out.most_common(), 5))
