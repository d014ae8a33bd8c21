"""Single texts and pairs with a label: BERT, dropout, one linear layer on the pooled output, as the authors had it."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from wwm.common import model_folder
from wwm.common.errors import UserError
from wwm.tasks.metrics import METRICS
from wwm.tasks.tuning import passes
from wwm.training import weight_files


class Encoded(NamedTuple):
    """One split as pieces: per example `ids` and `types` (segment 0 or 1), int64 arrays of one length; `labels`
    (examples,), -1 in a split without them; how many examples were cut.
    """

    ids: list[np.ndarray]
    types: list[np.ndarray]
    labels: np.ndarray
    cut: int = 0


class Classification:
    """A wwm.tasks.tuning.Job. folder: of the model; splits: examples with `texts` and `label`, an index into `labels`;
    metric: of wwm/tasks/metrics.py.
    """

    def __init__(
        self,
        folder: Path,
        tokenizer: Tokenizer,
        splits: dict[str, list],
        labels: tuple[str, ...],
        max_seq_length: int,
        metric: str,
    ):
        self.folder, self.labels, self.metric = folder, labels, metric
        self.encoded = {split: encode(tokenizer, examples, max_seq_length) for split, examples in splits.items()}
        self.lengths = {split: np.array([len(ids) for ids in found.ids]) for split, found in self.encoded.items()}
        if model_folder.POOLER in model_folder.training_history(folder).get("untrained", ()):
            print(
                f"{folder} has a pooler that was never trained, as have most models without next sentence prediction;"
                " fine-tuning trains it",
                flush=True,
            )

    def model(self) -> PreTrainedModel:
        return with_head(AutoModelForSequenceClassification, self.folder, self.labels)

    def loss(self, model: torch.nn.Module, rows: np.ndarray, place: torch.device) -> torch.Tensor:
        inputs, labels = collate(self.encoded["train"], rows, place)
        return cross_entropy(model(**taken(model, inputs)).logits.float(), labels, reduction="sum")

    def score(
        self, model: torch.nn.Module, split: str, place: torch.device, positions: int
    ) -> tuple[dict[str, float], dict[str, object]]:
        """Percent by measure; of each row, in the file's order, its label, and the probability of every label."""
        data = self.encoded[split]
        said = logits(model, data, place, positions)
        found = said.argmax(-1)
        scores = METRICS[self.metric].score(data.labels, found) if min(data.labels) >= 0 else {}
        shares = torch.from_numpy(said).softmax(-1).tolist()
        told = [{label: round(share, 6) for label, share in zip(self.labels, row)} for row in shares]
        named = [self.labels[label] for label in found]
        return rounded(scores), {f"{split}.json": named, f"{split}_probabilities.json": told}

    def save(self, model: PreTrainedModel, folder: Path) -> None:
        model.save_pretrained(folder)

    def parameters(self) -> int:
        return count_parameters(self.folder, len(self.labels))


def with_head(kind: Any, folder: Path, labels: Sequence[str]) -> PreTrainedModel:
    """What the class `kind` of transformers makes of a pre-trained model: a head for these labels, drawn at random."""
    with weight_files.loading(str(folder)):
        config = AutoConfig.from_pretrained(
            folder,
            id2label=dict(enumerate(labels)),
            label2id={label: number for number, label in enumerate(labels)},
        )
    model, info = weight_files.from_pretrained(kind, folder, config=config, dtype=torch.float32)
    check_loaded(folder, [name for name in info["missing_keys"] if name.startswith(f"{model.base_model_prefix}.")])
    return model


def logits(model: torch.nn.Module, data: Encoded, place: torch.device, positions: int) -> np.ndarray:
    """(examples, labels) float32; a forward pass has at most so many `positions`, or one example."""
    parts = passes(np.array([len(ids) for ids in data.ids]), positions)
    said = [model(**taken(model, collate(data, rows, place)[0])).logits.float().cpu().numpy() for rows in parts]
    return np.concatenate(said)[np.argsort(np.concatenate(parts))]


def rounded(scores: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in scores.items()}


def count_parameters(folder: Path, n_labels: int) -> int:
    """Of a classifier, embeddings and pooler included, as the authors count: 102M for base."""
    with weight_files.loading(str(folder)), torch.device("meta"):
        config = AutoConfig.from_pretrained(folder, num_labels=n_labels)
        return sum(
            parameter.numel() for parameter in AutoModelForSequenceClassification.from_config(config).parameters()
        )


def check_loaded(folder: Path, missing: list[str]) -> None:
    """Raises UserError if any tensor is `missing` from what a pre-trained model brings along; the head is new."""
    if missing:
        raise UserError(
            f"{folder} lacks {len(missing)} tensors of its model, first {min(missing)}; save it whole"
            " (BertForPreTraining)"
        )


def encode(tokenizer: Tokenizer, examples: list, max_seq_length: int) -> Encoded:
    """Pieces with [CLS] and [SEP]; of a pair that is too long, the longer text is cut."""
    tokenizer.enable_truncation(max_seq_length, strategy="longest_first")
    encodings = tokenizer.encode_batch(
        [example.texts if len(example.texts) > 1 else example.texts[0] for example in examples]
    )
    tokenizer.no_truncation()
    return Encoded(
        [np.array(e.ids) for e in encodings],
        [np.array(e.type_ids) for e in encodings],
        np.array([example.label for example in examples]),
        sum(bool(encoding.overflowing) for encoding in encodings),
    )


def collate(data: Encoded, rows: np.ndarray, place: torch.device) -> tuple[dict, torch.Tensor]:
    """Model inputs (rows, longest of them) and labels (rows,)."""
    return padded([data.ids[row] for row in rows], [data.types[row] for row in rows], place), torch.from_numpy(
        data.labels[rows]
    ).to(place)


def taken(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those of the inputs that the model knows: DistilBERT has no segments."""
    known = inspect.signature(model.forward).parameters
    return {name: tensor for name, tensor in inputs.items() if name in known}


def padded(ids: list[np.ndarray], types: list[np.ndarray], place: torch.device) -> dict[str, torch.Tensor]:
    """Model inputs (rows, longest of them). Padding has id 0, type 0 and no attention."""
    arrays = {
        name: np.zeros((len(ids), max(map(len, ids))), np.int64)
        for name in ("input_ids", "token_type_ids", "attention_mask")
    }
    for row, (own_ids, own_types) in enumerate(zip(ids, types)):
        used = len(own_ids)
        arrays["input_ids"][row, :used], arrays["token_type_ids"][row, :used], arrays["attention_mask"][row, :used] = (
            own_ids,
            own_types,
            1,
        )
    return {name: torch.from_numpy(array).to(place) for name, array in arrays.items()}
