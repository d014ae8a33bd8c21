"""How the sizes that params.yaml gives fit together: of models, their inputs, their layers and those of a teacher."""

from itertools import product

from wwm.common.errors import UserError
from wwm.params.whole import Params


def check_sizes(values: Params) -> None:
    """Lengths against positions, layers against layers and widths against widths, wherever a model descends from an
    architecture given here.
    """
    for name, model in values.trained.items():
        key = f"{model.stage}.models.{name}"
        longest = max(phase.max_seq_length for phase in model.phases)
        for source, called in zip(values.made_from[name], ("the model that it starts from", "its teacher")):
            limit = size(values, source, "max_position_embeddings")
            at_most(f"{key}.phases: max_seq_length", longest, limit, f"positions of {called}")
    for name, student in values.distill.models.items():
        for i, match in enumerate(student.intermediate_matches):
            key = f"distill.models.{name}.intermediate_matches.{i}"
            for layer, source in (("layer_S", student.init), ("layer_T", student.teacher)):
                layers = size(values, source, "num_hidden_layers")
                at_most(f"{key}.{layer}", getattr(match, layer), layers, f"layers of {source}")
            own, wanted = (size(values, source, "hidden_size") for source in (student.init, student.teacher))
            if own and wanted and (match.proj[1:] != [own, wanted] if match.proj else own != wanted):
                raise UserError(
                    f"{key}.proj: {student.init} is {own} wide, {student.teacher} {wanted}; write proj: [linear, {own},"
                    f" {wanted}]"
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


def at_most(what: str, value: int, limit: int | None, of: str) -> None:
    if limit is not None and value > limit:
        raise UserError(
            f"{what} {value} is more than the {limit} {of}; lower it, or raise the architecture where the model begins"
        )
