"""How long fine-tuning a model takes here, measured on a few of its steps."""

import time
from collections.abc import Mapping
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification, PretrainedConfig

from wwm.params import Params
from wwm.start import pace
from wwm.start.tables import Table
from wwm.tasks import classifier, tuning
from wwm.training import device, dropout, optim

ROWS, QUICK = 8, 1.0  # of the first pass; seconds in which it lets whole ones be measured
CELL = 15.0  # seconds in which a fine-tuning starts and its results are written
FORWARD_SHARE = 1 / 3  # of what a row costs in training, when it is scored
BEGINNING = 2.0  # seconds in which a run reads its model


class Random:
    """Rows of random pieces: what of a tuning.Job the loop of training asks for. lengths: (rows,) in pieces."""

    def __init__(self, lengths: np.ndarray, vocab_size: int, n_labels: int):
        rng = np.random.default_rng(1)
        self.lengths = {"train": lengths}
        self.ids = [rng.integers(0, vocab_size, length) for length in lengths]
        self.labels = rng.integers(0, n_labels, len(lengths))

    def loss(self, model: torch.nn.Module, rows: np.ndarray, place: torch.device) -> torch.Tensor:
        ids = [self.ids[row] for row in rows]
        inputs = classifier.padded(ids, [np.zeros_like(one) for one in ids], place)
        labels = torch.from_numpy(self.labels[rows]).to(place)
        return cross_entropy(model(**classifier.taken(model, inputs)).logits.float(), labels, reduction="sum")


class Pace(NamedTuple):
    """Seconds of a row that is trained on, with its part in the passes, and of a step of the optimizer."""

    row: float
    step: float

    def run(self, train: int, scored: int, epochs: int, batch_size: int) -> float:
        """Seconds of a run: so many rows are trained on in each epoch, and scored in the end."""
        steps = epochs * -(-train // batch_size)
        return BEGINNING + (epochs * train + FORWARD_SHARE * scored) * self.row + steps * self.step


def seconds(config: PretrainedConfig, table: Table, run: Any, examples: Mapping[str, int], values: Params) -> float:
    """Of all seeds of a model of this shape on a task. run: its entry in finetune.tasks; examples: by split."""
    lengths = np.minimum(np.array(table.lengths) + 2 + (table.kind == "pair"), run.max_seq_length)
    base, precision = values.base, values.finetune.precision
    pace = measured(config, lengths, len(table.labels), run.batch_size, base.threads, precision)
    runs = values.finetune.seeds + max(0, len(run.sweep or []) - 1)  # the first seed has one of these rates
    scored = sum(count for split, count in examples.items() if split != "train")
    return CELL + runs * pace.run(examples["train"], scored, run.epochs, run.batch_size)


def measured(
    config: PretrainedConfig, lengths: np.ndarray, n_labels: int, batch_size: int, threads: int, precision: str
) -> Pace:
    """Of a model with weights drawn at random on rows of these lengths, in pieces."""
    device.set_up_cpu(threads)
    place = device.pick()
    config.num_labels = n_labels
    model = AutoModelForSequenceClassification.from_config(config).to(place).train()
    dropout.use_in(model)
    groups = optim.parameter_groups(model, tuning.WEIGHT_DECAY)
    optimizer = optim.AdamW(groups, 1e-5, tuning.BETAS, tuning.EPSILON, tuning.WEIGHT_DECAY, correct_bias=False)
    rng = np.random.default_rng(1)
    job = Random(rng.choice(lengths, min(len(lengths), 1000), replace=False), config.vocab_size, n_labels)
    positions, size, in_rows, steps = tuning.POSITIONS[place.type], ROWS, 0.0, list[float]()
    while in_rows < pace.SECONDS or len(steps) < 2:
        rows = rng.integers(0, len(job.ids), size)
        begun = time.perf_counter()
        loss, positions = tuning.gradients(job, model, rows, place, precision, positions)
        loss.item()  # waits for a GPU
        between = time.perf_counter()
        optimizer.step()
        finite = bool(next(model.parameters()).isfinite().all())  # waits, too
        assert finite
        steps.append(time.perf_counter() - between)
        optimizer.zero_grad()
        if len(steps) > 1:  # the first is not counted
            in_rows += between - begun
        elif between - begun < QUICK:  # few rows waste threads
            size = max(1, min(batch_size, positions // lengths.max()))
    return Pace(in_rows / (len(steps) - 1) / size, median(steps[1:]))
