"""The order of examples, and rows that hold several of them."""

import numpy as np
import pyarrow as pa
import pytest
import torch
import toy

from wwm.common.errors import UserError
from wwm.training.loader import IGNORED, Examples, first_fit, in_rows, shares
from wwm.training.model import Pretraining, on_device


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
    (batch,) = examples.batches(numbers, 32, rows=16)
    singles = [examples.example(i) for i in numbers]
    assert len(batch.input_ids) < 16
    assert (batch.example > 0).sum() == sum(len(single["input_ids"]) for single in singles)
    assert sorted(batch.masked_ids.tolist()) == sorted(
        int(label) for single in singles for label in single["masked_lm_ids"]
    )
    assert sorted(batch.next_sentence_labels.tolist()) == sorted(
        int(single["next_sentence_label"]) for single in singles
    )
    assert (batch.input_ids.ravel()[batch.cls_positions] == 2).all() and (
        batch.position_ids.ravel()[batch.cls_positions] == 0
    ).all()


def pieces(batches) -> list[tuple]:
    """(input id, its position, label or None) of all batches, sorted."""
    found = []
    for batch in batches:
        labels = {
            int(at): int(label) for at, label in zip(batch.masked_positions, batch.masked_ids) if label != IGNORED
        }
        real = batch.example.ravel() > 0
        found += [
            (int(batch.input_ids.ravel()[i]), int(batch.position_ids.ravel()[i]), labels.get(i, -1))
            for i in np.flatnonzero(real)
        ]
    return sorted(found)


def test_rows_are_shared_out_among_batches_that_hold_the_same_pieces(examples):
    numbers = examples.numbers(0, 40)
    (whole,) = examples.batches(numbers, 32, rows=40)
    parts = examples.batches(numbers, 32, rows=5)
    assert len(parts) == -(-len(whole.input_ids) // 5) and all(len(part.input_ids) <= 5 for part in parts)
    assert pieces(parts) == pieces([whole])


def test_rows_are_as_long_as_the_longest_example_and_a_batch_of_short_ones_has_more_of_them(examples):
    lengths = np.array([len(examples.example(i)["input_ids"]) for i in range(len(examples))])
    short = np.flatnonzero(lengths <= 16)[:24]
    batches = examples.batches(short, 32, rows=4)
    assert {batch.input_ids.shape[1] for batch in batches} == {lengths[short].max()}
    assert len(batches) == -(-sum(len(batch.input_ids) for batch in batches) // (4 * 32 // lengths[short].max()))


def test_fixed_batches_hold_the_same_pieces_and_have_few_shapes(examples):
    shapes = set()
    for step in range(8):
        numbers = examples.numbers(step * 40, 40)
        fixed = examples.batches(numbers, 32, rows=8, fixed=True)
        assert pieces(fixed) == pieces(examples.batches(numbers, 32, rows=8))
        assert sorted(label for batch in fixed for label in batch.next_sentence_labels if label != IGNORED) == sorted(
            int(examples.example(i)["next_sentence_label"]) for i in numbers
        )
        shapes |= {tuple(array.shape for array in batch) for batch in fixed}
    assert {shape[0] for shape in shapes} == {(8, 32)} and len(shapes) <= 6


def test_the_example_of_batches_is_packed_as_its_docstring_says():
    by_row, row_of = in_rows(np.array([5, 3, 2, 4]), 5)
    assert by_row.tolist() == [0, 3, 1, 2] and row_of.tolist() == [0, 1, 2, 2]
    assert shares(row_of, most=2) == [(0, 2), (2, 4)]


def test_rows_are_filled_first_fit():
    """By hand: 5 4 | 3 3 3 | 2 1 of ten; the 2 no longer fits the first two rows, the 1 does."""
    assert first_fit(np.array([5, 4, 3, 3, 3, 2, 1]), 10).tolist() == [0, 0, 1, 1, 1, 2, 0]


@pytest.mark.parametrize("next_sentence_prediction", [True, False])
def test_padding_to_a_fixed_shape_changes_no_loss(tmp_path, next_sentence_prediction):
    examples = load(tmp_path, next_sentence_prediction=next_sentence_prediction)
    model, numbers = toy.model(), examples.numbers(0, 12)
    results = [
        [Pretraining(model)(on_device(batch, model)) for batch in examples.batches(numbers, 32, rows=5, fixed=fixed)]
        for fixed in (False, True)
    ]
    for name in ("mlm", "mlm_correct", "nsp", "nsp_correct"):
        plain, fixed = (sum(getattr(part, name).item() for part in parts) for parts in results)
        assert fixed == pytest.approx(plain, rel=1e-6), name


def test_full_rows_of_one_example_each_go_without_a_mask_and_have_the_same_loss(tmp_path):
    examples, model = load(tmp_path), toy.model()
    full = [number for number in range(len(examples)) if len(examples.example(number)["input_ids"]) == 32][:4]
    (batch,) = examples.batches(np.array(full), 32, rows=4)
    sent = on_device(batch, model)
    masked = sent | {"example": torch.from_numpy(batch.example)}
    assert len(full) == 4 and "example" not in sent
    torch.testing.assert_close(Pretraining(model)(sent), Pretraining(model)(masked))


def test_flash_attention_is_told_where_each_example_and_each_padding_ends(examples):
    model = toy.model()
    model.config._attn_implementation = "flash_attention_2"
    (batch,) = examples.batches(examples.numbers(0, 16), 32, rows=16)
    bounds = on_device(batch, model)["boundaries"].tolist()
    inside = [set(batch.example.ravel()[a:b].tolist()) for a, b in zip(bounds, bounds[1:])]
    assert bounds[0] == 0 and bounds[-1] == batch.input_ids.size and all(len(found) == 1 for found in inside)
    assert sum(found != {0} for found in inside) == 16 and all(
        any(a <= cls < b for a, b in zip(bounds, bounds[1:])) for cls in batch.cls_positions
    )


@pytest.mark.parametrize("next_sentence_prediction", [True, False])
def test_packed_rows_have_the_loss_and_gradients_of_examples_on_their_own(tmp_path, next_sentence_prediction):
    examples = load(tmp_path, next_sentence_prediction=next_sentence_prediction)
    numbers = examples.numbers(0, 12)
    losses, gradients = [], []
    for groups in ([numbers], [[i] for i in numbers]):
        model = toy.model().double()
        total = 0
        for group in groups:
            result = Pretraining(model)(on_device(examples.batches(np.array(group), 32, rows=16)[0], model))
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
    ours = Pretraining(model)(on_device(examples.batches(np.array([0]), 32, rows=1)[0], model))
    assert theirs.item() == pytest.approx((ours.mlm / len(example["masked_lm_ids"]) + ours.nsp).item(), rel=1e-5)


def test_example_that_is_longer_than_a_row_is_named(examples):
    with pytest.raises(UserError, match="longer than rows of 8"):
        examples.batches(examples.numbers(0, 16), 8, rows=4)


def test_folder_without_shards_is_named(tmp_path):
    with pytest.raises(UserError, match="no \\*.arrow shard"):
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
    assert any(
        dynamic.example(n)["masked_lm_positions"].tolist() != other.example(n)["masked_lm_positions"].tolist()
        for n in range(20)
    )


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
    with pytest.raises(UserError, match="00000.arrow cannot be read .ArrowInvalid"):
        Examples(tmp_path, tmp_path / "vocab.txt", 1)


def test_shard_of_an_older_version_is_named(tmp_path):
    with (
        pa.OSFile(str(tmp_path / "00000.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, pa.schema([("input_ids", pa.int64())])),
    ):
        pass
    with pytest.raises(UserError, match="00000.arrow does not say how it was made"):
        Examples(tmp_path, tmp_path / "vocab.txt", 1)
