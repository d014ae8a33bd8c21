"""Where models begin: random weights of a given architecture, or a model from a folder or the hub.

Reads   data/vocab/
Writes  models/NAME/: config.json, model.safetensors, the tokenizer; training.json (what the model has seen, heads that
        were never trained)
By hand python -m wwm.init NAME
"""

from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from wwm.common import files, hub, model_folder
from wwm.common.errors import UserError

if TYPE_CHECKING:
    from wwm.training import weights

PATTERNS = ("config.json", "bert_config.json", "*.safetensors", "pytorch_model*.bin", "*.index.json")
VOCABULARIES = ("vocab.txt", "tokenizer.json", "sentencepiece.bpe.model", "spiece.model")
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
    from wwm.training import weights
    from wwm.training.head import untrained_heads

    logging.disable_progress_bar()
    values = params.read()
    base, init = values.base, values.init
    model = init.models[params.one_of("init NAME", name, init.models)]
    out, key, choices = Path("models", name), f"init.models.{name}.source", hub.CHOICES["init"]
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
        named, loaded = f"{key}: {model.source}", None
        if source is None:
            config = BertConfig(vocab_size=len(vocabulary), **model.architecture.model_dump())
        else:
            own = weights.entries(source, named)
            loaded = weights.bert(source, named, len(own))
            if own != vocabulary:
                line, (one, other) = next(
                    (n, pair) for n, pair in enumerate(zip_longest(own, vocabulary), 1) if pair[0] != pair[1]
                )
                raise UserError(
                    f"{named} has a vocabulary of {len(own)} entries, data/vocab another one of {len(vocabulary)}: line"
                    f" {line} is {one!r} and {other!r}; set vocab.source to {model.source} too"
                )
            config = loaded.config
        # Also what a loaded model lacks starts from this.
        torch.manual_seed(base.seed if model.seed is None else model.seed)
        bert = BertForPreTraining(config)
        if loaded:
            bert.load_state_dict(loaded.tensors, strict=False)
        untrained = untrained_heads(bert, loaded.lacking if loaded else ())
        if loaded:
            tell(model.source, loaded, untrained)
        with files.new_folder(out) as folder:
            bert.save_pretrained(folder)
            model_folder.copy_tokenizer(Path("data/vocab"), folder)
            # transformers cuts a text to this length if asked to cut.
            tokenizer = folder / "tokenizer_config.json"
            files.write_json(
                tokenizer, files.read_json(tokenizer) | {"model_max_length": bert.config.max_position_embeddings}
            )
            seen = dict.fromkeys(model_folder.COST, None if loaded else 0)
            files.write_json(folder / "training.json", seen | {"untrained": untrained})
        n_parameters = sum(p.numel() for p in bert.parameters())
        run.log({"parameters": n_parameters})
        print(f"init {name}: {n_parameters:,} parameters")


def tell(source: str, loaded: "weights.Bert", untrained: list[str]) -> None:
    """What is not as it was in `source`, and what was not trained there."""
    for line in loaded.told:
        print(f"{source}: {line}")
    if loaded.lacking:
        print(f"{source} lacks these tensors, which start at random: {', '.join(loaded.lacking)}")
    if model_folder.MLM_HEAD in untrained:
        drawn = any(name.startswith(model_folder.MLM_HEAD) for name in loaded.lacking)
        saved = "" if drawn else f"{source} has an MLM head that was never trained: it is as in a new model. "
        print(
            f"{saved}Warm the head up by a first phase with `train: mlm_head`, which leaves the encoder as it is; until"
            " it is trained, `cloze` marks what the model says"
        )


def take_over(source: Path, named: str, out: Path) -> int:
    """Copies a model of any architecture with its own tokenizer, for fine-tuning; its parameters.

    Raises UserError if the folder holds no model, no tokenizer that transformers can write as one file, or another
    vocabulary than the weights have.
    """
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    from wwm.training import weight_files, weights

    logging.set_verbosity_error()  # else a table of the heads that are left out; what matters of it is told below

    # transformers looks into the same files; what is wrong with them is told here.
    weight_files.check_finite(weight_files.read(source, named), named)
    model, loading = weight_files.from_pretrained(AutoModel, source, named)
    # transformers would make a tokenizer of special tokens alone, which reads all else as [UNK].
    if not any((source / name).is_file() for name in VOCABULARIES):
        raise UserError(
            f"{named} has no tokenizer ({', '.join(VOCABULARIES)}); copy the one that belongs to its weights"
        )
    with weight_files.loading(named):
        tokenizer = AutoTokenizer.from_pretrained(source)
    # A head of another task is no part of what is compared; one layer more is.
    parts = tuple(f"{name}." for name, _ in model.named_children())
    prefix = f"{model.base_model_prefix}."
    unexpected = sorted(name for name in loading["unexpected_keys"] if name.removeprefix(prefix).startswith(parts))
    if extra := [name for name in unexpected if not name.endswith("position_ids")]:
        raise UserError(
            f"{named} has {len(extra)} tensors that its config.json does not know, {weights.first(extra)}; take the"
            " config.json that belongs to its weights"
        )
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
            files.write_json(folder / "training.json", model_folder.history_of_weights(source))
        if not (folder / "tokenizer.json").is_file():
            raise UserError(
                f"{named} has a tokenizer that exists in Python only ({type(tokenizer).__name__}); use a model with a"
                " fast one"
            )
    return sum(parameter.numel() for parameter in model.parameters())


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
