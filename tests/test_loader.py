"""The order of examples, and rows that hold several of them."""

import numpy as np
import pytest
import torch
import toy

from wwm.loader import Examples
from wwm.model import pretraining_losses

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples") / "32"
    toy.shards(folder)
    return Examples(folder)


def test_each_epoch_has_every_example_once_in_an_order_of_its_own(examples):
    n = len(examples)
    first, second = examples.indices(0, n, seed=1), examples.indices(n, n, seed=1)
    assert sorted(first) == sorted(second) == list(range(n))
    assert first.tolist() != second.tolist()


def test_place_in_the_order_is_a_function_of_the_step_alone(examples):
    whole = examples.indices(0, 3 * len(examples), seed=1)
    assert examples.indices(len(examples) - 5, 12, seed=1).tolist() == whole[len(examples) - 5 : len(examples) + 7].tolist()


def test_packed_rows_hold_every_piece_label_and_next_sentence_label_once(examples):
    indices = examples.indices(0, 16, seed=1)
    batch = examples.batch(indices, 32)
    singles = [examples.example(i) for i in indices]
    assert len(batch.input_ids) < 16
    assert (batch.example > 0).sum() == sum(len(single["input_ids"]) for single in singles)
    assert sorted(batch.masked_ids.tolist()) == sorted(int(label) for single in singles for label in single["masked_lm_ids"])
    assert sorted(batch.next_sentence_labels.tolist()) == sorted(int(single["next_sentence_label"]) for single in singles)
    assert (batch.input_ids.ravel()[batch.cls_positions] == 2).all() and (batch.position_ids.ravel()[batch.cls_positions] == 0).all()


@pytest.mark.parametrize("next_sentence_prediction", [True, False])
def test_packed_rows_have_the_loss_and_gradients_of_examples_on_their_own(tmp_path, next_sentence_prediction):
    toy.shards(tmp_path / "32", next_sentence_prediction)
    examples = Examples(tmp_path / "32")
    indices = examples.indices(0, 12, seed=3)
    losses, gradients = [], []
    for groups in ([indices], [[i] for i in indices]):
        model = toy.model().double()
        total = 0
        for group in groups:
            result = pretraining_losses(model, examples.batch(np.array(group), 32), CPU)
            total += result.mlm + result.nsp
        total.backward()
        losses.append(total.item())
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-6, msg=name)


def test_losses_are_those_of_transformers_own_model(tmp_path):
    """One example a row, no packing: the mean of BertForPreTraining over the same labels."""
    toy.shards(tmp_path / "32")
    examples = Examples(tmp_path / "32")
    model = toy.model()
    example = examples.example(0)
    ids = torch.tensor(example["input_ids"].astype(np.int64))[None]
    labels = torch.full_like(ids, -100)
    labels[0, example["masked_lm_positions"].astype(np.int64)] = torch.tensor(example["masked_lm_ids"].astype(np.int64))
    theirs = model(
        ids,
        token_type_ids=torch.tensor(example["token_type_ids"].astype(np.int64))[None],
        labels=labels,
        next_sentence_label=torch.tensor([int(example["next_sentence_label"])]),
    ).loss
    ours = pretraining_losses(model, examples.batch(np.array([0]), 32), CPU)
    assert theirs.item() == pytest.approx((ours.mlm / len(example["masked_lm_ids"]) + ours.nsp).item(), rel=1e-5)


def test_folder_without_shards_is_named(tmp_path):
    with pytest.raises(ValueError, match="no \\*.arrow shard"):
        Examples(tmp_path)
