"""How the sizes that params.yaml gives fit together: of models, their inputs, their layers and those of a teacher."""

from itertools import product

from wwm.common.errors import UserError
from wwm.common.sizes import Size, at_most, check_taught
from wwm.params.training import PretrainedModel
from wwm.params.whole import Params

KEYS = ("max_position_embeddings", "num_hidden_layers", "hidden_size")  # of an architecture, as Size has them


def check_sizes(values: Params) -> None:
    """Lengths against positions, layers against layers and widths against widths, wherever a model descends from an
    architecture given here.
    """
    for name, model in values.trained.items():
        at_most(
            f"{model.stage}.models.{name}.phases: max_seq_length",
            longest(model),
            size(values, model.init, "max_position_embeddings"),
            f"positions of {model.init}, which it starts from",
        )
    for name, student in values.distill.models.items():
        sizes = (
            Size(source, *(size(values, source, each) for each in KEYS)) for source in (student.init, student.teacher)
        )
        check_taught(f"distill.models.{name}", longest(student), student.intermediate_matches, *sizes)
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


def longest(model: PretrainedModel) -> int:
    return max(phase.max_seq_length for phase in model.phases)


def size(values: Params, name: str, key: str) -> int | None:
    """`key` of the architecture that models/`name` descends from; None where that is a folder or a hub name."""
    while name not in values.init.models:
        if name in values.load.models:
            return None
        if name in values.truncate.models:
            if key == "num_hidden_layers":
                return len(values.truncate.models[name].layers)
        name = values.made_from[name][0]
    architecture = values.init.models[name].architecture
    return None if architecture is None else getattr(architecture, key)
