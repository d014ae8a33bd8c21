"""AdamW as BERT's and LAMB, against cases computed by hand, and Muon against torch's."""

import math
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
from transformers import BertConfig, BertForPreTraining

from wwm.params.training import Phase
from wwm.training.model import choose_trained
from wwm.training.optim import OPTIMIZERS, AdamW, Lamb, Muon, linear_schedule, parameter_groups


def step(
    optimizer_class, weight: list[float], gradient: list[float], adapt: bool = True, decay: float = 0.01, **options
) -> list[float]:
    parameter = torch.nn.Parameter(torch.tensor(weight, dtype=torch.float64))
    parameter.grad = torch.tensor(gradient, dtype=torch.float64)
    optimizer_class(
        [{"params": [parameter], "weight_decay": decay, "adapt": adapt}],
        lr=0.1,
        betas=(0.9, 0.999),
        eps=1e-6,
        weight_decay=decay,
        **options,
    ).step()
    return parameter.tolist()


def test_adamw_without_bias_correction_is_google_berts():
    # m = 0.1 g = 0.2, v = 0.001 g^2 = 0.004; update = 0.2 / (sqrt(0.004) + 1e-6) + 0.01 * 1
    update = 0.2 / (math.sqrt(0.004) + 1e-6) + 0.01
    assert step(AdamW, [1.0], [2.0]) == pytest.approx([1 - 0.1 * update], rel=1e-12)


def test_adamw_with_bias_correction_is_torchs():
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    reference = torch.nn.Parameter(parameter.detach().clone())
    ours = AdamW([{"params": [parameter]}], lr=0.1, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01, correct_bias=True)
    torchs = torch.optim.AdamW([reference], lr=0.1, eps=1e-6, weight_decay=0.01)
    for i in range(5):
        for p, optimizer in ((parameter, ours), (reference, torchs)):
            p.grad = torch.tensor([0.5 * i - 1, 0.3], dtype=torch.float64)
            optimizer.step()
    assert parameter.tolist() == pytest.approx(reference.tolist(), rel=1e-9)


def test_lamb_step_is_the_papers():
    # First step: m^ = g, v^ = g^2, r = g / (|g| + eps) = (1, 1); with decay r + 0.01 w; ratio |w| / |r + 0.01 w|, w =
    # (3, 4).
    u = [1 / (1 + 1e-6 / 2) + 0.03, 1 / (1 + 1e-6 / 5) + 0.04]
    ratio = 5 / math.hypot(*u)
    assert step(Lamb, [3.0, 4.0], [2.0, 5.0]) == pytest.approx(
        [3 - 0.1 * ratio * u[0], 4 - 0.1 * ratio * u[1]], rel=1e-9
    )


def test_lamb_corrects_its_means_over_steps():
    # Two steps of gradients 2 and 1 without decay, w = 3. m = 0.9 * 0.2 + 0.1 * 1 = 0.28, m^ = m / (1 - 0.9^2);
    # v = 0.999 * 0.004 + 0.001 * 1 = 0.004996, v^ = v / (1 - 0.999^2). A single weight's ratio times its update is |w|.
    parameter = torch.nn.Parameter(torch.tensor([3.0, 0.0], dtype=torch.float64))
    optimizer = Lamb(
        [{"params": [parameter], "weight_decay": 0.0, "adapt": True}],
        lr=0.1,
        betas=(0.9, 0.999),
        eps=1e-6,
        weight_decay=0.0,
    )
    for gradient in ([2.0, 0.0], [1.0, 5.0]):
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    after_one = 3 - 0.1 * 3
    r = [0.28 / 0.19 / ((0.004996 / 0.001999) ** 0.5 + 1e-6), 0.5 / 0.19 / ((0.025 / 0.001999) ** 0.5 + 1e-6)]
    ratio = after_one / math.hypot(*r)
    assert parameter.tolist() == pytest.approx([after_one - 0.1 * ratio * r[0], -0.1 * ratio * r[1]], rel=1e-9)


def test_lamb_does_not_adapt_biases():
    assert step(Lamb, [3.0], [2.0], adapt=False, decay=0.0) == pytest.approx([3 - 0.1 / (1 + 1e-6 / 2)], rel=1e-9)


def test_lamb_of_the_authors_first_corrects_no_bias_and_adapts_every_tensor():
    # First step: m = 0.1 g = 0.2, v = 0.001 g^2 = 0.004; the weight's update has the decay, the bias's none; each has a
    # single element, so that its ratio times its update is |w|.
    model = torch.nn.ModuleDict({"dense": torch.nn.Linear(2, 1)}).double()
    with torch.no_grad():
        model.dense.weight[:] = torch.tensor([3.0, 4.0])
        model.dense.bias[:] = 2.0
    model.dense.weight.grad, model.dense.bias.grad = torch.full((1, 2), 2.0).double(), torch.full((1,), 2.0).double()
    settings = SimpleNamespace(adam_betas=[0.9, 0.999], adam_epsilon=1e-6, weight_decay=0.01)
    OPTIMIZERS["lamb-ymcui"](parameter_groups(model, 0.01), 0.1, settings).step()
    u = [0.2 / (0.004**0.5 + 1e-6) + decay for decay in (0.03, 0.04)]
    ratio = 5 / math.hypot(*u)
    assert model.dense.weight[0].tolist() == pytest.approx([3 - 0.1 * ratio * u[0], 4 - 0.1 * ratio * u[1]], rel=1e-9)
    assert model.dense.bias.tolist() == pytest.approx([2 - 0.1 * 2], rel=1e-9)


def test_lamb_ratio_is_one_for_a_weight_of_zeros():
    assert step(Lamb, [0.0, 0.0], [2.0, 2.0]) == pytest.approx([-0.1 / (1 + 1e-6 / 2)] * 2, rel=1e-9)


SETTINGS = SimpleNamespace(adam_betas=[0.8, 0.9], adam_epsilon=1e-3, weight_decay=0.5, correct_bias=True)


def small_bert() -> BertForPreTraining:
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 24}
    return BertForPreTraining(BertConfig(**sizes, vocab_size=30))


def test_muon_is_torchs_matrix_by_matrix_and_adamw_for_the_rest():
    bert, reference = small_bert(), small_bert()
    ours = OPTIMIZERS["muon"](parameter_groups(bert, 0.5), 4e-3, SETTINGS)
    matrices = {name: p for name, p in reference.named_parameters() if p.dim() == 2}
    hidden = [p for name, p in matrices.items() if "layer." in name or "transform" in name]
    assert len(hidden) == 2 * 6 + 1
    others = [p for p in matrices.values() if not any(p is matrix for matrix in hidden)]
    plain = [p for p in reference.parameters() if p.dim() == 1]
    torchs = [
        torch.optim.Muon(hidden, lr=4e-3, momentum=0.95, weight_decay=0.5, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=4e-3, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.5),
        torch.optim.AdamW(plain, lr=4e-3, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.0),
    ]
    for _ in range(4):
        for p, q in zip(bert.parameters(), reference.parameters(), strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        for optimizer in (ours, *torchs):
            optimizer.step()
    for (name, p), q in zip(bert.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6, msg=name)


def test_an_update_of_muon_has_no_direction_that_is_long_or_short_whatever_the_gradient():
    gradients = [torch.randn(32, 8) * torch.logspace(-1, 1, 8), torch.randn(8, 8), torch.randn(8, 32)]
    optimizer = Muon([{"params": [torch.nn.Parameter(g) for g in gradients]}], 0.1, (0.9, 0.999), 1e-6, 0.01)
    for gradient, update in zip(gradients, optimizer.orthogonalized(gradients), strict=True):
        assert update.shape == gradient.shape
        assert 0.4 < torch.linalg.svdvals(update).min() and torch.linalg.svdvals(update).max() < 1.4


def test_muon_counts_the_products_of_its_iterations():
    # Of (2, 3): its square 2 * 2 * 2 * 3, the square of that 2 * 2 * 2 * 2, the product of that and it 2 * 2 * 2 * 3;
    # five times.
    matrix = torch.nn.Parameter(torch.zeros(3, 2))
    groups = [{"params": [matrix], "orthogonal": True}, {"params": [torch.nn.Parameter(torch.zeros(9, 9))]}]
    assert Muon(groups, 0.1, (0.9, 0.999), 1e-6, 0.01).flops() == 5 * (24 + 16 + 24)


def test_muon_trains_a_head_alone():
    bert = small_bert()
    choose_trained(bert, next_sentence_prediction=False, head_only=True)
    optimizer = OPTIMIZERS["muon"](parameter_groups(bert, 0.5), 4e-3, SETTINGS)
    assert [p.shape for p in optimizer.matrices()] == [(8, 8)]
    assert sum(p.numel() for group in optimizer.param_groups for p in group["params"]) == 8 * 8 + 3 * 8 + 30


def test_biases_and_layer_norm_neither_decay_nor_adapt():
    # BERT's, and DistilBERT's.
    model = torch.nn.ModuleDict(
        {"dense": torch.nn.Linear(2, 2), "LayerNorm": torch.nn.LayerNorm(2), "sa_layer_norm": torch.nn.LayerNorm(2)}
    )
    weights, plain = parameter_groups(model, 0.01)
    assert [p.shape for p in weights["params"]] == [(2, 2)] and weights["weight_decay"] == 0.01 and weights["adapt"]
    assert len(plain["params"]) == 5 and plain["weight_decay"] == 0.0 and not plain["adapt"]


def test_token_types_decay_where_pairs_need_both_and_not_where_segments_have_one():
    bert = small_bert()
    types = bert.bert.embeddings.token_type_embeddings.weight
    for single_segments in (False, True):
        groups = parameter_groups(bert, 0.01, single_segments)
        assert sum(len(group["params"]) for group in groups) == len(list(bert.parameters()))
        decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
        assert decays.pop(id(types)) == (0.0 if single_segments else 0.01)
        assert sum(decay > 0 for decay in decays.values()) == 2 * 6 + 2 + 3  # layers; embeddings; pooler and heads


def test_schedule_is_google_berts():
    # optimization.py: step / warm-up during warm-up; then the line of polynomial_decay, which began at step 0.
    factors = [linear_schedule(step, 10, 4) for step in range(10)]
    assert factors == pytest.approx([0, 0.25, 0.5, 0.75, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert linear_schedule(0, 1, 0) == 1


def test_every_optimizer_that_params_can_name_is_there_and_no_other():
    assert set(get_args(Phase.model_fields["optimizer"].annotation)) == set(OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_takes_what_params_say(name):
    made = OPTIMIZERS[name](
        parameter_groups(torch.nn.ModuleDict({"dense": torch.nn.Linear(2, 2)}), 0.5), 0.25, SETTINGS
    )
    assert [group["weight_decay"] for group in made.param_groups] == [0.5, 0.0]
    assert all(
        group["lr"] == 0.25 and group["betas"] == (0.8, 0.9) and group["eps"] == 1e-3 for group in made.param_groups
    )
