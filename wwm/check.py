"""What stages will ask for and cannot have: text, words, models, data of tasks. All of it at once, before one runs."""

from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

from wwm.common import hub
from wwm.common.errors import UserError
from wwm.params import Params
from wwm.tasks import splits
from wwm.tasks.table import named_task
from wwm.text import download, sources


def problems(values: Params, stages: Collection[str], made: Collection[Path]) -> list[str]:
    """A line for each thing that one of `stages`, as DVC calls them, would stop at. made: files and folders here that
    these stages write themselves.

    Nothing is downloaded, and what a file holds is not read.
    """
    found = []
    for ask in asked(values, stages, made):
        try:
            ask()
        except UserError as error:
            found.append(str(error))
    return list(dict.fromkeys(found))


def asked(values: Params, stages: Collection[str], made: Collection[Path]) -> Iterator[Callable[[], object]]:
    """What raises UserError where something is not to be had."""
    if "corpus" in stages:
        folder = Path(values.corpus.folder)
        for name, source in values.corpus.sources.items():
            key = f"corpus.sources.{name}"
            if source.dataset:
                yield partial(hub.check, source.dataset, key, hub.CHOICES["corpus"], "dataset")
            elif download.is_url(source.files):
                yield partial(download.check, source.files, key, source.sha1)
            elif is_here(folder, made):
                yield partial(sources.find, folder, key, source)
    if "segmenter" in stages and values.segmenter.source != "train":
        yield partial(hub.check, values.segmenter.source, "segmenter.source", hub.CHOICES["segmenter"])
    if "segment" in stages and (dictionary := values.segment.dictionary):
        yield partial(check_file, "segment.dictionary", dictionary)
    if "vocab" in stages and values.vocab.source != "train" and not Path(values.vocab.source).is_file():
        yield partial(hub.check, values.vocab.source, "vocab.source", hub.CHOICES["vocab"])
    if "vocab" in stages and isinstance(given := values.vocab.add, str):
        yield partial(check_file, "vocab.add", given)
    for name, model in values.init.models.items():
        if f"init@{name}" in stages and model.source != "random":
            yield partial(hub.check, model.source, f"init.models.{name}.source", hub.CHOICES["init"])
    for name, released in values.load.models.items():
        if f"load@{name}" in stages:
            yield partial(hub.check, released.source, f"load.models.{name}.source", hub.CHOICES["load"])
    for name, given in values.fetch.tasks.items():
        if f"fetch@{name}" in stages and (known := named_task(name).hub):
            data = known.name if given == "hub" else given
            yield partial(hub.check, data, f"fetch.tasks.{name}", hub.CHOICES["fetch"], "dataset")
    for name, task in values.finetune.tasks.items():
        folder = Path("data/tasks", name)
        readers = {
            f"characters@{name}",
            f"overlap@{name}",
            *(f"finetune@{model}-{name}" for model in values.finetune.models),
        }
        if readers & {*stages} and is_here(folder, made):
            yield partial(splits.files_of, folder, splits.task_of(name, task.define), task.split_file)


def is_here(folder: Path, made: Collection[Path]) -> bool:
    """Whether it is there to be looked into; what is missing altogether, DVC's graph tells."""
    return folder.exists() and not {folder, *folder.parents} & {*made}


def check_file(key: str, path: str) -> None:
    if not Path(path).is_file():
        raise UserError(f"{key}: {path} does not exist; write it, or set the key to null")
