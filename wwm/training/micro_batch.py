"""How many rows one forward pass takes: as a phase says, or the most that fit."""

from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from typing import TypedDict, TypeVar

import numpy as np
import torch
from torch.distributed.fsdp import FSDPModule

from wwm.common.errors import UserError
from wwm.training import device
from wwm.training.job import Phase
from wwm.training.loader import Batch, Examples
from wwm.training.model import on_device
from wwm.training.step import Stepper

T = TypeVar("T")
POSITIONS = 16_384  # of one forward pass of a CPU or a TPU core, where nobody says; more make a CPU no faster
TOO_LARGE = (
    "not even one row fits into the memory of this device; set gradient_checkpointing, or take a smaller model or"
    " max_seq_length"
)


class Fitting(TypedDict):
    """Rows of one forward pass of each of several processes, and what the phase asked for when they were found."""

    rows: int
    processes: int
    asked: int | None


def rows_of(phase: Phase, stepper: Stepper, examples: Examples, saved: Fitting | None) -> Fitting:
    """How many rows each process takes; saved: what an earlier run found, kept where it was asked for the same.

    Raises UserError where the processes do not divide the batch, devices not the rows, or one row does not fit.
    """
    processes, cores = stepper.processes, device.cores(stepper.processes.device)
    if phase.masked_lm_prob:
        examples = examples.masked_at(max(phase.masked_lm_prob))
    share, rest = divmod(phase.batch_size, processes.count)
    if rest:
        nearest = max(1, round(phase.batch_size / processes.count)) * processes.count
        raise UserError(
            f"{stepper.job.key}: batch_size {phase.batch_size} is not divisible by {processes.count} processes;"
            f" nearest is {nearest}"
        )
    if phase.micro_batch and phase.micro_batch % cores:
        nearest = max(1, round(phase.micro_batch / cores)) * cores
        raise UserError(
            f"{stepper.job.key}: micro_batch {phase.micro_batch} is not divisible by {cores} devices; nearest is"
            f" {nearest}"
        )
    asked = (processes.count, phase.micro_batch)
    if saved and (saved["processes"], saved["asked"]) == asked and saved["rows"] % cores == 0:
        return saved
    fitting = Fitting(rows=share, processes=processes.count, asked=phase.micro_batch)
    if phase.micro_batch:
        fitting["rows"] = phase.micro_batch if cores > 1 else min(share, phase.micro_batch)
        return fitting
    sizes = sorted({-(-share // passes) for passes in range(1, share + 1)})
    if processes.device.type == "cuda":
        if isinstance(stepper.plain, FSDPModule):
            # A pass that runs out of memory in one process leaves the others waiting for it.
            raise UserError(
                f"{stepper.job.key}: micro_batch null cannot be found out with fsdp; set it to a number of rows"
                " that fits"
            )
        found = min(
            processes.gathered(
                largest_that_fits(sizes, lambda rows: try_rows(stepper, rows, phase.max_seq_length, examples))
            )
        )
        device.forget_peak_memory()
    else:
        found = next((rows for rows in reversed(sizes) if rows * phase.max_seq_length <= POSITIONS * cores), 1)
        found = -(-found // cores) * cores
    passes = -(-share // found)
    most = f", at most {passes} passes a step" if passes > 1 else ""
    spread = f", in each of {processes.count} processes" if processes.count > 1 else ""
    print(f"{stepper.job.title}: {found} rows in one forward pass{most}{spread}", flush=True)
    fitting["rows"] = found
    return fitting


def has_memory(attempt: Callable[[], object]) -> bool:
    """Whether `attempt` had memory enough; what it made is free when this returns."""
    try:
        attempt()
        return True
    except RuntimeError as error:
        if not device.is_out_of_memory(error):
            raise
    device.forget_peak_memory()
    return False


def largest_that_fits(sizes: list[int], attempt: Callable[[int], None]) -> int:
    """The largest of `sizes`, smallest first, with which `attempt` has memory enough: twice as many until they do not
    fit, then the middle of what is left. Raises UserError if none fits.
    """
    fitting, too_many, tried = 0, len(sizes), 0
    while fitting < too_many:
        if has_memory(partial(attempt, sizes[tried])):
            fitting = tried + 1
        else:
            too_many = tried
        doubled = bisect_left(sizes, 2 * sizes[tried], hi=len(sizes) - 1)
        tried = doubled if too_many == len(sizes) else (fitting + too_many) // 2
    if not fitting:
        raise UserError(f"pretrain: {TOO_LARGE}")
    return sizes[fitting - 1]


def fit(
    stepper: Stepper, fitting: Fitting, batches: Callable[[int], list[Batch]], work: Callable[[list[Batch]], T]
) -> T:
    """`work(batches(rows))`; where a pass runs out of memory all of it again with half the rows, which `fitting` has
    from then on.

    Raises UserError where one row does not fit, or other processes wait for this one in the middle of a pass.
    """
    processes = stepper.processes
    while True:
        try:
            return work(batches(fitting["rows"]))
        except RuntimeError as error:
            if processes.device.type == "xla" or not device.is_out_of_memory(error):
                raise
        # No longer in the handler, whose error holds what the pass had made.
        rows, half = fitting["rows"], -(-fitting["rows"] // 2)
        if rows == 1:
            raise UserError(f"{stepper.job.key}: {TOO_LARGE}")
        if processes.count > 1:
            raise UserError(
                f"{stepper.job.key}: a pass of {rows} rows ran out of memory in one of {processes.count}"
                f" processes, and the others wait for it; set micro_batch of this phase to {half}, and the next run"
                " goes on from the newest checkpoint"
            )
        stepper.optimizer.zero_grad(set_to_none=True)
        device.forget_peak_memory()
        fitting["rows"] = half
        print(
            f"{stepper.job.title}: out of memory with {rows} rows in one forward pass; from here on {half}",
            flush=True,
        )


def try_rows(stepper: Stepper, rows: int, length: int, examples: Examples) -> None:
    """One step's work on full rows of two examples each, beside what comes later.

    That is the gradients of the passes before, the optimizer's two moments, where it has none yet, DDP's copy of the
    gradients, and a twentieth of the device that is lost between blocks of different sizes.
    """
    bert, place = stepper.plain.bert, stepper.processes.device
    trained = [p for p in stepper.plain.parameters() if p.requires_grad]
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
    try:
        with stepper.autocast():
            result = stepper.plain(on_device(batch, bert))
        stepper.plain.loss(result, dict.fromkeys(("masked", "pairs", "tokens"), 1)).backward()
    finally:
        stepper.plain.zero_grad(set_to_none=True)
