"""What is added around transformers' BERT: packed rows, and the MLM head at masked positions only."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from transformers import BertForPreTraining

from wwm.loader import Batch


class Losses(NamedTuple):
    """Sums over a batch, not means, so that batches add up whatever their sizes."""

    mlm: torch.Tensor  # () sum of cross-entropies in nats over masked positions
    mlm_correct: torch.Tensor  # () masked positions predicted right
    nsp: torch.Tensor  # () sum over examples; 0 without next sentence prediction
    nsp_correct: torch.Tensor  # () examples predicted right


class Pretraining(torch.nn.Module):
    """BERT with its losses as the forward pass: the one call that DDP, FSDP and torch.compile see."""

    def __init__(self, bert: BertForPreTraining):
        super().__init__()
        self.bert = bert

    def forward(self, batch: dict[str, torch.Tensor]) -> Losses:
        """batch: the arrays of a loader.Batch, as `on_device` puts them there."""
        hidden = self.hidden_states(batch)
        labels = batch["masked_ids"]
        logits = self.bert.cls.predictions(hidden[batch["masked_positions"]]).float()
        mlm, mlm_correct = F.cross_entropy(logits, labels, reduction="sum"), (logits.argmax(-1) == labels).sum()
        if not len(batch["next_sentence_labels"]):
            return Losses(mlm, mlm_correct, torch.zeros_like(mlm), torch.zeros_like(mlm_correct))
        # transformers' pooler takes token 0 of a row; a packed row has one [CLS] per example.
        pooled = self.bert.bert.pooler(hidden[batch["cls_positions"]][:, None])
        nsp_logits, nsp_labels = self.bert.cls.seq_relationship(pooled).float(), batch["next_sentence_labels"]
        return Losses(mlm, mlm_correct, F.cross_entropy(nsp_logits, nsp_labels, reduction="sum"), (nsp_logits.argmax(-1) == nsp_labels).sum())

    def hidden_states(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """(R * L, hidden) last hidden states of packed rows; examples of one row do not see each other."""
        example = batch["example"]
        # Padding attends to padding: a row of the softmax that is masked throughout would be NaN.
        attention_mask = example[:, None, :, None] == example[:, None, None, :]
        inputs = {name: batch[name] for name in ("input_ids", "token_type_ids", "position_ids")}
        return self.bert.bert(**inputs, attention_mask=attention_mask).last_hidden_state.flatten(0, 1)


def on_device(batch: Batch, device: torch.device) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in batch._asdict().items()}


def choose_trained(bert: BertForPreTraining, next_sentence_prediction: bool, head_only: bool) -> None:
    """Sets which parameters are trained: all that the losses reach, or, to warm up a new MLM head, that head's own.

    The head's decoder is the word embeddings (tied); it belongs to the encoder here.
    """
    embeddings = bert.get_input_embeddings().weight
    for name, parameter in bert.named_parameters():
        reached = next_sentence_prediction or not name.startswith(("bert.pooler.", "cls.seq_relationship."))
        of_head = name.startswith("cls.predictions.") and parameter is not embeddings
        parameter.requires_grad_(of_head if head_only else reached)
