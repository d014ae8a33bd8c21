"""How fast a model would be trained here, measured on a few steps of it."""

import os
import time
from collections.abc import Iterator

import numpy as np
from transformers import BertConfig, BertForPreTraining

from wwm.common.errors import UserError
from wwm.training import device, dropout
from wwm.training.loader import Batch
from wwm.training.micro_batch import POSITIONS, TOO_LARGE, has_memory
from wwm.training.model import Pretraining, choose_trained, compile_layers, on_device

SECONDS = 8.0  # of measuring, after a pass that is not counted


def rows_per_second(
    config: BertConfig,
    max_seq_length: int,
    rows: int,
    masked_lm_prob: float,
    threads: int,
    precision: str,
    compiled: bool,
) -> float:
    """Sequences of max_seq_length that go forwards and backwards in a second, in passes of `rows`, or of as many as the
    memory has place for, with weights drawn at random; a step of the optimizer, which comes once a batch, is left out.
    """
    device.set_up_cpu(threads)
    place = device.pick()
    bert = BertForPreTraining(config).to(place).train()  # type: ignore[arg-type]  # transformers' wrapper
    dropout.use_in(bert)
    choose_trained(bert, False, False)
    if compiled:
        compile_layers(bert)
    model = Pretraining(bert)
    rng = np.random.default_rng(1)

    def forward_and_back() -> None:
        with device.autocast(place, precision):
            loss = model(on_device(batch(rng, config.vocab_size, rows, max_seq_length, masked_lm_prob), bert)).mlm
        loss.backward()
        bert.zero_grad()
        loss.item()  # waits for a GPU

    if place.type == "cpu":  # as in training; where its memory ends the system kills the process
        rows = max(1, min(rows, POSITIONS // max_seq_length))
    while not has_memory(forward_and_back):
        if rows == 1:
            raise UserError(TOO_LARGE)
        rows //= 2
    count, begun, taken = 0, time.perf_counter(), 0.0
    while taken < SECONDS:
        forward_and_back()
        count, taken = count + 1, time.perf_counter() - begun
    return count * rows / taken


def batch(rng: np.random.Generator, vocab_size: int, rows: int, length: int, masked_lm_prob: float) -> Batch:
    """Full rows of one example each."""
    masked = np.sort(rng.permutation(rows * length)[: int(rows * length * masked_lm_prob)])
    return Batch(
        input_ids=rng.integers(0, vocab_size, (rows, length)),
        token_type_ids=np.zeros((rows, length), np.int64),
        position_ids=np.tile(np.arange(length), (rows, 1)),
        example=np.ones((rows, length), np.int64),
        cls_positions=np.arange(rows) * length,
        lengths=np.full(rows, length),
        masked_positions=masked,
        masked_ids=rng.integers(0, vocab_size, len(masked)),
        next_sentence_labels=np.zeros(0, np.int64),
    )


def busy(threads: int) -> Iterator[str]:
    """Says so where other work takes the cores."""
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load > cores:
        fewer = "; --set base.threads=1 may be faster then" if threads > 1 else ""
        yield f"Other work wants these {cores} cores (load {load:.0f}): what is measured holds while it does{fewer}."


def told(hours: float) -> str:
    if hours < 1:
        return f"about {max(1, round(60 * hours))} minutes"
    return f"about {hours:,.1f} hours" if hours < 48 else f"about {hours / 24:,.1f} days"
