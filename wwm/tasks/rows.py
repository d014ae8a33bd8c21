"""The rows of a task's file -> labelled examples or questions: the file's ending says how it is read.

.tsv and .txt have tabs and no quoting, .csv has both, .json and .jsonl have an object a line or one list, .parquet has
columns. Columns are found by their names in a first line or in the objects, else by their place: the label stands first
or last.
"""

import codecs
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from wwm.common import files
from wwm.common.errors import UserError, reading
from wwm.tasks import columns
from wwm.tasks.columns import Fields
from wwm.tasks.questions import Question, Unlabelled, json_of, parse, walk
from wwm.tasks.tags import Sentence
from wwm.tasks.task import COLUMNS, TEXTS, Task

HAN = "\u3400-\u9fff\uf900-\ufaff\u3000-\u303f\uff00-\uffef\u2018-\u201d"
HALF = re.compile("[\ud800-\udfff]")  # of a character beyond U+FFFF, as \\ud83d in JSON
BETWEEN_HAN = re.compile(rf"(?<=[{HAN}])[ \u00a0]+(?=[{HAN}])")


class Example(NamedTuple):
    """One text, or pair of texts; `label` indexes the task's labels, -1 where there is none; `id` is the file's, else
    its line, or its place in a list or in Parquet.
    """

    texts: tuple[str, ...]
    label: int
    id: int | str = ""


class Split(NamedTuple):
    """The examples or questions of one split, and what was counted in its file: `empty_lines`, `ignored_labels`, or
    questions.parse's counts.
    """

    examples: list
    file: str
    counts: dict[str, int]


def read(paths: list[Path], task: Task, names: tuple[str, ...], by_number: bool) -> Split:
    """All rows of one split; names: the labels; by_number: the files may give a label by its place among them.

    Raises UserError that names file and line of a row that lacks a text or has an unknown label, or an empty split;
    Unlabelled where the first row has no label, or all rows have ignored ones.
    """
    counts: Counter = Counter(empty_lines=0, ignored_labels=0)
    spelling = spellings(task, names, by_number)
    expected = Fields(named(task), spelling, {"language", "id"})
    examples: list[Example] = []
    for path in paths:
        for where, label, values in labelled(path, path.suffix.lower(), task, expected, counts):
            if label in task.ignored_labels:
                counts["ignored_labels"] += 1
                continue
            # -1 stands for a label that is kept in data sets of the hub.
            if label in ("", "-1") and label not in spelling and not examples and not counts["ignored_labels"]:
                raise Unlabelled(
                    f"{where}: there is no label; name its column in finetune.tasks.{task.name}.define.columns, or give"
                    " every row one"
                )
            if not label:
                raise UserError(f"{where}: its label is empty; fill it in, or take the row out")
            if label not in spelling:
                names_row = "; if this is a line of names, tell them by define.columns" if where.endswith(":1") else ""
                raise UserError(
                    f"{where}: label {values.get('label')!r} is none of {', '.join(spelling)}, the labels of task"
                    f" {task.name}{names_row}"
                )
            label_number = names.index(spelling[label])
            examples.append(Example(texts_of(where, values, task), label_number, id_of(where, values.get("id"))))
    if counts["ignored_labels"] and not examples:
        raise Unlabelled(f"{paths[0]}: all its labels are among those left out, {', '.join(task.ignored_labels)}")
    if not examples:
        raise UserError(f"{paths[0]} has no examples; task {task.name} needs some in each of its files")
    return Split(
        examples, ", ".join(path.name for path in paths), {name: count for name, count in counts.items() if count}
    )


def read_unlabelled(paths: list[Path], task: Task, names: tuple[str, ...], by_number: bool) -> Split:
    """As `read`, of a split whose labels are missing or none: every row is an example."""
    counts: Counter = Counter(empty_lines=0)
    expected = Fields(named(task), spellings(task, names, by_number), {"language", "label", "id"})
    examples = [
        Example(texts_of(where, values, task), -1, id_of(where, values.get("id")))
        for path in paths
        for where, _, values in labelled(path, path.suffix.lower(), task, expected, counts)
    ]
    return Split(examples, ", ".join(path.name for path in paths), {})


def spellings(task: Task, names: tuple[str, ...], by_number: bool) -> dict[str, str]:
    """How files may spell a label -> the label; by_number: also by its place among them."""
    numbered = {str(number): name for number, name in enumerate(names)} if by_number else {}
    own = {name: name for name in names}
    return numbered | own | {other: name for other, name in task.label_names.items() if name in names}


def only_label(examples: list, names: tuple[str, ...]) -> str | None:
    """The label or tag of all examples, where there is one alone; None of questions too."""
    labels = {example.label if isinstance(example, Example) else None for example in examples}
    tags = {tag for example in examples if isinstance(example, Sentence) for tag in example.tags}
    found = tags or {names[label] for label in labels if label is not None and label >= 0}
    return next(iter(found)) if len(found) == 1 else None


def texts_of(where: str, values: dict, task: Task) -> tuple[str, ...]:
    """The text or texts of a row. Raises UserError that names the one that is missing or empty."""
    for field in TEXTS[task.kind]:
        value = values.get(field)
        # NaN, which pandas writes for nothing, would be read as its name.
        if isinstance(value, bool) or not isinstance(value, str | int | float | None) or value != value:
            raise UserError(f"{where}: {field} is no text but {value!r:.60}; write it as one")
        if isinstance(value, str) and (half := HALF.search(value)):
            raise UserError(f"{where}: {field} holds {ascii(half[0])}, half a character; mend it where it was cut off")
    texts = tuple(str(values.get(field) or "").strip() for field in TEXTS[task.kind])
    for field, text in zip(TEXTS[task.kind], texts):
        if not text:
            raise UserError(
                f"{where}: {field} is missing or empty; a row has {', '.join((*TEXTS[task.kind], 'label'))}"
            )
    return tuple(BETWEEN_HAN.sub("", text) for text in texts) if task.segmented else texts


def converted(example: Example | Question | Sentence, convert: Callable[[str], str]) -> Example | Question | Sentence:
    """With texts converted by a function that leaves each character where it was, and so do answers and tokens stay."""
    if isinstance(example, Example):
        return example._replace(texts=tuple(map(convert, example.texts)))
    if isinstance(example, Sentence):
        characters = iter(convert(example.text))  # of a token alone other ones may be right
        return example._replace(tokens=tuple("".join(islice(characters, len(token))) for token in example.tokens))
    answers = tuple(answer._replace(text=convert(answer.text)) for answer in example.answers)
    context = convert(example.context)
    answers = tuple(a._replace(text=context[a.start : a.start + len(a.text)]) if a.start >= 0 else a for a in answers)
    return example._replace(question=convert(example.question), context=context, answers=answers)


def read_questions(paths: list[Path], task: Task, answered: bool = True) -> Split:
    """All questions of one split, from SQuAD-style JSON or the Parquet files of a data set on the hub. Raises UserError
    as questions.parse does, which has found that there are no answers if they are not `answered`.
    """
    if paths[0].suffix.lower() == ".parquet":
        text = json.dumps(squad(row for path in paths for row in parquet(path)), ensure_ascii=False)
    elif len(paths) > 1 or paths[0].suffix.lower() != ".json":
        raise UserError(f"{paths[0]}: a reading task has one SQuAD-style .json file for each split, or .parquet")
    else:
        text = "\n".join(files.lines(paths[0]))
    if not answered:
        bare = [question for _, _, question in walk(json_of(text, paths[0])["data"], paths[0])]
        return Split(bare, ", ".join(path.name for path in paths), {})
    questions, counts = parse(text, paths[0], task.labels)
    if counts["misaligned"]:
        first = next(
            q.id for q in questions if any(answer.start < 0 and answer.text not in task.labels for answer in q.answers)
        )
        print(
            f"{paths[0]}: {counts['misaligned']:,} answers do not stand in their context, first that of question"
            f" {first}; correct text or answer_start",
            flush=True,
        )
    return Split(
        questions, ", ".join(path.name for path in paths), {name: count for name, count in counts.items() if count}
    )


def squad(rows: Iterable[dict]) -> dict:
    """SQuAD's object, of rows that are its articles (in a column `data`) or single questions with lists of answers."""
    articles = []
    for row in rows:
        if "data" in row:
            articles.append(row["data"])
            continue
        answers = [
            {"text": text, "answer_start": start}
            for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"])
        ]
        qas = [{"id": row["id"], "question": row["question"], "answers": answers}]
        articles.append({"paragraphs": [{"context": row["context"], "qas": qas}]})
    return {"data": articles}


def named(task: Task) -> dict[str, tuple[str, ...]]:
    """Fields of a row -> what files may call them."""
    fields = {
        field: (*((task.columns[field],) if field in task.columns else ()), *COLUMNS[field])
        for field in (*TEXTS[task.kind], "label")
    }
    return fields | {"id": ("id",)} | ({"language": ("language",)} if task.language else {})


def id_of(where: str, given: object) -> int | str:
    """What a row has for its id, else its number in messages."""
    if given in (None, "") or given != given:  # NaN, which pandas writes for nothing
        found = re.search(r"\d+$", where)
        assert found, where
        return int(found[0])
    return given if type(given) is int else str(given).strip()


def labelled(path: Path, ending: str, task: Task, expected: Fields, counts: Counter) -> Iterator[tuple[str, str, dict]]:
    """(place for messages, label as it is spelt there or "", value by field) of the rows in the task's language."""
    for where, values in rows(path, ending, expected, counts):
        if not task.language or values.get("language", task.language) == task.language:
            yield where, "" if values.get("label") is None else str(values["label"]).strip(), values


def rows(path: Path, ending: str, expected: Fields, counts: Counter) -> Iterator[tuple[str, dict]]:
    """(place for messages, value by field) of each row of one file, which is read by `ending`."""
    objects: Iterator[tuple[str, object]]
    if ending == ".parquet":
        objects = ((f"{path}, row {number}", row) for number, row in enumerate(parquet(path)))
    elif ending in (".json", ".jsonl"):
        objects = json_objects(path, counts)
    else:
        yield from columns.cells(path, ending, expected, counts)
        return
    for where, values in objects:
        if not isinstance(values, dict):
            raise UserError(
                f"{where}: {json.dumps(values, ensure_ascii=False)[:60]} is no object with"
                f" {', '.join(field for field in expected.names if field not in ('language', 'id'))}"
            )
        values = {name.lower(): value for name, value in values.items()}
        yield (
            where,
            {
                field: values[name.lower()]
                for field, names in expected.names.items()
                for name in names[::-1]
                if name.lower() in values
            },
        )


def parquet(path: Path) -> Iterator[dict]:
    with reading(path, OSError, pa.ArrowException, remedy="fetch it anew"):
        for batch in pq.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()


def json_objects(path: Path, counts: Counter) -> Iterator[tuple[str, object]]:
    """The objects of a file that has one a line, or of one list."""
    with files.opened(path) as stream:
        head = stream.peek().removeprefix(codecs.BOM_UTF8)
        if re.match(rb"\s*(\[\s*){50}", head):  # which ijson follows for a minute
            raise UserError(f"{path} has lists in lists, 50 deep and more; it needs one list of objects")
        if head.lstrip().startswith(b"["):
            for number, value in enumerate(streamed(stream, "item", path)):
                yield f"{path}, object {number}", value
            return
        for number, line in enumerate(files.decoded(stream, path), 1):
            if not line.strip():
                counts["empty_lines"] += 1
                continue
            yield f"{path}:{number}", parsed(line, path, number)


def streamed(stream: BufferedReader, prefix: str, path: Path) -> Iterator[Any]:
    """What stands under `prefix`, in ijson's terms, one after the other, so that a file of any size can be read. Raises
    UserError that names `path`, and line and column where it can be read again.
    """
    import ijson  # which a rented GPU host lacks

    if stream.peek().startswith(codecs.BOM_UTF8):
        stream.read(len(codecs.BOM_UTF8))
    try:
        yield from ijson.items(stream, prefix, use_float=True)
    except (ijson.JSONError, ValueError) as error:
        if path.is_file():
            parsed("\n".join(files.lines(path)), path, 1)
        raise UserError(f"{path} is not JSON ({error}); one object a line, or one list") from None


def parsed(text: str, path: Path, line: int) -> Any:
    try:
        return json_of(text, f"{path}:{line}")
    except json.JSONDecodeError as error:
        if text.strip() == "{":
            raise UserError(
                f"{path} is one object over several lines, as of a reading task; this task has one object a line, or"
                " one list"
            ) from None
        raise UserError(
            f"{path}:{line + error.lineno - 1} is not JSON ({error.msg}, column {error.colno}); one object a line, or"
            " one list"
        ) from None
