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


def hidden_states(model: BertForPreTraining, batch: Batch, device: torch.device) -> torch.Tensor:
    """(R * L, hidden) last hidden states of packed rows; examples of one row do not see each other."""
    example = torch.from_numpy(batch.example).to(device)
    # Padding attends to padding: a row of the softmax that is masked throughout would be NaN.
    attention_mask = example[:, None, :, None] == example[:, None, None, :]
    ids = [torch.from_numpy(array).to(device) for array in (batch.input_ids, batch.token_type_ids, batch.position_ids)]
    hidden = model.bert(input_ids=ids[0], token_type_ids=ids[1], position_ids=ids[2], attention_mask=attention_mask).last_hidden_state
    return hidden.flatten(0, 1)


def pretraining_losses(model: BertForPreTraining, batch: Batch, device: torch.device) -> Losses:
    """Masked language modelling and, where the batch has labels for it, next sentence prediction."""
    hidden = hidden_states(model, batch, device)
    logits = model.cls.predictions(hidden[torch.from_numpy(batch.masked_positions).to(device)])
    labels = torch.from_numpy(batch.masked_ids).to(device)
    mlm, mlm_correct = F.cross_entropy(logits.float(), labels, reduction="sum"), (logits.argmax(-1) == labels).sum()
    if not len(batch.next_sentence_labels):
        return Losses(mlm, mlm_correct, torch.zeros_like(mlm), torch.zeros_like(mlm_correct))
    # transformers' pooler takes token 0 of a row; a packed row has one [CLS] per example.
    pooled = model.bert.pooler(hidden[torch.from_numpy(batch.cls_positions).to(device)][:, None])
    nsp_logits, nsp_labels = model.cls.seq_relationship(pooled).float(), torch.from_numpy(batch.next_sentence_labels).to(device)
    return Losses(mlm, mlm_correct, F.cross_entropy(nsp_logits, nsp_labels, reduction="sum"), (nsp_logits.argmax(-1) == nsp_labels).sum())
