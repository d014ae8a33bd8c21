"""What `wwm domain` chooses by the size of the text and by the machine."""

import math
from typing import NamedTuple

import torch
from transformers import BertConfig

PASSES = 5  # over the text; more, up to FEWEST_STEPS, where there is little
FEWEST_STEPS, MOST_STEPS = 500, 100_000
# For a new MLM head; docs/results.md has what was measured. The rate is of a hidden size up to SMALL.
HEAD_TOKENS, FEWEST_HEAD_STEPS = 4_000_000, 500
SMALL, HEAD_RATE, LARGE_HEAD_RATE = 256, 3e-3, 1e-3
MEASURED = 20  # times while it trains, on so many examples that it costs
HELDOUT_COST = 0.05  # of the training, and within
FEWEST_HELDOUT, MOST_HELDOUT = 200, 2000
# What is measured on: so many characters and documents (intervals need 50, and a hash decides of each), within these
# shares of the text; of general text, which little is trained on, more.
HELDOUT, HELDOUT_DOCUMENTS = 100_000, 75
HELDOUT_SHARES, GENERAL_HELDOUT = (0.001, 0.25), 0.85
BATCH = {"cpu": 32, "cuda": 384}
LENGTH = {"cpu": 128, "cuda": 512}
SEEDS = {"cpu": 5, "cuda": 10}


class Sizes(NamedTuple):
    """What is chosen by text and machine."""

    place: str  # cpu or cuda
    max_seq_length: int
    batch_size: int
    steps: int
    head_steps: int  # 0 of a model whose head is trained
    head_rate: float
    heldout_share: float
    heldout_examples: int


def share_of(characters: float, documents: float, most: float = HELDOUT_SHARES[1]) -> float:
    """That is held out."""
    wanted = max(HELDOUT_SHARES[0], HELDOUT / characters, HELDOUT_DOCUMENTS / documents)
    return float(f"{min(most, wanted):.2g}")


def place() -> str:
    """Of this machine: cpu or cuda."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def chosen(characters: float, heldout_share: float, config: BertConfig, head_trained: bool) -> Sizes:
    kind = place()
    length = min(LENGTH[kind], config.max_position_embeddings)
    batch = BATCH[kind]
    steps = math.ceil(PASSES * (1 - heldout_share) * characters / (batch * length))
    steps = min(MOST_STEPS, max(FEWEST_STEPS, steps))
    head_steps = 0 if head_trained else max(FEWEST_HEAD_STEPS, math.ceil(HEAD_TOKENS / (batch * length)))
    head_rate = HEAD_RATE if config.hidden_size <= SMALL else LARGE_HEAD_RATE
    heldout = min(MOST_HELDOUT, max(FEWEST_HELDOUT, int(HELDOUT_COST * 3 * steps * batch / MEASURED)))
    return Sizes(kind, length, batch, steps, head_steps, head_rate, heldout_share, heldout)
