"""Fine-tune one model on one task, all seeds.

Reads   models/MODEL, data/tasks/TASK/{train,dev,test}.jsonl
Writes  results/finetune/TASK/MODEL.json: the scores of each seed after the last epoch, in percent
By hand python -m wwm.finetune MODEL TASK

The model is the authors': BERT, dropout, one linear layer on the pooled output. Seeds that are finished survive a kill.
"""

import shutil
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers.utils import logging

from wwm import device, files, optim, tasks, tokenization

SPLITS = ("train", "dev", "test")
WARMUP_SHARE = 0.1
MAX_GRAD_NORM = 1.0
# BERT's AdamWeightDecayOptimizer.
ADAM = {"betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 0.01, "correct_bias": False}


class Encoded(NamedTuple):
    """One split as pieces: per example `ids` and `types` (segment 0 or 1), int64 arrays of one length; `labels` (examples,)."""

    ids: list[np.ndarray]
    types: list[np.ndarray]
    labels: np.ndarray


def main(model: str, task: str) -> None:
    from wwm import params, track

    base, finetune = params.load("finetune")
    if task not in finetune.tasks:
        raise ValueError(f"finetune.tasks has no {task}; it has {', '.join(finetune.tasks)}")
    how = finetune.tasks[task]
    table = tasks.named(task)
    torch.set_num_threads(base.threads)
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # else each seed prints a table of the heads that are left out
    begin = time.perf_counter()

    folder, data, out = Path("models") / model, Path("data/tasks") / task, Path(f"results/finetune/{task}/{model}.json")
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} is not there or is no model; init, pretrain and truncate make the models")
    config = AutoConfig.from_pretrained(folder, num_labels=len(table.labels))
    if how.max_seq_length > config.max_position_embeddings:
        raise ValueError(f"finetune.tasks.{task}.max_seq_length {how.max_seq_length} is more than the {config.max_position_embeddings} positions of {folder}")
    tokenizer = tokenization.load(folder)
    splits = {split: read_split(data / f"{split}.jsonl", task) for split in SPLITS}
    encoded = {split: encode(tokenizer, examples, how.max_seq_length) for split, examples in splits.items()}

    code = [Path(module.__file__) for module in (device, optim, tasks, tokenization)] + [Path(__file__)]
    settings = {"base": base.model_dump(), "task": how.model_dump()}
    steps = finetune.seeds * how.epochs * -(-len(splits["train"]) // how.batch_size)
    with files.scratch(f"finetune-{model}-{task}", [folder, data, *code], settings) as work:
        tracked = track.run(
            "finetune",
            name=f"{model}-{task}",
            params={"model": model, "base": base.model_dump(), "task": task, **how.model_dump(), "seeds": finetune.seeds},
            outs=[out],
            scratch=work,
        )
        with tracked as run, tqdm(total=steps, desc=f"finetune {model} {task}", unit=" steps", mininterval=1) as bar:
            scores = []
            for number in range(finetune.seeds):
                seed = base.seed + number
                finished = work / f"{seed}.json"
                if finished.exists():
                    bar.update(steps // finetune.seeds)
                else:
                    files.write_json(finished, train_and_score(folder, config, encoded, how, seed, bar))
                scores.append({"seed": seed, **files.read_json(finished)})
                run.log({key: scores[-1][key] for key in ("dev", "test", "loss")}, step=number)
            result = {
                "model": model,
                "task": task,
                "metric": table.metric,
                "seeds": scores,
                "parameters": count_parameters(config),
                "train_examples": len(splits["train"]),
                "unknown_share": unknown_share(tokenizer, splits["test"]),
                "training": files.training_history(folder),
                "seconds": round(time.perf_counter() - begin, 1),
            }
            files.write_json(out, result)
        shutil.rmtree(work)


def read_split(path: Path, task: str) -> list[tasks.Example]:
    """Raises ValueError for a file that is missing, not UTF-8, or not what the task's table says."""
    if not path.is_file():
        raise ValueError(f"{path} does not exist; a task is three files, train.jsonl, dev.jsonl and test.jsonl")
    return tasks.read(files.lines(path), task, path)


def encode(tokenizer: Tokenizer, examples: list[tasks.Example], max_seq_length: int) -> Encoded:
    """Pieces with [CLS] and [SEP]; of a pair that is too long, the longer text is cut."""
    tokenizer.enable_truncation(max_seq_length, strategy="longest_first")
    encodings = tokenizer.encode_batch([example.texts if len(example.texts) > 1 else example.texts[0] for example in examples])
    tokenizer.no_truncation()
    return Encoded([np.array(e.ids) for e in encodings], [np.array(e.type_ids) for e in encodings], np.array([example.label for example in examples]))


def unknown_share(tokenizer: Tokenizer, examples: list[tasks.Example]) -> float:
    """Share of [UNK] among the pieces of the texts, uncut."""
    ids = [id for encoding in tokenizer.encode_batch([text for e in examples for text in e.texts], add_special_tokens=False) for id in encoding.ids]
    return round(ids.count(tokenizer.token_to_id("[UNK]")) / max(1, len(ids)), 6)


def collate(data: Encoded, rows: np.ndarray, place: torch.device) -> tuple[dict, torch.Tensor]:
    """Model inputs (rows, longest of them) and labels (rows,). Padding has id 0, type 0 and no attention."""
    length = max(len(data.ids[row]) for row in rows)
    ids, types, mask = (torch.zeros(len(rows), length, dtype=torch.long) for _ in range(3))
    for i, row in enumerate(rows):
        used = len(data.ids[row])
        ids[i, :used] = torch.from_numpy(data.ids[row])
        types[i, :used] = torch.from_numpy(data.types[row])
        mask[i, :used] = 1
    inputs = {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}
    return {name: tensor.to(place) for name, tensor in inputs.items()}, torch.from_numpy(data.labels[rows]).to(place)


def load(folder: Path, config):
    """The model with a random classifier on top. Raises ValueError if anything below the classifier would be random, too."""
    model, info = AutoModelForSequenceClassification.from_pretrained(folder, config=config, dtype=torch.float32, output_loading_info=True)
    missing = sorted(name for name in info["missing_keys"] if not name.startswith("classifier."))
    if missing:
        raise ValueError(f"{folder} lacks {len(missing)} tensors of its model, first {missing[0]}; save it whole (BertForPreTraining)")
    return model


def train_and_score(folder: Path, config, encoded: dict[str, Encoded], how, seed: int, bar: tqdm) -> dict:
    """One seed: {"dev", "test": accuracy in percent after the last epoch, "loss": mean training loss of that epoch}."""
    place = device.pick()
    device.seed_all(seed)
    rng = np.random.default_rng(seed)
    model = load(folder, config).to(place)
    optimizer = optim.AdamW(optim.parameter_groups(model, ADAM["weight_decay"]), lr=how.learning_rate, **ADAM)
    train = encoded["train"]
    firsts = range(0, len(train.labels), how.batch_size)
    steps = how.epochs * len(firsts)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: optim.linear_schedule(step, steps, int(WARMUP_SHARE * steps)))
    model.train()
    for _ in range(how.epochs):
        losses, order = [], rng.permutation(len(train.labels))
        for first in firsts:
            inputs, labels = collate(train, order[first : first + how.batch_size], place)
            loss = cross_entropy(model(**inputs).logits, labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            losses.append(loss.detach())
            bar.update()
    scores = {split: accuracy(model, encoded[split], how.batch_size, place) for split in ("dev", "test")}
    return {**scores, "loss": round(torch.stack(losses).mean().item(), 6)}


@torch.inference_mode()
def accuracy(model, data: Encoded, batch_size: int, place: torch.device) -> float:
    """Percent of the rows whose best class is their label."""
    model.eval()
    order = np.argsort([len(ids) for ids in data.ids], kind="stable")
    right = 0
    for first in range(0, len(order), batch_size):
        inputs, labels = collate(data, order[first : first + batch_size], place)
        right += (model(**inputs).logits.argmax(-1) == labels).sum().item()
    return round(100 * right / len(order), 4)


def count_parameters(config) -> int:
    """Parameters of the classifier, embeddings and pooler included, as the authors count: 102M for base."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in AutoModelForSequenceClassification.from_config(config).parameters())


if __name__ == "__main__":
    from wwm import command

    command.run(main)
