"""What is to be trained, and with what: the one argument of the trainer.

The keys that training reads of params.yaml, as it needs them; wwm/params/training.py says what each of them means.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from transformers import BertForPreTraining

from wwm.training import optim
from wwm.training.device import Processes
from wwm.training.model import Pretraining


class Phase(Protocol):
    max_seq_length: int
    steps: int
    batch_size: int
    micro_batch: int | None
    optimizer: str
    learning_rate: float
    muon_learning_rate: float | None
    masked_lm_prob: list[float] | None
    warmup_steps: int
    train: str | None


class Settings(optim.Settings, Protocol):
    """Of all models: the section `pretrain`."""

    max_grad_norm: float
    precision: str
    gradient_checkpointing: bool
    compile: bool
    loss_spike: float | None
    fsdp: bool
    log_every: int
    evaluate_every: int
    heldout_examples: int
    checkpoint_every: int


class Log(Protocol):
    """A run of wwm/track."""

    def log(self, metrics: dict, step: int | None = None) -> None: ...


@dataclass(frozen=True)
class Job:
    """One model and its phases. `scratch` holds its checkpoints and milestones while it is trained."""

    stage: str  # that trains it
    name: str
    seed: int
    threads: int
    settings: Settings
    phases: Sequence[Phase]
    init: Path  # the model that it starts from
    examples: Path  # a folder of shards for each length
    scratch: Path
    log: Log
    processes: Processes
    losses: Callable[["Job", BertForPreTraining], Pretraining]  # what is learnt from
    milestones: Collection[int] = ()  # steps after which the model is kept as it then is

    @property
    def key(self) -> str:
        """What params.yaml calls it."""
        return f"{self.stage}.models.{self.name}"

    @property
    def title(self) -> str:
        return f"{self.stage} {self.name}"


def from_labels(job: Job, bert: BertForPreTraining) -> Pretraining:
    """From masked words, and from which sentences follow each other, alone."""
    return Pretraining(bert)
