"""The benchmarks run, at toy size: what they patch and build by hand is still there. What they measure is not looked
at.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import keeping
import pytest
import toy

ROOT = Path(__file__).parent.parent


def bench(folder: Path, *arguments: str) -> list[list[str]]:
    """The rows of the table that a benchmark prints."""
    command = [sys.executable, "-m", *arguments, "--threads", "1"]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line.startswith("|")
    ][2:]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [[], ["--compile", "--full-rows"], ["--profile", "profile.txt"]], ids=lambda options: " ".join(options)
)
def test_pretraining_is_measured_beside_its_peer(tmp_path, options):
    toy.model(tmp_path / "model")
    toy.shards(tmp_path / "shards", n_documents=200)
    size = ["--length", "32", "--batch", "4", "--steps", "1", "--rounds", "1", "--layers", "1", "--hidden", "64"]
    rows = bench(tmp_path, "bench.pretrain", "shards", "--vocabulary", "model/vocab.txt", *size, *options)
    if "--profile" in options:
        assert (tmp_path / "profile.txt").stat().st_size
        return
    named = {row[0]: float(row[3]) for row in rows}
    assert named["peer: transformers' Trainer"] == 1 and min(named.values()) > 0
    assert {"ours", "rows not packed", "head at every position", "optimizer not fused", "torch's dropout"} < set(named)
    assert any("compiled" in name for name in named) == ("--compile" in options)


@pytest.mark.slow
def test_fine_tuning_is_measured_beside_its_peer(tmp_path):
    toy.model(tmp_path / "model", "好坏书店")
    for split in ("train", "dev"):
        rows = [{"text": "好书店坏书店"[label * 3 :][:3] * n, "label": label} for label in (0, 1) for n in range(1, 9)]
        (tmp_path / f"{split}.jsonl").write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
        )
    sizes = ["--length", "32", "--batch", "4", "--epochs", "1", "--seeds", "1"]
    rows = bench(tmp_path, "bench.finetune", "model", "chnsenticorp", "--data", ".", *sizes)
    assert [row[0] for row in rows] == ["ours", "peer: transformers' Trainer, padded to the length"] and rows[1][
        4
    ] == "1.00"


@pytest.mark.slow
def test_prediction_is_measured_beside_its_peer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = keeping.model("single", ("冷", "热"))
    (tmp_path / "texts.txt").write_text("春天很热\n冬天在下大雪。\n", encoding="utf-8")
    rows = bench(tmp_path, "bench.predict", str(folder), "texts.txt", "--repeat", "4", "--rounds", "1")
    assert [row[0] for row in rows] == ["ours", "peer: transformers' pipeline, batches of 32"] and rows[1][4] == "1.00"
