"""Result files of fine-tuning as wwm/finetune.py writes them, with scores that a test chooses."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wwm.common.result_files import Finetuned, Seed
from wwm.tasks.metrics import EM_AND_F1

TASKS = {
    "cmrc2018": ("CMRC 2018", "reading", ["dev", "test", "challenge"]),
    "drcd": ("DRCD", "reading", ["dev", "test"]),
}
TASKS |= {
    "cjrc": ("CJRC", "reading", ["dev", "test"]),
    "xnli": ("XNLI", "pair", ["dev", "test"]),
    "bq": ("BQ Corpus", "pair", ["dev", "test"]),
}
TASKS |= {"chnsenticorp": ("ChnSentiCorp", "single", ["dev", "test"]), "lcqmc": ("LCQMC", "pair", ["dev", "test"])}
HOW = {
    "learning_rate": 3e-5,
    "epochs": 2,
    "batch_size": 64,
    "max_seq_length": 128,
    "precision": "fp32",
    "select": "last",
}
WINDOWS = {"stride": 128, "max_query_length": 64, "max_answer_length": 30}


def write(path: str | Path, value) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(value), encoding="utf-8")


def result(model: str, task: str, scores: dict[str, list], first_seed: int = 0, **changes) -> Finetuned:
    """scores: by split, of each seed the accuracy, or (EM, F1). What the splits of `task` lack is missing; `changes`
    replace keys.
    """
    assert len({len(each) for each in scores.values()}) == 1
    title, kind, splits = TASKS.get(task, (task, "single", ["dev", "test"]))
    seeds = [
        {
            "seed": first_seed + i,
            "scores": {
                split: dict(zip(("em", "f1"), each[i])) if kind == "reading" else {"accuracy": each[i]}
                for split, each in scores.items()
            },
            "loss": 0.5,
            "epoch": 2,
        }
        for i in range(len(next(iter(scores.values()))))
    ]
    return {
        "model": model,
        "task": task,
        "title": title,
        "kind": kind,
        "remark": "",
        "measures": EM_AND_F1 if kind == "reading" else {"accuracy": "accuracy"},
        "recipe": {},
        "footnote": "",
        "scored": splits,
        "missing": {split: "the answers are kept by the organisers" for split in splits if split not in scores},
        "reduced": [],
        "examples": {"train": 500} | {split: 100 for split in scores},
        "hashes": {"train": "0", "dev": "1", "test": "2", "challenge": "3"},
        "dropped": {},
        "files": {split: f"{split}.tsv" for split in ("train", *scores)},
        "kept": "best",
        "duplicates": {f"{split} in train": 0 for split in scores},
        "unreachable": {split: 2 for split in scores} if kind == "reading" else {},
        "how": HOW | WINDOWS | {"splits": list(scores), "unlabelled": [], "simplify": False},
        "swept": {},
        "seeds": seeds,
        "parameters": 2_200_000,
        "unknown_share": 0.0125,
        "weights": model,
        "training": {"steps": 1000, "tokens": 1_000_000},
    } | changes


def save(*results: Finetuned) -> None:
    """With figures of examples around each score, whose deviation is 20 points."""
    for each in results:
        path = Path(f"results/finetune/{each['task']}/{each['model']}.json")
        write(path, each)
        rng = np.random.default_rng([*f"{each['task']} {each['model']}".encode()])
        parts = [
            figures(rng, seed, split, each["examples"][split]) for seed in each["seeds"] for split in seed["scores"]
        ]
        pq.write_table(pa.concat_tables(parts), path.with_suffix(".parquet"))


def figures(rng: np.random.Generator, seed: Seed, split: str, examples: int) -> pa.Table:
    seeds = pa.array([seed["seed"]] * examples, pa.int64())
    columns = {"split": [split] * examples, "seed": seeds, "example": range(examples)}
    for measure, score in seed["scores"][split].items():
        errors = rng.normal(0, 20, examples)
        columns[measure] = score + errors - errors.mean()
    return pa.table(columns)
