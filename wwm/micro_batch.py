"""How many rows one forward pass takes: as a phase says, or the most that fit."""

from collections.abc import Callable

import numpy as np
import torch

from wwm import device
from wwm.loader import Batch
from wwm.model import on_device
from wwm.step import Stepper

POSITIONS = 16_384  # of one forward pass of a CPU or a TPU core, where nobody says; more make a CPU no faster


def rows_of(name: str, phase, stepper: Stepper) -> int:
    """Rows of one forward pass of each process. Raises ValueError where the processes do not divide the batch, or one row does not fit."""
    processes = stepper.processes
    share, rest = divmod(phase.batch_size, processes.count)
    if rest:
        nearest = max(1, round(phase.batch_size / processes.count)) * processes.count
        raise ValueError(f"pretrain.models.{name}: batch_size {phase.batch_size} is not divisible by {processes.count} processes; nearest is {nearest}")
    cores = device.cores(processes.device)
    if phase.micro_batch:
        if phase.micro_batch % cores:
            nearest = max(1, round(phase.micro_batch / cores)) * cores
            raise ValueError(f"pretrain.models.{name}: micro_batch {phase.micro_batch} is not divisible by {cores} devices; nearest is {nearest}")
        return phase.micro_batch if cores > 1 else min(share, phase.micro_batch)
    sizes = sorted({-(-share // passes) for passes in range(1, share + 1)}, reverse=True)
    if processes.device.type == "cuda":
        found = min(processes.gathered(largest_that_fits(sizes, lambda rows: try_rows(stepper, rows, phase.max_seq_length))))
    else:
        found = next((rows for rows in sizes if rows * phase.max_seq_length <= POSITIONS * cores), 1)
        found = -(-found // cores) * cores
    print(f"pretrain {name}: {found} rows in one forward pass, at most {-(-share // found)} of them a step in each of {processes.count} processes", flush=True)
    return found


def largest_that_fits(sizes: list[int], attempt: Callable[[int], None]) -> int:
    """The first of `sizes`, largest first, with which `attempt` finds memory enough. Raises ValueError if it finds none."""
    for size in sizes:
        try:
            attempt(size)
            return size
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
    raise ValueError("pretrain: not even one row fits into the memory of this device; set gradient_checkpointing, or take a smaller model or max_seq_length")


def try_rows(stepper: Stepper, rows: int, length: int) -> None:
    """One step's work on full rows of two examples each, with room for the optimizer's two moments."""
    bert = stepper.plain.bert
    moments = [torch.empty_like(p) for p in bert.parameters() if p.requires_grad for _ in range(2)]
    half = np.tile(np.arange(length) * 2 // length, (rows, 1))
    zeros, masked = np.zeros_like(half), np.arange(0, rows * length, 6)
    cls = np.flatnonzero(np.diff(half.ravel(), prepend=1))
    lengths = np.diff(cls, append=half.size)
    with stepper.precision():
        result = stepper.losses(on_device(Batch(zeros, zeros, zeros, half + 1, cls, lengths, masked, masked * 0, cls * 0), bert))
    (result.mlm + result.nsp).backward()
    bert.zero_grad(set_to_none=True)
    del moments
