"""What the curve of a training says of a step, against figures worked out by hand."""

import pytest
import torch
from transformers import BertConfig

from wwm.training import curve, device, model

BASE = BertConfig(vocab_size=21128)


def test_a_token_of_base_at_512_costs_581_million_operations():
    # 3 * (12 * (8 * 768 * 768 + 4 * 768 * 3072 + 4 * 768 * 512) + 0.15 * (2 * 768 * 768 + 2 * 768 * 21128))
    assert model.training_flops(BASE, 512, 512**2, 0.15 * 512) / 512 == pytest.approx(581_365_555.2)


def test_mfu_is_what_real_tokens_cost_over_what_the_device_can_do():
    # Half of the row is padding, which counts for nothing: one example of 256 tokens.
    sums = curve.Sums(tokens=256, positions=512, squares=256**2, masked=38)
    row = curve.point(sums, 1000.0, BASE, 1e12)
    assert row["fill"] == 0.5 and row["mfu"] == pytest.approx(1000 * model.training_flops(BASE, 256, 256**2, 38) / 256 / 1e12)
    assert curve.point(sums, 1000.0, BASE, None)["mfu"] is None


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
