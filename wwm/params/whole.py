"""The whole of params.yaml: a section for each stage, and how they fit together."""

import re
from itertools import product
from typing import Annotated

from pydantic import AfterValidator, Field

from wwm.common.errors import UserError
from wwm.common.result_files import CHARACTERS
from wwm.params.fields import Processors, Section, Seed, one_of
from wwm.params.tasks import TaskStages
from wwm.params.text import TextStages
from wwm.params.training import ModelStages
from wwm.tasks.table import TASKS

# Names that no model can have.
TAKEN = {
    "finetuned": "models/finetuned is for fine-tuned models",
    CHARACTERS: "this row of the tables is what counting makes of a task",
}
SHOWN = 10  # of steps that an error lists


def with_port(address: str) -> str:
    """Raises UserError for what is no address of a Dask scheduler."""
    found = re.fullmatch(r"(?:tcp|tls|ws|wss)://[^/:]+:(\d{1,5})", address)
    if not found or not 0 < int(found[1]) < 2**16:
        raise UserError(f"{address!r} is no address of a scheduler; write it as tcp://host:8786, a port below 65536")
    return address


class Base(Section):
    """What every stage reads."""

    seed: Seed = Field(description="Root of every random draw; the same seed and inputs give the same bytes.")
    threads: Processors = Field(
        description="CPU threads of one process; changing it changes floating-point results in the last bits."
    )


class Engine(Section):
    """Where `corpus`, `segment` and `mask` work on their shards. It changes no byte; DVC runs nothing again for it."""

    processes: Processors | None = Field(
        default=None, description="Processes of this machine, each with `base.threads` threads; null for one per core."
    )
    scheduler: Annotated[str, AfterValidator(with_port)] | None = Field(
        default=None,
        description=(
            "A running Dask scheduler, as `tcp://host:8786`, whose workers do the work instead; all of them see this"
            " folder under the same path."
        ),
    )


class Common(Section):
    base: Base
    engine: Engine = Engine()


# pydantic takes the fields of the last base first.
class Params(TaskStages, ModelStages, TextStages, Common):
    """A section that may be empty may be absent."""


def check_names(values: Params) -> None:
    """Every model is made once, and what a key refers to is there."""
    seen: dict[str, str] = {}
    for stage in ("init", "load", "pretrain", "milestones", "truncate"):
        for name in getattr(values, stage).models:
            if name in TAKEN:
                raise UserError(f"{stage}.models.{name}: {TAKEN[name]}; rename it")
            if name in seen:
                raise UserError(
                    f"{stage}.models.{name} is also made by {seen[name]}; both would write models/{name}: rename one"
                )
            seen[name] = stage
    trainable = set(seen) - of_other_vocabularies(values)
    for name, model in values.pretrain.models.items():
        key = f"pretrain.models.{name}"
        one_of(f"{key}.init", model.init, trainable - {name})
        one_of(f"{key}.examples", model.examples, values.mask.sets)
        examples = values.mask.sets[model.examples]
        lengths = {length.max_seq_length: length for length in examples.lengths}
        for i, phase in enumerate(model.phases):
            one_of(f"{key}.phases.{i}.max_seq_length", phase.max_seq_length, lengths)
            if not phase.masked_lm_prob:
                continue
            if examples.masking != "dynamic":
                raise UserError(
                    f"{key}.phases.{i}.masked_lm_prob {phase.masked_lm_prob} needs masks that are drawn while training,"
                    f" and mask.sets.{model.examples}.masking is {examples.masking}; set it to dynamic, or this key to"
                    " null"
                )
            try:
                lengths[phase.max_seq_length].allow(max(phase.masked_lm_prob))
            except UserError as error:
                raise UserError(f"{key}.phases.{i}: mask.sets.{model.examples}: {error}") from None
    check_milestones(values)
    for name, cut in values.truncate.models.items():
        one_of(f"truncate.models.{name}.source", cut.source, set(seen) - {name})
    finetune = values.finetune
    for name, task in finetune.tasks.items():
        if task.define is None and name not in TASKS:
            raise UserError(
                f"finetune.tasks.{name} is none of {', '.join(TASKS)}; describe your own by"
                f" finetune.tasks.{name}.define"
            )
        if task.define is not None and name in TASKS:
            raise UserError(
                f"finetune.tasks.{name}.define: {name} is in the table of tasks already; give your own another name"
            )
    cells(values)
    for name in values.characters.tasks:
        one_of("characters.tasks", name, finetune.tasks)
        kind = (finetune.tasks[name].define or TASKS[name]).kind
        if kind == "reading":
            raise UserError(f"characters.tasks.{name}: counting gives labels, and a reading task has none; remove it")
    for name in values.overlap.tasks:
        one_of("overlap.tasks", name, finetune.tasks)
    lists = {"fetch.tasks": TASKS, "cloze.models": trainable, "finetune.models": seen}
    rows = {*finetune.models, *values.cloze.models, *([CHARACTERS] if values.characters.tasks else [])}
    lists |= {"scores.models": rows, "scores.tasks": finetune.tasks}
    for key, allowed in lists.items():
        section, field = key.split(".")
        for name in getattr(getattr(values, section), field):
            one_of(key, name, allowed)
    one_of("scores.baseline", values.scores.baseline, {*values.scores.models} - {CHARACTERS})
    for i, pairs in enumerate(values.scores.pairs):
        for name in (*pairs.models, *pairs.against):
            one_of(f"scores.pairs.{i}", name, values.scores.models)


def of_other_vocabularies(values: Params) -> set[str]:
    """Names of models that were loaded with a vocabulary of their own, and of what is cut of them."""
    found = {*values.load.models, *(name for name, model in values.init.models.items() if model.own_vocabulary)}
    while more := {name for name, cut in values.truncate.models.items() if cut.source in found} - found:
        found |= more
    return found


def check_milestones(values: Params) -> None:
    """Each is one that its source keeps."""
    for name, milestone in values.milestones.models.items():
        key, source, step = f"milestones.models.{name}", milestone.source, milestone.step
        kept = values.pretrain.models[one_of(f"{key}.source", source, values.pretrain.models)].milestone_steps
        if not kept:
            raise UserError(f"{key}: {source} keeps no milestones; set pretrain.models.{source}.milestones")
        if step not in kept:
            raise UserError(
                f"{key}.step: {step} is none of {source}'s milestones, which are {told(kept)}; after its last step it"
                f" is models/{source} itself"
            )


def told(steps: range) -> str:
    """All, or of more than SHOWN some and the last one."""
    if len(steps) <= SHOWN:
        return ", ".join(map(str, steps))
    return f"{told(steps[: SHOWN - 1])}, ..., {steps[-1]}"


def cells(values: Params) -> dict[str, tuple[str, str]]:
    """MODEL-TASK, as DVC calls a fine-tuning, -> (MODEL, TASK). Raises UserError where two are called the same."""
    found: dict[str, tuple[str, str]] = {}
    for model, task in product(values.finetune.models, values.finetune.tasks):
        name = f"{model}-{task}"
        if name in found:
            one, other = found[name]
            raise UserError(
                f"finetune: DVC would call {one} on {other} and {model} on {task} both finetune@{name}; rename one of"
                " them"
            )
        found[name] = model, task
    return found


def check_sizes(values: Params) -> None:
    """Lengths against positions and kept layers against layers, wherever a model descends from an architecture given
    here.
    """
    for name, model in values.pretrain.models.items():
        longest, limit = (
            max(phase.max_seq_length for phase in model.phases),
            size(values, name, "max_position_embeddings"),
        )
        at_most(
            f"pretrain.models.{name}.phases: max_seq_length",
            longest,
            limit,
            "positions of the model that it starts from",
        )
    for name, cut in values.truncate.models.items():
        last, layers = max(cut.layers), size(values, cut.source, "num_hidden_layers")
        if layers is not None and last >= layers:
            raise UserError(
                f"truncate.models.{name}.layers: {cut.source} has no layer {last}; it has {layers}, numbered from 0"
            )
    for name in values.cloze.models:
        at_most(
            "cloze.max_seq_length",
            values.cloze.max_seq_length,
            size(values, name, "max_position_embeddings"),
            f"positions of {name}",
        )
    for name, task in product(values.finetune.models, values.finetune.tasks):
        limit = size(values, name, "max_position_embeddings")
        at_most(
            f"finetune.tasks.{task}.max_seq_length",
            values.finetune.tasks[task].max_seq_length or 0,
            limit,
            f"positions of {name}",
        )


def size(values: Params, name: str, key: str) -> int | None:
    """`key` of the architecture that models/`name` descends from; None where that is a folder or a hub name. Raises
    UserError for a circle.
    """
    passed: list[str] = []
    while name not in values.init.models:
        if name in values.load.models:
            return None
        if name in passed:
            raise UserError(
                f"{' -> '.join([*passed, name])}: these models start from each other; let one start from init.models"
            )
        passed.append(name)
        if name in values.milestones.models:
            name = values.milestones.models[name].source
        elif name in values.truncate.models:
            if key == "num_hidden_layers":
                return len(values.truncate.models[name].layers)
            name = values.truncate.models[name].source
        else:
            name = values.pretrain.models[name].init
    architecture = values.init.models[name].architecture
    return None if architecture is None else getattr(architecture, key)


def at_most(what: str, value: int, limit: int | None, of: str) -> None:
    if limit is not None and value > limit:
        raise UserError(
            f"{what} {value} is more than the {limit} {of}; lower it, or raise the architecture where the model begins"
        )
