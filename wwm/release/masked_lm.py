"""A model with its MLM head, out of an ordinary Hugging Face folder, and what it says of masked pieces."""

from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModelForMaskedLM, BertForMaskedLM, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES
from transformers.utils import logging

from wwm.common import model_folder
from wwm.common.errors import UserError
from wwm.text import tokenization
from wwm.training import weight_files, weights
from wwm.training.head import untrained_heads

TOKENS = 2**14  # of one forward pass
FLOATS = 2**22  # of one tensor of log-probabilities, 16 MB
NEEDED = ("[CLS]", "[SEP]", "[MASK]")
NEVER = "{} has an MLM head that was never trained, so what it filled in would be chance; name another model"
PRETRAINED = ("ForMaskedLM", "ForPreTraining")


class MaskedLM:
    def __init__(self, network: PreTrainedModel, tokenizer: Tokenizer):
        self.network, self.tokenizer = network.eval(), tokenizer
        self.vocab_size: int = network.config.vocab_size
        self.positions: int = network.config.max_position_embeddings
        self.device = network.device
        self.lock = Lock()  # the hook is the network's, and a server asks from several threads

    @torch.inference_mode()
    def log_probs(self, ids: Tensor, used: Tensor, asked: Tensor) -> Iterator[Tensor]:
        """Of all pieces at the positions `asked`, float32 (r, P, V), some rows after the other.

        ids: (R, L) int64, of which `used`, (R,), are no padding; asked: (R, P) int64. The head runs at these alone.
        """
        rows = max(1, min(TOKENS // ids.shape[1], FLOATS // (asked.shape[1] * self.vocab_size)))
        for first in range(0, len(ids), rows):
            part = slice(first, first + rows)
            length = int(used[part].max())
            attention = torch.arange(length, device=self.device) < used[part, None]

            def gather(module: Any, given: Any, output: Any, at: Tensor = asked[part]) -> Any:
                rows = torch.arange(len(at), device=at.device)[:, None]
                output.last_hidden_state = output.last_hidden_state[rows, at]
                return output

            with self.lock, self.network.base_model.register_forward_hook(gather):
                logits = self.network(input_ids=ids[part, :length], attention_mask=attention.long()).logits
            yield logits.float().log_softmax(-1)

    def log_probs_of(self, ids: Tensor, used: Tensor, at: Tensor, labels: Tensor) -> Tensor:
        """Of the piece `labels`, (R,), at the position `at`, (R,), of each row: (R,)."""
        chunks = [torch.zeros(0, device=self.device)]
        for said in self.log_probs(ids, used, at[:, None]):
            first = sum(map(len, chunks))
            chunks.append(said[:, 0].gather(1, labels[first : first + len(said), None])[:, 0])
        return torch.cat(chunks)


def config_of(folder: Path) -> dict[str, Any]:
    """config.json. Raises UserError where it is not JSON."""
    path = folder / "config.json"
    return weight_files.read_object(path, str(path))


def check(folder: Path) -> None:
    """Raises UserError that says what `folder` is, where its files already tell that it has no MLM head."""
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not there or is no model; `make demo` makes models/bert and others")
    config = config_of(folder)
    architecture = (config.get("architectures") or PRETRAINED)[0]
    if not architecture.endswith(PRETRAINED):
        raise UserError(
            f"{folder} is a {architecture}, fine-tuned, and has no MLM head; name the model that it was fine-tuned from"
        )
    if config.get("model_type") not in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        raise UserError(f"{folder} is of type {config.get('model_type')!r}, which has no MLM head; name a BERT")
    if not any((folder / name).is_file() for name in weight_files.NAMES):
        raise UserError(f"{folder} has no weights; {weight_files.instead(folder)}, or name another model")
    if model_folder.MLM_HEAD in model_folder.training_history(folder).get("untrained", ()):
        raise UserError(NEVER.format(folder))


def load(folder: Path, place: torch.device) -> MaskedLM:
    """Raises UserError that says what `folder` lacks, or is instead."""
    check(folder)
    tokenizer = tokenization.load(folder)
    lacking = [token for token in NEEDED if tokenizer.token_to_id(token) is None]
    if lacking:
        raise UserError(f"{folder}/tokenizer.json has no {', '.join(lacking)} and is not BERT's; name a BERT")
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # else a table of the pooler and the next-sentence head, which are left out
    network: Any  # transformers' wrapper hides that `to` is a method
    network, missing = network_of(folder, tokenizer.get_vocab_size())
    if missing:
        raise UserError(
            f"{folder} has no trained MLM head: {', '.join(missing)} missing; save the model with its head"
            " (BertForPreTraining)"
        )
    if "untrained" not in model_folder.training_history(folder) and untrained_heads(network):
        raise UserError(NEVER.format(folder))
    return MaskedLM(network.to(place), tokenizer)


def network_of(folder: Path, entries: int) -> tuple[PreTrainedModel, list[str]]:
    """The model in 32-bit weights, and the names that its head lacks. Raises UserError for weights that do not fit."""
    if config_of(folder)["model_type"] == "bert":
        found = weights.bert(folder, str(folder), entries)
        bert = BertForMaskedLM(found.config)
        bert.load_state_dict(found.tensors, strict=False)
        return bert, [name for name in found.lacking if name.startswith(model_folder.MLM_HEAD)]
    weight_files.read(folder, str(folder))
    network, info = weight_files.from_pretrained(AutoModelForMaskedLM, folder, dtype=torch.float32)
    if entries > (known := network.config.vocab_size):
        raise UserError(
            f"{folder} has {entries} entries in its tokenizer.json and {known} in its weights; copy the tokenizer that"
            " the model was trained with"
        )
    return network, sorted(info["missing_keys"])
