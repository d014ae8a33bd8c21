"""Pre-training through torch-xla, on its CPU device: `make test-tpu` runs this in an environment of its own."""

import csv
import os
import shutil
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest
import toy
from safetensors.torch import load_file
from training import assert_close, lay_out, losses, run, set_params, weights, went_on

pytestmark = pytest.mark.skipif(
    not find_spec("torch_xla"), reason="torch-xla is not installed here; `make test-tpu` installs it"
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    lay_out(tmp_path, monkeypatch)


@pytest.mark.parametrize("devices", [1, 2])
def test_xla_gives_the_curve_and_the_weights_of_the_cpu_and_stops_compiling(project, monkeypatch, devices):
    """Without dropout; what differs is the order of sums in 32-bit floats. Both optimizers, two phases."""
    toy.model(Path("models/random"), dropout=0.0)
    set_params(micro_batch=4)
    assert run() == 0
    cpu, curve = load_file("models/bert/model.safetensors"), losses()
    shutil.rmtree("models/bert")
    monkeypatch.setenv("PJRT_DEVICE", "CPU")
    monkeypatch.setenv("CPU_NUM_DEVICES", str(devices))
    set_params(log_every=1, evaluate_every=12, compile="true")
    assert run() == 0
    xla = losses()
    assert_close(load_file("models/bert/model.safetensors"), cpu)
    steps = {row["step"]: row for row in xla}
    for row in curve:
        found = steps[row["step"]]
        assert row["phase"] == found["phase"]
        assert float(found["grad_norm"]) == pytest.approx(float(row["grad_norm"]), rel=1e-3)
        if row["step"] in ("12", "24"):
            assert float(found["heldout_mlm_loss"]) == pytest.approx(float(row["heldout_mlm_loss"]), rel=1e-4)
    # The last steps of the first phase before it is measured, and those of the second, have shapes that were seen
    # before.
    with open("results/times/pretrain/bert.csv", newline="") as rows:
        compiled = [int(row["compilations"]) for row in csv.DictReader(rows)]
    assert compiled[0] > 0 and compiled[7] == compiled[10] and compiled[16] == compiled[23]


def test_xla_run_that_is_killed_ends_with_the_weights_of_one_that_never_was(project, monkeypatch, capsys):
    monkeypatch.setenv("PJRT_DEVICE", "CPU")
    assert run() == 0
    never_killed = weights()
    Path("models/bert/model.safetensors").unlink()
    assert run(kill_after=5) == -signal.SIGKILL
    assert run(kill_after=17, sent=signal.SIGTERM) == os.EX_TEMPFAIL
    assert run() == 0
    assert went_on(capsys.readouterr().out) and weights() == never_killed


def test_rows_that_the_devices_cannot_share_are_named(project, monkeypatch, capsys):
    monkeypatch.setenv("PJRT_DEVICE", "CPU")
    monkeypatch.setenv("CPU_NUM_DEVICES", "2")
    set_params(micro_batch=3)
    assert run()
    assert "micro_batch 3 is not divisible by 2 devices; nearest is 4" in capsys.readouterr().out


def test_bfloat16_and_activations_that_are_computed_again_train_the_same_model_closely(project, monkeypatch):
    toy.model(Path("models/random"), dropout=0.0)
    set_params(micro_batch=4)
    monkeypatch.setenv("PJRT_DEVICE", "CPU")
    assert run() == 0
    plain = losses()
    shutil.rmtree("models/bert")
    set_params(precision="bf16", gradient_checkpointing="true")
    assert run() == 0
    for row, found in zip(plain, losses(), strict=True):
        assert float(found["mlm_loss"]) == pytest.approx(float(row["mlm_loss"]), rel=0.02)
