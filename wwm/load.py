"""Models from a folder or the hub as they are, of any architecture and with vocabularies of their own: to be cut,
fine-tuned and compared. It needs no text.

Writes  models/NAME/: config.json, model.safetensors, the tokenizer; training.json, what the model says that it has seen
Reads   load.models.NAME.source
By hand python -m wwm.load NAME
"""

from pathlib import Path

from wwm.common import hub, model_folder
from wwm.common.errors import UserError


def main(name: str) -> None:
    from wwm import params, track
    from wwm.training import released

    values = params.read()
    base, load = values.base, values.load
    model = load.models[params.one_of("load NAME", name, load.models)]
    out, key = Path("models", name), f"load.models.{name}"
    source = hub.folder(model.source, f"{key}.source", released.FILES, hub.CHOICES["load"])
    with track.run("load", name=name, params=model.model_dump() | hub.origin(source), outs=[out]) as run:
        if model.weights_sha256 and model.weights_sha256 != model_folder.weights_hash(source):
            raise UserError(
                f"{key}.weights_sha256: {model.source} has other weights now; write the key anew (`wwm compare` does),"
                " or set it to null"
            )
        n_parameters = released.take_over(source, f"{key}.source: {model.source}", out, base.seed)
        run.log({"parameters": n_parameters})
        print(f"load {name}: {n_parameters:,} parameters, with a vocabulary of its own")


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
