"""Speed of a pre-training step, beside transformers' Trainer on the same examples.

python -m bench.pretrain SHARDS --vocabulary VOCAB [--length 128] [--full-rows]    SHARDS: data/mask/SET/LENGTH/train

Every variant takes the same steps in a process of its own, one after the other, round by round; the table has the sum
of the steps' medians over the rounds, and what it is of the peer's. `ours` is the training loop itself, loading
included. The peer is transformers' own model with its Trainer: padded rows, logits at every position, its fused AdamW.
Tokens are real ones; padding is none. `--full-rows` takes only examples that fill a row. On a GPU: --layers 12 --hidden
768 --batch 384 --precision bf16, and --profile FILE for a table of what the time goes to.
"""

import argparse
import gc
import platform
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
import transformers
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, TrainerCallback, TrainingArguments
from transformers import Trainer as PeerTrainer

from wwm.common import files
from wwm.training import device, distillation, dropout, loader, model, optim, trainer
from wwm.training.job import Job, from_labels

# As MiniRBT's, with two layers matched.
TEACHER = SimpleNamespace(
    temperature=8.0,
    kd_loss_type="ce",
    kd_loss_weight=1.0,
    hard_label_weight=0.0,
    intermediate_matches=[
        SimpleNamespace(layer_T=layer, layer_S=layer, loss="hidden_mse", weight=1.0, proj=None) for layer in (0, 1)
    ],
)
WARM_UP = 2  # steps of each round that are not timed
PEER = "peer: transformers' Trainer"


def main(
    shards: Path,
    vocabulary: Path,
    length: int,
    full_rows: bool,
    batch: int,
    micro_batch: int,
    steps: int,
    rounds: int,
    **rest,
) -> None:
    threads, precision, profile = rest["threads"], rest["precision"], rest["profile"]
    set_up(threads)
    place, micro_batch = device.pick(), min(micro_batch, batch)
    if batch % micro_batch:
        raise SystemExit(f"--batch {batch} is no multiple of --micro-batch {micro_batch}, and the peer would take less")
    print(
        torch.cuda.get_device_name(place) if place.type == "cuda" else f"{platform.machine()}, {threads} threads",
        end="; ",
    )
    print(f"Python {platform.python_version()}, torch {torch.__version__}, transformers {version('transformers')}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        config = save_model(root / "model", vocabulary, rest["layers"], rest["hidden"], rest["dropout"])
        select(shards, root / f"examples/{length}/train", length, full_rows, batch * (steps + WARM_UP))
        (root / f"examples/{length}/heldout").symlink_to(root / f"examples/{length}/train")
        run = Bench(root, vocabulary, length, batch, micro_batch, steps + WARM_UP, threads, precision, rest["compile"])
        variants = list(run.variants())
        if profile:
            return profiled(run, profile)
        # Each variant in a process of its own: what one sets, as how memory is kept, is not the others'.
        workers = {name: ProcessPoolExecutor(1, get_context("spawn"), set_up, (threads,)) for name in variants}
        taken, memory = {name: [] for name in variants}, {}
        for number in range(rounds):
            for name in variants[:: -1 if number % 2 else 1]:
                seconds, memory[name] = workers[name].submit(run.take, name).result()
                taken[name].append(seconds[WARM_UP:])
        times = {name: np.median(each, axis=0).sum() for name, each in taken.items()}
        sums = run.sums()
    fill = sums.tokens / sums.positions
    print(
        f"{rest['layers']} layers x {rest['hidden']}, length {length}, batches of {batch} in passes of {micro_batch}"
        f" rows, {precision}, dropout {rest['dropout']}; padded rows are {fill:.2f} full\n"
    )
    print(
        "| | seconds a step | real tokens/s | times the peer | times the peer x fill | MFU | GPU memory, GiB"
        " |\n|---|---|---|---|---|---|---|"
    )
    flops, peak = (
        model.training_flops(config, sums.tokens, sums.squares, sums.masked),
        device.peak_flops(place, precision),
    )
    for name, seconds in times.items():
        ratio = times[PEER] / seconds
        held = f"{memory[name] / 2**30:.1f}" if place.type == "cuda" else ""
        mfu = f"{flops / seconds / peak:.1%}" if peak else ""
        print(
            f"| {name} | {seconds / steps:.3f} | {sums.tokens / seconds:,.0f} | {ratio:.2f} | {ratio * fill:.2f} |"
            f" {mfu} | {held} |"
        )


def set_up(threads: int) -> None:
    """Of each process."""
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def save_model(folder: Path, vocabulary: Path, layers: int, hidden: int, dropout: float) -> BertConfig:
    entries = len(list(files.lines(vocabulary)))
    size = {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": hidden // 64,
        "intermediate_size": 4 * hidden,
    }
    config = BertConfig(vocab_size=entries, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, **size)
    BertForPreTraining(config).save_pretrained(folder)
    (folder / "vocab.txt").write_bytes(vocabulary.read_bytes())
    files.write_json(folder / "training.json", {"steps": 0, "tokens": 0})
    return config


def select(shards: Path, out: Path, length: int, full_rows: bool, count: int) -> None:
    """`count` examples from all over the shards, or so many that fill a row, as a shard of their own."""
    table = pa.concat_tables(reader.read_all() for reader in loader.shards(shards).values())
    if full_rows:
        table = table.filter(pc.equal(pc.list_value_length(table["input_ids"]), length))
    if len(table) < count:
        raise SystemExit(
            f"{shards} has {len(table):,} such examples, {count:,} are needed; take fewer steps, a smaller batch or"
            " more text"
        )
    table = table.take(np.sort(np.random.default_rng(1).permutation(len(table))[:count])).combine_chunks()
    out.mkdir(parents=True)
    with pa.OSFile(str(out / "00000.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


class Bench:
    def __init__(
        self,
        root: Path,
        vocabulary: Path,
        length: int,
        batch: int,
        micro_batch: int,
        steps: int,
        threads: int,
        precision: str,
        compile: bool,
    ):
        self.root, self.length, self.batch, self.micro_batch, self.steps = root, length, batch, micro_batch, steps
        self.threads, self.precision, self.compile = threads, precision, compile
        self.vocabulary = vocabulary

    def examples(self) -> loader.Examples:
        # Trainer takes its order from the seed: the peer gets the same.
        order = int(np.random.SeedSequence([1, 0, 0]).generate_state(1)[0])
        return loader.Examples(self.root / f"examples/{self.length}/train", self.vocabulary, order)

    def take(self, name: str) -> tuple[list[float], int]:
        """Seconds of each step of a variant, and the most bytes that it held."""
        device.forget_peak_memory()
        seconds, held = self.variants()[name](), device.peak_memory()
        # The next variant is to have all of the device.
        gc.collect()
        device.forget_peak_memory()
        return seconds, held

    def variants(self) -> dict:
        """Each trick switched off in turn."""
        place = device.pick()
        compiled = {"ours, compiled": lambda: self.ours(compiled=True)}
        on_cpu = {
            "torch's dropout": lambda: self.ours(mock.patch.object(dropout, "use_in", lambda _: None)),
            "memory given back": lambda: self.ours(mock.patch.object(device, "set_up_cpu", torch.set_num_threads)),
        }
        flash = {
            "no flash-attn": lambda: self.ours(mock.patch.object(model, "is_flash_attn_2_available", lambda: False))
        }
        return {
            PEER: self.peer,
            "ours": self.ours,
            **(compiled if self.compile else {}),
            "rows not packed": lambda: self.ours(
                mock.patch.object(loader, "first_fit", lambda lengths, capacity: np.arange(len(lengths)))
            ),
            "head at every position": lambda: self.ours(mock.patch.object(model.Pretraining, "forward", dense)),
            "optimizer not fused": lambda: self.ours(mock.patch.object(optim.torch.optim.AdamW, "__init__", unfused)),
            "not read ahead": lambda: self.ours(mock.patch.object(trainer, "ThreadPoolExecutor", Now)),
            "with a teacher of its size": lambda: self.ours(
                losses=partial(distillation.student, self.root / "model", TEACHER)
            ),
            **(on_cpu if place.type == "cpu" else {}),
            **(flash if place.type == "cuda" and model.is_flash_attn_2_available() else {}),
        }

    def ours(self, change=None, compiled: bool = False, each_step=lambda: None, losses=from_labels) -> list[float]:
        """Seconds of each step of the training loop."""
        phase = SimpleNamespace(
            max_seq_length=self.length,
            steps=self.steps,
            batch_size=self.batch,
            micro_batch=self.micro_batch,
            optimizer="adamw",
            learning_rate=1e-4,
            muon_learning_rate=None,
            masked_lm_prob=None,
            warmup_steps=0,
            train="all",
        )
        pretrain = SimpleNamespace(
            weight_decay=0.01,
            adam_betas=[0.9, 0.999],
            adam_epsilon=1e-6,
            correct_bias=False,
            max_grad_norm=1.0,
            precision=self.precision,
            gradient_checkpointing=False,
            compile=compiled,
            loss_spike=None,
            fsdp=False,
            log_every=1,
            evaluate_every=self.steps,
            heldout_examples=1,
            checkpoint_every=self.steps,
        )
        quiet = SimpleNamespace(log=lambda *_, **__: each_step())
        with tempfile.TemporaryDirectory() as scratch, change or nothing():
            job = Job(
                stage="pretrain",
                name="bench",
                seed=1,
                threads=self.threads,
                settings=pretrain,
                phases=[phase],
                init=self.root / "model",
                examples=self.root / "examples",
                scratch=Path(scratch),
                log=quiet,
                processes=device.join(),
                losses=losses,
            )
            trained = trainer.Trainer(job)
            trained.train()
        rows = trained.state.rows
        seen = np.diff([0, *(row["tokens"] for row in rows)])
        return [tokens / row["tokens_per_second"] for tokens, row in zip(seen, rows)]

    def peer(self) -> list[float]:
        """Seconds of each step of transformers' Trainer."""
        examples = self.examples()
        kind = BertForPreTraining if examples.next_sentence_prediction else BertForMaskedLM
        ends = []

        class Watch(TrainerCallback):
            def on_train_begin(self, *_, **__):
                ends.append(time.perf_counter())

            def on_step_end(self, *_, **__):
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                ends.append(time.perf_counter())

        arguments = TrainingArguments(
            output_dir=str(self.root / "peer"),
            max_steps=self.steps,
            per_device_train_batch_size=self.micro_batch,
            gradient_accumulation_steps=self.batch // self.micro_batch,
            learning_rate=1e-4,
            weight_decay=0.01,
            bf16=self.precision == "bf16",
            use_cpu=not torch.cuda.is_available(),
            train_sampling_strategy="sequential",
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        numbers = examples.numbers(0, self.batch * self.steps)
        PeerTrainer(
            kind.from_pretrained(self.root / "model"),
            arguments,
            data_collator=lambda some: padded(some, self.length),
            train_dataset=[examples.example(number) for number in numbers],
            callbacks=[Watch()],
        ).train()
        return np.diff(ends).tolist()

    def sums(self):
        """Of the timed steps, in padded rows."""
        examples = self.examples()
        found = [
            examples.example(number) for number in examples.numbers(0, self.batch * self.steps)[WARM_UP * self.batch :]
        ]
        lengths = np.array([len(example["input_ids"]) for example in found])
        masked = sum(len(example["masked_lm_ids"]) for example in found)
        return SimpleNamespace(
            tokens=lengths.sum(), squares=(lengths**2).sum(), masked=masked, positions=len(found) * self.length
        )


def padded(some: list[dict], length: int) -> dict[str, torch.Tensor]:
    """What a collator of transformers makes: rows of `length`, labels at every position."""
    arrays = {
        name: np.zeros((len(some), length), np.int64) for name in ("input_ids", "token_type_ids", "attention_mask")
    }
    labels = np.full((len(some), length), -100)
    for row, example in enumerate(some):
        size = len(example["input_ids"])
        arrays["input_ids"][row, :size], arrays["token_type_ids"][row, :size], arrays["attention_mask"][row, :size] = (
            example["input_ids"],
            example["token_type_ids"],
            1,
        )
        labels[row, example["masked_lm_positions"]] = example["masked_lm_ids"]
    arrays["labels"] = labels
    if some[0]["next_sentence_label"] is not None:
        arrays["next_sentence_label"] = np.array([int(example["next_sentence_label"]) for example in some])
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


FORWARD = model.Pretraining.forward


def dense(self, batch: dict[str, torch.Tensor]) -> model.Losses:
    """The head at every position, as transformers has it."""
    places = torch.arange(batch["input_ids"].numel(), device=batch["masked_positions"].device)
    labels = torch.full_like(places, loader.IGNORED).index_put((batch["masked_positions"],), batch["masked_ids"])
    return FORWARD(self, batch | {"masked_positions": places, "masked_ids": labels})


ADAMW = torch.optim.AdamW.__init__


def unfused(self, groups, **settings) -> None:
    ADAMW(self, groups, **settings | {"fused": False})


class Now:
    """In place of a ThreadPoolExecutor: the work is done when its result is asked for."""

    def __init__(self, _):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, *arguments):
        return SimpleNamespace(result=lambda: function(*arguments))


@contextmanager
def nothing():
    yield


def profiled(run: Bench, path: Path) -> None:
    """The kernels by time of ours, and a trace for chrome://tracing or Perfetto beside the table; of the steps that are
    timed.
    """
    activities = [
        torch.profiler.ProfilerActivity.CPU,
        *([torch.profiler.ProfilerActivity.CUDA] if torch.cuda.is_available() else []),
    ]
    timed = torch.profiler.schedule(wait=WARM_UP - 1, warmup=1, active=run.steps - WARM_UP)
    with torch.profiler.profile(activities=activities, schedule=timed) as found:
        run.ours(compiled=run.compile, each_step=found.step)
    sort = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    path.write_text(found.key_averages().table(sort_by=sort, row_limit=40), encoding="utf-8")
    found.export_chrome_trace(str(path.with_suffix(".json")))
    print(f"{path} has the operations by time, {path.with_suffix('.json')} the trace")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--vocabulary", type=Path, default=Path("data/vocab/vocab.txt"))
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--full-rows", action="store_true")
    parser.add_argument("--batch", type=int, default=16, help="sequences of a step")
    parser.add_argument("--micro-batch", type=int, default=16, help="rows of a pass")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile, too")
    parser.add_argument("--profile", type=Path, help="write a profile of `ours` to this file and time nothing")
    main(**vars(parser.parse_args()))
