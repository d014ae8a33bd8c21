"""The order of examples, and rows that hold several of them."""

import numpy as np
import pyarrow as pa
import pytest
import torch
import toy

from wwm.loader import Examples
from wwm.model import Pretraining, on_device

CPU = torch.device("cpu")


def load(folder, seed=1, **kind):
    toy.shards(folder / "32", **kind)
    toy.model(folder)
    return Examples(folder / "32", folder / "vocab.txt", seed)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return load(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory):
    return load(tmp_path_factory.mktemp("dynamic"), dynamic=True)


def test_each_epoch_has_every_example_once_in_an_order_of_its_own(examples):
    n = len(examples)
    first, second = examples.numbers(0, n), examples.numbers(n, n)
    assert sorted(first) == list(range(n)) and sorted(second) == list(range(n, 2 * n))
    assert first.tolist() != (second - n).tolist()


def test_place_in_the_order_is_a_function_of_the_step_alone(examples):
    whole = examples.numbers(0, 3 * len(examples))
    assert examples.numbers(len(examples) - 5, 12).tolist() == whole[len(examples) - 5 : len(examples) + 7].tolist()


def test_packed_rows_hold_every_piece_label_and_next_sentence_label_once(examples):
    numbers = examples.numbers(0, 16)
    batch = examples.batch(numbers, 32)
    singles = [examples.example(i) for i in numbers]
    assert len(batch.input_ids) < 16
    assert (batch.example > 0).sum() == sum(len(single["input_ids"]) for single in singles)
    assert sorted(batch.masked_ids.tolist()) == sorted(int(label) for single in singles for label in single["masked_lm_ids"])
    assert sorted(batch.next_sentence_labels.tolist()) == sorted(int(single["next_sentence_label"]) for single in singles)
    assert (batch.input_ids.ravel()[batch.cls_positions] == 2).all() and (batch.position_ids.ravel()[batch.cls_positions] == 0).all()


@pytest.mark.parametrize("next_sentence_prediction", [True, False])
def test_packed_rows_have_the_loss_and_gradients_of_examples_on_their_own(tmp_path, next_sentence_prediction):
    examples = load(tmp_path, next_sentence_prediction=next_sentence_prediction)
    numbers = examples.numbers(0, 12)
    losses, gradients = [], []
    for groups in ([numbers], [[i] for i in numbers]):
        model = toy.model().double()
        total = 0
        for group in groups:
            result = Pretraining(model)(on_device(examples.batch(np.array(group), 32), CPU))
            total += result.mlm + result.nsp
        total.backward()
        losses.append(total.item())
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-6, msg=name)


def test_losses_are_those_of_transformers_own_model(tmp_path):
    """One example a row, no packing: the mean of BertForPreTraining over the same labels."""
    examples = load(tmp_path)
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
    ours = Pretraining(model)(on_device(examples.batch(np.array([0]), 32), CPU))
    assert theirs.item() == pytest.approx((ours.mlm / len(example["masked_lm_ids"]) + ours.nsp).item(), rel=1e-5)


def test_folder_without_shards_is_named(tmp_path):
    with pytest.raises(ValueError, match="no \\*.arrow shard"):
        Examples(tmp_path, tmp_path / "vocab.txt", 1)


def test_dynamic_masks_are_drawn_anew_each_epoch_over_the_same_text(dynamic):
    n = len(dynamic)
    differ = 0
    for number in range(20):
        first, second = dynamic.example(number), dynamic.example(number + n)
        differ += first["masked_lm_positions"].tolist() != second["masked_lm_positions"].tolist()
        for example in (first, second):
            example["input_ids"][example["masked_lm_positions"]] = example["masked_lm_ids"]
        assert first["input_ids"].tolist() == second["input_ids"].tolist()
    assert differ > 15


def test_dynamic_masks_are_a_function_of_seed_epoch_and_example_alone(dynamic, tmp_path):
    again, other = load(tmp_path / "again", dynamic=True), load(tmp_path / "other", seed=2, dynamic=True)
    for number in (7, 3, len(dynamic) + 3):
        drawn = dynamic.example(number)
        assert all(np.array_equal(drawn[key], again.example(number)[key]) for key in drawn)
    assert any(dynamic.example(n)["masked_lm_positions"].tolist() != other.example(n)["masked_lm_positions"].tolist() for n in range(20))


def test_dynamic_masks_take_whole_units_up_to_the_references_number(dynamic):
    for number in range(3 * len(dynamic)):
        example = dynamic.example(number)
        length, chosen = len(example["input_ids"]), set(example["masked_lm_positions"].tolist())
        assert len(chosen) <= min(5, max(1, round(0.15 * length)))
        starts = np.flatnonzero(example["unit_begins"])
        assert all(len(chosen & set(range(a, b))) in (0, b - a) for a, b in zip(starts, [*starts[1:], length]))


def test_static_masks_are_the_same_in_every_epoch(examples):
    first, second = examples.example(3), examples.example(3 + len(examples))
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_file_that_is_no_shard_is_named(tmp_path):
    (tmp_path / "00000.arrow").write_bytes(b"half of a shard")
    with pytest.raises(ValueError, match="00000.arrow is no whole Arrow file"):
        Examples(tmp_path, tmp_path / "vocab.txt", 1)


def test_shard_of_an_older_version_is_named(tmp_path):
    with pa.OSFile(str(tmp_path / "00000.arrow"), "wb") as sink, pa.ipc.new_file(sink, pa.schema([("input_ids", pa.int64())])):
        pass
    with pytest.raises(ValueError, match="00000.arrow does not say how it was made"):
        Examples(tmp_path, tmp_path / "vocab.txt", 1)
