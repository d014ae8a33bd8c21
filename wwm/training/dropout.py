"""Dropout as BERT has it, for a CPU: torch's takes longer there to draw which values are kept than a layer's products
take.

A value is dropped by 16 random bits of torch's own generator, so with a probability to the nearest 65,536th (0.100006
for 0.1). On other devices, and where torch.compile makes kernels of its own, torch's dropout is used.
"""

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "sdpa_or_cpu_dropout"
STEPS = 1 << 16


class Dropout(torch.nn.Dropout):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if not self.training or not 0 < self.p < 1 or not by_bits(values):
            return super().forward(values)
        dropped, scale = drawn(values.shape, self.p)
        return values.masked_fill(dropped, 0) * scale


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of a BERT layer, as transformers calls it. query, key, value: (B, heads, L, size); attention_mask: bool
    (B, 1, L, L) or None -> (B, L, heads, size).
    """
    # In bfloat16 torch's own sums and softmax are more exact than these would be.
    plain = (
        query.shape == key.shape
        and query.dtype == torch.float32
        and (attention_mask is None or attention_mask.dtype == torch.bool)
    )
    plain = (
        plain
        and not (getattr(module, "is_causal", True) or kwargs.get("is_causal"))
        and kwargs.get("position_bias") is None
    )
    if not 0 < dropout < 1 or not plain or not by_bits(query):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    scores = (query * (scaling or query.shape[-1] ** -0.5)) @ key.transpose(-1, -2)
    if attention_mask is not None:
        # A row that is masked throughout, of padding, attends to all alike, where -inf would be NaN.
        scores = scores.masked_fill_(~attention_mask, torch.finfo(scores.dtype).min)
    dropped, scale = drawn(scores.shape, dropout)
    weights = scores.softmax(-1).masked_fill(dropped, 0)
    return ((weights @ value) * scale).transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def by_bits(values: torch.Tensor) -> bool:
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


def drawn(shape: torch.Size, p: float) -> tuple[torch.Tensor, float]:
    """(shape) bool, true for what is dropped, and the factor that keeps the mean of what is left."""
    limit, count = min(round(p * STEPS), STEPS - 1), shape.numel()
    # Four values by one draw of 64 bits.
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:count].view(shape)
    return bits < limit - STEPS // 2, STEPS / (STEPS - limit)


def use_in(model: torch.nn.Module) -> None:
    """Puts these in place of the dropout of a model, and of the transformers models in it that attend by `sdpa`."""
    for module in model.modules():
        if type(module) is torch.nn.Dropout:
            module.__class__ = Dropout
        if isinstance(module, PreTrainedModel) and module.config._attn_implementation == "sdpa":
            module.set_attn_implementation(ATTENTION)
