"""Dropout on a CPU: the values of torch's, drawn faster."""

import copy

import pytest
import torch
from transformers import BertConfig, BertModel

from wwm.training import dropout


def test_a_share_p_is_dropped_and_the_rest_scaled_so_that_the_mean_stays():
    torch.manual_seed(1)
    layer = dropout.Dropout(0.1)
    values = torch.full((1001, 997), 3.0, requires_grad=True)
    left = layer(values)
    count, p = values.numel(), 6554 / 65536
    zeros = int((left == 0).sum())
    # Four standard deviations of a binomial count.
    assert abs(zeros - p * count) < 4 * (count * p * (1 - p)) ** 0.5
    assert left.unique().tolist() == pytest.approx([0, 3 / (1 - p)])
    left.sum().backward()
    assert torch.equal(values.grad == 0, left == 0) and values.grad.max().item() == pytest.approx(1 / (1 - p))


@pytest.mark.parametrize("lag", [1, 2, 3, 4])
def test_values_drawn_from_the_same_64_bits_are_independent(lag):
    torch.manual_seed(2)
    dropped, _ = dropout.drawn(torch.Size([1 << 20]), 0.5)
    same = (dropped[lag:] == dropped[:-lag]).float().mean().item()
    assert abs(same - 0.5) < 4 * 0.5 / (1 << 20) ** 0.5


def test_the_same_state_of_torchs_generator_drops_the_same_values():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, _ = dropout.drawn(torch.Size([5, 7]), 0.1)
    second, _ = dropout.drawn(torch.Size([5, 7]), 0.5)
    torch.set_rng_state(state)
    assert torch.equal(dropout.drawn(torch.Size([5, 7]), 0.1)[0], first) and torch.equal(
        dropout.drawn(torch.Size([5, 7]), 0.5)[0], second
    )


@pytest.fixture
def bert():
    torch.manual_seed(4)
    size = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "vocab_size": 50,
        "max_position_embeddings": 16,
    }
    return BertModel(BertConfig(**size), add_pooling_layer=False)


MASKS = {
    "none": None,
    "padding": torch.tensor([[1] * 16, [1] * 9 + [0] * 7]),
    "packed": torch.ones(2, 1, 16, 16).tril().bool(),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_attention_with_nothing_dropped_is_transformers(bert, mask, monkeypatch):
    ids = torch.arange(32).reshape(2, 16)
    expected, grad = run(copy.deepcopy(bert), ids, mask, 0.0)
    # Nothing is dropped, and yet dropout is on: the path of its own is taken.
    monkeypatch.setattr(dropout, "drawn", lambda shape, p: (torch.zeros(shape, dtype=torch.bool), 1.0))
    dropout.use_in(bert)
    found, own_grad = run(bert, ids, mask, 0.1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(own_grad, grad, rtol=1e-4, atol=1e-6)


def test_attention_drops_weights_as_often_as_it_is_told(bert, monkeypatch):
    asked = []
    drawn = dropout.drawn
    monkeypatch.setattr(dropout, "drawn", lambda shape, p: asked.append((tuple(shape), p)) or drawn(shape, p))
    dropout.use_in(bert)
    bert.train()(torch.arange(32).reshape(2, 16))
    # The embeddings, and of each layer the weights of attention and what is added to its input twice.
    layer = [((2, 2, 16, 16), 0.1), ((2, 16, 16), 0.1), ((2, 16, 16), 0.1)]
    assert asked == [((2, 16, 16), 0.1), *layer, *layer]
    bert.eval()(torch.arange(32).reshape(2, 16))
    assert len(asked) == 7


def run(bert, ids, mask, p: float):
    for module in bert.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = p
    out = bert.train()(ids, attention_mask=mask).last_hidden_state
    out.square().sum().backward()
    return out.detach(), bert.encoder.layer[0].attention.self.query.weight.grad


def test_padding_that_sees_nothing_is_not_nan(bert):
    nothing = torch.ones(2, 1, 16, 16).bool()
    nothing[1, :, 9:, :] = False
    dropout.use_in(bert)
    assert bert.train()(torch.arange(32).reshape(2, 16), attention_mask=nothing).last_hidden_state.isfinite().all()


def test_in_bfloat16_and_in_compiled_layers_attention_is_torchs(bert, monkeypatch):
    asked = []
    drawn = dropout.drawn
    monkeypatch.setattr(dropout, "drawn", lambda shape, p: asked.append(tuple(shape)) or drawn(shape, p))
    dropout.use_in(bert)
    with torch.autocast("cpu", torch.bfloat16):
        bert.train()(torch.arange(32).reshape(2, 16))
    assert asked and (2, 2, 16, 16) not in asked
    asked.clear()
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    bert.train()(torch.arange(32).reshape(2, 16))
    assert not asked
