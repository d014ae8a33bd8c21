"""Pre-training survives a kill with the same weights, to the bit, and names what goes wrong."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy
from safetensors.torch import load_file

from wwm import checkpoint, pretrain, truncate

PHASE = "        - {max_seq_length: 32, steps: %d, batch_size: 8, micro_batch: 4, optimizer: %s, learning_rate: %s, warmup_steps: 2}\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the example sets and the initial model of presets/tiny.yaml, with dropout, and two phases of 12 steps."""
    text = Path("presets/tiny.yaml").read_text(encoding="utf-8")
    text = re.sub(
        r"(    bert:\n.*?phases:\n).*?\n(    roberta)", rf"\g<1>{PHASE % (12, 'adamw', '1.0e-3')}{PHASE % (12, 'lamb', '1.0e-2')}\g<2>", text, flags=re.S
    )
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(text, encoding="utf-8")
    toy.shards(Path("data/mask/wordpiece-nsp/32/train"))
    toy.shards(Path("data/mask/wordpiece-nsp/32/heldout"), seed=1)
    toy.model(Path("models/random"), dropout=0.1)


def run(*, kill_after: int | None = None, sent=signal.SIGKILL) -> int:
    """The stage's exit status; it is killed once the checkpoint of step `kill_after` is there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "wwm.pretrain", "bert"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    if kill_after:
        while not list(Path("scratch").glob(f"pretrain-*/step-{kill_after:08d}.pt")):
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.002)
        os.killpg(process.pid, sent) if sent == signal.SIGKILL else process.send_signal(sent)
    print(process.communicate()[0])
    return process.returncode


def weights() -> bytes:
    return Path("models/bert/model.safetensors").read_bytes()


def losses() -> list[dict]:
    """The curve, without how fast it went."""
    with open("results/pretrain/bert.csv", newline="") as rows:
        return [{key: value for key, value in row.items() if key != "tokens_per_second"} for row in csv.DictReader(rows)]


@pytest.mark.parametrize("masking", ["static", "dynamic"])
def test_killed_run_goes_on_and_ends_with_the_weights_of_one_that_was_never_killed(project, masking):
    if masking == "dynamic":
        shutil.rmtree("data/mask/wordpiece-nsp/32")
        toy.shards(Path("data/mask/wordpiece-nsp/32/train"), dynamic=True)
        toy.shards(Path("data/mask/wordpiece-nsp/32/heldout"), seed=1, dynamic=True)
    assert run() == 0
    never_killed, curve = weights(), losses()
    assert not list(Path("scratch").glob("pretrain-*/*"))
    Path("models/bert/model.safetensors").unlink()
    # Once in each phase; the second run resumes the first's checkpoint.
    assert run(kill_after=5) == -signal.SIGKILL
    assert not Path("models/bert/model.safetensors").exists()
    assert run(kill_after=17) == -signal.SIGKILL
    assert run() == 0
    assert weights() == never_killed
    assert losses() == curve


def test_curve_of_a_run_that_was_stopped_between_two_of_its_points_is_that_of_one_that_was_not(project):
    text = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(re.sub("checkpoint_every: .*", "checkpoint_every: 3", text), encoding="utf-8")
    assert run() == 0
    curve = losses()
    Path("models/bert/model.safetensors").unlink()
    assert run(kill_after=6) == -signal.SIGKILL
    assert run() == 0
    assert losses() == curve and len(curve) > 4


def test_sigterm_saves_and_asks_to_be_run_again(project):
    assert run(kill_after=5, sent=signal.SIGTERM) == os.EX_TEMPFAIL
    assert list(Path("scratch").glob("pretrain-*/step-*.pt"))


def test_model_counts_the_steps_and_tokens_of_all_its_training(project):
    Path("models/random/training.json").write_text('{"steps": 100, "tokens": 5000}')
    assert run() == 0
    seen, own = json.loads(Path("models/bert/training.json").read_text()), json.loads(Path("results/pretrain/bert.json").read_text())
    assert seen["own_steps"] == 24 and seen["steps"] == own["steps"] == 124 and seen["tokens"] == 5000 + seen["own_tokens"]


def test_unreadable_newest_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path, capsys):
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, {"step": step})
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-00000002.pt", "step-00000003.pt"]
    (tmp_path / "step-00000003.pt").write_bytes(b"half")
    assert checkpoint.newest(tmp_path)["step"] == 2
    assert "step-00000003.pt cannot be read" in capsys.readouterr().out


def test_examples_of_another_vocabulary_are_not_trained_on(project):
    lines = Path("models/random/vocab.txt").read_text(encoding="utf-8").split("\n")
    Path("models/random/vocab.txt").write_text("\n".join([*lines[:5], *lines[5:-1][::-1], ""]), encoding="utf-8")
    with pytest.raises(ValueError, match="data/mask/wordpiece-nsp/32/train was made with another vocabulary than models/random/vocab.txt"):
        pretrain.main("bert")


def test_phase_longer_than_the_models_positions_is_named(project):
    config = Path("models/random/config.json")
    config.write_text(config.read_text().replace('"max_position_embeddings": 40', '"max_position_embeddings": 16'))
    weights = load_file("models/random/model.safetensors")
    from safetensors.torch import save_file

    key = "bert.embeddings.position_embeddings.weight"
    save_file(weights | {key: weights[key][:16].clone()}, "models/random/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="max_seq_length 32 is more than the 16 positions"):
        pretrain.main("bert")


def test_truncated_model_has_the_chosen_layers_and_everything_else(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    text = Path("presets/tiny.yaml").read_text(encoding="utf-8").replace("layers: [0, 1, 2]", "layers: [2, 0]")
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(text, encoding="utf-8")
    toy.model(Path("models/roberta-wwm-ext"), layers=3)
    truncate.main("rbt3-init")
    before, after = (load_file(f"models/{name}/model.safetensors") for name in ("roberta-wwm-ext", "rbt3-init"))
    layer = "bert.encoder.layer.{}.output.dense.weight"
    assert after[layer.format(0)].equal(before[layer.format(2)]) and after[layer.format(1)].equal(before[layer.format(0)])
    assert layer.format(2) not in after and json.loads(Path("models/rbt3-init/config.json").read_text())["num_hidden_layers"] == 2
    others = {name for name in before if "encoder.layer" not in name}
    assert others <= set(after) and all(after[name].equal(before[name]) for name in others)
    assert json.loads(Path("models/rbt3-init/training.json").read_text()) == {"steps": 0, "tokens": 0, "cut_from": "roberta-wwm-ext"}


def test_layer_that_the_source_lacks_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    text = Path("presets/tiny.yaml").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(text, encoding="utf-8")
    toy.model(Path("models/roberta-wwm-ext"), layers=2)
    with pytest.raises(ValueError, match="truncate.models.rbt3-init.layers: roberta-wwm-ext has no layer 2; it has 2"):
        truncate.main("rbt3-init")
