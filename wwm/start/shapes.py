"""How large a released model is, by its config.json or, where the hub does not answer, by its name."""

from pathlib import Path

from transformers import AutoConfig, BertConfig, PretrainedConfig

from wwm.common import hub
from wwm.common.errors import UserError
from wwm.start import own_tasks
from wwm.training import weight_files

LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}

# Learning rates by hidden size: the usual ones of base models, and higher for small. Every model tries those of all.
RATES = {own_tasks.NARROW: [2e-5, 5e-5], 0: [1e-4, 3e-4]}


def rates(config: PretrainedConfig) -> list[float]:
    return RATES[max(size for size in RATES if config.hidden_size >= size)]


def shape(model: str, key: str = "--model") -> tuple[PretrainedConfig, str]:
    """The model's config; and what is to be said of it, if anything. Raises UserError that names `key` for a folder
    without one, and for what is neither here nor may be on the hub.
    """
    try:
        folder = hub.folder(model, key, [*weight_files.CONFIGS], hub.CHOICES["load"])
    except hub.Away:
        if "/" in model and Path(model).parent.is_dir():
            raise UserError(f"{key} {model}: no such folder, and no name of the hub that answers") from None
        return guessed(model)
    name, described = weight_files.read_config(folder, f"{key} {model}")
    # Google's and the authors' zip files have no model_type.
    with weight_files.loading(f"{key} {model}: {name}"):
        return AutoConfig.for_model(**{"model_type": "bert"} | described | weight_files.RUN), ""


def guessed(source: str) -> tuple[BertConfig, str]:
    """The config of a model of the hub by its name, and a line that says so."""
    size = "large" if "large" in source else "base"
    config = BertConfig(vocab_size=21128, **(LARGE if size == "large" else {}))
    return (
        config,
        f"{source} is neither here nor does the hub answer: taken for a {size} model; its speed is not its own",
    )
