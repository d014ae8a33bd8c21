"""The training loop of wwm/pretrain.py, in one process or in several that share each batch."""

import json
import math
import os
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm
from transformers import BertForPreTraining
from transformers.utils import logging

from wwm import checkpoint, device, files
from wwm.loader import Batch, Examples
from wwm.model import Pretraining, choose_trained, on_device
from wwm.optim import AdamW, Lamb, linear_schedule, parameter_groups

COLUMNS = [
    "step",
    "phase",
    "mlm_loss",
    "mlm_accuracy",
    "nsp_loss",
    "nsp_accuracy",
    "learning_rate",
    "grad_norm",
    "tokens",
    "tokens_per_second",
    "fill",
    "heldout_mlm_loss",
    "heldout_mlm_accuracy",
]
SPIKE_WINDOW = 100  # steps whose mean a loss is compared to
CPU_POSITIONS = 16_384  # of one forward pass, where nobody says; more make a CPU no faster


class Trainer:
    def __init__(self, name, base, pretrain, model, init: Path, examples: Path, scratch: Path, run, processes: device.Processes):
        self.name, self.pretrain, self.phases = name, pretrain, model.phases
        self.seed = base.seed if model.seed is None else model.seed
        self.init, self.examples, self.scratch, self.run, self.processes = init, examples, scratch, run, processes
        torch.set_num_threads(base.threads)
        logging.disable_progress_bar()
        # Each process drops out positions of its own.
        device.seed_all(self.seed + processes.rank)
        self.model = BertForPreTraining.from_pretrained(init, dtype=torch.float32).to(processes.device).train()
        if pretrain.gradient_checkpointing:
            self.model.gradient_checkpointing_enable()
        longest, limit = max(phase.max_seq_length for phase in self.phases), self.model.config.max_position_embeddings
        if longest > limit:
            raise ValueError(
                f"pretrain.models.{name}: max_seq_length {longest} is more than the {limit} positions of {init}; shorten the phase, or raise max_position_embeddings where the model begins"
            )
        self.before = files.training_history(init)
        # What a checkpoint holds besides weights, optimizer and random state.
        self.phase = self.step = self.total_steps = self.tokens = 0
        self.rows: list[dict] = []
        self.recent: list[float] = []
        self.stop = False

    def train(self) -> None:
        state = checkpoint.newest(self.scratch)
        if state:
            self.phase, self.step, self.total_steps, self.tokens = (state[key] for key in ("phase", "step", "total_steps", "tokens"))
            self.rows, self.recent = json.loads(state["rows"]), state["recent"]
            self.model.load_state_dict(state["model"])
        signal.signal(signal.SIGTERM, self.ask_to_stop)
        total = sum(phase.steps for phase in self.phases)
        with tqdm(total=total, initial=self.total_steps, desc=f"pretrain {self.name}", unit=" steps", mininterval=2, disable=self.processes.rank > 0) as bar:
            while self.phase < len(self.phases):
                self.train_phase(self.phases[self.phase], state, bar)
                self.phase, self.step, state = self.phase + 1, 0, None

    def train_phase(self, phase, state: dict | None, bar) -> None:
        """Runs one phase from `self.step` to its end; `state` is the checkpoint that it resumes from, if any."""
        folder, vocab = self.examples / str(phase.max_seq_length), self.init / "vocab.txt"
        # A model that goes on from another one with the same examples sees them in another order.
        order = int(np.random.SeedSequence([self.seed, self.before["steps"] or 0, self.phase]).generate_state(1)[0])
        examples, heldout = Examples(folder / "train", vocab, order), Examples(folder / "heldout", vocab, self.seed)
        choose_trained(self.model, examples.next_sentence_prediction, phase.train == "mlm_head")
        losses = Pretraining(self.model)
        micro_batch = state["micro_batch"] if state else self.micro_batch(phase, losses)
        if self.processes.count > 1:
            losses = DistributedDataParallel(losses, gradient_as_bucket_view=True)
        optimizer = self.optimizer(phase)
        if state:
            optimizer.load_state_dict(state["optimizer"])
            self.set_random_state(state["random"])
        # What a checkpoint between two points of the curve has already summed for the next one.
        sums = np.array(state["sums"]) if state else np.zeros(8)
        seconds, counted = time.perf_counter(), sums[6]
        while self.step < phase.steps:
            numbers = examples.numbers(self.step * phase.batch_size, phase.batch_size)
            for group in optimizer.param_groups:
                group["lr"] = phase.learning_rate * linear_schedule(self.step, phase.steps, phase.warmup_steps)
            mine = numbers.reshape(-1, micro_batch)[self.processes.rank :: self.processes.count]
            batches = [examples.batch(part, phase.max_seq_length) for part in mine]
            step_sums, gradient_norm, stop = self.optimize(losses, batches, optimizer, lambda mine=mine: self.worst(examples, mine, phase))
            self.step += 1
            self.total_steps += 1
            self.tokens += int(step_sums[6])
            sums += step_sums
            bar.update()
            last = self.step == phase.steps
            if self.step % self.pretrain.log_every == 0 or last:
                rate = (sums[6] - counted) / (time.perf_counter() - seconds)
                row = self.row(sums, gradient_norm, optimizer.param_groups[0]["lr"], rate)
                if self.step % self.pretrain.evaluate_every == 0 or last:
                    row |= self.measure(heldout, phase, micro_batch)
                self.rows.append(row)
                self.run.log({key: value for key, value in row.items() if key != "step" and value is not None}, step=self.total_steps)
                shown = {"loss": f"{row['mlm_loss']:.3f}", "accuracy": f"{row['mlm_accuracy']:.3f}", "tokens/s": f"{row['tokens_per_second']:.0f}"}
                bar.set_postfix(shown, refresh=False)
                seconds, counted, sums = time.perf_counter(), 0, np.zeros(8)
            if self.step % self.pretrain.checkpoint_every == 0 or last or stop:
                self.save(optimizer, sums, micro_batch)
            if stop:
                print(f"pretrain {self.name}: stopped at step {self.total_steps}, checkpoint saved; the next `dvc repro` goes on from here", flush=True)
                sys.exit(os.EX_TEMPFAIL)

    def optimizer(self, phase) -> torch.optim.Optimizer:
        groups = parameter_groups(self.model, self.pretrain.weight_decay)
        betas, eps = self.pretrain.adam_betas, self.pretrain.adam_epsilon
        if phase.optimizer == "lamb":
            return Lamb(groups, phase.learning_rate, betas, eps, self.pretrain.weight_decay)
        return AdamW(groups, phase.learning_rate, betas, eps, self.pretrain.weight_decay, self.pretrain.correct_bias)

    def micro_batch(self, phase, losses: Pretraining) -> int:
        """Sequences of one forward pass of a process: as the phase says, or the most that fit. Raises ValueError where the batch does not divide."""
        share, rest = divmod(phase.batch_size, self.processes.count)
        if rest or (phase.micro_batch and share % phase.micro_batch):
            unit = self.processes.count * (phase.micro_batch or 1)
            raise ValueError(
                f"pretrain.models.{self.name}: batch_size {phase.batch_size} is not divisible by {self.processes.count} processes x micro_batch "
                f"{phase.micro_batch or 'of any size'}; nearest is {max(1, round(phase.batch_size / unit)) * unit}"
            )
        if phase.micro_batch:
            return phase.micro_batch
        sizes = [size for size in range(share, 0, -1) if share % size == 0]
        if self.processes.device.type == "cpu":
            found = next((size for size in sizes if size * phase.max_seq_length <= CPU_POSITIONS), 1)
        else:
            found = min(self.processes.gathered(largest_that_fits(sizes, lambda size: self.try_size(losses, size, phase))))
        print(
            f"pretrain {self.name}: {found} sequences in one forward pass, {share // found} of them a step in each of {self.processes.count} processes",
            flush=True,
        )
        return found

    def try_size(self, losses: Pretraining, size: int, phase) -> None:
        """One step's work on full rows, with room for the optimizer's two moments."""
        moments = [torch.empty_like(p) for p in self.model.parameters() if p.requires_grad for _ in range(2)]
        shape, positions = (size, phase.max_seq_length), size * phase.max_seq_length
        masked = np.arange(0, positions, 6)
        zeros = np.zeros(shape, np.int64)
        batch = Batch(zeros, zeros, zeros, zeros + 1, np.arange(0, positions, phase.max_seq_length), masked, masked * 0, np.zeros(size, np.int64))
        with self.precision():
            result = losses(on_device(batch, self.processes.device))
        (result.mlm + result.nsp).backward()
        self.model.zero_grad(set_to_none=True)
        del moments

    def precision(self):
        return torch.autocast(self.processes.device.type, torch.bfloat16) if self.pretrain.precision == "bf16" else nullcontext()

    def optimize(self, losses, batches: list[Batch], optimizer, worst) -> tuple[np.ndarray, float, bool]:
        """One optimizer step over the global batch, of which `batches` are this process's part.

        Returns sums over all processes: (mlm, mlm correct, mlm count, nsp, nsp correct, nsp count, real positions, positions), the
        gradient's norm, and whether a process was asked to stop. The loss is the mean over all masked positions of the global
        batch plus the mean over its examples, never a mean of means.
        """
        own = [sum(len(batch.masked_ids) for batch in batches), sum(len(batch.cls_positions) for batch in batches), float(self.stop)]
        n_masked, n_examples, stop = self.processes.total(own)
        sums = torch.zeros(4, dtype=torch.float64, device=self.processes.device)
        for number, batch in enumerate(batches, 1):
            wait = losses.no_sync() if self.processes.count > 1 and number < len(batches) else nullcontext()
            with wait:
                with self.precision():
                    result = losses(on_device(batch, self.processes.device))
                # DDP takes the mean over processes, and this is a sum.
                (self.processes.count * (result.mlm / max(1, n_masked) + result.nsp / n_examples)).backward()
            sums += torch.stack([value.detach().double() for value in (result.mlm, result.mlm_correct, result.nsp, result.nsp_correct)])
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.pretrain.max_grad_norm)
        mlm, mlm_correct, nsp, nsp_correct, norm = [*sums.tolist(), norm.item()]
        counts = [sum(len(batch.masked_ids) for batch in batches), sum(len(batch.next_sentence_labels) for batch in batches)]
        positions = [sum(int((batch.example > 0).sum()) for batch in batches), sum(batch.input_ids.size for batch in batches)]
        step_sums = np.array(self.processes.total([mlm, mlm_correct, counts[0], nsp, nsp_correct, counts[1], *positions]))
        self.watch(step_sums[0].item() / max(1, n_masked), norm, worst)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return step_sums, norm, stop > 0

    def watch(self, loss: float, norm: float, worst) -> None:
        """Raises ValueError, before the weights change, where the gradient is not finite or the loss has jumped."""
        mean = sum(self.recent) / max(1, len(self.recent))
        spike = self.pretrain.loss_spike is not None and len(self.recent) == SPIKE_WINDOW and loss > self.pretrain.loss_spike * mean
        if spike or not (math.isfinite(norm) and math.isfinite(loss)):
            what = (
                f"the loss is {loss:.4g}, {self.pretrain.loss_spike} times the mean of {SPIKE_WINDOW} steps is {self.pretrain.loss_spike * mean:.4g}"
                if spike
                else f"the loss is {loss:.4g}, the gradient {norm:.4g}"
            )
            raise ValueError(
                f"pretrain.models.{self.name}: at step {self.total_steps + 1} {what}; the worst example there is {worst()}. Look at it with `wwm show`; "
                "lower learning_rate, raise warmup_steps, or, where the text is as it should be, raise pretrain.loss_spike"
            )
        self.recent = [*self.recent, loss][-SPIKE_WINDOW:]

    @torch.no_grad()
    def worst(self, examples: Examples, parts: np.ndarray, phase) -> str:
        """Of this process's examples the one with the highest loss, or without a finite one: its shard and row."""
        self.model.eval()
        found = (-math.inf, None)
        for number in parts.ravel():
            batch = examples.batch(np.array([number]), phase.max_seq_length)
            loss = Pretraining(self.model)(on_device(batch, self.processes.device)).mlm.item() / max(1, len(batch.masked_ids))
            found = max(found, (loss if math.isfinite(loss) else math.inf, int(number)))
        path, row = examples.place(found[1])
        return f"{path}, row {row}, with a loss of {found[0]:.4g}"

    @torch.no_grad()
    def measure(self, heldout: Examples, phase, micro_batch: int) -> dict[str, float]:
        """Loss and accuracy at the masked positions of held-out examples, the same ones every time."""
        self.model.eval()
        # Spread over the whole set, which has one source after the other.
        indices = np.linspace(0, len(heldout) - 1, min(len(heldout), self.pretrain.heldout_examples)).astype(int)
        sums = np.zeros(3)
        for first in range(self.processes.rank * micro_batch, len(indices), self.processes.count * micro_batch):
            batch = heldout.batch(indices[first : first + micro_batch], phase.max_seq_length)
            with self.precision():
                result = Pretraining(self.model)(on_device(batch, self.processes.device))
            sums += [result.mlm.item(), result.mlm_correct.item(), len(batch.masked_ids)]
        self.model.train()
        loss, correct, count = self.processes.total(sums.tolist())
        return {"heldout_mlm_loss": loss / max(1, count), "heldout_mlm_accuracy": correct / max(1, count)}

    def row(self, sums: np.ndarray, gradient_norm: float, learning_rate: float, tokens_per_second: float) -> dict:
        mlm, mlm_correct, n_masked, nsp, nsp_correct, n_examples, real, positions = sums.tolist()
        return dict.fromkeys(COLUMNS) | {
            "step": self.total_steps,
            "phase": self.phase + 1,
            "mlm_loss": mlm / max(1, n_masked),
            "mlm_accuracy": mlm_correct / max(1, n_masked),
            "nsp_loss": nsp / n_examples if n_examples else None,
            "nsp_accuracy": nsp_correct / n_examples if n_examples else None,
            "learning_rate": learning_rate,
            "grad_norm": gradient_norm,
            "tokens": self.tokens,
            "tokens_per_second": tokens_per_second,
            "fill": real / positions,
        }

    def save(self, optimizer, sums: np.ndarray, micro_batch: int) -> None:
        random = self.processes.gathered(device.random_state())
        if self.processes.rank == 0:
            keys = ("phase", "step", "total_steps", "tokens", "recent")
            state = {key: getattr(self, key) for key in keys} | {"rows": json.dumps(self.rows), "sums": sums.tolist(), "micro_batch": micro_batch}
            state |= {"model": self.model.state_dict(), "optimizer": optimizer.state_dict(), "random": random}
            checkpoint.save(self.scratch, self.total_steps, state)
        # None goes on before it is written, lest one that is killed now finds another one than the rest.
        self.processes.total([0.0])

    def set_random_state(self, states: list) -> None:
        if len(states) == self.processes.count:
            device.set_random_state(states[self.processes.rank])
        else:
            print(
                f"the checkpoint is of {len(states)} processes, these are {self.processes.count}: dropout will differ from a run that was not stopped",
                flush=True,
            )

    def ask_to_stop(self, *_) -> None:
        self.stop = True


def largest_that_fits(sizes: list[int], attempt) -> int:
    """The first of `sizes`, largest first, with which `attempt` finds memory enough. Raises ValueError if it finds none."""
    for size in sizes:
        try:
            attempt(size)
            return size
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
    raise ValueError(
        "pretrain: not even one sequence fits into the memory of this device; set gradient_checkpointing, or take a smaller model or max_seq_length"
    )
