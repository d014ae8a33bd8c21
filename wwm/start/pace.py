"""How fast a model would be trained here, measured on a few steps of it."""

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import psutil
import torch
from transformers import AutoModel, BertConfig, BertForPreTraining, PretrainedConfig

from wwm.common.errors import UserError
from wwm.training import device, dropout
from wwm.training.loader import Batch
from wwm.training.micro_batch import POSITIONS, TOO_LARGE, has_memory
from wwm.training.model import Pretraining, choose_trained, compile_layers, on_device

SOME = 1.0  # hours, above which what is shorter is named
LOOK, BUSY = 1.0, 20.0  # seconds, and percent of the cores, above which other work is told
SECONDS = 8.0  # of measuring, after a pass that is not counted
PROBES, PROBED = 4, (16, 32)  # passes of each number of threads, and of how many rows and pieces


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


def threads(config: PretrainedConfig, given: Mapping[str, Any]) -> int:
    """All cores, or one, where that is as fast: threads that other work keeps waiting wait for each other. `given`
    params may have said so.
    """
    cores = len(os.sched_getaffinity(0))
    if "base.threads" in given or cores == 1 or torch.cuda.is_available():
        return cores
    rows, length = PROBED
    ids = torch.ones(rows, min(length, config.max_position_embeddings // 2), dtype=torch.long)
    bert = AutoModel.from_config(config).train()
    taken = {1: 0.0, cores: 0.0}
    for number in range(PROBES):
        for count in taken:
            device.set_up_cpu(count)
            begun = time.perf_counter()
            bert(input_ids=ids).last_hidden_state.sum().backward()
            taken[count] += time.perf_counter() - begun if number else 0.0  # the first is not counted
    return min(taken, key=taken.__getitem__)


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
    """Says so where other work takes the cores, and where not all of them are taken."""
    taken, cores = psutil.cpu_percent(LOOK), len(os.sched_getaffinity(0))
    if taken > BUSY:
        yield (
            f"Other work takes {taken:.0f} % of this machine's cores now: what is measured holds while it does, and"
            " without it all is faster."
        )
    if threads < cores:
        yield (
            f"threads: {threads} of {cores} cores, now as fast as all; where other work ends before you begin, give"
            " this command again (base.threads: once begun, a change makes all stages run again)"
        )


def told(hours: float) -> str:
    if hours < 1:
        minutes = max(1, round(60 * hours))
        return f"about {minutes} minute{'s' if minutes > 1 else ''}"
    return f"about {hours:,.1f} hours" if hours < 48 else f"about {hours / 24:,.1f} days"
