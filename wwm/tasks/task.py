"""What a task is: what its files hold, how it is scored, and how it is trained on."""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["single", "pair", "reading", "tagging"]
Keep = Literal["none", "best", "all"]  # which fine-tuned models stay,
KEEP: Keep = "best"  # where params.yaml does not say
TEXTS = {"single": ("text",), "pair": ("text_a", "text_b"), "reading": (), "tagging": ("text",)}
USUAL_RATES = "bert"  # of a model of which params.yaml does not say whose learning rates are its own
# What others call the columns.
COLUMNS = {
    "text": ("text", "text_a", "sentence", "sentence1", "review", "content", "title"),
    "text_a": ("text_a", "sentence1", "premise", "question1", "query1"),
    "text_b": ("text_b", "sentence2", "hypo", "hypothesis", "question2", "query2"),
    "label": ("label", "labels", "gold_label", "score"),
}


@dataclass(frozen=True)
class Recipe:
    """How a task is trained on where params.yaml does not say: `learning_rates` by kind of model (`bert`, `ernie`)."""

    learning_rates: dict[str, float]
    epochs: int
    batch_size: int
    max_seq_length: int


@dataclass(frozen=True)
class Hub:
    """Where the hub has a task as plain files, to be had freely: `files` by split, as globs in the data set `name`,
    which is NAME or NAME@REVISION.
    """

    name: str
    files: dict[str, str]


@dataclass(frozen=True)
class Task:
    """One task: what its files hold, how it is scored, and where it comes from."""

    name: str
    title: str
    kind: Kind
    # Of a reading task the answers that are no span of the text, "" for unanswerable; of a tagging task the tags.
    labels: tuple[str, ...]
    metric: str  # of wwm/tasks/metrics.py
    source: str
    licence: str
    version: str
    remark: str
    label_names: dict[str, str] = field(default_factory=dict)  # other spellings of labels in files -> the label
    columns: dict[str, str] = field(
        default_factory=dict
    )  # `text`, `text_a`, `text_b`, `label` -> a name in the files besides COLUMNS
    ignored_labels: tuple[str, ...] = ()  # rows with these are left out and counted
    language: str = ""  # of the rows that are taken, where a file has several
    segmented: bool = False  # spaces between words in some files, which are taken out
    splits: tuple[str, ...] = ("dev", "test")  # that are scored
    hidden: dict[str, str] = field(default_factory=dict)  # split -> why nobody has its labels
    sizes: dict[str, int] = field(default_factory=dict)  # examples of the official splits
    sha256: dict[str, str] = field(default_factory=dict)  # of official files, by file name; "" where nobody has said it
    recipe: Recipe | None = None
    hub: Hub | None = None
    footnote: str = ""  # of the authors' column


def own_task(
    name: str,
    kind: Kind,
    labels: tuple[str, ...],
    columns: dict[str, str],
    ignored_labels: tuple[str, ...],
    metric: str,
) -> Task:
    """A task that is described in params.yaml."""
    return Task(
        name,
        name,
        kind,
        labels,
        metric,
        "your own files",
        "your own",
        "1",
        "",
        columns=columns,
        ignored_labels=ignored_labels,
    )
