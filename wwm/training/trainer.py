"""The training loop of wwm/pretraining.py, in one process or in several that share each batch."""

import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm
from transformers.utils import logging

from wwm.common import model_folder
from wwm.common.errors import UserError
from wwm.training import curve, device, micro_batch, model, sharded
from wwm.training.curve import Sums
from wwm.training.job import Job, Phase
from wwm.training.loader import Batch, Examples
from wwm.training.model import Pretraining, choose_trained
from wwm.training.optim import OPTIMIZERS, linear_schedule, parameter_groups
from wwm.training.state import State
from wwm.training.step import Stepper

HEAD_ONLY = {None: False, "all": False, "mlm_head": True}


class Trainer:
    """`model` is the whole model, on the device; with FSDP on the CPU, while its parts are on the devices."""

    def __init__(self, job: Job):
        self.job, self.state, self.stop = job, State(), False
        settings, processes = job.settings, job.processes
        if processes.device.type == "xla" and any(phase.optimizer == "muon" for phase in job.phases):
            raise UserError(f"{job.key}: optimizer muon does not run on XLA; take adamw or lamb")
        device.set_up_cpu(job.threads)
        logging.disable_progress_bar()
        # Each process drops out positions of its own, and none those of a training with the next seed.
        device.seed_all(int(np.random.SeedSequence([job.seed, processes.rank]).generate_state(1)[0]))
        # One process has nobody to share its weights with.
        self.fsdp = settings.fsdp and processes.count > 1
        place = torch.device("cpu") if self.fsdp else processes.device
        self.model = model.load(job.init, place, settings.precision)
        if settings.gradient_checkpointing:
            self.model.gradient_checkpointing_enable()
            if processes.device.type == "xla":
                # torch's own does not know XLA's devices.
                for layer in self.model.bert.encoder.layer:
                    layer._gradient_checkpointing_func = device.xla_checkpoint()  # type: ignore[assignment]  # no tensor
        # XLA compiles by itself.
        self.compiled = settings.compile and processes.device.type != "xla"
        if self.compiled:
            model.compile_layers(self.model)
        self.uncompiled = device.uncompiled() if self.compiled else set()
        longest = max(phase.max_seq_length for phase in job.phases)
        limit = self.model.config.max_position_embeddings
        if longest > limit:
            raise UserError(
                f"{job.key}: max_seq_length {longest} is more than the {limit} positions of"
                f" {job.init}; shorten the phase, or raise max_position_embeddings where the model begins"
            )
        self.losses = job.losses(job, self.model)
        self.before = model_folder.training_history(job.init)

    def train(self, keep: Callable[[], object] = lambda: None) -> None:
        """`keep` is called by the first process after each of the job's milestones, while `model` is as it is then."""
        self.keep = keep
        self.state = State.newest(self.job.scratch)
        if self.state.restored:
            self.losses.load_state_dict(self.state.restored["model"])
        before = signal.signal(signal.SIGTERM, self.ask_to_stop)
        self.begun = time.perf_counter() - self.state.seconds
        total = sum(phase.steps for phase in self.job.phases)
        with tqdm(
            total=total,
            initial=self.state.total_steps,
            desc=self.job.title,
            unit=" steps",
            mininterval=2,
            disable=self.job.processes.rank > 0,
        ) as bar:
            while self.state.phase < len(self.job.phases):
                self.train_phase(self.job.phases[self.state.phase], bar)
                self.state.phase, self.state.step, self.state.micro_batch = self.state.phase + 1, 0, None
        signal.signal(signal.SIGTERM, before)

    def train_phase(self, phase: Phase, bar: tqdm) -> None:
        """Runs one phase from the state's step to its end."""
        job, state = self.job, self.state
        settings, processes = job.settings, job.processes
        folder, vocab = job.examples / str(phase.max_seq_length), job.init / "vocab.txt"
        # A model that goes on from another one with the same examples sees them in another order.
        order = int(np.random.SeedSequence([job.seed, self.before["steps"] or 0, state.phase]).generate_state(1)[0])
        examples = Examples(folder / "train", vocab, order)
        heldout = Examples(folder / "heldout", vocab, job.seed)
        choose_trained(self.model, examples.next_sentence_prediction, HEAD_ONLY[phase.train])
        plain = sharded.shard(self.losses, processes) if self.fsdp else self.losses
        groups = parameter_groups(plain, settings.weight_decay, single_segments=not examples.pairs)
        optimizer = OPTIMIZERS[phase.optimizer](groups, phase.learning_rate, settings)
        xla = processes.device.type == "xla"
        stepper = Stepper(job, plain, optimizer, state.recent)
        state.micro_batch = fitting = micro_batch.rows_of(phase, stepper, examples, state.micro_batch)
        if processes.count > 1 and not self.fsdp:
            stepper.losses = DistributedDataParallel(plain, gradient_as_bucket_view=True)
        state.restore(optimizer, processes, self.fsdp)
        # What a checkpoint between two points of the curve has summed counts for the next one, but not for its rate.
        seconds, counted = time.perf_counter(), state.sums.tokens

        def read(step: int) -> tuple[Examples, np.ndarray, Callable[[int], list[Batch]]]:
            seen = examples
            if phase.masked_lm_prob:
                share = np.interp(step, [0, max(1, phase.steps - 1)], phase.masked_lm_prob)
                seen = examples.masked_at(float(share))
            numbers = seen.numbers(step * phase.batch_size, phase.batch_size)[processes.rank :: processes.count]
            batches = cache(lambda rows: seen.batches(numbers, phase.max_seq_length, rows, fixed=xla))
            batches(fitting["rows"])
            return seen, numbers, batches

        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(read, state.step)
            while state.step < phase.steps:
                seen, numbers, batches = coming.result()
                coming = reader.submit(read, state.step + 1)
                for group in optimizer.param_groups:
                    peak = phase.muon_learning_rate if group["orthogonal"] else None
                    rate = linear_schedule(state.step, phase.steps, phase.warmup_steps)
                    group["lr"] = (peak or phase.learning_rate) * rate
                work = partial(stepper.step, state.total_steps + 1, numbers, stop=self.stop)
                counts, stop = micro_batch.fit(stepper, fitting, batches, work)
                if not counts["masked"]:
                    raise UserError(
                        f"{job.key}: at step {state.total_steps + 1} no piece of the whole batch is"
                        f" masked; look at {folder}/train with `wwm show`, and run the stage mask again"
                    )
                if not xla:
                    state.sums += stepper.read(seen, phase.max_seq_length)
                stepper.finish()
                state.step += 1
                state.total_steps += 1
                state.tokens += int(counts["tokens"])
                state.examples += phase.batch_size
                state.flops += counts["flops"]
                bar.update()
                last = state.step == phase.steps
                log = state.step % settings.log_every == 0 or last
                save = state.step % settings.checkpoint_every == 0 or last or stop
                if log or save:
                    state.sums += stepper.read(seen, phase.max_seq_length)
                if log:
                    speed = (state.sums.tokens - counted) / (time.perf_counter() - seconds)
                    row = self.row(speed, stepper.norm, optimizer.param_groups[0]["lr"])
                    if state.step % settings.evaluate_every == 0 or last:
                        measured_on = partial(self.heldout, heldout, phase, fixed=xla)
                        row |= micro_batch.fit(stepper, fitting, measured_on, stepper.measure)
                    self.show(row, bar)
                    seconds, counted, state.sums = time.perf_counter(), 0, Sums()
                self.tell_uncompiled()
                # Before the checkpoint: a run that goes on from this step does not do it again.
                if state.total_steps in job.milestones:
                    self.milestone(plain)
                if save:
                    state.seconds = time.perf_counter() - self.begun
                    state.save(job.scratch, self.losses, plain, optimizer, processes, self.fsdp)
                if stop:
                    print(
                        f"{job.title}: stopped at step {state.total_steps}, checkpoint saved; the next `dvc"
                        " repro` goes on from here",
                        flush=True,
                    )
                    sys.exit(os.EX_TEMPFAIL)

    def milestone(self, plain: Pretraining) -> None:
        """All processes take part, since with FSDP each has a part of the weights."""
        if self.fsdp:
            self.model.load_state_dict(sharded.gather(plain.bert.state_dict()))
        if self.job.processes.rank == 0:
            self.keep()

    def heldout(self, heldout: Examples, phase: Phase, rows: int, fixed: bool) -> list[Batch]:
        """This process's part of the held-out examples that are measured on, the same ones every time."""
        # Spread over the whole set, which has one source after the other.
        count = min(len(heldout), self.job.settings.heldout_examples)
        numbers = np.linspace(0, len(heldout) - 1, count).astype(int)
        mine = numbers[self.job.processes.rank :: self.job.processes.count]
        return heldout.batches(mine, phase.max_seq_length, rows, fixed) if len(mine) else []

    def row(self, tokens_per_second: float, gradient_norm: float, learning_rate: float) -> dict:
        """The point of the curve that the state's sums come to."""
        processes = self.job.processes
        peak = device.peak_flops(processes.device, self.job.settings.precision)
        peak = peak and peak * processes.count
        return curve.point(self.state.sums, tokens_per_second, peak) | {
            "step": self.state.total_steps,
            "phase": self.state.phase + 1,
            "learning_rate": learning_rate,
            "grad_norm": gradient_norm,
            "tokens": self.state.tokens,
            "compilations": device.compilations(processes.device, self.compiled),
        }

    def tell_uncompiled(self) -> None:
        """Says once of each reason that a part of the steps runs uncompiled from here on."""
        if self.compiled and (new := device.uncompiled() - self.uncompiled):
            self.uncompiled |= new
            for reason in sorted(new):
                print(
                    f"{self.job.title}: NOT COMPILED in full from step {self.state.total_steps} on, and slower:"
                    f" {reason}",
                    flush=True,
                )

    def show(self, row: dict, bar: tqdm) -> None:
        self.state.rows.append(row)
        told = {key: value for key, value in row.items() if key != "step" and value is not None}
        self.job.log.log(told, step=self.state.total_steps)
        shown = {
            "loss": f"{row['mlm_loss']:.3f}",
            "accuracy": f"{row['mlm_accuracy']:.3f}",
            "tokens/s": f"{row['tokens_per_second']:.0f}",
        }
        bar.set_postfix(shown, refresh=False)

    def ask_to_stop(self, *_: object) -> None:
        self.stop = True
