"""How many rows one forward pass takes: as a phase says, or the most that fit."""

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import torch
from torch.distributed.fsdp import FSDPModule

from wwm.common.errors import UserError
from wwm.training import device
from wwm.training.job import Phase
from wwm.training.loader import Batch, Examples
from wwm.training.model import on_device
from wwm.training.step import Stepper

POSITIONS = 16_384  # of one forward pass of a CPU or a TPU core, where nobody says; more make a CPU no faster


def rows_of(name: str, phase: Phase, stepper: Stepper, examples: Examples, saved: dict | None) -> int:
    """Rows of one forward pass of each process; saved: what an earlier run found, {"rows", "processes"}, kept by as
    many processes.

    Raises UserError where the processes do not divide the batch, devices not the rows, or one row does not fit.
    """
    processes, cores = stepper.processes, device.cores(stepper.processes.device)
    if phase.masked_lm_prob:
        examples = examples.masked_at(max(phase.masked_lm_prob))
    share, rest = divmod(phase.batch_size, processes.count)
    if rest:
        nearest = max(1, round(phase.batch_size / processes.count)) * processes.count
        raise UserError(
            f"pretrain.models.{name}: batch_size {phase.batch_size} is not divisible by {processes.count} processes;"
            f" nearest is {nearest}"
        )
    if phase.micro_batch and phase.micro_batch % cores:
        nearest = max(1, round(phase.micro_batch / cores)) * cores
        raise UserError(
            f"pretrain.models.{name}: micro_batch {phase.micro_batch} is not divisible by {cores} devices; nearest is"
            f" {nearest}"
        )
    if phase.micro_batch:
        return phase.micro_batch if cores > 1 else min(share, phase.micro_batch)
    if saved and saved["processes"] == processes.count and saved["rows"] % cores == 0:
        return saved["rows"]
    sizes = sorted({-(-share // passes) for passes in range(1, share + 1)}, reverse=True)
    if processes.device.type == "cuda":
        if isinstance(stepper.plain, FSDPModule):
            # A pass that runs out of memory in one process leaves the others waiting for it.
            raise UserError(
                f"pretrain.models.{name}: micro_batch null cannot be found out with fsdp; set it to a number of rows"
                " that fits"
            )
        found = min(
            processes.gathered(
                largest_that_fits(sizes, lambda rows: try_rows(stepper, rows, phase.max_seq_length, examples))
            )
        )
        device.forget_peak_memory()
    else:
        found = next((rows for rows in sizes if rows * phase.max_seq_length <= POSITIONS * cores), 1)
        found = -(-found // cores) * cores
    print(
        f"pretrain {name}: {found} rows in one forward pass, at most {-(-share // found)} of them a step in each of"
        f" {processes.count} processes",
        flush=True,
    )
    return found


def largest_that_fits(sizes: list[int], attempt: Callable[[int], None]) -> int:
    """The first of `sizes`, largest first, with which `attempt` has memory enough. Raises UserError if none has."""
    for size in sizes:
        with suppress(torch.OutOfMemoryError):
            attempt(size)
            return size
        torch.cuda.empty_cache()
    raise UserError(
        "pretrain: not even one row fits into the memory of this device; set gradient_checkpointing, or take a smaller"
        " model or max_seq_length"
    )


def try_rows(stepper: Stepper, rows: int, length: int, examples: Examples) -> None:
    """One step's work on full rows of two examples each, beside what comes later.

    That is the gradients of the passes before, the optimizer's two moments, where it has none yet, DDP's copy of the
    gradients, and a twentieth of the device that is lost between blocks of different sizes.
    """
    bert, place = stepper.plain.bert, stepper.processes.device
    trained = [p for p in bert.parameters() if p.requires_grad]
    copies = 1 + (0 if stepper.optimizer.state else 2) + (stepper.processes.count > 1)
    beside = [torch.empty_like(p) for p in trained for _ in range(copies)]
    beside.append(
        torch.empty(torch.cuda.get_device_properties(place).total_memory // 20, dtype=torch.uint8, device=place)
    )
    half = np.tile(np.arange(length) * 2 // length, (rows, 1))
    zeros, masked = np.zeros_like(half), np.arange(0, rows * length, max(1, int(0.9 / examples.masked_lm_prob)))
    cls = np.flatnonzero(np.diff(half.ravel(), prepend=1))
    labels = cls * 0 if examples.next_sentence_prediction else cls[:0]
    batch = Batch(zeros, zeros, zeros, half + 1, cls, np.diff(cls, append=half.size), masked, masked * 0, labels)
    with stepper.autocast():
        result = stepper.plain(on_device(batch, bert))
    (result.mlm + result.nsp).backward()
    bert.zero_grad(set_to_none=True)
