"""What the curve of a training says of a step, against figures worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import toy
from transformers import BertConfig

from wwm.training import curve, device, loader, model
from wwm.training.step import Stepper

BASE = BertConfig(vocab_size=21128)


def test_losses_are_means_over_what_they_are_of():
    sums = curve.Sums(mlm=6.0, mlm_correct=1, masked=4, nsp=1.5, nsp_correct=2, pairs=3, tokens=30, positions=40)
    row = curve.point(sums, 1000.0, None)
    assert (row["mlm_loss"], row["mlm_accuracy"], row["nsp_loss"], row["nsp_accuracy"]) == (1.5, 0.25, 0.5, 2 / 3)


def test_a_step_is_measured_as_transformers_own_model_does_example_by_example(tmp_path):
    """Packed rows in several passes, against the logits of each example alone, at every position."""
    bert = toy.model(tmp_path / "model").eval()
    toy.shards(tmp_path / "shards", next_sentence_prediction=True)
    examples = loader.Examples(tmp_path / "shards", tmp_path / "model/vocab.txt", seed=1)
    numbers = examples.numbers(0, 12)
    mlm, correct, nsp, nsp_correct, masked, lengths = 0.0, 0, 0.0, 0, 0, []
    for number in numbers:
        example = examples.example(number)
        inputs = {
            name: torch.from_numpy(example[name].astype(np.int64))[None] for name in ("input_ids", "token_type_ids")
        }
        with torch.no_grad():
            said = bert(**inputs)
        lengths.append(len(example["input_ids"]))
        for position, label in zip(example["masked_lm_positions"].tolist(), example["masked_lm_ids"].tolist()):
            logits = said.prediction_logits[0, position]
            mlm -= float(logits.log_softmax(0)[label])
            correct += int(logits.argmax()) == label
            masked += 1
        label = int(example["next_sentence_label"])
        nsp -= float(said.seq_relationship_logits[0].log_softmax(0)[label])
        nsp_correct += int(said.seq_relationship_logits[0].argmax()) == label

    settings = SimpleNamespace(precision="fp32", max_grad_norm=1.0, loss_spike=None)
    job = SimpleNamespace(settings=settings, processes=device.Processes(0, 1, torch.device("cpu")))
    stepper = Stepper(job, model.Pretraining(bert), torch.optim.SGD(bert.parameters(), 0.1), [])
    stepper.step(1, numbers, examples.batches(numbers, 32, rows=2), stop=False)
    sums = stepper.read(examples, 32)
    squares = sum(length**2 for length in lengths)
    assert sums.flops == model.training_flops(bert.config, sum(lengths), squares, masked)
    row = curve.point(sums, 1000.0, None)
    assert row["mlm_loss"] == pytest.approx(mlm / masked, rel=1e-5) and row["mlm_accuracy"] == correct / masked
    assert row["nsp_loss"] == pytest.approx(nsp / 12, rel=1e-5) and row["nsp_accuracy"] == nsp_correct / 12


def test_a_token_of_base_at_512_costs_581_million_operations():
    # 3 * (12 * (8 * 768 * 768 + 4 * 768 * 3072 + 4 * 768 * 512) + 0.15 * (2 * 768 * 768 + 2 * 768 * 21128))
    assert model.training_flops(BASE, 512, 512**2, 0.15 * 512) / 512 == pytest.approx(581_365_555.2)


def test_mfu_is_what_real_tokens_cost_over_what_the_device_can_do():
    # Half of the row is padding, which counts for nothing: one example of 256 tokens.
    sums = curve.Sums(tokens=256, positions=512, flops=model.training_flops(BASE, 256, 256**2, 38))
    row = curve.point(sums, 1000.0, 1e12)
    assert row["fill"] == 0.5 and row["mfu"] == pytest.approx(1000 * sums.flops / 256 / 1e12)
    assert curve.point(sums, 1000.0, None)["mfu"] is None
    # What Muon multiplies is work too.
    assert model.training_flops(BASE, 256, 256**2, 38, optimizer_flops=10) == sums.flops + 10


def test_warming_up_a_head_takes_no_backward_pass_of_the_encoder():
    encoder = 12 * (128 * (8 * 768 * 768 + 4 * 768 * 3072) + 4 * 768 * 128**2)
    transform, decoder = 19 * 2 * 768 * 768, 19 * 2 * 768 * 21128
    assert model.training_flops(BASE, 128, 128**2, 19) == 3 * (encoder + transform + decoder)
    warm_up = model.training_flops(BASE, 128, 128**2, 19, head_only=True)
    assert warm_up == encoder + 3 * transform + 2 * decoder


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA A10G", 70e12),
        ("NVIDIA GeForce RTX 4090", 165.2e12),
        ("Tesla P4", None),
    ],
)
def test_the_peak_of_a_gpu_is_its_own_and_unknown_for_one_that_is_not_in_the_table(monkeypatch, name, peak):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: name)
    assert device.peak_flops(torch.device("cuda"), "bf16") == peak
    assert device.peak_flops(torch.device("cuda"), "fp32") is None
