"""Speed of fine-tuning, beside transformers' Trainer as its run_glue example uses it: every input padded to
max_seq_length.

python -m bench.finetune MODEL TASK [--data data/tasks/TASK] [--split-dev]    MODEL: a model's folder; TASK: of the
                                                                              table, with one text or two

Both train on the same examples with the same seeds, rate, warm-up and batch, each in a process of its own, one seed
after the other by turns, and score the same dev set; the peer has its own AdamW, which corrects its bias. Times are
those of training and of scoring, without loading. Tokens are real ones.
"""

import argparse
import platform
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, TrainingArguments
from transformers import Trainer as PeerTrainer

from bench.pretrain import set_up
from wwm.tasks import classifier, splits, table, tuning
from wwm.text import tokenization
from wwm.training import device

PEER = "peer: transformers' Trainer, padded to the length"


def main(
    model: Path,
    task: str,
    data: Path | None,
    split_dev: bool,
    length: int,
    examples: int,
    scored: int,
    epochs: int,
    batch: int,
    **rest,
) -> None:
    found = splits.load_task(data or Path("data/tasks", task), table.named_task(task), split_dev, examples, scored)
    parts = {split: found.splits[split].examples for split in ("train", "dev")}
    job = classifier.Classification(model, tokenization.load(model), parts, found.labels, length, "accuracy")
    how = tuning.How(rest["learning_rate"], epochs, batch, length, 0, 0, 0, rest["precision"], "last", ("dev",))
    place = device.pick()
    threads = rest["threads"]
    if torch.cuda.device_count() > 1:
        raise SystemExit("the peer would spread its batch over all GPUs: set CUDA_VISIBLE_DEVICES=0")
    print(
        torch.cuda.get_device_name(place) if place.type == "cuda" else f"{platform.machine()}, {threads} threads",
        end="; ",
    )
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, transformers {version('transformers')},"
        f" accelerate {version('accelerate')}"
    )
    times, scores = {"ours": [], PEER: []}, {"ours": [], PEER: []}
    workers = {name: ProcessPoolExecutor(1, get_context("spawn"), set_up, (threads,)) for name in times}
    for seed in range(rest["seeds"]):
        for name in list(times)[:: -1 if seed % 2 else 1]:
            work = (ours, job, how, seed, place, threads) if name == "ours" else (peer, job, how, seed)
            seconds, score = workers[name].submit(*work).result()
            times[name].append(seconds)
            scores[name].append(score)
    lengths = job.lengths["train"]
    print(
        f"{task}: {len(lengths):,} examples to train on, {epochs} epochs, batches of {batch}, length {length}, of which"
        f" {lengths.mean() / length:.2f} is used; {len(job.lengths['dev']):,} to score; {rest['precision']}\n"
    )
    print(
        "| | seconds a seed | best | real tokens/s | times the peer | accuracy, mean of seeds | each"
        " |\n|---|---|---|---|---|---|---|"
    )
    tokens = epochs * lengths.sum() + job.lengths["dev"].sum()
    for name, each in times.items():
        ratio = np.median(times[PEER]) / np.median(each)
        shown = " ".join(f"{score:.1f}" for score in scores[name])
        print(
            f"| {name} | {np.median(each):.1f} | {min(each):.1f} | {tokens / np.median(each):,.0f} | {ratio:.2f} |"
            f" {np.mean(scores[name]):.2f} | {shown} |"
        )


def ours(job, how, seed: int, place, threads: int) -> tuple[float, float]:
    begin = time.perf_counter()
    trained = tuning.train(job, how, seed, place, threads, lambda: None, lambda model: None)
    return time.perf_counter() - begin, trained["scores"]["dev"]["accuracy"]


def peer(job, how, seed: int) -> tuple[float, float]:
    device.seed_all(seed)
    model = AutoModelForSequenceClassification.from_pretrained(job.folder, num_labels=len(job.labels))
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=how.epochs,
            per_device_train_batch_size=how.batch_size,
            per_device_eval_batch_size=how.batch_size,
            learning_rate=how.learning_rate,
            weight_decay=0.01,
            warmup_steps=tuning.WARMUP_SHARE,
            bf16=how.precision == "bf16",
            use_cpu=not torch.cuda.is_available(),
            seed=seed,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        sets = {split: rows(data, how.max_seq_length) for split, data in job.encoded.items()}
        begin = time.perf_counter()
        trainer = PeerTrainer(model, arguments, train_dataset=sets["train"], eval_dataset=sets["dev"])
        trainer.train()
        logits = trainer.predict(sets["dev"]).predictions
        seconds = time.perf_counter() - begin
    return seconds, 100 * float((logits.argmax(-1) == job.encoded["dev"].labels).mean())


def rows(data: classifier.Encoded, length: int) -> list[dict]:
    """As run_glue's preprocessing leaves them: every input of `length`."""
    made = []
    for ids, types, label in zip(data.ids, data.types, data.labels):
        rest = [0] * (length - len(ids))
        made.append(
            {
                "input_ids": [*ids, *rest],
                "token_type_ids": [*types, *rest],
                "attention_mask": [1] * len(ids) + rest,
                "labels": int(label),
            }
        )
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("task")
    parser.add_argument("--data", type=Path, help="the task's folder")
    parser.add_argument("--split-dev", action="store_true", help="train on a part of dev")
    parser.add_argument("--length", type=int, default=128, help="the peer pads to it, both cut at it")
    parser.add_argument("--examples", type=int, default=2000, help="to train on")
    parser.add_argument("--scored", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    main(**vars(parser.parse_args()))
