"""One optimizer step over a global batch, shared by the processes that train together, and what it measured."""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from wwm.common.errors import UserError
from wwm.training import device
from wwm.training.curve import Sums
from wwm.training.job import Job
from wwm.training.loader import IGNORED, Batch, Examples, empty
from wwm.training.model import Losses, Pretraining, on_device
from wwm.training.optim import Muon

SPIKE_WINDOW = 100  # steps whose mean a loss is compared to


class Measured(NamedTuple):
    """What a step left on the device, to be read later."""

    step: int
    numbers: np.ndarray  # (n,) this process's examples of the batch
    counts: dict[str, float]  # over all processes
    values: (
        torch.Tensor
    )  # (n + 1,) of this process: what a forward pass measures, in the order of Losses, and the gradient's norm


class Stepper:
    """Takes steps, and watches their losses.

    plain: the model with its losses; recent: losses of the steps before, at most SPIKE_WINDOW. `losses` is `plain`
    until somebody wraps it for several processes.
    """

    def __init__(self, job: Job, plain: Pretraining, optimizer: torch.optim.Optimizer, recent: list[float]):
        self.job, self.settings, self.processes = job, job.settings, job.processes
        self.plain, self.optimizer, self.recent = plain, optimizer, recent
        self.optimizer_flops = optimizer.flops() if isinstance(optimizer, Muon) else 0
        self.head_only = not any(parameter.requires_grad for parameter in plain.bert.bert.parameters())
        self.losses: torch.nn.Module = plain
        self.unread: list[Measured] = []
        self.norm = 0.0

    def autocast(self) -> AbstractContextManager:
        return device.autocast(self.processes.device, self.settings.precision)

    def step(self, number: int, numbers: np.ndarray, batches: list[Batch], stop: bool) -> tuple[dict[str, float], bool]:
        """Trains on the global batch, of which `batches` (examples `numbers`) are this process's part.

        Returns its counts (masked, pairs, tokens, positions, flops), and whether a process was asked to stop. Raises
        UserError as `read` does, before the weights change but on XLA, where reading is left to the caller.
        """
        lengths = np.concatenate([batch.lengths for batch in batches])
        counts: dict[str, float] = {
            "masked": sum(int((batch.masked_ids != IGNORED).sum()) for batch in batches),
            "pairs": sum(int((batch.next_sentence_labels != IGNORED).sum()) for batch in batches),
            "tokens": int(lengths.sum()),
            "positions": sum(batch.input_ids.size for batch in batches),
        }
        *totals, squares, stops = self.processes.total([*counts.values(), int((lengths**2).sum()), float(stop)])
        counts = dict(zip(counts, totals))
        counts["flops"] = self.plain.flops(
            counts["tokens"], squares, counts["masked"], self.optimizer_flops, self.head_only
        )
        batches = self.as_many_as_others(batches)
        place = self.processes.device
        sums = torch.zeros(
            len(Losses._fields), dtype=torch.float32 if place.type == "xla" else torch.float64, device=place
        )
        for count, batch in enumerate(batches, 1):
            with self.sums_between_processes(last=count == len(batches)):
                with self.autocast():
                    result = self.losses(on_device(batch, self.plain.bert))
                # Gradients come as the mean over processes, and this is a sum.
                (self.processes.count * self.plain.loss(result, counts)).backward()
            sums += torch.stack([value.detach().to(sums.dtype) for value in result])
            device.flush(place)
        norm = torch.nn.utils.clip_grad_norm_(self.plain.parameters(), self.settings.max_grad_norm)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        self.unread.append(Measured(number, numbers, counts, torch.cat([sums, norm.to(sums.dtype)[None]])))
        return counts, stops > 0

    def finish(self) -> None:
        """Changes the weights by the gradients of `step`."""
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        device.flush(self.processes.device)

    def as_many_as_others(self, batches: list[Batch]) -> list[Batch]:
        """With FSDP every pass is one of all processes: who has fewer rows joins in with empty ones."""
        if not isinstance(self.losses, FSDPModule):
            return batches
        return batches + [empty()] * (max(self.processes.gathered(len(batches))) - len(batches))

    def sums_between_processes(self, last: bool) -> AbstractContextManager:
        """Gradients are summed over the processes once a step, in its last pass."""
        if isinstance(self.losses, FSDPModule):
            self.losses.set_requires_gradient_sync(last)
        elif isinstance(self.losses, DistributedDataParallel) and not last:
            return self.losses.no_sync()
        return nullcontext()

    def read(self, examples: Examples, max_seq_length: int) -> Sums:
        """Sums of the steps that are not read yet. Raises UserError where a gradient is not finite or a loss has
        jumped, and names the worst example.
        """
        total, unread, self.unread = Sums(), self.unread, []
        for measured, values in zip(unread, torch.stack([m.values for m in unread]).tolist() if unread else []):
            *own, self.norm = values
            sums = Sums(**dict(zip(Losses._fields, self.processes.total(own))), **measured.counts)
            loss = sums.mlm / max(1, sums.masked)
            if what := self.gone_wrong(loss):
                raise UserError(
                    f"{self.job.key}: at step {measured.step} {what};"
                    f" {self.worst(examples, measured.numbers, max_seq_length)}; lower learning_rate, raise"
                    " warmup_steps, or, where the text is as it should be, raise pretrain.loss_spike"
                )
            self.recent[:] = [*self.recent, loss][-SPIKE_WINDOW:]
            total += sums
        return total

    def gone_wrong(self, loss: float) -> str | None:
        if not (math.isfinite(self.norm) and math.isfinite(loss)):
            return f"the loss is {loss:.4g}, the gradient {self.norm:.4g}"
        limit, mean = self.settings.loss_spike, sum(self.recent) / max(1, len(self.recent))
        if limit is not None and len(self.recent) == SPIKE_WINDOW and loss > limit * mean:
            return f"the loss is {loss:.4g}, {limit} times the mean of {SPIKE_WINDOW} steps is {limit * mean:.4g}"
        return None

    @torch.no_grad()
    def worst(self, examples: Examples, numbers: np.ndarray, max_seq_length: int) -> str:
        """Of a step's examples, `numbers` in this process, the one with the highest loss, or without a finite one: its
        shard and row.
        """
        if self.processes.device.type == "xla":
            return (
                "XLA tells of it when the weights have changed already: go on from the newest checkpoint on a CPU or"
                " GPU to have the worst example named"
            )
        self.plain.eval()
        found = (-math.inf, -1)
        for number in numbers:
            (batch,) = examples.batches(np.array([number]), max_seq_length, 1)
            with self.autocast():
                loss = self.plain(on_device(batch, self.plain.bert)).mlm.item() / max(1, len(batch.masked_ids))
            found = max(found, (loss if math.isfinite(loss) else math.inf, int(number)))
        loss, number = max(self.processes.gathered(found))
        path, row = examples.place(number)
        return f"the worst example there is {path}, row {row}, with a loss of {loss:.4g}: look at it with `wwm show`"

    @torch.no_grad()
    def measure(self, batches: list[Batch]) -> dict[str, float]:
        """Loss and accuracy at the masked positions of held-out batches, of which these are this process's part."""
        self.plain.eval()
        sums = torch.zeros(2, dtype=torch.float64)
        for batch in self.as_many_as_others(batches):
            with self.autocast():
                result = self.plain(on_device(batch, self.plain.bert))
            sums += torch.stack([result.mlm, result.mlm_correct]).cpu().double()
        self.plain.train()
        masked = sum(int((batch.masked_ids != IGNORED).sum()) for batch in batches)
        loss, correct, count = self.processes.total([*sums.tolist(), masked])
        return {"heldout_mlm_loss": loss / max(1, count), "heldout_mlm_accuracy": correct / max(1, count)}
