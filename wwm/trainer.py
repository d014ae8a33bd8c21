"""The training loop of wwm/pretrain.py, in one process or in several that share each batch."""

import json
import math
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm
from transformers.utils import logging

from wwm import checkpoint, curve, device, files, micro_batch
from wwm import model as model_code
from wwm.curve import Sums
from wwm.loader import IGNORED, Batch, Examples
from wwm.model import Pretraining, choose_trained, on_device
from wwm.optim import AdamW, Lamb, linear_schedule, parameter_groups

SPIKE_WINDOW = 100  # steps whose mean a loss is compared to


class Trainer:
    def __init__(self, name, base, pretrain, model, init: Path, examples: Path, scratch: Path, run, processes: device.Processes):
        self.name, self.pretrain, self.phases = name, pretrain, model.phases
        self.seed = base.seed if model.seed is None else model.seed
        self.init, self.examples, self.scratch, self.run, self.processes = init, examples, scratch, run, processes
        torch.set_num_threads(base.threads)
        logging.disable_progress_bar()
        # Each process drops out positions of its own.
        device.seed_all(self.seed + processes.rank)
        self.model = model_code.load(init, processes.device, pretrain.precision)
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
        if self.pretrain.compile:
            losses.compile()
        rows = state["rows_of_a_pass"] if state else micro_batch.rows_of(self.name, phase, losses, self.processes, self.precision)
        if self.processes.count > 1:
            losses = DistributedDataParallel(losses, gradient_as_bucket_view=True)
        optimizer = self.optimizer(phase)
        if state:
            optimizer.load_state_dict(state["optimizer"])
            self.set_random_state(state["random"])
        # What a checkpoint between two points of the curve has already summed for the next one.
        sums = Sums(*state["sums"]) if state else Sums()
        seconds, counted = time.perf_counter(), sums.tokens

        def prepared(step: int) -> tuple[np.ndarray, list[Batch]]:
            numbers = examples.numbers(step * phase.batch_size, phase.batch_size)[self.processes.rank :: self.processes.count]
            return numbers, examples.batches(numbers, phase.max_seq_length, rows)

        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(prepared, self.step)
            while self.step < phase.steps:
                numbers, batches = coming.result()
                coming = reader.submit(prepared, self.step + 1)
                for group in optimizer.param_groups:
                    group["lr"] = phase.learning_rate * linear_schedule(self.step, phase.steps, phase.warmup_steps)
                step_sums, gradient_norm, stop = self.optimize(losses, batches, optimizer, lambda numbers=numbers: self.worst(examples, numbers, phase))
                self.step += 1
                self.total_steps += 1
                self.tokens += int(step_sums.tokens)
                sums += step_sums
                bar.update()
                last = self.step == phase.steps
                if self.step % self.pretrain.log_every == 0 or last:
                    rate = (sums.tokens - counted) / (time.perf_counter() - seconds)
                    row = self.row(sums, rate, gradient_norm, optimizer.param_groups[0]["lr"])
                    if self.step % self.pretrain.evaluate_every == 0 or last:
                        row |= self.measure(heldout, phase, rows)
                    self.rows.append(row)
                    self.run.log({key: value for key, value in row.items() if key != "step" and value is not None}, step=self.total_steps)
                    shown = {"loss": f"{row['mlm_loss']:.3f}", "accuracy": f"{row['mlm_accuracy']:.3f}", "tokens/s": f"{row['tokens_per_second']:.0f}"}
                    bar.set_postfix(shown, refresh=False)
                    seconds, counted, sums = time.perf_counter(), 0, Sums()
                if self.step % self.pretrain.checkpoint_every == 0 or last or stop:
                    self.save(optimizer, sums, rows)
                if stop:
                    print(f"pretrain {self.name}: stopped at step {self.total_steps}, checkpoint saved; the next `dvc repro` goes on from here", flush=True)
                    sys.exit(os.EX_TEMPFAIL)

    def optimizer(self, phase) -> torch.optim.Optimizer:
        groups = parameter_groups(self.model, self.pretrain.weight_decay)
        betas, eps = self.pretrain.adam_betas, self.pretrain.adam_epsilon
        if phase.optimizer == "lamb":
            return Lamb(groups, phase.learning_rate, betas, eps, self.pretrain.weight_decay)
        return AdamW(groups, phase.learning_rate, betas, eps, self.pretrain.weight_decay, self.pretrain.correct_bias)

    def precision(self):
        return torch.autocast(self.processes.device.type, torch.bfloat16) if self.pretrain.precision == "bf16" else nullcontext()

    def optimize(self, losses, batches: list[Batch], optimizer, worst) -> tuple[Sums, float, bool]:
        """One optimizer step over the global batch, of which `batches` are this process's part.

        Returns sums over all processes, the gradient's norm, and whether a process was asked to stop. The loss is the mean over
        all masked positions of the global batch plus the mean over its examples, never a mean of means.
        """
        lengths = np.concatenate([batch.lengths for batch in batches])
        counts = {
            "masked": sum(int((batch.masked_ids != IGNORED).sum()) for batch in batches),
            "pairs": sum(int((batch.next_sentence_labels != IGNORED).sum()) for batch in batches),
            "tokens": int(lengths.sum()),
            "positions": sum(batch.input_ids.size for batch in batches),
            "squares": int((lengths**2).sum()),
        }
        *totals, stop = self.processes.total([*counts.values(), float(self.stop)])
        counts = dict(zip(counts, totals))
        sums = torch.zeros(4, dtype=torch.float64, device=self.processes.device)
        for number, batch in enumerate(batches, 1):
            wait = losses.no_sync() if self.processes.count > 1 and number < len(batches) else nullcontext()
            with wait:
                with self.precision():
                    result = losses(on_device(batch, self.model))
                # DDP takes the mean over processes, and this is a sum.
                (self.processes.count * (result.mlm / max(1, counts["masked"]) + result.nsp / max(1, counts["pairs"]))).backward()
            sums += torch.stack([value.detach().double() for value in result])
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.pretrain.max_grad_norm)
        *own, norm = torch.cat([sums, norm.double()[None]]).tolist()
        step_sums = Sums(**dict(zip(("mlm", "mlm_correct", "nsp", "nsp_correct"), self.processes.total(own))), **counts)
        self.watch(step_sums.mlm / max(1, step_sums.masked), norm, worst)
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
    def worst(self, examples: Examples, numbers: np.ndarray, phase) -> str:
        """Of this process's examples the one with the highest loss, or without a finite one: its shard and row."""
        self.model.eval()
        found = (-math.inf, None)
        for number in numbers:
            (batch,) = examples.batches(np.array([number]), phase.max_seq_length, 1)
            loss = Pretraining(self.model)(on_device(batch, self.model)).mlm.item() / max(1, len(batch.masked_ids))
            found = max(found, (loss if math.isfinite(loss) else math.inf, int(number)))
        path, row = examples.place(found[1])
        return f"{path}, row {row}, with a loss of {found[0]:.4g}"

    @torch.no_grad()
    def measure(self, heldout: Examples, phase, rows: int) -> dict[str, float]:
        """Loss and accuracy at the masked positions of held-out examples, the same ones every time."""
        self.model.eval()
        # Spread over the whole set, which has one source after the other.
        numbers = np.linspace(0, len(heldout) - 1, min(len(heldout), self.pretrain.heldout_examples)).astype(int)
        sums = np.zeros(3)
        mine = numbers[self.processes.rank :: self.processes.count]
        for batch in heldout.batches(mine, phase.max_seq_length, rows) if len(mine) else []:
            with self.precision():
                result = Pretraining(self.model)(on_device(batch, self.model))
            sums += [result.mlm.item(), result.mlm_correct.item(), len(batch.masked_ids)]
        self.model.train()
        loss, correct, count = self.processes.total(sums.tolist())
        return {"heldout_mlm_loss": loss / max(1, count), "heldout_mlm_accuracy": correct / max(1, count)}

    def row(self, sums: Sums, tokens_per_second: float, gradient_norm: float, learning_rate: float) -> dict:
        peak = device.peak_flops(self.processes.device, self.pretrain.precision)
        return curve.point(sums, tokens_per_second, self.model.config, peak and peak * self.processes.count) | {
            "step": self.total_steps,
            "phase": self.phase + 1,
            "learning_rate": learning_rate,
            "grad_norm": gradient_norm,
            "tokens": self.tokens,
        }

    def save(self, optimizer, sums: Sums, rows: int) -> None:
        random = self.processes.gathered(device.random_state())
        if self.processes.rank == 0:
            keys = ("phase", "step", "total_steps", "tokens", "recent")
            state = {key: getattr(self, key) for key in keys} | {"rows": json.dumps(self.rows), "sums": list(sums), "rows_of_a_pass": rows}
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
