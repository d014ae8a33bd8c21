"""Where models begin: random weights of a given architecture, or a model from a folder or the hub.

Reads   data/vocab/
Writes  models/NAME/: config.json, model.safetensors, the tokenizer; training.json (steps and tokens seen) of a random model
By hand python -m wwm.init NAME
"""

import shutil
from pathlib import Path

from wwm import files, hub


def main(name: str) -> None:
    import torch
    from transformers import BertConfig, BertForPreTraining
    from transformers.utils import logging

    from wwm import params, track

    logging.disable_progress_bar()
    base, init = params.load("init")
    model = init.models[params.one_of("init NAME", name, init.models)]
    out = Path("models", name)
    with track.run("init", name=name, params=model.model_dump(), outs=[out]) as run:
        vocabulary = list(files.lines("data/vocab/vocab.txt"))
        # Also what a loaded model lacks starts from this.
        torch.manual_seed(base.seed)
        if model.source == "random":
            bert = BertForPreTraining(BertConfig(vocab_size=len(vocabulary), **model.architecture.model_dump()))
        else:
            key, choices = f"init.models.{name}.source", "`random`, a model folder or a hub name"
            source = hub.folder(model.source, key, ["config.json", "*.safetensors", "pytorch_model.bin", "vocab.txt"], choices)
            try:
                bert, loading = BertForPreTraining.from_pretrained(source, dtype=torch.float32, output_loading_info=True)
            except OSError as error:
                raise ValueError(f"{key}: {model.source} gives no BERT model ({str(error).splitlines()[0]}); use {choices}") from None
            own = list(files.lines(source / "vocab.txt")) if (source / "vocab.txt").is_file() else None
            if bert.config.vocab_size != len(vocabulary) or own not in (None, vocabulary):
                raise ValueError(
                    f"{key}: {model.source} has a vocabulary of {bert.config.vocab_size} entries, data/vocab another one of {len(vocabulary)}; "
                    f"set vocab.source to {model.source} too"
                )
            missing = sorted(loading["missing_keys"])
            if missing:
                print(f"{model.source} lacks these tensors, which start at random: {', '.join(missing)}")
            if untrained := untrained_head(bert):
                given = (
                    ""
                    if set(untrained) & set(missing)
                    else f"{model.source} has an MLM head that was never trained: {', '.join(untrained)} are as in a new one. "
                )
                print(f"{given}Warm the head up by a first phase with `train: mlm_head`, which leaves the encoder as it is")
        with files.new_folder(out) as folder:
            bert.save_pretrained(folder)
            for file in Path("data/vocab").iterdir():
                shutil.copy(file, folder)
            # transformers cuts a text to this length if asked to cut.
            tokenizer = folder / "tokenizer_config.json"
            files.write_json(tokenizer, files.read_json(tokenizer) | {"model_max_length": bert.config.max_position_embeddings})
            if model.source == "random":
                files.write_json(folder / "training.json", {"steps": 0, "tokens": 0})
        n_parameters = sum(p.numel() for p in bert.parameters())
        run.log({"parameters": n_parameters})
        print(f"init {name}: {n_parameters:,} parameters")


def untrained_head(bert) -> list[str]:
    """Tensors of the MLM head if all of them that begin as ones or zeros still are; [] for a head that was trained, which moves each of them."""
    begins = {
        name: float(name.endswith("LayerNorm.weight")) for name, _ in bert.cls.predictions.named_parameters() if "LayerNorm" in name or name.endswith("bias")
    }
    tensors = dict(bert.cls.predictions.named_parameters())
    return sorted(f"cls.predictions.{name}" for name in begins) if all(bool((tensors[name] == value).all()) for name, value in begins.items()) else []


if __name__ == "__main__":
    from wwm import command

    command.run(main)
