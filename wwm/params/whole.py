"""The whole of params.yaml: a section for each stage, and how they fit together."""

import re
from graphlib import CycleError, TopologicalSorter
from itertools import product
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from wwm.common.errors import UserError
from wwm.common.result_files import CHARACTERS
from wwm.params.distill import Distill
from wwm.params.fields import Processors, Section, Seed, one_of
from wwm.params.masks import Mask
from wwm.params.models import Init, Load, Milestones, Truncate
from wwm.params.tasks import TaskStages
from wwm.params.text import TextStages
from wwm.params.training import Cloze, Pretrain, PretrainedModel
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


class ModelStages(Section):
    mask: Mask
    init: Init
    load: Load = Load()
    pretrain: Pretrain
    distill: Distill = Distill()
    milestones: Milestones = Milestones()
    truncate: Truncate = Truncate()
    cloze: Cloze


# pydantic takes the fields of the last base first.
class Params(TaskStages, ModelStages, TextStages, Common):
    """A section that may be empty may be absent."""

    @property
    def trained(self) -> dict[str, PretrainedModel]:
        """All models that are trained here, by a teacher or without, by name."""
        return {**self.pretrain.models, **self.distill.models}

    @property
    def made_from(self) -> dict[str, list[str]]:
        """All models by name, and those that each is made from."""
        begun: dict[str, list[str]] = {name: [] for name in (*self.init.models, *self.load.models)}
        trained = {name: [model.init] for name, model in self.trained.items()}
        kept = {name: [milestone.source] for name, milestone in self.milestones.models.items()}
        cut = {name: [model.source] for name, model in self.truncate.models.items()}
        return begun | trained | kept | cut | {n: [*trained[n], m.teacher] for n, m in self.distill.models.items()}


def check_names(values: Params) -> None:
    """Every model is made once, and what a key refers to is there."""
    seen: dict[str, str] = {}
    for stage in ("init", "load", "pretrain", "distill", "milestones", "truncate"):
        for name in getattr(values, stage).models:
            if name in TAKEN:
                raise UserError(f"{stage}.models.{name}: {TAKEN[name]}; rename it")
            if name in seen:
                raise UserError(
                    f"{stage}.models.{name} is also made by {seen[name]}; both would write models/{name}: rename one"
                )
            seen[name] = stage
    trainable = set(seen) - of_other_vocabularies(values)
    for name, model in values.trained.items():
        key = f"{model.stage}.models.{name}"
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
    check_sources(values)
    check_milestones(values)
    check_teachers(values)
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


def check_sources(values: Params) -> None:
    """Raises UserError where a model is to be read from a folder that a stage makes: DVC empties that first."""
    made = {Path("models", name).resolve() for name in values.made_from}
    for stage, models in (("init", values.init.models), ("load", values.load.models)):
        for name, model in models.items():
            if Path(model.source).resolve() in made:
                raise UserError(
                    f"{stage}.models.{name}.source: {model.source} is made by this very params.yaml, and emptied"
                    " before; give the model that has this name another one, or copy the folder elsewhere"
                )


def of_other_vocabularies(values: Params) -> set[str]:
    """Names of models that were loaded with a vocabulary of their own, and of what is cut of them."""
    own = {name for name, model in values.init.models.items() if model.own_vocabulary}
    return with_cuts(values, {*values.load.models, *own})


def with_cuts(values: Params, found: set[str]) -> set[str]:
    """Names of models, and of what is cut of them."""
    while more := {name for name, cut in values.truncate.models.items() if cut.source in found} - found:
        found = found | more
    return found


def check_milestones(values: Params) -> None:
    """Each is one that its source keeps."""
    for name, milestone in values.milestones.models.items():
        key, source, step = f"milestones.models.{name}", milestone.source, milestone.step
        model = values.trained[one_of(f"{key}.source", source, values.trained)]
        kept = model.milestone_steps
        if not kept:
            raise UserError(f"{key}: {source} keeps no milestones; set {model.stage}.models.{source}.milestones")
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


def check_teachers(values: Params) -> None:
    """Each is a model of the same vocabulary, and has something to teach."""
    fit = set(values.made_from) - of_other_vocabularies(values)
    drawn = with_cuts(values, {name for name, model in values.init.models.items() if model.source == "random"})
    for name, student in values.distill.models.items():
        key = f"distill.models.{name}"
        one_of(f"{key}.teacher", student.teacher, fit - {name})
        if student.teacher in drawn:
            raise UserError(f"{key}.teacher: {student.teacher} has random weights; take a trained model")
        if values.pretrain.fsdp:
            raise UserError(
                f"{key}: a teacher stays whole in each process, and pretrain.fsdp true keeps parts; set that to false"
            )
        if not student.hard_label_weight and values.mask.sets[student.examples].next_sentence_prediction:
            raise UserError(
                f"{key}: hard_label_weight 0 leaves the next sentence head untrained, and mask.sets.{student.examples}"
                " has next_sentence_prediction; set a weight, or take a set without"
            )


def check_circles(values: Params) -> None:
    """Raises UserError where a model is made from itself, by way of others."""
    try:
        TopologicalSorter(values.made_from).prepare()
    except CycleError as error:
        raise UserError(
            f"{' -> '.join(reversed(error.args[1]))}: these models start from each other; let one start from"
            " init.models"
        ) from None


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
