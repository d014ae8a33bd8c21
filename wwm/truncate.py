"""A few chosen layers of a bigger model, with its embeddings, pooler and heads: where RBT3 and RBTL3 begin.

Reads   models/SOURCE/
Writes  models/NAME/: config.json, model.safetensors, the tokenizer, training.json (what SOURCE has seen, and that this
        is cut from it)
By hand python -m wwm.truncate NAME
"""

import re
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from wwm.common import files, model_folder, room
from wwm.common.errors import UserError, reading
from wwm.text import tokenization

# Whose layers are called as BERT's.
LIKE_BERT = ("bert", "electra", "ernie")
LAYER = re.compile(r"(.*encoder\.layer\.)(\d+)(\..*)")


def main(name: str) -> None:
    from wwm import params, track

    truncate = params.read().truncate
    model = truncate.models[params.one_of("truncate NAME", name, truncate.models)]
    source, out = Path("models", model.source), Path("models", name)
    with track.run("truncate", name=name, params=model.model_dump(), outs=[out]):
        config = files.read_json(source / "config.json")
        known = isinstance(config, dict) and config.get("model_type") in LIKE_BERT
        if not known or not isinstance(config.get("num_hidden_layers"), int):
            raise UserError(
                f"{source}/config.json is not of a BERT, an ELECTRA or an ERNIE, whose layers can be taken; name"
                f" another model, or run the stage that makes {model.source} again"
            )
        tokenization.load(source)
        for layer in model.layers:
            if layer >= config["num_hidden_layers"]:
                raise UserError(
                    f"truncate.models.{name}.layers: {model.source} has no layer {layer}; it has"
                    f" {config['num_hidden_layers']}, numbered from 0"
                )
        file = source / "model.safetensors"
        with reading(file, SafetensorError, OSError), safe_open(file, "numpy") as weights:
            kept = {new: weights.get_tensor(key) for key in weights.keys() for new in new_names(key, model.layers)}
        there = {int(match[2]) for key in kept if (match := LAYER.fullmatch(key))}
        if lacking := set(range(len(model.layers))) - there:
            raise UserError(
                f"{file} lacks layer {model.layers[min(lacking)]}; run the stage that makes {model.source} again"
            )
        room.check(f"truncate {name}", made=sum(tensor.nbytes for tensor in kept.values()))
        with files.new_folder(out) as folder:
            save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
            files.write_json(folder / "config.json", config | {"num_hidden_layers": len(model.layers)})
            model_folder.copy_tokenizer(source, folder)
            files.write_json(
                folder / "training.json", model_folder.training_history(source) | {"cut_from": model.source}
            )
        print(f"truncate {name}: layers {model.layers} of {model.source}'s {config['num_hidden_layers']}")


def new_names(key: str, layers: list[int]) -> list[str]:
    """What a tensor is called in the cut model: nothing if its layer is dropped, twice if its layer is taken twice."""
    match = LAYER.fullmatch(key)
    if not match:
        return [key]
    before, layer, after = match.groups()
    return [f"{before}{new}{after}" for new, old in enumerate(layers) if old == int(layer)]


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
