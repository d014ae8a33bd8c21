"""Masked examples -> a model: one or more phases, each with its own length, batch, optimizer and warm-up.

Reads   data/mask/SET/, models/INIT/
Writes  models/NAME/: config.json, model.safetensors (MLM and NSP heads included), the tokenizer, training.json;
        results/pretrain/NAME.csv (the curve) and NAME.json (its last values)
By hand python -m wwm.pretrain NAME

A killed run goes on from its newest checkpoint in scratch/, with the same weights as one that was never killed.
"""

import csv
import io
import json
import math
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import BertForPreTraining
from transformers.utils import logging

from wwm import checkpoint, device, files, loader, masking, optim
from wwm import model as model_code
from wwm.loader import Examples
from wwm.model import pretraining_losses
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
    "heldout_mlm_loss",
    "heldout_mlm_accuracy",
]


def main(name: str) -> None:
    from wwm import params, track

    base, pretrain = params.load("pretrain")
    model = pretrain.models[params.one_of("pretrain NAME", name, pretrain.models)]
    init, examples, out = Path("models", model.init), Path("data/mask", model.examples), Path("models", name)
    results = [Path(f"results/pretrain/{name}.csv"), Path(f"results/pretrain/{name}.json")]
    settings = {"base": base.model_dump(), "pretrain": pretrain.model_dump(exclude={"models", "checkpoint_every"}), "model": model.model_dump()}
    code = [Path(__file__), *(Path(module.__file__) for module in (checkpoint, device, loader, masking, model_code, optim))]
    with files.scratch(f"pretrain-{name}", [init, examples, *code], settings) as scratch:
        with track.run("pretrain", name=name, params=settings | recipe(init, examples), outs=[out, *results], scratch=scratch) as run:
            Trainer(name, base, pretrain, model, init, examples, scratch, run).train(out, results)
        shutil.rmtree(scratch)


def recipe(init: Path, examples: Path) -> dict:
    """What else a comparison of models needs: the architecture, and what was masked."""
    config = files.read_json(init / "config.json")
    keys = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "hidden_dropout_prob", "attention_probs_dropout_prob")
    return {"architecture": {key: config[key] for key in keys}, "examples": loader.header(loader.shards(examples)[0])}


class Trainer:
    def __init__(self, name, base, pretrain, model, init: Path, examples: Path, scratch: Path, run):
        self.name, self.base, self.pretrain, self.phases, self.init, self.examples, self.scratch, self.run = (
            name,
            base,
            pretrain,
            model.phases,
            init,
            examples,
            scratch,
            run,
        )
        torch.set_num_threads(base.threads)
        logging.disable_progress_bar()
        device.seed_all(base.seed)
        self.device = device.pick()
        self.model = BertForPreTraining.from_pretrained(init, dtype=torch.float32).to(self.device).train()
        longest, limit = max(phase.max_seq_length for phase in self.phases), self.model.config.max_position_embeddings
        if longest > limit:
            raise ValueError(
                f"pretrain.models.{name}: max_seq_length {longest} is more than the {limit} positions of {init}; shorten the phase, or raise max_position_embeddings where the model begins"
            )
        self.before = files.training_history(init)
        # What a checkpoint holds besides weights, optimizer and random state.
        self.phase = self.step = self.total_steps = self.tokens = 0
        self.rows: list[dict] = []
        self.stop = False

    def train(self, out: Path, results: list[Path]) -> None:
        state = checkpoint.newest(self.scratch)
        if state:
            self.phase, self.step, self.total_steps, self.tokens, self.rows = (
                state["phase"],
                state["step"],
                state["total_steps"],
                state["tokens"],
                json.loads(state["rows"]),
            )
            self.model.load_state_dict(state["model"])
        signal.signal(signal.SIGTERM, self.ask_to_stop)
        total = sum(phase.steps for phase in self.phases)
        with tqdm(total=total, initial=self.total_steps, desc=f"pretrain {self.name}", unit=" steps", mininterval=2) as bar:
            while self.phase < len(self.phases):
                self.train_phase(self.phases[self.phase], state, bar)
                self.phase, self.step, state = self.phase + 1, 0, None
        self.write(out, results)

    def train_phase(self, phase, state: dict | None, bar) -> None:
        """Runs one phase from `self.step` to its end; `state` is the checkpoint that it resumes from, if any."""
        folder, vocab = self.examples / str(phase.max_seq_length), self.init / "vocab.txt"
        # A model that goes on from another one with the same examples sees them in another order.
        order = int(np.random.SeedSequence([self.base.seed, self.before["steps"] or 0, self.phase]).generate_state(1)[0])
        examples, heldout = Examples(folder / "train", vocab, order), Examples(folder / "heldout", vocab, self.base.seed)
        groups = parameter_groups(self.model, self.pretrain.weight_decay)
        betas, eps = self.pretrain.adam_betas, self.pretrain.adam_epsilon
        if phase.optimizer == "lamb":
            optimizer = Lamb(groups, phase.learning_rate, betas, eps, self.pretrain.weight_decay)
        else:
            optimizer = AdamW(groups, phase.learning_rate, betas, eps, self.pretrain.weight_decay, self.pretrain.correct_bias)
        if state:
            optimizer.load_state_dict(state["optimizer"])
            device.set_random_state(state["random"])
        # What a checkpoint between two points of the curve has already summed for the next one.
        sums = np.array(state["sums"]) if state else np.zeros(6)
        seconds, counted = time.perf_counter(), 0
        while self.step < phase.steps:
            numbers = examples.numbers(self.step * phase.batch_size, phase.batch_size)
            for group in optimizer.param_groups:
                group["lr"] = phase.learning_rate * linear_schedule(self.step, phase.steps, phase.warmup_steps)
            batches = [examples.batch(part, phase.max_seq_length) for part in numbers.reshape(-1, phase.micro_batch)]
            step_sums, gradient_norm = self.optimize(batches, optimizer)
            self.step += 1
            self.total_steps += 1
            real = sum(int((batch.example > 0).sum()) for batch in batches)
            self.tokens += real
            counted += real
            sums += step_sums
            bar.update()
            last = self.step == phase.steps
            if self.step % self.pretrain.log_every == 0 or last:
                row = self.row(phase, sums, gradient_norm, optimizer.param_groups[0]["lr"], counted / (time.perf_counter() - seconds))
                if self.step % self.pretrain.evaluate_every == 0 or last:
                    row |= self.measure(heldout, phase)
                self.rows.append(row)
                self.run.log({key: value for key, value in row.items() if key != "step" and value is not None}, step=self.total_steps)
                shown = {"loss": f"{row['mlm_loss']:.3f}", "accuracy": f"{row['mlm_accuracy']:.3f}", "tokens/s": f"{row['tokens_per_second']:.0f}"}
                bar.set_postfix(shown, refresh=False)
                seconds, counted, sums = time.perf_counter(), 0, np.zeros(6)
            if self.step % self.pretrain.checkpoint_every == 0 or last or self.stop:
                self.save(optimizer, sums)
            if self.stop:
                print(f"pretrain {self.name}: stopped at step {self.total_steps}, checkpoint saved; the next `dvc repro` goes on from here", flush=True)
                sys.exit(os.EX_TEMPFAIL)

    def optimize(self, batches: list, optimizer) -> tuple[np.ndarray, float]:
        """One optimizer step over the global batch. Returns (mlm sum, mlm correct, mlm count, nsp sum, nsp correct, nsp count) and the gradient's norm.

        The loss is the mean over all masked positions of the global batch plus the mean over its examples, never a mean of means.
        """
        n_masked, n_examples = sum(len(batch.masked_ids) for batch in batches), sum(len(batch.cls_positions) for batch in batches)
        sums = np.zeros(6)
        for batch in batches:
            losses = pretraining_losses(self.model, batch, self.device)
            (losses.mlm / max(1, n_masked) + losses.nsp / n_examples).backward()
            sums += [
                losses.mlm.item(),
                losses.mlm_correct.item(),
                len(batch.masked_ids),
                losses.nsp.item(),
                losses.nsp_correct.item(),
                len(batch.next_sentence_labels),
            ]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.pretrain.max_grad_norm).item()
        if not math.isfinite(norm):
            raise ValueError(f"pretrain.models.{self.name}: the gradient is {norm} at step {self.total_steps + 1}; lower learning_rate or raise warmup_steps")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return sums, norm

    @torch.no_grad()
    def measure(self, heldout: Examples, phase) -> dict[str, float]:
        """Loss and accuracy at the masked positions of held-out examples, the same ones every time."""
        self.model.eval()
        # Spread over the whole set, which has one source after the other.
        indices = np.linspace(0, len(heldout) - 1, min(len(heldout), self.pretrain.heldout_examples)).astype(int)
        loss = correct = count = 0
        for first in range(0, len(indices), phase.micro_batch):
            batch = heldout.batch(indices[first : first + phase.micro_batch], phase.max_seq_length)
            losses = pretraining_losses(self.model, batch, self.device)
            loss, correct, count = loss + losses.mlm.item(), correct + losses.mlm_correct.item(), count + len(batch.masked_ids)
        self.model.train()
        return {"heldout_mlm_loss": loss / max(1, count), "heldout_mlm_accuracy": correct / max(1, count)}

    def row(self, phase, sums: np.ndarray, gradient_norm: float, learning_rate: float, tokens_per_second: float) -> dict:
        mlm, mlm_correct, n_masked, nsp, nsp_correct, n_examples = sums.tolist()
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
        }

    def save(self, optimizer, sums: np.ndarray) -> None:
        checkpoint.save(
            self.scratch,
            self.total_steps,
            {
                "phase": self.phase,
                "step": self.step,
                "total_steps": self.total_steps,
                "tokens": self.tokens,
                "rows": json.dumps(self.rows),
                "sums": sums.tolist(),
                "model": self.model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "random": device.random_state(),
            },
        )

    def ask_to_stop(self, *_) -> None:
        self.stop = True

    def write(self, out: Path, results: list[Path]) -> None:
        """The model folder and the curve. `steps` and `tokens` count what the models it started from saw, too."""
        own = {"steps": self.total_steps, "tokens": self.tokens}
        seen = {key: None if self.before[key] is None else self.before[key] + count for key, count in own.items()}
        with files.new_folder(out) as folder:
            self.model.save_pretrained(folder)
            for file in self.init.iterdir():
                if file.name not in ("config.json", "model.safetensors", "training.json"):
                    shutil.copy(file, folder)
            files.write_json(folder / "training.json", seen | {"own_steps": self.total_steps, "own_tokens": self.tokens})
        table = io.StringIO()
        writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        files.write_text(results[0], table.getvalue())
        files.write_json(results[1], {key: self.rows[-1][key] for key in COLUMNS[2:] if self.rows[-1][key] is not None} | seen | {"init": self.init.name})


if __name__ == "__main__":
    from wwm import command

    command.run(main)
