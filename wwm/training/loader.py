"""Masked examples in an order that a step number alone determines, packed into rows without padding between them."""

import copy
import json
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from wwm.common import files
from wwm.common.errors import UserError, reading
from wwm.masks import masking
from wwm.masks.examples import in_pairs

AGAIN = "run the stage mask again"
IGNORED = -100  # what torch's cross_entropy leaves out


class Batch(NamedTuple):
    """Packed rows: R rows of length L hold B examples with M masked positions in all."""

    input_ids: np.ndarray  # (R, L) int64
    token_type_ids: np.ndarray  # (R, L) int64
    position_ids: np.ndarray  # (R, L) int64, restarted at every example
    example: np.ndarray  # (R, L) int64: which example of its row a position belongs to, from 1; 0 is padding
    cls_positions: np.ndarray  # (B,) int64, into R * L: the [CLS] of each example
    lengths: np.ndarray  # (B,) int64, positions of each example; 0 where there is none
    masked_positions: np.ndarray  # (M,) int64, into R * L
    masked_ids: np.ndarray  # (M,) int64, or IGNORED where a batch is padded to a fixed shape
    next_sentence_labels: np.ndarray  # (B,) int64, or (0,) without next sentence prediction; IGNORED as above


def shards(folder: str | Path) -> dict[Path, pa.RecordBatchFileReader]:
    """The memory-mapped shards in and below a folder, by name, or one shard. Raises UserError if there is none, or one
    is broken.
    """
    paths = sorted(Path(folder).rglob("*.arrow")) or [path for path in [Path(folder)] if path.is_file()]
    if not paths:
        raise UserError(f"{folder} has no *.arrow shard; run the stage mask")
    readers = {}
    for path in paths:
        with reading(path, pa.ArrowException, OSError, remedy=AGAIN):
            readers[path] = pa.ipc.open_file(pa.memory_map(str(path)))
        if b"settings" not in (readers[path].schema.metadata or {}):
            raise UserError(
                f"{path} does not say how it was made: another program or an older version wrote it; run the stage mask"
                " again"
            )
    return readers


def whole_batches(path: Path, reader: pa.RecordBatchFileReader) -> list[pa.RecordBatch]:
    """Of a shard, memory-mapped. Raises UserError where a part of it is damaged, as far as ends of lists tell."""
    with reading(path, pa.ArrowException, OSError, remedy=AGAIN):
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
    for column in (column for batch in batches for column in batch.columns if pa.types.is_list(column.type)):
        ends = column.offsets.to_numpy()
        if ends[0] or (np.diff(ends) < 0).any() or ends[-1] > len(column.values):
            raise UserError(f"{path} is damaged, for the ends of its examples do not rise; {AGAIN}")
    return batches


def header(shard: pa.RecordBatchFileReader) -> dict:
    """How a shard's examples were made: `vocab`, `segmenter` and `params` (sha256), and the settings themselves."""
    values = {key.decode(): value.decode() for key, value in shard.schema.metadata.items()}
    return json.loads(values.pop("settings")) | values


class Examples:
    """The examples of a folder of Arrow shards, memory-mapped.

    An example is called by its place in the shards, plus `len(self)` for each epoch that has gone by: where masking is
    dynamic, seed and number determine its masks, where it is static the number's epoch changes nothing.

    folder: shards, or one of them; vocab: the vocab.txt they were made with; seed: of the order and of dynamic masks.
    Raises UserError if there is no shard, or if it was made with another vocabulary.
    """

    def __init__(self, folder: str | Path, vocab: str | Path, seed: int):
        readers = shards(folder)
        if {header(reader)["vocab"] for reader in readers.values()} != {files.content_hash(vocab)}:
            raise UserError(
                f"{folder} was made with another vocabulary than {vocab}; run mask again, or take the vocabulary it was"
                " made with"
            )
        settings = header(next(iter(readers.values())))
        self.seed = seed
        self.next_sentence_prediction: bool = settings["next_sentence_prediction"]
        self.pairs = in_pairs(settings)
        self.masked_lm_prob: float = settings["masked_lm_prob"]
        tokens = list(files.lines(vocab))
        self.cls = tokens.index("[CLS]")
        self.dynamic = masking.of_set(tokens, settings) if settings["masking"] == "dynamic" else None
        found = [(path, batch) for path, reader in readers.items() for batch in whole_batches(path, reader)]
        self.paths, batches = [path for path, _ in found], [batch for _, batch in found]
        self.first = np.cumsum([0, *(len(batch) for batch in batches)])
        names = ["input_ids", "token_type_ids", *([] if self.dynamic else ["masked_lm_positions", "masked_lm_ids"])]
        self.columns = [
            {name: (batch.column(name).offsets.to_numpy(), batch.column(name).values.to_numpy()) for name in names}
            for batch in batches
        ]
        self.unit_begins = [batch.column("unit_begins") for batch in batches]
        self.next_sentence = [
            None if labels.null_count else labels.to_numpy()
            for labels in (batch.column("next_sentence_label") for batch in batches)
        ]
        self._orders: OrderedDict[int, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return int(self.first[-1])

    def masked_at(self, masked_lm_prob: float) -> "Examples":
        """These examples with another share of dynamic masks."""
        assert self.dynamic is not None
        seen = copy.copy(self)
        seen.masked_lm_prob = masked_lm_prob
        seen.dynamic = self.dynamic._replace(masked_lm_prob=masked_lm_prob)
        return seen

    def numbers(self, start: int, count: int) -> np.ndarray:
        """The examples at places [start, start + count) of an endless sequence that shuffles all examples anew each
        epoch.
        """
        epochs, within = np.divmod(np.arange(start, start + count), len(self))
        return np.concatenate(
            [epoch * len(self) + self._order(int(epoch))[within[epochs == epoch]] for epoch in np.unique(epochs)]
        )

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            self._orders[epoch] = np.random.default_rng([self.seed, epoch]).permutation(len(self))
            # A batch touches two epochs at most, unless the whole set is smaller than the batch.
            while len(self._orders) > 2:
                self._orders.popitem(last=False)
        return self._orders[epoch]

    def place(self, number: int) -> tuple[Path, int]:
        """The shard that holds an example, and its row there."""
        index = number % len(self)
        path = self.paths[int(np.searchsorted(self.first, index, side="right")) - 1]
        return path, int(index - self.first[self.paths.index(path)])

    def example(self, number: int) -> dict[str, np.ndarray]:
        """The columns of one example; `next_sentence_label` is None without next sentence prediction."""
        index = number % len(self)
        shard = int(np.searchsorted(self.first, index, side="right")) - 1
        row = int(index - self.first[shard])
        values = {name: flat[offsets[row] : offsets[row + 1]] for name, (offsets, flat) in self.columns[shard].items()}
        if values["input_ids"][:1] != self.cls:  # as where a disk has left zeros; of none there is no first one either
            raise UserError(f"{self.paths[shard]} is damaged: example {row} does not begin with [CLS]; {AGAIN}")
        labels = self.next_sentence[shard]
        values |= {
            "unit_begins": self.unit_begins[shard][row].values.to_numpy(zero_copy_only=False),
            "next_sentence_label": None if labels is None else labels[row],
        }
        if self.dynamic:
            values["input_ids"] = values["input_ids"].copy()
            ends = np.array([0, len(values["input_ids"])], np.int32)
            rng = np.random.default_rng([self.seed, int(number)])
            positions, ids, _ = masking.mask_examples(
                values["input_ids"], values["unit_begins"], ends, self.dynamic, rng
            )
            values |= {"masked_lm_positions": positions, "masked_lm_ids": ids}
        return values

    def batches(self, numbers: np.ndarray, max_seq_length: int, rows: int, fixed: bool = False) -> list[Batch]:
        """The examples of these numbers packed into rows, and the rows shared out among as few batches as hold them.

        A batch has at most as many positions as `rows` rows of `max_seq_length`. Its rows are as long as the longest
        example, for attention costs the square of a row. `fixed` ones are `max_seq_length` long, as many as `rows`, and
        their other dimensions are multiples of a part of that, so that the batches of a whole training have few
        different shapes.

        Four examples of 5, 3, 2 and 4 pieces: rows are 5 long, and are filled longest example first. Row 0 holds
        example 0 (5), row 1 example 3 (4), row 2 examples 1 and 2 (3 + 2). With `rows` 1 of `max_seq_length` 10 a batch
        may have 10 positions, two rows of 5: rows 0 and 1 make one batch, row 2 makes another.
        """
        examples = [self.example(number) for number in numbers]
        lengths = np.array([len(example["input_ids"]) for example in examples])
        if lengths.max() > max_seq_length:
            raise UserError(
                f"an example of {lengths.max()} pieces is longer than rows of {max_seq_length}; name the length that "
                "its shards were made for"
            )
        width = max_seq_length if fixed else int(lengths.max())
        by_row, row_of = in_rows(lengths, width)
        rows_of_batch = rows * max_seq_length // width
        batches = []
        for first, end in shares(row_of, rows_of_batch):
            batches.append(pack([examples[i] for i in by_row[first:end]], row_of[first:end], width))
        return [padded(batch, rows) for batch in batches] if fixed else batches


def in_rows(lengths: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Examples of these lengths (n,), sorted by the row of `width` that each goes to, and these rows; both (n,)."""
    longest_first = np.argsort(-lengths, kind="stable")
    rows = first_fit(lengths[longest_first], width)
    order = np.argsort(rows, kind="stable")
    return longest_first[order], rows[order]


def shares(row_of: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Where each batch begins and ends in row_of (n,), sorted: as few batches of `most` rows at most, of like sizes."""
    count = int(row_of[-1]) + 1
    parts = np.array_split(np.arange(count), -(-count // most))
    edges = np.searchsorted(row_of, [0, *(part[-1] + 1 for part in parts)]).tolist()
    return list(zip(edges, edges[1:]))


@njit(cache=True)
def first_fit(lengths: np.ndarray, capacity: int) -> np.ndarray:
    """(n,) int64: the row of each example, the first that has room for it in the order given."""
    row_of, room, used = np.empty(len(lengths), np.int64), np.full(len(lengths), capacity), 0
    for i in range(len(lengths)):
        row = 0
        while room[row] < lengths[i]:
            row += 1
        row_of[i], used = row, max(used, row + 1)
        room[row] -= lengths[i]
    return row_of


def pack(examples: list[dict[str, np.ndarray]], rows: np.ndarray, width: int) -> Batch:
    """One batch of examples that are sorted by the row (n,) they go to; width: of its rows."""
    lengths = np.array([len(example["input_ids"]) for example in examples])
    row = rows - rows[0]
    before = np.cumsum(lengths) - lengths
    first = np.searchsorted(row, row)
    start = before - before[first]
    shape = (int(row[-1]) + 1, width)
    cls = row * shape[1] + start
    within = np.arange(lengths.sum()) - np.repeat(before, lengths)
    place = np.repeat(cls, lengths) + within
    packed = np.zeros((4, shape[0] * shape[1]), np.int64)
    packed[:, place] = (
        np.concatenate([example["input_ids"] for example in examples]),
        np.concatenate([example["token_type_ids"] for example in examples]),
        within,
        np.repeat(np.arange(len(examples)) - first + 1, lengths),
    )
    masked = np.concatenate(
        [begin + example["masked_lm_positions"].astype(np.int64) for begin, example in zip(cls, examples)]
    )
    labels = np.concatenate([example["masked_lm_ids"] for example in examples]).astype(np.int64)
    next_labels = [int(label) for example in examples if (label := example["next_sentence_label"]) is not None]
    ids, types, positions, example = packed.reshape(4, *shape)
    return Batch(ids, types, positions, example, cls, lengths, masked, labels, np.array(next_labels, np.int64))


def empty() -> Batch:
    """A batch of nothing but padding: its losses are 0, and so are their gradients."""
    return Batch(*np.zeros((4, 1, 8), np.int64), *np.zeros((5, 0), np.int64))


def padded(batch: Batch, rows: int) -> Batch:
    """The same batch in a shape that recurs: `rows` rows, examples a multiple of `rows`, masked positions of a 32nd of
    all positions.
    """
    positions = rows * batch.input_ids.shape[1]

    def extended(array: np.ndarray, unit: int, value: int) -> np.ndarray:
        return np.pad(array, (0, -len(array) % unit), constant_values=value)

    ids, types, places, example = (np.pad(array, ((0, rows - len(array)), (0, 0))) for array in batch[:4])
    return Batch(
        ids,
        types,
        places,
        example,
        extended(batch.cls_positions, rows, 0),
        extended(batch.lengths, rows, 0),
        extended(batch.masked_positions, max(1, positions // 32), 0),
        extended(batch.masked_ids, max(1, positions // 32), IGNORED),
        extended(batch.next_sentence_labels, rows, IGNORED),
    )
