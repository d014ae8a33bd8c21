"""What is added around transformers' BERT: packed rows, and the MLM head at masked positions only."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from transformers import BertConfig, BertForPreTraining
from transformers.utils import is_flash_attn_2_available

from wwm.training import device, dropout, weights
from wwm.training.loader import IGNORED, Batch

GRAPHS = 64  # that torch.compile makes of a layer: for each phase, with and without a mask, to train and to measure


class Losses(NamedTuple):
    """Sums over a batch, not means, so that batches add up whatever their sizes; 0 of what is not learnt from."""

    mlm: torch.Tensor  # () sum of cross-entropies in nats over masked positions
    mlm_correct: torch.Tensor  # () masked positions predicted right
    nsp: torch.Tensor  # () sum over examples; 0 without next sentence prediction
    nsp_correct: torch.Tensor  # () examples predicted right
    kd: torch.Tensor  # () of a student, by distillation.py: sum over masked positions
    matches: torch.Tensor  # () of a student: sum over positions that are no padding, each match by its weight


class Pretraining(torch.nn.Module):
    """BERT with its losses as the forward pass: the one call that DDP and FSDP see."""

    trains_mlm_head = True

    def __init__(self, bert: BertForPreTraining):
        super().__init__()
        self.bert = bert

    def forward(self, batch: dict[str, torch.Tensor]) -> Losses:
        """batch: the arrays of a loader.Batch, as `on_device` puts them there."""
        hidden = self.hidden_states(batch)
        return self.label_losses(hidden, self.masked_logits(hidden, batch), batch)

    def masked_logits(self, hidden: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """(M, vocabulary) float32, of hidden states (R * L, hidden)."""
        return self.bert.cls.predictions(hidden.index_select(0, batch["masked_positions"])).float()

    def label_losses(self, hidden: torch.Tensor, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> Losses:
        """By what stands in the text; hidden (R * L, hidden), logits (M, vocabulary)."""
        mlm, mlm_correct = summed(logits, batch["masked_ids"])
        zero, none = torch.zeros_like(mlm), torch.zeros_like(mlm_correct)
        if not len(batch["next_sentence_labels"]):
            return Losses(mlm, mlm_correct, zero, none, zero, zero)
        # transformers' pooler takes token 0 of a row; a packed row has one [CLS] per example.
        assert self.bert.bert.pooler is not None  # as BertForPreTraining has it
        pooled = self.bert.bert.pooler(hidden.index_select(0, batch["cls_positions"])[:, None])
        nsp = summed(self.bert.cls.seq_relationship(pooled).float(), batch["next_sentence_labels"])
        return Losses(mlm, mlm_correct, *nsp, zero, zero)

    def loss(self, sums: Losses, counts: Mapping[str, float]) -> torch.Tensor:
        """() what is minimized: means over the counts of a global batch, of `masked` positions, `pairs` and `tokens`,
        never a mean of means.
        """
        return sums.mlm / max(1, counts["masked"]) + sums.nsp / max(1, counts["pairs"])

    def flops(
        self, tokens: float, squares: float, masked: float, optimizer_flops: float = 0.0, head_only: bool = False
    ) -> float:
        """Of a step, as `training_flops`."""
        return training_flops(self.bert.config, tokens, squares, masked, optimizer_flops, head_only)

    def hidden_states(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """(R * L, hidden) last hidden states of packed rows; examples of one row do not see each other."""
        inputs: dict[str, torch.Tensor | int] = {
            name: batch[name] for name in ("input_ids", "token_type_ids", "position_ids")
        }
        if "boundaries" in batch:
            longest = batch["input_ids"].shape[1]
            inputs |= {
                "cu_seq_lens_q": batch["boundaries"],
                "cu_seq_lens_k": batch["boundaries"],
                "max_length_q": longest,
                "max_length_k": longest,
            }
        elif "example" in batch:
            # Padding attends to padding: a row of the softmax that is masked throughout would be NaN.
            inputs["attention_mask"] = batch["example"][:, None, :, None] == batch["example"][:, None, None, :]
        return self.bert.bert(**inputs).last_hidden_state.flatten(0, 1)


def summed(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy (n, classes) -> (), and how many are right, over the labels (n,) that are not IGNORED."""
    return F.cross_entropy(logits, labels, reduction="sum", ignore_index=IGNORED), (logits.argmax(-1) == labels).sum()


def load(folder: Path, place: torch.device, precision: str) -> BertForPreTraining:
    """The model in 32-bit weights, ready to be trained; flash-attn, where it is installed, keeps packed examples apart
    without a mask.
    """
    flash = torch.cuda.is_available() and precision == "bf16" and is_flash_attn_2_available()
    bert = weights.pretrained(folder, attn_implementation="flash_attention_2" if flash else "sdpa")
    dropout.use_in(bert)
    return moved(bert, place).train()


def moved(bert: BertForPreTraining, place: torch.device) -> BertForPreTraining:
    """The model on a device. To and from XLA torch makes new parameters, so that the MLM head would lose the embeddings
    it shares.
    """
    bert.to(place)  # type: ignore[arg-type]  # transformers' wrapper hides that it is a method
    bert.tie_weights()
    return bert


def save(bert: BertForPreTraining, folder: Path) -> None:
    """Config and weights, in the form of the hub; the model stays where it is."""
    # Each parameter once: what others share it would be asked of tensors, which XLA tells nothing of.
    weights = {name: parameter.detach().cpu() for name, parameter in bert.named_parameters()}
    bert.save_pretrained(folder, state_dict=weights)


def compile_layers(bert: BertForPreTraining) -> None:
    """Layer by layer, as they are all alike: the model as a whole takes as many times as long to compile."""
    from torch._dynamo import config

    config.recompile_limit = GRAPHS
    for layer in bert.bert.encoder.layer:
        # A decoder's cache goes by this number; flash-attn is handed it, and each layer would get graphs of its own.
        layer.attention.self.layer_idx = 0  # type: ignore[union-attr]  # no tensor
        layer.compile()


def on_device(batch: Batch, bert: BertForPreTraining) -> dict[str, torch.Tensor]:
    """The arrays where the model is, with what its attention needs to keep the examples of a row apart and no more.

    `boundaries` for flash-attn; `example` for a mask, left out where each row is one example, without padding:
    attention without a mask takes faster kernels (but would be one graph more for XLA to compile).
    """
    arrays = batch._asdict()
    lengths = arrays.pop("lengths")
    if bert.config._attn_implementation == "flash_attention_2":
        edges = np.concatenate(
            [[0, batch.input_ids.size], batch.cls_positions[lengths > 0], (batch.cls_positions + lengths)[lengths > 0]]
        )
        arrays["boundaries"] = np.unique(edges).astype(np.int32)
    place = bert.device
    if place.type != "xla" and len(lengths) == len(batch.input_ids) and (lengths == batch.input_ids.shape[1]).all():
        del arrays["example"]
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if place.type == "cuda":
        # From pinned memory the copy runs while the GPU computes.
        tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
    sent = {name: tensor.to(place, non_blocking=True) for name, tensor in tensors.items()}
    if place.type == "xla":
        device.share_rows(sent)
    return sent


def training_flops(
    config: BertConfig,
    tokens: float,
    squares: float,
    masked: float,
    optimizer_flops: float = 0.0,
    head_only: bool = False,
) -> float:
    """Floating point operations of forward and backward passes over `tokens` positions, `squares` the sum of the
    examples' squared lengths, and of the steps of an optimizer that multiplies matrices (optim.Muon.flops).

    A product of (a, b) and (b, c) is 2abc, and the backward pass has two for each; `head_only`: none for the encoder,
    and one for the decoder, which passes gradients on and has none itself. With h = hidden_size, i =
    intermediate_size, V = vocab_size and n layers: 3 * (n * (tokens * (8 * h * h + 4 * h * i) + 4 * h * squares) +
    masked * (2 * h * h + 2 * h * V)) + optimizer_flops. Embeddings, LayerNorm, softmax and the next sentence head are
    left out, and so is what padding and checkpointing add. As in PaLM (arXiv 2204.02311, appendix B), but for the head,
    which is at `masked` positions only.
    """
    layers, transform, decoder = forward_flops(config, tokens, squares, masked)
    passes = layers + 3 * transform + 2 * decoder if head_only else 3 * (layers + transform + decoder)
    return passes + optimizer_flops


def forward_flops(config: BertConfig, tokens: float, squares: float, masked: float) -> tuple[float, float, float]:
    """What `training_flops` counts of one forward pass: of the layers, of the MLM head's transform, of its decoder."""
    h, i = config.hidden_size, config.intermediate_size
    layers = config.num_hidden_layers * (tokens * (8 * h * h + 4 * h * i) + 4 * h * squares)
    return layers, masked * 2 * h * h, masked * 2 * h * config.vocab_size


def choose_trained(bert: BertForPreTraining, next_sentence_prediction: bool, head_only: bool) -> None:
    """Sets which parameters are trained: all that the losses reach, or, to warm up a new MLM head, that head's own.

    The head's decoder is the word embeddings (tied); it belongs to the encoder here.
    """
    embeddings = bert.get_input_embeddings().weight
    for name, parameter in bert.named_parameters():
        reached = next_sentence_prediction or not name.startswith(("bert.pooler.", "cls.seq_relationship."))
        of_head = name.startswith("cls.predictions.") and parameter is not embeddings
        parameter.requires_grad_(of_head if head_only else reached)
