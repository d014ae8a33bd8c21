"""The sections of params.yaml that compare models: fetch, finetune, scores."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from wwm.common.errors import UserError
from wwm.common.model_folder import FILL_MASK
from wwm.params.fields import (
    Name,
    Names,
    Pieces,
    Positive,
    Rate,
    Repeats,
    Rows,
    Section,
    Text,
    distinct,
    one_of,
    quoted,
)
from wwm.tasks.metrics import CLASSIFICATION, METRICS
from wwm.tasks.tags import SCHEMES, TAG
from wwm.tasks.task import Keep, Kind


class Fetch(Section):
    """Data of tasks from the hub; those that somebody has already are put into data/tasks/NAME by hand."""

    tasks: dict[Name, Text] = Field(
        default={},
        description=(
            "Tasks of the table that have a data set on the hub (cmrc2018, drcd, xnli, chnsenticorp) -> `hub` for that"
            " one, another data set on the hub (`org/name` or `org/name@commit`), or a folder in its layout. Other"
            " files in data/tasks/NAME stay."
        ),
    )


class OwnTask(Section):
    """What files of one's own hold: train, dev and, if there is one, test, in data/tasks/NAME."""

    kind: Kind = Field(
        description=(
            "One text with a label (`single`), two texts with a label (`pair`), questions on texts (`reading`, SQuAD"
            " JSON), or a tag for each token (`tagging`)."
        )
    )
    labels: Annotated[list[str], BeforeValidator(quoted), AfterValidator(distinct)] = Field(
        default=[],
        description=(
            "The labels, as the files spell them. Of a reading task: answers that are no part of the text, such as YES"
            ' and NO; `""` for none, with which EM and F1 are those of CJRC, else those of CMRC 2018. Of a tagging'
            " task: the tags, as B-PER or B, or with `scheme` the types, as PER; files may give tags by their numbers,"
            " from 0."
        ),
    )
    scheme: Literal["BIO", "BIOES", "BMES"] | None = Field(
        default=None,
        description=(
            "Of a tagging task whose `labels` are types: the tags are O, and these letters with each type in turn. null"
            " where `labels` are the tags."
        ),
    )
    columns: dict[Literal["text", "text_a", "text_b", "label"], Text] = Field(
        default={},
        description=(
            "What the files call `text`, or `text_a` and `text_b`, and `label`, where it is none of the usual names; of"
            " tagging `text` is the tokens and `label` the tags. Default none."
        ),
    )
    ignored_labels: list[str] = Field(default=[], description="Rows with these labels are left out. Default none.")
    metric: str | None = Field(
        default=None,
        description="How it is scored: "
        + ", ".join(f"`{name}` ({metric.title}; {', '.join(metric.kinds)})" for name, metric in METRICS.items())
        + ". null for accuracy, in reading for what `labels` says, and in tagging for entity_f1.",
    )

    @model_validator(mode="after")
    def labels_fit_the_kind(self) -> Self:
        if self.kind in CLASSIFICATION and len(self.labels) < 2:
            raise UserError(f"labels {self.labels} are fewer than two; name what the files call them")
        if self.kind in CLASSIFICATION and "" in self.labels:
            raise UserError(f"labels {self.labels}: an empty cell is no label; name what the files call it")
        return self

    @model_validator(mode="after")
    def tags_are_tags(self) -> Self:
        if self.kind != "tagging":
            if self.scheme:
                raise UserError(f"scheme {self.scheme}: a task of kind {self.kind} has no tags; remove it")
            return self
        if self.ignored_labels:
            raise UserError(f"ignored_labels {self.ignored_labels}: a sentence has many tags; remove it")
        if not self.labels:
            raise UserError("labels is empty; list the tags (O, B-PER, I-PER), or the types and their scheme")
        for label in self.labels:
            if self.scheme and (TAG.fullmatch(label) or not label or " " in label):
                raise UserError(f"labels: {label!r} is a tag, and with scheme {self.scheme} types stand there (PER)")
            if not self.scheme and not TAG.fullmatch(label):
                raise UserError(
                    f"labels: {label!r} is no tag; those are O, and B, I, M, E or S alone or with a type, as B-PER; of"
                    f" types say the scheme, {', '.join(SCHEMES)}"
                )
        return self

    @model_validator(mode="after")
    def metric_fits_the_kind(self) -> Self:
        if self.metric is not None:
            one_of("metric", self.metric, [name for name, metric in METRICS.items() if self.kind in metric.kinds])
        return self


class TaskRun(Section):
    """How to train on one task. What is not given is the table's (wwm/tasks/table.py), with its rate for the kind of
    model.
    """

    define: OwnTask | None = Field(
        default=None, description="Of a task that is not in the table of tasks. Default null."
    )
    learning_rate: Rate | None = Field(
        default=None,
        description="With 10 % warm-up, then linear decay; the parameter that matters most. Default the table's.",
    )
    sweep: Annotated[list[Rate], AfterValidator(distinct)] = Field(
        default=[],
        description=(
            "Learning rates to try with the first seed; the one with the best dev score is taken for all seeds. Default"
            " none."
        ),
    )
    epochs: Repeats | None = Field(default=None, description="Passes over the training set. Default the table's.")
    batch_size: Rows | None = Field(
        default=None, description="Sequences of one step; windows in reading and tagging. Default the table's."
    )
    max_seq_length: Pieces | None = Field(
        default=None,
        description=(
            "Longer inputs are cut; in reading and tagging, the length of a window. Default the table's, or the model's"
            " positions where they are fewer."
        ),
    )
    stride: Positive | None = Field(
        default=None,
        description=(
            "Pieces from the beginning of one window of a reading or tagging task to the next. Default a quarter of"
            " max_seq_length, run_squad.py's 128 at 512; of tagging half of it."
        ),
    )
    max_query_length: Positive | None = Field(
        default=None, description="Longer questions of a reading task are cut. null for 64."
    )
    max_answer_length: Positive | None = Field(
        default=None,
        description=(
            "Pieces of the longest answer that is given. null for 128; run_squad.py has 30, which is too short for 5 %"
            " of CMRC 2018's dev set and 19 % of its training set."
        ),
    )
    split_dev: bool = Field(
        default=False,
        description=(
            "Without a train file, parts of dev stand in for it and for test, which the tables mark. Default false."
        ),
    )
    split_file: Annotated[str, Field(pattern=r"^[^/]+$")] | None = Field(
        default=None,
        description=(
            "A file of data/tasks/NAME that is not split: by hash three fifths of it are train, one dev and one test,"
            " which the tables mark; other files there are not read. Default null."
        ),
    )
    train_examples: Positive | None = Field(
        default=None,
        description="Train on so many examples, chosen by hash, which the tables mark. Default null for all.",
    )
    scored_examples: Positive | None = Field(
        default=None, description="Score so many of dev and of test, which the tables mark. Default null for all."
    )

    @model_validator(mode="after")
    def one_way_to_the_rate(self) -> Self:
        if self.learning_rate and self.sweep:
            raise UserError(f"learning_rate {self.learning_rate:g} and sweep exclude each other; remove one")
        return self

    @model_validator(mode="after")
    def null_is_the_tables(self) -> Self:
        for key in ("epochs", "batch_size", "max_seq_length"):
            if self.define and key in self.model_fields_set and getattr(self, key) is None:
                raise UserError(f"{key} null: the table of tasks has none for a task with define; write a number")
        return self


class ModelOptions(Section):
    learning_rates: Literal["bert", "ernie"] | None = Field(
        default=None, description="Which of the table's rates are this model's. null for `bert`."
    )
    simplify: bool = Field(
        default=False,
        description=(
            "The texts are converted to simplified characters for this model, which the authors advise for ERNIE alone."
        ),
    )
    keep: Keep | None = Field(
        default=None,
        description=(
            "What stays of its fine-tunings, in models/finetuned/TASK/MODEL: the model of the `best` seed on dev, of"
            " `all` seeds, or `none`. A base model takes 0.4 GB, and as much again in DVC's cache. null for `best`."
        ),
    )


class Finetune(Section):
    """One model on one task, all seeds."""

    models: dict[Name, ModelOptions] = Field(
        min_length=1, description="Models to fine-tune -> what is particular to them, {} for most."
    )
    tasks: dict[Name, TaskRun] = Field(
        min_length=1, description="Tasks of the table in wwm/tasks/table.py, or defined here -> how to train on them."
    )
    seeds: Repeats = Field(description="Runs per model and task; the authors ran ten.")
    select: Literal["last", "best"] = Field(
        description="The epoch that is scored: the `last`, or the one with the `best` dev score."
    )
    precision: Literal["fp32", "bf16"] = Field(description="As in pretrain.")

    @model_validator(mode="after")
    def tasks_are_called_like_nothing_else(self) -> Self:
        if taken := {"cloze", FILL_MASK} & self.tasks.keys():
            raise UserError(f"a task cannot be called {taken.pop()}, as another measure here is; call it otherwise")
        return self


class OfFinetune(Section):
    """It has no keys: what the task is and which of its examples are read, finetune.tasks says."""


class Characters(Section):
    """Naive Bayes over n-grams of characters, on the same examples as the models: what needs no model."""

    reads = ("finetune.tasks",)
    tasks: dict[Name, OfFinetune] = Field(
        default={},
        description=(
            "Tasks of finetune.tasks, but for reading, -> `{}`. `characters` in scores.models makes a row"
            " of it. Default none."
        ),
    )


class Overlap(Section):
    """How many scored examples stand in the text of `corpus`, which models are pre-trained on."""

    reads = ("finetune.tasks",)
    tasks: dict[Name, OfFinetune] = Field(
        default={}, description="Tasks of finetune.tasks -> `{}`; the tables show it beside their scores. Default none."
    )


class Pairs(Section):
    """Models that differ in one thing, and what else is the same within a pair (init, data, steps, seed)."""

    name: Text = Field(description="What the difference is, for the table.")
    models: Annotated[list[Name], Field(min_length=2)] = Field(description="One model of each pair.")
    against: Annotated[list[Name], Field(min_length=2)] = Field(description="The other one of each, in the same order.")

    @model_validator(mode="after")
    def pairs_are_whole(self) -> Self:
        if len(self.models) != len(self.against):
            raise UserError(f"{len(self.models)} models against {len(self.against)}; name one for each")
        return self


class Scores(Section):
    """The comparison."""

    models: Names = Field(description="Rows of the tables, in this order; each is in finetune.models, or `characters`.")
    tasks: Names = Field(description="Columns of the tables, in this order.")
    baseline: Name = Field(
        description="The model that is 100 % in the relative table, and that the others are tested against."
    )
    pairs: list[Pairs] = Field(
        default=[], description="Experiments whose differences are claimed, of three pairs at least; default none."
    )
    language: Literal["en", "zh"] | None = Field(
        default=None, description="Of the report, in results/report: English or Chinese. null for `en`."
    )


class TaskStages(Section):
    fetch: Fetch = Fetch()
    finetune: Finetune
    characters: Characters = Characters()
    overlap: Overlap = Overlap()
    scores: Scores
