"""Files of texts, pairs or questions of any size -> one after the other, as `wwm predict` takes them.

Their labels, where they have some, are for comparison.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from wwm.common import files
from wwm.common.errors import UserError
from wwm.params import one_of
from wwm.release import forms
from wwm.release.forms import STDIN
from wwm.tasks import splits, tagged
from wwm.tasks.columns import Fields
from wwm.tasks.kept import Kept
from wwm.tasks.questions import Question, walk
from wwm.tasks.rows import HALF, Example, id_of, json_objects, labelled, named, streamed, texts_of
from wwm.tasks.tags import Sentence
from wwm.tasks.task import COLUMNS, TEXTS, Task, own_task

# What files call their columns, besides those of the task.
QUESTION = {"question": ("question", "query"), "context": ("context", "passage", "text"), "id": ("id",)}
OPTIONAL = {"label", "language", "id"}


class Given(NamedTuple):
    """One row of a file."""

    content: Any  # an Example, a Question or a Sentence; None where a text is empty
    shown: dict[str, Any]  # what stands beside a prediction: id, texts
    label: str | tuple[str, ...] | None  # that the file gives, or tags

    @property
    def characters(self) -> int:
        return sum(map(len, splits.texts(self.content))) if self.content else 0


def read(file: str, form: str | None, kept: Kept, columns: dict[str, str]) -> tuple[Iterator[Given], int | None]:
    """The rows of `file`, `-` for standard input, and about how many there are, None where that is not known.

    form: one of FORMS, by default that of the file's ending; columns: field -> what the file calls it, "" for a field
    that it has not. Raises UserError for a file that is not there, is empty, or is in another form than the model
    reads; the rows do so for one that cannot be read.
    """
    path = STDIN if file == "-" else Path(file)
    if path == STDIN:
        forms.standard_input()
    if not path.exists() or path.is_dir():
        raise UserError(f"{path} does not exist or is a folder; name a file, or - for standard input")
    form = one_of("--format", form, forms.FORMS) if form else forms.of(path, kept["kind"])
    if kept["kind"] not in forms.KINDS.get(form, (kept["kind"],)):
        raise UserError(
            f"{path} as {form}: this model takes {forms.TAKES[kept['kind']]}; see docs/use.md for what their files look"
            " like"
        )
    if columns and form in forms.KINDS:
        raise UserError(f"--column: {path} as {form} has no columns that could be named; leave it out")
    match form:
        case "text":
            found = texts(path, kept)
        case "squad":
            found = squad(path)
        case _ if kept["kind"] == "tagging" and form != "csv":
            found = sentences(path, form, kept, columns)
        case _:
            found = (questions if kept["kind"] == "reading" else examples)(path, form, kept, columns)
    found = readable(found, path)
    first = next(found, None)
    if first is None:
        lacks = "a question or more under `data`, or name its form by --format" if form == "squad" else "a row or more"
        raise UserError(f"{path} has nothing to predict; give it {lacks}")
    return chain([first], found), forms.count(path, form)


def readable(found: Iterator[Given], path: Path) -> Iterator[Given]:
    """The same rows. Raises UserError of one line for what libraries say of files that they cannot read."""
    try:
        yield from found
    except UserError as error:
        # ijson draws over several lines where it stands.
        if "\n" not in str(error):
            raise
        raise UserError(" ".join(str(error).split())) from None
    except (OSError, pa.ArrowException) as error:
        said = getattr(error, "strerror", None) or str(error).split("\n")[0]
        raise UserError(f"{path} cannot be read ({said}); see that it is whole and that you may read it") from None


def looked_for(names: dict[str, tuple[str, ...]], columns: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Fields -> what a file may call them, which is one name where --column says it, and none for a field that it has
    not. Raises UserError for a field that this kind of model has not, or cannot do without.
    """
    for field, name in columns.items():
        if field not in names:
            raise UserError(f"--column {field}=...: this model has no {field}, but {', '.join(names)}")
        if not name and field not in OPTIONAL:
            raise UserError(f"--column {field}=: every row needs its {field}; give the name too")
    return {field: (columns[field],) if field in columns else usual for field, usual in names.items()} | {
        field: () for field, name in columns.items() if not name
    }


def texts(path: Path, kept: Kept) -> Iterator[Given]:
    """A text a line. Raises UserError where the lines have labels beside the texts."""
    labels, names = {*kept["labels"], *kept["spellings"]}, {*COLUMNS["text"], *COLUMNS["label"]}
    for number, line in enumerate(files.lines(path), 1):
        if text := line.strip():
            shown = {"id": number, "text": text}
            if kept["kind"] == "tagging":
                if number == 1 and len(cells := line.split()) == 2 and len(cells[0]) == 1 and cells[1] in labels:
                    raise UserError(f"{path}:1 has a tag beside its token; read it by --format conll")
                yield Given(Sentence(tuple(text), ()), shown, None)
                continue
            cells = [cell.strip() for cell in line.split("\t")]
            outer = {cells[0], cells[-1]}
            if len(cells) > 1 and (outer & labels or number == 1 and {*map(str.lower, outer)} & names):
                raise UserError(f"{path}:{number} has a label beside its text; read it by --format tsv")
            yield Given(Example((text,), -1), shown, None)


def examples(path: Path, form: str, kept: Kept, columns: dict[str, str]) -> Iterator[Given]:
    task = task_of(kept)
    spelling = {label: label for label in kept["labels"]} | kept["spellings"]
    if task.kind == "tagging":
        columns = columns | {"label": ""}  # tags of CSV are not read
    for where, label, values in table(path, form, task, named(task), spelling, columns):
        # -1 stands for a label that is kept in data sets of the hub.
        if label in task.ignored_labels or (label == "-1" and label not in spelling):
            label = ""
        if label and label not in spelling:
            hint = "if this is a line of names, tell them by --column; else " if where.endswith(":1") else ""
            raise UserError(
                f"{where}: label {label!r} is none of the model's, {', '.join(spelling)}; {hint}take that column out,"
                " or name another one by --column label=NAME, or none by --column label="
            )
        yield given(where, values, task)._replace(label=spelling[label] if label else None)


def questions(path: Path, form: str, kept: Kept, columns: dict[str, str]) -> Iterator[Given]:
    """Rows with a question and a context each, and an id if they have one."""
    task = task_of(kept)
    for where, _, values in table(path, form, task, QUESTION, {}, columns):
        yield given(where, values, task)


def sentences(path: Path, form: str, kept: Kept, columns: dict[str, str]) -> Iterator[Given]:
    """Rows of tokens, or of a text whose characters they are, with tags or without. Raises as text_of does."""
    names = looked_for(tagged.named(task_of(kept)), columns)
    for where, one in tagged.sentences(path, f".{form}", names, kept["labels"], Counter()):
        text_of(where, "text", one.text)
        yield Given(one._replace(tags=()) if one.tokens else None, {"id": one.id} | one.shown, one.tags or None)


def fields(kind: str) -> Sequence[str]:
    """What a row must have."""
    return ["question", "context"] if kind == "reading" else TEXTS[kind]


def given(where: str, values: dict, task: Task) -> Given:
    """A row whose fields are those of the task's kind: `text`, `text_a` and `text_b`, or `question` and `context`; and
    `id`, if it has one. Raises UserError that begins with `where` for a value that is no text.
    """
    if task.kind == "reading":
        question, context = (text_of(where, field, values.get(field)) for field in fields(task.kind))
        return asked(identity(where, values), question, context)
    shown = {field: text_of(where, field, values.get(field)) for field in fields(task.kind)}
    content: Any = None
    if task.kind == "tagging":
        content = Sentence(tuple(shown["text"]), ()) if shown["text"] else None
    elif all(shown.values()):
        content = Example(texts_of(where, shown, task), -1)
        shown = dict(zip(shown, content.texts))
    return Given(content, identity(where, values) | shown, None)


def squad(path: Path) -> Iterator[Given]:
    with files.opened(path) as stream:
        for _, _, question in walk(streamed(stream, "data.item", path), path):
            yield asked({"id": question.id}, question.question, question.context)


def asked(known: dict[str, Any], question: str, context: str) -> Given:
    whole = Question(str(known["id"]), question, context, (), None)
    return Given(whole if question.strip() and context.strip() else None, known | {"question": question}, None)


def task_of(kept: Kept) -> Task:
    own = own_task(
        kept["task"], kept["kind"], tuple(kept["labels"]), kept["columns"], tuple(kept["ignored_labels"]), ""
    )
    return replace(own, language=kept["language"], segmented=kept["segmented"])


def table(
    path: Path,
    form: str,
    task: Task,
    usual: dict[str, tuple[str, ...]],
    spelling: dict[str, str],
    columns: dict[str, str],
) -> Iterator[tuple[str, str, dict]]:
    """(place for messages, label as it is spelt there or "", value by field) of each row of a file that has columns.

    Raises UserError where the first row lacks one of them, or where it is open whether that is a row or a line of
    names.
    """
    names = looked_for(usual, columns)
    told = {field for field, name in columns.items() if name}
    counts: Counter = Counter()
    found = labelled(path, f".{form}", task, Fields(names, spelling, OPTIONAL - told, [*told], True), counts)
    for number, (where, label, values) in enumerate(found):
        if not number and form in ("json", "jsonl", "parquet"):
            for field in names:
                if field not in values and field not in OPTIONAL - told:
                    raise UserError(
                        f"{path} has {names_in(path, form)}, and no {field} (looked for: {', '.join(names[field])});"
                        f" name it by --column {field}=..."
                    )
        label = label if names.get("label") else ""
        bare = not label and where == f"{path}:{counts['empty_lines'] + 1}"
        if not number and bare and (form == "csv" or form == "tsv" and task.kind == "single"):
            fields = TEXTS[task.kind]
            shown = " ".join(f"--column {field}={values[field][:30]}" for field in fields)
            plain = ", or read the file by --format text" if task.kind == "single" else ""
            raise UserError(
                f"{where} may be a row or a line of names; if it has names, tell them: {shown}; else put a line"
                f" {','.join(fields)} before it{plain}"
            )
        yield where, label, values


def names_in(path: Path, form: str) -> str:
    """What a message says of the columns of a file's first row."""
    if not path.is_file():
        return "other columns"
    if form == "parquet":
        return f"the columns {', '.join(pq.read_schema(path).names)}"
    _, first = next(json_objects(path, Counter()))
    return f"the columns {', '.join(cast(dict, first))}"


def text_of(where: str, field: str, value: object) -> str:
    """What a row has in a field, "" for nothing; a number is text, as in CSV. Raises UserError for other values."""
    if value is None or value != value:  # NaN, which pandas writes for nothing
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(f"{where}: {field} is no text but {value!r:.60}; name another column by --column {field}=NAME")
    if half := HALF.search(str(value)):
        raise UserError(
            f"{where}: {field} has half a character, {ascii(half[0])[1:-1]}; write the file anew from its source, or"
            " take that out"
        )
    return str(value).strip()


def identity(where: str, values: dict) -> dict[str, Any]:
    given = values.get("id")
    return {"id": id_of(where, given if isinstance(given, int) else text_of(where, "id", given))}
