"""Whether a model's MLM head was ever trained."""

from transformers import BertForPreTraining


def untrained_head(bert: BertForPreTraining) -> list[str]:
    """Tensors of the MLM head if all of them that begin as ones or zeros still are; [] for a head that was trained,
    which moves each of them.
    """
    begins = {
        name: float(name.endswith("LayerNorm.weight"))
        for name, _ in bert.cls.predictions.named_parameters()
        if "LayerNorm" in name or name.endswith("bias")
    }
    tensors = dict(bert.cls.predictions.named_parameters())
    return (
        sorted(f"cls.predictions.{name}" for name in begins)
        if all(bool((tensors[name] == value).all()) for name, value in begins.items())
        else []
    )
