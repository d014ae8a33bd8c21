"""Which heads of a model were never trained."""

from collections.abc import Iterable

from transformers import PreTrainedModel

from wwm.common.model_folder import HEADS


def untrained_heads(bert: PreTrainedModel, drawn: Iterable[str] = ()) -> list[str]:
    """Those of HEADS that have a tensor among the names `drawn`, or all of whose biases and LayerNorms still are the
    zeros and ones that they begin as: training moves each of them.
    """
    found, modules = set(), dict(bert.named_modules())
    for head in modules.keys() & set(HEADS):
        tensors = dict(modules[head].named_parameters())
        begins = {
            name: float(name.endswith("LayerNorm.weight"))
            for name in tensors
            if "LayerNorm" in name or name.endswith("bias")
        }
        if all(bool((tensors[name] == value).all()) for name, value in begins.items()):
            found.add(head)
        found |= {head for name in drawn if name.startswith(f"{head}.")}
    return [head for head in HEADS if head in found]
