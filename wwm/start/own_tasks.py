"""A user's file or folder of labelled texts -> a task in data/tasks, and its entry in params.yaml."""

import math
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transformers import PretrainedConfig

from wwm.common import files
from wwm.common.errors import UserError
from wwm.common.model_folder import FILL_MASK
from wwm.start import tables
from wwm.tasks import splits
from wwm.tasks.questions import Question
from wwm.tasks.rows import Example
from wwm.tasks.splits import split_of
from wwm.tasks.table import TASKS
from wwm.tasks.tags import Sentence

READ = (*splits.ENDINGS, *splits.TAGGED)
# What tasks, folders of the demo and measures are called.
TAKEN = {*TASKS, "cloze", FILL_MASK, "reviews", "continuation"}
NAMED_AT_MOST = 5  # labels
# Three epochs as the authors, and more of a few rows: a head is hardly trained after a hundred steps. A model narrower
# than NARROW learns slower: of 4 x 128, 500 steps left 7 to 9 points between seeds, 1,050 fewer than 2.
BATCH, EPOCHS, NARROW = 32, 3, 512
FEWEST_STEPS, MOST_EPOCHS = {False: 500, True: 1000}, {False: 10, True: 20}
TRAINED_ON = 0.6  # of a file that is divided


class Checked(NamedTuple):
    """A task as fine-tuning reads it."""

    examples: dict[str, int]  # by split
    unlearnt: dict[str, list[str]]  # labels that train has not, with the splits that have them


def task_of(task: Path, changes: Mapping[str, Any]) -> tuple[tables.Table, str, Path | None]:
    """What the file, or the training file of the folder, holds; the task's name; and where it is copied to, None where
    it lies there already. `changes` to params.yaml may name columns. Raises UserError where other files lie there.
    """
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", task.resolve().name if task.is_dir() else task.resolve().stem).strip("-_")
    name = name or "task"
    if name in TAKEN:
        name = f"own-{name}"
    columns = asked(f"finetune.tasks.{name}.define.columns", changes)
    if task.is_dir():
        inside = {path: split_of(path.name) for path in taken_of(task) if path.suffix.lower() in READ}
        train = [path for path, split in inside.items() if split == "train"]
        if not train:
            raise UserError(
                f"--task {task}: no train file in it; name one file, which is divided, or put train, dev and test there"
            )
        table = tables.look(train[0], columns, [path for path, split in inside.items() if split not in (None, "train")])
    elif task.is_file() or task.is_symlink():
        table = tables.look(task, columns)
    else:
        raise UserError(f"--task {task}: no such file or folder")
    home = Path("data/tasks", name)
    if task.resolve() in (home.resolve(), *(path.resolve() for path in home.glob("*"))):
        return table, name, None
    if other := sorted({path.name for path in home.glob("*")} - {path.name for path in taken_of(task)}):
        raise UserError(f"--task {task}: {home} is there already, and has {other[0]}; rename the one or the other")
    return table, name, home


def asked(key: str, changes: Mapping[str, Any]) -> dict[str, str]:
    """What `changes` say of the map `key`, as a whole or one by one."""
    whole = changes.get(key)
    single = {name.removeprefix(f"{key}."): value for name, value in changes.items() if name.startswith(f"{key}.")}
    return {field: str(value) for field, value in ((whole if isinstance(whole, dict) else {}) | single).items()}


def taken_of(task: Path) -> list[Path]:
    return sorted(path for path in task.iterdir() if not path.is_dir()) if task.is_dir() else [task]


def copy(task: Path, home: Path) -> None:
    """To data/tasks, whole or not at all."""
    with files.new_folder(home) as folder:
        for path in taken_of(task):
            shutil.copyfile(path, folder / path.name)


def run(table: tables.Table, task: Path, configs: Sequence[PretrainedConfig]) -> dict[str, Any]:
    """An entry of finetune.tasks but for its learning rate, for models of these configs; a file that is alone is
    divided by hash.
    """
    positions = min(config.max_position_embeddings for config in configs)
    narrow = any(config.hidden_size < NARROW for config in configs)
    alone = [task] if task.is_file() else [path for path in taken_of(task) if path.suffix.lower() in READ]
    length = 16 * math.ceil((table.longest + 3) / 16)
    steps = math.ceil(table.rows * (TRAINED_ON if len(alone) == 1 else 1) / BATCH)
    return {
        "define": table.define,
        "epochs": min(MOST_EPOCHS[narrow], max(EPOCHS, math.ceil(FEWEST_STEPS[narrow] / steps))),
        "batch_size": BATCH,
        "max_seq_length": min(512, positions, max(32, length)),
        **({"split_file": alone[0].name} if len(alone) == 1 else {}),
    }


def check(task: Path, name: str, run: Any) -> Checked:
    """Reads the task as fine-tuning will. Raises UserError as it would.

    run: the entry of finetune.tasks.
    """
    own = splits.task_of(name, run.define)
    limits = run.split_dev, run.train_examples, run.scored_examples, run.split_file
    data = splits.load_task(task.parent if task.is_file() else task, own, *limits)
    seen = {split: labels_of(one.examples, data.labels) for split, one in data.splits.items()}
    lacking = sorted(set().union(*seen.values()) - seen["train"])
    return Checked(
        {split: len(one.examples) for split, one in data.splits.items()},
        {label: [split for split, labels in seen.items() if label in labels] for label in lacking},
    )


def labels_of(examples: Sequence[Example | Question | Sentence], labels: Sequence[str]) -> set[str]:
    """Those that stand there; of tags, their types."""
    tags = {tag for one in examples if isinstance(one, Sentence) for tag in one.tags}
    return {labels[one.label] for one in examples if isinstance(one, Example)} | {
        tag.partition("-")[2] or tag for tag in tags
    }


def told(table: tables.Table, name: str, checked: Checked, run: Any) -> Iterator[str]:
    """What the task is taken for, and what to set where that is wrong. run: its entry in finetune.tasks."""
    read = ", ".join(f"{field} in {column}" for field, column in table.columns.items()) or "tokens and tags"
    yield f"task {name}: {table.kind}, {len(table.labels)} labels ({listed(table.labels)}); {read}"
    if table.unread:
        yield (
            f"not read: {', '.join(table.unread)}; another column by --set finetune.tasks.{name}.define.columns.FIELD="
            "COLUMN, of which the fields are text, or text_a and text_b, and label"
        )
    divided = f", parts of {run.split_file} by hash" if run.split_file else ""
    yield f"examples: {', '.join(f'{count:,} {split}' for split, count in checked.examples.items())}{divided}"
    if checked.unlearnt:
        lacking = [f"{label} ({', '.join(splits)})" for label, splits in checked.unlearnt.items()]
        yield f"not in train, so that no model can learn it: {listed(lacking)}"


def listed(names: Sequence[str]) -> str:
    return ", ".join([*names[:NAMED_AT_MOST], *(["…"] if names[NAMED_AT_MOST:] else [])])
