"""A small project to pre-train in: what tests of `pretrain` on any device share."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import torch
import toy

PHASE = (
    "        - {max_seq_length: 32, steps: %d, batch_size: 8, micro_batch: 2, optimizer: %s, learning_rate: %s,"
    " warmup_steps: 2}\n"
)


def lay_out(folder: Path, monkeypatch) -> None:
    """Goes to a folder with the example sets and the initial model of presets/tiny.yaml, with dropout, and two phases
    of 12 steps.
    """
    text = Path("presets/tiny.yaml").read_text(encoding="utf-8")
    text = re.sub(
        r"(    bert:\n.*?phases:\n).*?\n(    roberta)",
        rf"\g<1>{PHASE % (12, 'adamw', '1.0e-3')}{PHASE % (12, 'lamb', '1.0e-2')}\g<2>",
        text,
        flags=re.S,
    )
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.chdir(folder)
    Path("params.yaml").write_text(text, encoding="utf-8")
    toy.shards(Path("data/mask/wordpiece-nsp/32/train"))
    toy.shards(Path("data/mask/wordpiece-nsp/32/heldout"), seed=1)
    toy.model(Path("models/random"), dropout=0.1)


@cache
def forking() -> subprocess.Popen:
    code = [sys.executable, str(Path(__file__).parent / "forked.py")]
    return subprocess.Popen(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run(*, kill_after: int | None = None, sent=signal.SIGKILL, stage: str = "pretrain", name: str = "bert") -> int:
    """The stage's exit status; it is killed once the checkpoint of step `kill_after` is there."""
    printed = Path("printed.txt")
    order = {"module": f"wwm.{stage}", "arguments": [name], "environment": {**os.environ}, "folder": str(Path.cwd())}
    forking().stdin.write(json.dumps(order | {"output": str(printed)}) + "\n")
    forking().stdin.flush()
    pid = int(forking().stdout.readline())
    if kill_after:
        while not list(Path("scratch").glob(f"{stage}-*/step-{kill_after:08d}.pt")):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                said = printed.read_text(encoding="utf-8")
                raise AssertionError(f"it ended before step {kill_after}:\n{said}") from None
            time.sleep(0.002)
        (os.killpg if sent == signal.SIGKILL else os.kill)(pid, sent)
    status = int(forking().stdout.readline())
    print(printed.read_text(encoding="utf-8"))
    return status


def set_params(**values) -> None:
    """Sets keys wherever they stand in params.yaml."""
    text = Path("params.yaml").read_text(encoding="utf-8")
    for key, value in values.items():
        text = re.sub(rf"\b{key}: [^,}}\n]+", f"{key}: {value}", text)
    Path("params.yaml").write_text(text, encoding="utf-8")


def set_milestones(every: int) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    text = text.replace("      phases:\n", f"      milestones: {every}\n      phases:\n", 1)
    Path("params.yaml").write_text(text, encoding="utf-8")


def went_on(printed: str) -> bool:
    """Whether the last two runs of three each began at a checkpoint; one that began anew would end with the same
    weights, too.
    """
    return len(re.findall(r"going on from \S+step-\d+.pt", printed)) == 2 and "cannot be read" not in printed


def weights(name: str = "bert") -> bytes:
    return Path("models", name, "model.safetensors").read_bytes()


def losses(name: str = "bert") -> list[dict]:
    """The curve."""
    with open(f"results/pretrain/{name}.csv", newline="") as rows:
        return list(csv.DictReader(rows))


def assert_close(found: dict, wanted: dict) -> None:
    """Weights of two trainings whose sums were added in another order.

    A bias of the keys moves every score of a query alike, so that its gradient is rounding alone, which optimizers blow
    up.
    """
    for name, tensor in wanted.items():
        if not name.endswith("attention.self.key.bias"):
            torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=2e-5, msg=name)
