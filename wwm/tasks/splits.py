"""The files of a task as their makers lay them out -> labelled examples, whatever the layout.

A task is a folder with one file for each split, whose name has the split's word in it (`train`, `dev` or `val`, `test`,
`challenge`); wwm/tasks/rows.py reads it by its ending. THUCNews may be one folder of texts for each label.
"""

import hashlib
import re
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from wwm.common import files
from wwm.common.errors import UserError
from wwm.tasks import tagged
from wwm.tasks.metrics import CLASSIFICATION, usual
from wwm.tasks.questions import Question
from wwm.tasks.rows import Example, Split, Unlabelled, read, read_questions, read_unlabelled, spellings
from wwm.tasks.table import named_task
from wwm.tasks.tags import Sentence, of_types
from wwm.tasks.task import Task, own_task

WORDS = {
    "train": "train(ing)?",
    "dev": "dev(elopment)?|val(id|idation)?",
    "test": "test(ing)?",
    "challenge": "challenge",
}
ENDINGS = (".tsv", ".txt", ".csv", ".json", ".jsonl", ".parquet", ".data")
# Of a tagging task besides: as in msra_train_bio, example.train and train.char.bmes.
TAGGED = ("", ".train", ".dev", ".test", ".conll", ".bio", ".bioes", ".bmes", ".char", ".ner")
CLASSES = "class.txt"  # labels that a file gives by their number, one a line
BY_LABEL = {"train": 5000, "dev": 500, "test": 1000}  # of each label, where a folder per label is not split


class Data(NamedTuple):
    """A task as it lies in its folder. `missing`: reason, of each scored split that is not there; `reduced`: in what
    these are not the official data; `duplicates`: different texts of one split that stand in another, as `dev in
    train`; `unlabelled`: splits that are there without labels, to be predicted.
    """

    labels: tuple[str, ...]
    splits: dict[str, Split]
    missing: dict[str, str]
    reduced: list[str]
    duplicates: dict[str, int]
    unlabelled: dict[str, Split]
    spellings: dict[str, str]  # of labels in the files -> the label


def task_of(name: str, define: Any) -> Task:
    """The task `name` of the table, or as `define` in params.yaml has it."""
    if define is None:
        return named_task(name)
    labels = of_types(define.labels, define.scheme) if define.scheme else tuple(define.labels)
    metric = define.metric or usual(define.kind, labels)
    return own_task(name, define.kind, labels, define.columns, tuple(define.ignored_labels), metric)


def load_given(task: Task, given: Any) -> Data:
    """All splits of a task in data/tasks, of which `given` in finetune.tasks says what is read."""
    what = given.split_dev, given.train_examples, given.scored_examples, given.split_file
    return load_task(Path("data/tasks", task.name), task, *what)


def load_task(
    folder: Path,
    task: Task,
    split_dev: bool,
    train_examples: int | None,
    scored_examples: int | None,
    split_file: str | None = None,
) -> Data:
    """All splits of a task.

    split_file: a file there that is divided by hash into train, dev and test, and read alone; split_dev: where train is
    missing, dev is divided by hash into train, dev and, if that is missing too, test;
    train_examples, scored_examples: at most so many of train and of each scored split, chosen by hash. Raises UserError
    that names file, line and remedy.
    """
    own_labels, names = own_names(folder, task)
    missing: dict[str, str] = {}
    unlabelled: dict[str, Split] = {}
    paths = files_of(folder, task, split_file)
    if not paths:
        splits, reduced = read_folders(folder, names), ["splits drawn by hash"]
    else:
        splits = {}
        for split in (split for split in WORDS if split in paths and split in ("train", *task.splits)):
            try:
                splits[split] = read_split(paths[split], task, names, own_labels)
            except Unlabelled as error:
                if split in ("train", "dev"):
                    raise
                missing[split] = f"its file has no labels ({error})"
                bare = read_split(paths[split], task, names, own_labels, labelled=False)
                if bare.examples:
                    unlabelled[split] = bare
                told = "predicted and not scored" if bare.examples else "not scored"
                print(f"task {task.name}: {split} is {told}, {missing[split]}", flush=True)
        reduced = unlike_official(task, splits, paths)
    reduced += [f"the labels of {CLASSES}"] if own_labels and names != task.labels else []
    if split_file:
        splits = divided(splits["train"], ("train", "dev", "test"))
        reduced.append(f"train, dev and test are parts of {split_file}, by hash")
    if split_dev and "dev" in splits and "train" not in splits:
        parts = ("train", "dev") if "test" in splits else ("train", "dev", "test")
        splits |= divided(splits["dev"], parts)
        reduced.append(f"{', '.join(parts[:-1])} and {parts[-1]} are parts of the dev set, by hash")
    if "train" not in splits:
        raise UserError(
            f"{folder} has no train file; get it from {task.source} (licence: {task.licence}), or set"
            f" finetune.tasks.{task.name}.split_dev to true to train on a part of dev, which no published score is"
            " compared with"
        )
    if "dev" not in splits:
        raise UserError(
            f"{folder} has no dev file, by which seeds and learning rates are compared; get it from {task.source}, or"
            f" divide train by hash: finetune.tasks.{task.name}.split_file: {paths['train'][0].name}"
        )
    for split, found in splits.items():
        if not found.examples:
            raise UserError(
                f"{folder}: nothing is left for {split} of {found.file}; it needs more texts that differ, or a {split}"
                " file of its own"
            )
    for split, limit in ((split, train_examples if split == "train" else scored_examples) for split in list(splits)):
        if limit and len(splits[split].examples) > limit:
            reduced.append(f"{limit:,} of {len(splits[split].examples):,} examples of {split}")
            splits[split] = splits[split]._replace(examples=chosen(splits[split].examples, limit, split))
    different = {split: {texts(e) for e in splits[split].examples} for split in WORDS if split in splits}
    duplicates = {
        f"{one} in {other}": len(different[one] & different[other]) for other, one in combinations(different, 2)
    }
    missing |= {
        split: task.hidden.get(split, f"{folder} has no {split} file")
        for split in task.splits
        if split not in {**splits, **missing}
    }
    return Data(names, splits, missing, reduced, duplicates, unlabelled, spellings(task, names, own_labels))


def read_split(paths: list[Path], task: Task, names: tuple[str, ...], own_labels: bool, labelled: bool = True) -> Split:
    """The examples, questions or sentences of one split, with labels or without."""
    match task.kind:
        case "reading":
            return read_questions(paths, task, labelled)
        case "tagging":
            return tagged.read(paths, task, names, labelled)
    return (read if labelled else read_unlabelled)(paths, task, names, own_labels)


def unlike_official(task: Task, splits: dict[str, Split], paths: dict[str, list[Path]]) -> list[str]:
    """In what files are not those that the table knows, by their bytes or by how many examples they have; nothing of a
    task without known files.
    """
    if not task.sizes and not task.sha256:
        return []
    found = []
    for split, read_split in splits.items():
        known = {Path(name).suffix: digest for name, digest in task.sha256.items() if split_of(name) == split}
        compared = [path for path in paths[split] if known.get(path.suffix)]
        if other := [path for path in compared if hashlib.sha256(path.read_bytes()).hexdigest() != known[path.suffix]]:
            found.append(f"{other[0].name} is not the official {split} file")
        count, official = len(read_split.examples), task.sizes.get(split)
        if official not in (None, count):
            found.append(f"{split} of {count:,} examples instead of {official:,}")
        if official is None and not compared and not any(path.name in task.sha256 for path in paths[split]):
            found.append(f"{split} is not known to be the official one")
    return found


def texts(example: Example | Question | Sentence) -> tuple[str, ...]:
    """What makes two examples the same, whatever their labels: a question has its context first."""
    match example:
        case Question():
            return example.context, example.question
        case Sentence():
            return (example.text,)
    return example.texts


def divided(dev: Split, names: tuple[str, ...]) -> dict[str, Split]:
    """The splits `names` out of one: a fifth for each but the first; those with the same first text, or context, stay
    together.
    """
    parts: dict[str, list] = {name: [] for name in names}
    for example in dev.examples:
        fifth = int(5 * share(texts(example)[0]))
        parts[names[0] if fifth < 6 - len(names) else names[fifth - 5]].append(example)
    return {name: dev._replace(examples=examples) for name, examples in parts.items()}


def chosen(examples: list, count: int, split: str) -> list:
    """`count` of the examples, by hash, in their order; other ones in each split, lest a text that stands in two be
    taken twice.
    """
    order = sorted(range(len(examples)), key=lambda i: (share("\n".join((split, *texts(examples[i])))), i))
    return [examples[i] for i in sorted(order[:count])]


def own_names(folder: Path, task: Task) -> tuple[bool, tuple[str, ...]]:
    """Whether class.txt names the labels, and the labels."""
    path = folder / CLASSES
    if task.kind not in CLASSIFICATION or not path.is_file():
        return False, task.labels
    return True, tuple(line.strip() for line in files.lines(path) if line.strip())


def files_of(folder: Path, task: Task, split_file: str | None = None) -> dict[str, list[Path]]:
    """The files of each split, or the one that is to be divided; {} of a folder that has one of texts for each label.
    Raises UserError where they are not there.
    """
    if split_file is None:
        labelled = task.kind in CLASSIFICATION and any((folder / name).is_dir() for name in own_names(folder, task)[1])
        return {} if labelled else find(folder, task)
    if not (folder / split_file).is_file():
        key = f"finetune.tasks.{task.name}.split_file"
        raise UserError(f"{folder / split_file} does not exist; {key} names a file there")
    return {"train": [folder / split_file]}


def find(folder: Path, task: Task) -> dict[str, list[Path]]:
    """The files of each split that is there (several are the parts of one). Raises UserError where a split has two
    candidates, or nothing is there.
    """
    where = f"task {task.name}: its home is {task.source} (licence: {task.licence})"
    if not folder.is_dir():
        remedy = f", or fetch them by fetch.tasks.{task.name}" if task.hub else ""
        raise UserError(f"{folder} does not exist; put train, dev and test files there{remedy}. {where}")
    endings = (*ENDINGS, *(TAGGED if task.kind == "tagging" else ()))
    found: dict[str, list[Path]] = {}
    for path in sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in endings and not path.is_dir() and path.name != CLASSES and path.name[0] != "."
    ):
        if split := split_of(path.name):
            files.check_ends(path)
            found.setdefault(split, []).append(path)
    for split, paths in found.items():
        # As in train-00000-of-00002.parquet.
        if len({re.sub(r"\d{5}-of-\d{5}", "", path.name) for path in paths}) > 1:
            raise UserError(
                f"{folder} has {len(paths)} files for {split}: {', '.join(path.name for path in paths)}; leave one"
            )
    if not found:
        names = sorted(path.name for path in folder.iterdir())
        readable = [name for name in names if Path(name).suffix.lower() in endings and name != CLASSES]
        whole = f"; finetune.tasks.{task.name}.split_file: {readable[0]} divides that by hash" if readable else ""
        raise UserError(
            f"{folder} has no train, dev or test file ({' '.join(filter(None, endings))}), but"
            f" {', '.join(names[:5]) or 'nothing'}{whole}. {where}"
        )
    return found


def split_of(name: str) -> str | None:
    return next(
        (split for split, words in WORDS.items() if re.search(rf"(?<![a-z])({words})(set)?(?![a-z])", name.lower())),
        None,
    )


def read_folders(folder: Path, names: tuple[str, ...]) -> dict[str, Split]:
    """Splits of a folder that has one folder of texts for each label: by hash, as many of each label as the authors'
    had.
    """
    found: dict[str, list[Example]] = {split: [] for split in BY_LABEL}
    for label, name in enumerate(names):
        texts = sorted((folder / name).glob("*.txt"), key=lambda path: share(path.name))
        if not texts:
            raise UserError(f"{folder / name} has no texts; task needs a folder for each of {', '.join(names)}")
        begin = 0
        for split, count in BY_LABEL.items():
            # A small sample keeps the proportions.
            end = begin + min(count, len(texts) * count // sum(BY_LABEL.values()))
            found[split] += [Example((article(path),), label, f"{name}/{path.name}") for path in texts[begin:end]]
            begin = end
    return {split: Split(examples, f"{folder}/*", {}) for split, examples in found.items()}


def article(path: Path) -> str:
    text = "\n".join(files.lines(path)).strip()
    if not text:
        raise UserError(f"{path} is empty; remove it")
    return text


def share(text: str) -> float:
    """A number from 0 to 1 that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
