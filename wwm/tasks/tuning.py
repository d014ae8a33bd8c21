"""Trains one model on one task with one seed: the loop of wwm/finetune.py, whatever the kind of task."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NotRequired, Protocol, TypedDict

import numpy as np
import torch

from wwm.common.errors import UserError
from wwm.training import device, dropout, optim

WARMUP_SHARE = 0.1
MAX_GRAD_NORM = 1.0
# BERT's AdamWeightDecayOptimizer.
BETAS, EPSILON, WEIGHT_DECAY = (0.9, 0.999), 1e-6, 0.01
# Of one forward pass: a step's rows go through in passes of like lengths, each padded to its own longest.
POSITIONS = {"cpu": 2_048, "cuda": 65_536}


class Diverged(UserError):
    """A loss that is not finite."""


class Job(Protocol):
    """One model on one task, as wwm/tasks/classifier.py or wwm/tasks/reader.py make it: picklable, so that other
    processes can take seeds over.
    """

    lengths: dict[str, np.ndarray]  # by split: pieces of each row

    def model(self) -> torch.nn.Module:
        """A fresh one; what is not pre-trained is drawn at random."""

    def loss(self, model: torch.nn.Module, rows: np.ndarray, place: torch.device) -> torch.Tensor:
        """() sum over rows of train."""

    def score(
        self, model: torch.nn.Module, split: str, place: torch.device, positions: int
    ) -> tuple[dict[str, float], dict[str, object]]:
        """Measures of a split, in percent, of which the first one decides between epochs; and its predictions, by file
        name.

        A forward pass has at most so many `positions`, or one row. A split without labels has no measures.
        """

    def save(self, model: torch.nn.Module, folder: Path) -> None:
        """Weights and config.json, as transformers has them."""


class How(NamedTuple):
    """Of one run: what params.yaml and the table of tasks say."""

    learning_rate: float
    epochs: int
    batch_size: int
    max_seq_length: int
    stride: int  # pieces from one window of a reading task to the next, as run_squad.py has it,
    max_query_length: int  # pieces of a question,
    max_answer_length: int  # pieces of an answer
    precision: str
    select: str
    splits: tuple[str, ...]  # that are scored,
    unlabelled: tuple[str, ...] = ()  # and those that are only predicted


class Trained(TypedDict):
    """What came of one seed."""

    scores: dict[str, dict[str, float]]  # by split, then by measure
    predictions: dict[str, object]  # content by file name
    loss: float  # mean over the rows of the epoch that is scored
    epoch: int  # its number, from 1
    seconds: NotRequired[float]  # of all its work


def passes(lengths: np.ndarray, positions: int) -> list[np.ndarray]:
    """Places in `lengths` (n,), sorted by length and cut into as few parts as keep rows x longest at `positions`, one
    row at least.
    """
    order = np.argsort(lengths, kind="stable")
    parts, begin = [], 0
    for end in range(1, len(order) + 1):
        if end == len(order) or lengths[order[end]] * (end + 1 - begin) > positions:
            parts.append(order[begin:end])
            begin = end
    return parts


def train(
    job: Job,
    how: How,
    seed: int,
    place: torch.device,
    threads: int,
    done: Callable[[], object],
    keep: Callable[[torch.nn.Module], object],
) -> Trained:
    """`done` is called after each step, `keep` with the model of the epoch that is taken: it alone is scored on other
    splits than dev.

    A batch is the same whatever passes it is cut into: gradients are summed over its rows.
    """
    device.set_up_cpu(threads)
    device.make_deterministic(place)
    device.seed_all(seed)
    rng = np.random.default_rng(seed)
    model = job.model().to(place)
    dropout.use_in(model)
    groups = optim.parameter_groups(model, WEIGHT_DECAY)
    optimizer = optim.AdamW(groups, how.learning_rate, BETAS, EPSILON, WEIGHT_DECAY, correct_bias=False)
    lengths, positions = job.lengths["train"], POSITIONS[place.type]
    best: Trained | None = None
    weights: dict[str, torch.Tensor] = {}
    firsts = range(0, len(lengths), how.batch_size)
    steps = how.epochs * len(firsts)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: optim.linear_schedule(step, steps, int(WARMUP_SHARE * steps))
    )
    for epoch in range(1, how.epochs + 1):
        model.train()
        total: torch.Tensor | float = 0.0
        order = rng.permutation(len(lengths))
        for first in firsts:
            rows = order[first : first + how.batch_size]
            loss, positions = gradients(job, model, rows, place, how.precision, positions)
            total += loss
            torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            done()
        mean = round(float(total) / len(lengths), 6)
        if not math.isfinite(mean):
            raise Diverged(
                f"seed {seed}: the loss of epoch {epoch} is {mean}; lower the learning rate, which is"
                f" {how.learning_rate:g}"
            )
        match how.select:
            case "last":
                if epoch < how.epochs:
                    continue
            case "best":
                pass
            case _:
                raise AssertionError(how.select)
        model.eval()
        with torch.inference_mode(), device.autocast(place, how.precision):
            dev, predictions = scored(job, model, "dev", place, 2 * positions)
        if best is None or main_measure(dev) > main_measure(best["scores"]["dev"]):
            best = {"scores": {"dev": dev}, "predictions": predictions, "loss": mean, "epoch": epoch}
            if epoch < how.epochs:
                weights = {name: tensor.to("cpu", copy=True) for name, tensor in model.state_dict().items()}
    assert best is not None  # the last epoch is always scored
    if best["epoch"] < how.epochs:
        model.load_state_dict(weights)
    for split in (*how.splits, *how.unlabelled):
        if split != "dev":
            with torch.inference_mode(), device.autocast(place, how.precision):
                scores, predictions = scored(job, model, split, place, 2 * positions)
            best["predictions"] |= predictions
            if scores:
                best["scores"][split] = scores
    keep(model)
    return best


def gradients(
    job: Job, model: torch.nn.Module, rows: np.ndarray, place: torch.device, precision: str, positions: int
) -> tuple[torch.Tensor, int]:
    """Leaves the gradient of the mean loss over `rows` in the model; the sum of their losses, and how many positions a
    pass had: half as many where memory runs out.
    """
    lengths = job.lengths["train"][rows]
    loss: torch.Tensor | None
    total: torch.Tensor | None
    while True:
        try:
            total = torch.zeros((), device=place)
            for part in passes(lengths, positions):
                with device.autocast(place, precision):
                    loss = job.loss(model, rows[part], place)
                (loss / len(rows)).backward()
                total += loss.detach()
            return total, positions
        except torch.OutOfMemoryError:
            if positions < lengths.max():
                raise
        loss = total = None  # which hold the pass
        model.zero_grad()
        positions = halved(
            min(positions, len(rows) * lengths.max()), "training; with other draws of dropout from here on"
        )


def scored(
    job: Job, model: torch.nn.Module, split: str, place: torch.device, positions: int
) -> tuple[dict[str, float], dict[str, object]]:
    """What Job.score returns, in smaller passes where memory runs out."""
    while True:
        try:
            return job.score(model, split, place, positions)
        except torch.OutOfMemoryError:
            if positions < job.lengths[split].max():
                raise
        positions = halved(positions, f"scoring {split}")


def halved(positions: int, what: str) -> int:
    torch.cuda.empty_cache()
    print(f"this device has no memory for {positions:,} positions at once: half as many in {what}", flush=True)
    return int(positions) // 2


def main_measure(scores: dict[str, float]) -> float:
    """What seeds, epochs and learning rates are compared by."""
    return next(iter(scores.values()))
