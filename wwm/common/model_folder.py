"""What lies in models/NAME beside the weights: the tokenizer, and what the model has seen."""

import shutil
from pathlib import Path

from wwm.common.files import content_hash, hash_of, read_json

CARD = "README.md"  # what the model is, in the form of the hub
FILL_MASK = "fill-mask"  # what a pre-trained model is for, where fine-tuned ones have a task
# What each model has of its own; all else is its tokenizer's.
OWN = ("config.json", "model.safetensors", "training.json", CARD)
COST = ("steps", "tokens", "examples", "flops")  # that a model has seen, and floating point operations
MLM_HEAD, POOLER = "cls.predictions", "bert.pooler"
HEADS = (MLM_HEAD, "cls.seq_relationship", POOLER)  # what a pre-trained model has besides its encoder
# Weights in other forms, which a folder from elsewhere may have.
WEIGHTS = {".safetensors", ".bin", ".h5", ".msgpack", ".onnx", ".pt", ".ckpt"}


def training_history(model: str | Path) -> dict:
    """What a model folder says of its training: COST since random weights, None where the model is from elsewhere and
    does not say; `untrained`, those of HEADS that are as they were drawn.
    """
    path = Path(model, "training.json")
    return dict.fromkeys(COST) | (read_json(path) if path.exists() else {})


def history_of_weights(model: str | Path) -> dict:
    """training_history of a model from another checkout: all that its weights have seen, and not which part of it was
    that checkout's own training, nor the name of the model there that it was cut from.
    """
    history = training_history(model)
    return {key: value for key, value in history.items() if not key.startswith("own_") and key != "cut_from"}


def weights_hash(model: Path) -> str:
    """sha256 of the weights in a model folder: two models of one name can be told from each other."""
    return hash_of([content_hash(file) for file in sorted(model.iterdir()) if file.suffix in WEIGHTS])


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Everything in `source`, a folder of a tokenizer or of a model, that a model made from it shares."""
    for file in source.iterdir():
        if file.is_file() and file.name[0] != "." and file.name not in OWN and not WEIGHTS & {*file.suffixes}:
            shutil.copy(file, folder)
