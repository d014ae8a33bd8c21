"""Which heads of a model were never trained."""

from collections.abc import Iterable

import torch
from transformers import PreTrainedModel

from wwm.common.model_folder import HEADS


def untrained_heads(bert: PreTrainedModel, drawn: Iterable[str] = ()) -> list[str]:
    """Those of HEADS that have a tensor among the names `drawn`, or are `as_drawn`."""
    modules = dict(bert.named_modules())
    found = {head for head in modules.keys() & set(HEADS) if as_drawn(modules[head])}
    found |= {head for head in modules.keys() & set(HEADS) for name in drawn if name.startswith(f"{head}.")}
    return [head for head in HEADS if head in found]


def as_drawn(module: torch.nn.Module) -> bool:
    """Whether biases and LayerNorms, if it has any, all still are the zeros and ones that they begin as: training moves
    each of them.
    """
    begun = [
        bool((tensor == float(name.endswith("LayerNorm.weight"))).all())
        for name, tensor in module.named_parameters()
        if "LayerNorm" in name or name.endswith("bias")
    ]
    return bool(begun) and all(begun)
