"""The files of a tagging task -> sentences: columns as CoNLL has them, or objects with tokens and tags.

In columns a line has a token, its tag last, white space between, and a blank line ends a sentence, as in copies of
MSRA-NER and of People's Daily. Objects have a list of tokens, or a text whose characters are the tokens.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wwm.common import files
from wwm.common.errors import UserError
from wwm.tasks.columns import Fields
from wwm.tasks.questions import Unlabelled
from wwm.tasks.rows import Split, id_of, rows
from wwm.tasks.tags import TAG, Sentence
from wwm.tasks.task import Task

# What objects call their fields: those of a task of single texts, by other names.
NAMES = {
    "text": ("tokens", "words", "chars", "text", "sentence"),
    "label": ("tags", "labels", "ner_tags", "label"),
    "id": ("id",),
}
OBJECTS = (".json", ".jsonl", ".parquet")
DOCUMENT = "-DOCSTART-"  # a line between two documents
LAYOUT = "a line has a token and its tag, with a tab or a space between, and a blank line ends a sentence"


def read(paths: list[Path], task: Task, tags: tuple[str, ...], labelled: bool = True) -> Split:
    """All sentences of one split; tags: those that the task knows; labelled: whether they have tags, which are left out
    else.

    Raises UserError that names file and line of what is none, or a split without any; Unlabelled where the first
    sentence has no tags.
    """
    counts: Counter = Counter()
    found: list[Sentence] = []
    for path in paths:
        for where, sentence in sentences(path, path.suffix.lower(), named(task), tags, counts):
            if not sentence.tokens:
                raise UserError(f"{where}: there are no tokens; objects have `tokens` (or `text`) and `tags`")
            if not labelled:
                sentence = sentence._replace(tags=())
            elif not sentence.tags:
                lacking = f"{where}: there are no tags; {LAYOUT}, and objects have `tokens` and `tags`"
                raise UserError(lacking) if found else Unlabelled(lacking)
            found.append(sentence)
    if not found:
        raise UserError(f"{paths[0]} has no sentences; task {task.name} needs some in each of its files")
    return Split(found, ", ".join(path.name for path in paths), dict(counts))


def named(task: Task) -> dict[str, tuple[str, ...]]:
    """NAMES, with what params.yaml says that the files call them."""
    return {field: (*filter(None, [task.columns.get(field)]), *names) for field, names in NAMES.items()}


def sentences(
    path: Path, ending: str, names: dict[str, tuple[str, ...]], tags: Sequence[str], counts: Counter
) -> Iterator[tuple[str, Sentence]]:
    """(place for messages, sentence) of a file that is read by `ending`. Raises UserError for one that is none, or has
    a tag that is not among `tags`; where these are (), any will do.
    """
    if ending == ".csv":
        raise UserError(f"{path}: tags in CSV are not read; {LAYOUT}: save it so as .txt")
    if ending not in OBJECTS:
        yield from conll(path, tags)
        return
    for where, values in rows(path, ending, Fields(names, {}, {*names}), counts):
        tokens = tokens_of(where, values.get("text"))
        own = tags_of(where, values.get("label"), tokens, tags) if tokens else ()
        yield where, Sentence(tokens, own, id_of(where, values.get("id")))


def conll(path: Path, tags: Sequence[str]) -> Iterator[tuple[str, Sentence]]:
    """Sentences of columns. One column alone is of tokens without tags."""
    rows: list[list[str]] = []
    first = width = 0
    for number, line in enumerate(files.lines(path), 1):
        # U+3000 may be a token, and so may a space be, in front of a tab.
        row = re.split("\t+" if "\t" in line else " +", line.rstrip(" \t\r"))
        if not line.strip() or row[0] == DOCUMENT:
            yield from of_rows(path, first, rows)
            rows = []
            continue
        width = width or len(row)
        if len(row) != width:
            raise UserError(f"{path}:{number} has {len(row)} columns, and lines before it {width}; {LAYOUT}")
        if width > 1 and not fits(row[-1], tags):
            raise unknown(f"{path}:{number}", row[-1], tags)
        first = first if rows else number
        rows.append(row)
    yield from of_rows(path, first, rows)


def of_rows(path: Path, first: int, rows: list[list[str]]) -> Iterator[tuple[str, Sentence]]:
    if rows:
        tags = tuple(row[-1] for row in rows) if len(rows[0]) > 1 else ()
        yield f"{path}:{first}", Sentence(tuple(row[0] or " " for row in rows), tags, first)


def tokens_of(where: str, value: Any) -> tuple[str, ...]:
    """The characters of a text, or a list of tokens as it is; () where there is nothing."""
    if value is None or value == "" or value != value:  # NaN, which pandas writes for nothing
        return ()
    given = value if isinstance(value, list) else [value]
    wrong = [one for one in given if isinstance(one, bool) or not isinstance(one, str | int | float)]
    if wrong:
        raise UserError(f"{where}: {wrong[0]!r:.60} is no token; write a text, or a list of tokens")
    return tuple(map(str, given if isinstance(value, list) else str(value)))


def tags_of(where: str, value: Any, tokens: Sequence[str], tags: Sequence[str]) -> tuple[str, ...]:
    """A list of tags, or of their places among `tags`, or tags with spaces between; () where there is nothing, or -1,
    which stands for tags that are kept in data sets of the hub.
    """
    given = value.split() if isinstance(value, str) else value or []
    if not isinstance(given, list):
        raise UserError(f"{where}: {value!r:.60} are no tags; write a list of them, one for each token")
    if all(one == -1 for one in given):
        return ()
    if len(given) != len(tokens):
        raise UserError(
            f"{where}: {len(tokens)} tokens and {len(given)} tags; write a tag for each token, of a text for each"
            " character, spaces too"
        )
    spelled = [tags[one] if type(one) is int and 0 <= one < len(tags) else one for one in given]
    wrong = [one for one in spelled if not isinstance(one, str) or not fits(one, tags)]
    if wrong:
        raise unknown(where, wrong[0], tags)
    return tuple(spelled)


def fits(tag: str, tags: Sequence[str]) -> bool:
    return tag in tags if tags else TAG.fullmatch(tag) is not None


def unknown(where: str, tag: Any, tags: Sequence[str]) -> UserError:
    if not tags:
        return UserError(f"{where}: {tag!r} is no tag; those are O, and B, I, M, E or S alone or with a type, as B-PER")
    return UserError(
        f"{where}: tag {tag!r} is none of {', '.join(tags)}; spell the task's labels in params.yaml (define.labels) as"
        " its files do, or mend the file; `wwm predict` takes no tags of objects with --column label="
    )
