"""The training loop of wwm/pretrain.py, in one process or in several that share each batch."""

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm
from transformers.utils import logging

from wwm.common import model_folder
from wwm.common.errors import UserError
from wwm.training import checkpoint, curve, device, micro_batch, sharded
from wwm.training import model as model_code
from wwm.training.curve import Sums
from wwm.training.loader import Batch, Examples
from wwm.training.model import Pretraining, choose_trained
from wwm.training.optim import AdamW, Lamb, linear_schedule, parameter_groups
from wwm.training.step import Stepper


class Trainer:
    def __init__(self, name, base, pretrain, model, init: Path, examples: Path, scratch: Path, run, processes: device.Processes):
        self.name, self.pretrain, self.phases = name, pretrain, model.phases
        self.seed = base.seed if model.seed is None else model.seed
        self.init, self.examples, self.scratch, self.run, self.processes = init, examples, scratch, run, processes
        device.set_up_cpu(base.threads)
        logging.disable_progress_bar()
        # Each process drops out positions of its own.
        device.seed_all(self.seed + processes.rank)
        # One process has nobody to share its weights with.
        self.fsdp = pretrain.fsdp and processes.count > 1
        # The whole model; with FSDP its parts are on the devices.
        self.model = model_code.load(init, torch.device("cpu") if self.fsdp else processes.device, pretrain.precision)
        if pretrain.gradient_checkpointing:
            self.model.gradient_checkpointing_enable()
            if processes.device.type == "xla":
                # torch's own does not know XLA's devices.
                for layer in self.model.bert.encoder.layer:
                    layer._gradient_checkpointing_func = device.xla_checkpoint()
        longest, limit = max(phase.max_seq_length for phase in self.phases), self.model.config.max_position_embeddings
        if longest > limit:
            raise UserError(
                f"pretrain.models.{name}: max_seq_length {longest} is more than the {limit} positions of {init}; shorten the phase, or raise max_position_embeddings where the model begins"
            )
        self.before = model_folder.training_history(init)
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
        before = signal.signal(signal.SIGTERM, self.ask_to_stop)
        total = sum(phase.steps for phase in self.phases)
        with tqdm(total=total, initial=self.total_steps, desc=f"pretrain {self.name}", unit=" steps", mininterval=2, disable=self.processes.rank > 0) as bar:
            while self.phase < len(self.phases):
                self.train_phase(self.phases[self.phase], state, bar)
                self.phase, self.step, state = self.phase + 1, 0, None
        signal.signal(signal.SIGTERM, before)

    def train_phase(self, phase, state: dict | None, bar) -> None:
        """Runs one phase from `self.step` to its end; `state` is the checkpoint that it resumes from, if any."""
        folder, vocab = self.examples / str(phase.max_seq_length), self.init / "vocab.txt"
        # A model that goes on from another one with the same examples sees them in another order.
        order = int(np.random.SeedSequence([self.seed, self.before["steps"] or 0, self.phase]).generate_state(1)[0])
        examples, heldout = Examples(folder / "train", vocab, order), Examples(folder / "heldout", vocab, self.seed)
        choose_trained(self.model, examples.next_sentence_prediction, phase.train == "mlm_head")
        plain = sharded.shard(self.model, self.processes) if self.fsdp else Pretraining(self.model)
        optimizer = self.optimizer(phase, plain)
        xla = self.processes.device.type == "xla"
        # XLA compiles by itself.
        if self.pretrain.compile and not xla:
            # Layer by layer, as they are all alike: the model as a whole takes as many times as long to compile.
            for layer in plain.bert.bert.encoder.layer:
                layer.compile()
        stepper = Stepper(self.name, self.pretrain, self.processes, plain, optimizer, self.recent)
        rows = micro_batch.rows_of(self.name, phase, stepper, examples, state and state["micro_batch"])
        if self.processes.count > 1 and not self.fsdp:
            stepper.losses = DistributedDataParallel(plain, gradient_as_bucket_view=True)
        if state:
            optimizer.load_state_dict(sharded.scatter(state["optimizer"], optimizer) if self.fsdp else state["optimizer"])
            self.set_random_state(state["random"])
        # What a checkpoint between two points of the curve has already summed for the next one.
        sums = Sums(*state["sums"]) if state else Sums()
        seconds, counted = time.perf_counter(), sums.tokens

        def prepared(step: int) -> tuple[np.ndarray, list[Batch]]:
            numbers = examples.numbers(step * phase.batch_size, phase.batch_size)[self.processes.rank :: self.processes.count]
            return numbers, examples.batches(numbers, phase.max_seq_length, rows, fixed=xla)

        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(prepared, self.step)
            while self.step < phase.steps:
                numbers, batches = coming.result()
                coming = reader.submit(prepared, self.step + 1)
                for group in optimizer.param_groups:
                    group["lr"] = phase.learning_rate * linear_schedule(self.step, phase.steps, phase.warmup_steps)
                tokens, stop = stepper.step(self.total_steps + 1, numbers, batches, self.stop)
                if not xla:
                    sums += stepper.read(examples, phase.max_seq_length)
                stepper.finish()
                self.step += 1
                self.total_steps += 1
                self.tokens += tokens
                bar.update()
                last = self.step == phase.steps
                log, save = self.step % self.pretrain.log_every == 0 or last, self.step % self.pretrain.checkpoint_every == 0 or last or stop
                if log or save:
                    sums += stepper.read(examples, phase.max_seq_length)
                if log:
                    rate = (sums.tokens - counted) / (time.perf_counter() - seconds)
                    row = self.row(sums, rate, stepper.norm, optimizer.param_groups[0]["lr"])
                    if self.step % self.pretrain.evaluate_every == 0 or last:
                        row |= stepper.measure(self.heldout(heldout, phase, rows, fixed=xla))
                    self.rows.append(row)
                    self.run.log({key: value for key, value in row.items() if key != "step" and value is not None}, step=self.total_steps)
                    shown = {"loss": f"{row['mlm_loss']:.3f}", "accuracy": f"{row['mlm_accuracy']:.3f}", "tokens/s": f"{row['tokens_per_second']:.0f}"}
                    bar.set_postfix(shown, refresh=False)
                    seconds, counted, sums = time.perf_counter(), 0, Sums()
                if save:
                    self.save(plain, optimizer, sums, rows)
                if stop:
                    print(f"pretrain {self.name}: stopped at step {self.total_steps}, checkpoint saved; the next `dvc repro` goes on from here", flush=True)
                    sys.exit(os.EX_TEMPFAIL)

    def optimizer(self, phase, plain: Pretraining) -> torch.optim.Optimizer:
        groups = parameter_groups(plain.bert, self.pretrain.weight_decay)
        betas, eps = self.pretrain.adam_betas, self.pretrain.adam_epsilon
        if phase.optimizer == "lamb":
            return Lamb(groups, phase.learning_rate, betas, eps, self.pretrain.weight_decay)
        return AdamW(groups, phase.learning_rate, betas, eps, self.pretrain.weight_decay, self.pretrain.correct_bias)

    def heldout(self, heldout: Examples, phase, rows: int, fixed: bool) -> list[Batch]:
        """This process's part of the held-out examples that are measured on, the same ones every time."""
        # Spread over the whole set, which has one source after the other.
        numbers = np.linspace(0, len(heldout) - 1, min(len(heldout), self.pretrain.heldout_examples)).astype(int)
        mine = numbers[self.processes.rank :: self.processes.count]
        return heldout.batches(mine, phase.max_seq_length, rows, fixed) if len(mine) else []

    def row(self, sums: Sums, tokens_per_second: float, gradient_norm: float, learning_rate: float) -> dict:
        peak = device.peak_flops(self.processes.device, self.pretrain.precision)
        return curve.point(sums, tokens_per_second, self.model.config, peak and peak * self.processes.count) | {
            "step": self.total_steps,
            "phase": self.phase + 1,
            "learning_rate": learning_rate,
            "grad_norm": gradient_norm,
            "tokens": self.tokens,
            "compilations": device.compilations(self.processes.device),
        }

    def save(self, plain: Pretraining, optimizer, sums: Sums, rows: int) -> None:
        random = self.processes.gathered(device.random_state())
        # Where each process has all of them, one is enough to copy them from.
        if self.fsdp or self.processes.rank == 0:
            weights, moments = sharded.gather(plain.bert.state_dict()), sharded.gather(optimizer.state_dict())
        if self.fsdp:
            self.model.load_state_dict(weights)
        if self.processes.rank == 0:
            keys = ("phase", "step", "total_steps", "tokens", "recent")
            state = {key: getattr(self, key) for key in keys} | {
                "rows": json.dumps(self.rows),
                "sums": list(sums),
                "micro_batch": {"rows": rows, "processes": self.processes.count},
            }
            checkpoint.save(self.scratch, self.total_steps, state | {"model": weights, "optimizer": moments, "random": random})
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
