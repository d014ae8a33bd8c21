"""Models as others released them, of any architecture and with vocabularies of their own."""

from pathlib import Path
from typing import Any

import torch

from wwm.common import files, model_folder, room
from wwm.common.errors import UserError
from wwm.training import weight_files, weights
from wwm.training.head import as_drawn

VOCABULARIES = ("vocab.txt", "tokenizer.json", "sentencepiece.bpe.model", "spiece.model")
# What is fetched of one from the hub.
FILES = [
    *("config.json", "bert_config.json", "*.safetensors", "pytorch_model*.bin", "*.index.json"),
    *("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    "sentencepiece.bpe.model",
]


def opened(source: Path, named: str, seed: int | None = None) -> tuple[Any, Any, list[str]]:
    """A model of any architecture, its own tokenizer, and the names of what it lacks, which is of its pooler and drawn
    by `seed`.

    Raises UserError if the folder holds no model, no tokenizer, or another vocabulary than the weights have.
    """
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()  # else a table of the heads that are left out; what matters of it is told below

    if seed is not None:
        torch.manual_seed(seed)
    # transformers looks into the same files; what is wrong with them is told here.
    tensors = weight_files.read(source, named)
    weight_files.check_finite(tensors, named)
    model, loading = weight_files.from_pretrained(AutoModel, source, named, dtype=torch.float32)
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
    if lacking_of(missing) and model.config.model_type == "bert":
        missing = under_other_names(model, tensors, named)
    if lacks := lacking_of(missing):
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
    return model, tokenizer, missing


def take_over(source: Path, named: str, out: Path, seed: int | None = None) -> int:
    """Copies a model of any architecture with its own tokenizer, for fine-tuning; its parameters. A pooler that it
    lacks is drawn by `seed`, and left out without one.

    Raises UserError for what `opened` refuses, and for a tokenizer that transformers cannot write as one file.
    """
    model, tokenizer, missing = opened(source, named, seed)
    drawn = missing if seed is not None else []
    if missing:
        then = "starts with a random one" if drawn else "can be fine-tuned on reading, and not on classification"
        print(f"{named} has no pooler ({', '.join(missing)}): it {then}")
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    room.check(f"{out}", made=4 * n_parameters)
    with files.new_folder(out) as folder:
        # What is random now is left out, so that classification, which needs a pooler, can name it.
        kept = {name: tensor for name, tensor in model.state_dict().items() if name in drawn or name not in missing}
        model.save_pretrained(folder, state_dict=kept)
        tokenizer.save_pretrained(folder)
        history = model_folder.history_of_weights(source)
        untrained = bool(drawn)
        if not missing and "untrained" not in history and (pooler := getattr(model, "pooler", None)) is not None:
            untrained = as_drawn(pooler)
        if untrained:
            history["untrained"] = sorted({*history.get("untrained", []), model_folder.POOLER})
        if untrained or (source / "training.json").is_file():
            files.write_json(folder / "training.json", history)
        if not (folder / "tokenizer.json").is_file():
            raise UserError(
                f"{named} has a tokenizer that exists in Python only ({type(tokenizer).__name__}); use a model with a"
                " fast one"
            )
    return n_parameters


def lacking_of(missing: list[str]) -> list[str]:
    """Those of a model's tensors that have to be there."""
    return [name for name in missing if "pooler" not in name]


def under_other_names(model: Any, tensors: dict[str, Any], named: str) -> list[str]:
    """Fills a BertModel with tensors whose names begin otherwise, as those of a wrapper or of a model called roberta;
    the names of what is still missing.
    """
    wanted = {f"bert.{name}" for name in model.state_dict()}
    found, _ = weights.todays_names(tensors, wanted, named)
    own = {name.removeprefix("bert."): tensor for name, tensor in found.items() if name in wanted}
    with weight_files.loading(named):
        return sorted(model.load_state_dict(own, strict=False).missing_keys)
