"""Where models begin: random weights of a given architecture, or a model from a folder or the hub.

Reads   data/vocab/
Writes  models/NAME/: config.json, model.safetensors, the tokenizer; training.json (steps and tokens seen) of a random
        model
By hand python -m wwm.init NAME
"""

import shutil
from pathlib import Path

from wwm.common import files, hub, model_folder
from wwm.common.errors import UserError

PATTERNS = ("config.json", "*.safetensors", "pytorch_model.bin")
TOKENIZER = (
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "sentencepiece.bpe.model",
)


def main(name: str) -> None:
    import torch
    from transformers import BertConfig, BertForPreTraining
    from transformers.utils import logging

    from wwm import params, track
    from wwm.training.head import untrained_head

    logging.disable_progress_bar()
    values = params.read()
    base, init = values.base, values.init
    model = init.models[params.one_of("init NAME", name, init.models)]
    out, key, choices = Path("models", name), f"init.models.{name}.source", "`random`, a model folder or a hub name"
    source = None if model.source == "random" else hub.folder(model.source, key, [*PATTERNS, *TOKENIZER], choices)
    with track.run(
        "init", name=name, params=model.model_dump() | (hub.origin(source) if source else {}), outs=[out]
    ) as run:
        if model.own_vocabulary:
            n_parameters = take_over(source, f"{key}: {model.source}", out)
            run.log({"parameters": n_parameters})
            print(f"init {name}: {n_parameters:,} parameters, with a vocabulary of its own")
            return
        vocabulary = list(files.lines("data/vocab/vocab.txt"))
        # Also what a loaded model lacks starts from this.
        torch.manual_seed(base.seed if model.seed is None else model.seed)
        if source is None:
            bert = BertForPreTraining(BertConfig(vocab_size=len(vocabulary), **model.architecture.model_dump()))
        else:
            try:
                bert, loading = BertForPreTraining.from_pretrained(
                    source, dtype=torch.float32, output_loading_info=True
                )
            except OSError as error:
                raise UserError(
                    f"{key}: {model.source} gives no BERT model ({str(error).splitlines()[0]}); use {choices}"
                ) from None
            own = list(files.lines(source / "vocab.txt")) if (source / "vocab.txt").is_file() else None
            if bert.config.vocab_size != len(vocabulary) or own not in (None, vocabulary):
                raise UserError(
                    f"{key}: {model.source} has a vocabulary of {bert.config.vocab_size} entries, data/vocab another"
                    f" one of {len(vocabulary)}; set vocab.source to {model.source} too"
                )
            missing = sorted(loading["missing_keys"])
            if missing:
                print(f"{model.source} lacks these tensors, which start at random: {', '.join(missing)}")
            if untrained := untrained_head(bert):
                given = (
                    ""
                    if set(untrained) & set(missing)
                    else (
                        f"{model.source} has an MLM head that was never trained: {', '.join(untrained)} are as in a new"
                        " one. "
                    )
                )
                print(
                    f"{given}Warm the head up by a first phase with `train: mlm_head`, which leaves the encoder as"
                    " it is"
                )
        with files.new_folder(out) as folder:
            bert.save_pretrained(folder)
            model_folder.copy_tokenizer(Path("data/vocab"), folder)
            # transformers cuts a text to this length if asked to cut.
            tokenizer = folder / "tokenizer_config.json"
            files.write_json(
                tokenizer, files.read_json(tokenizer) | {"model_max_length": bert.config.max_position_embeddings}
            )
            if source is None:
                files.write_json(folder / "training.json", {"steps": 0, "tokens": 0})
        n_parameters = sum(p.numel() for p in bert.parameters())
        run.log({"parameters": n_parameters})
        print(f"init {name}: {n_parameters:,} parameters")


def take_over(source: Path, named: str, out: Path) -> int:
    """Copies a model of any architecture with its own tokenizer, for fine-tuning; its parameters.

    Raises UserError if the folder holds no model, no tokenizer that transformers can write as one file, or another
    vocabulary than the weights have.
    """
    from transformers import AutoModel, AutoTokenizer

    try:
        model, loading = AutoModel.from_pretrained(source, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{named} is no model with weights and tokenizer ({str(error).splitlines()[0]}); a folder has config.json,"
            " model.safetensors and vocab.txt"
        ) from None
    missing = sorted(loading["missing_keys"])
    if lacks := [name for name in missing if "pooler" not in name]:
        raise UserError(
            f"{named} lacks {len(lacks)} tensors of its model, first {lacks[0]}; its weights and its config.json belong"
            " to different models"
        )
    if lacking := [token for token in ("[CLS]", "[SEP]", "[UNK]") if token not in tokenizer.get_vocab()]:
        raise UserError(
            f"{named} has no {lacking[0]} in its vocabulary; models that are compared here have BERT's special tokens"
        )
    if len(tokenizer) > model.config.vocab_size:
        raise UserError(
            f"{named} has a vocabulary of {len(tokenizer)} entries and weights for {model.config.vocab_size}; its"
            " tokenizer is another model's"
        )
    if missing:
        print(
            f"{named} has no pooler ({', '.join(missing)}): it can be fine-tuned on reading, and not on classification"
        )
    with files.new_folder(out) as folder:
        # What is random now is left out, so that classification, which needs a pooler, can name it.
        model.save_pretrained(
            folder, state_dict={name: tensor for name, tensor in model.state_dict().items() if name not in missing}
        )
        tokenizer.save_pretrained(folder)
        if (source / "training.json").is_file():
            shutil.copy(source / "training.json", folder)
        if not (folder / "tokenizer.json").is_file():
            raise UserError(
                f"{named} has a tokenizer that exists in Python only ({type(tokenizer).__name__}); use a model with a"
                " fast one"
            )
    return sum(parameter.numel() for parameter in model.parameters())


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
