"""Masked examples in an order that a step number alone determines, packed into rows without padding between them."""

import json
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from wwm import files, masking


class Batch(NamedTuple):
    """Packed rows: R rows of length L hold B examples with M masked positions in all."""

    input_ids: np.ndarray  # (R, L) int64
    token_type_ids: np.ndarray  # (R, L) int64
    position_ids: np.ndarray  # (R, L) int64, restarted at every example
    example: np.ndarray  # (R, L) int64: which example of its row a position belongs to, from 1; 0 is padding
    cls_positions: np.ndarray  # (B,) int64, into R * L: the [CLS] of each example
    masked_positions: np.ndarray  # (M,) int64, into R * L
    masked_ids: np.ndarray  # (M,) int64
    next_sentence_labels: np.ndarray  # (B,) int64, or (0,) without next sentence prediction


def shards(folder: str | Path) -> dict[Path, pa.RecordBatchFileReader]:
    """The memory-mapped shards in and below a folder, by name, or one shard. Raises ValueError if there is none, or one is broken."""
    paths = sorted(Path(folder).rglob("*.arrow")) or [path for path in [Path(folder)] if path.is_file()]
    if not paths:
        raise ValueError(f"{folder} has no *.arrow shard; run the stage mask")
    readers = {}
    for path in paths:
        try:
            readers[path] = pa.ipc.open_file(pa.memory_map(str(path)))
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path} is no whole Arrow file ({error}); run the stage mask again") from None
        if b"settings" not in (readers[path].schema.metadata or {}):
            raise ValueError(f"{path} does not say how it was made: another program or an older version wrote it; run the stage mask again")
    return readers


def header(shard: pa.RecordBatchFileReader) -> dict:
    """How a shard's examples were made: `vocab`, `segmenter` and `params` (sha256), and the settings themselves."""
    values = {key.decode(): value.decode() for key, value in shard.schema.metadata.items()}
    return json.loads(values.pop("settings")) | values


class Examples:
    """The examples of a folder of Arrow shards, memory-mapped.

    An example is called by its place in the shards, plus `len(self)` for each epoch that has gone by: where masking is
    dynamic, seed and number determine its masks, where it is static the number's epoch changes nothing.

    folder: shards, or one of them; vocab: the vocab.txt they were made with; seed: of the order and of dynamic masks.
    Raises ValueError if there is no shard, or if it was made with another vocabulary.
    """

    def __init__(self, folder: str | Path, vocab: str | Path, seed: int):
        readers = shards(folder)
        if {header(reader)["vocab"] for reader in readers.values()} != {files.content_hash(vocab)}:
            raise ValueError(f"{folder} was made with another vocabulary than {vocab}; run mask again, or take the vocabulary it was made with")
        settings = header(next(iter(readers.values())))
        self.seed = seed
        self.next_sentence_prediction: bool = settings["next_sentence_prediction"]
        self.dynamic = masking.of_set(list(files.lines(vocab)), settings) if settings["masking"] == "dynamic" else None
        self.paths = [path for path, reader in readers.items() for _ in range(reader.num_record_batches)]
        batches = [reader.get_batch(i) for reader in readers.values() for i in range(reader.num_record_batches)]
        self.first = np.cumsum([0, *(len(batch) for batch in batches)])
        names = ["input_ids", "token_type_ids", *([] if self.dynamic else ["masked_lm_positions", "masked_lm_ids"])]
        self.columns = [{name: (batch.column(name).offsets.to_numpy(), batch.column(name).values.to_numpy()) for name in names} for batch in batches]
        self.unit_begins = [batch.column("unit_begins") for batch in batches]
        self.next_sentence = [None if labels.null_count else labels.to_numpy() for labels in (batch.column("next_sentence_label") for batch in batches)]
        self._orders: OrderedDict[int, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return int(self.first[-1])

    def numbers(self, start: int, count: int) -> np.ndarray:
        """The examples at places [start, start + count) of an endless sequence that shuffles all examples anew each epoch."""
        epochs, within = np.divmod(np.arange(start, start + count), len(self))
        return np.concatenate([epoch * len(self) + self._order(int(epoch))[within[epochs == epoch]] for epoch in np.unique(epochs)])

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
        labels = self.next_sentence[shard]
        values |= {
            "unit_begins": self.unit_begins[shard][row].values.to_numpy(zero_copy_only=False),
            "next_sentence_label": None if labels is None else labels[row],
        }
        if self.dynamic:
            values["input_ids"] = values["input_ids"].copy()
            ends = np.array([0, len(values["input_ids"])], np.int32)
            rng = np.random.default_rng([self.seed, int(number)])
            positions, ids, _ = masking.mask_examples(values["input_ids"], values["unit_begins"], ends, self.dynamic, rng)
            values |= {"masked_lm_positions": positions, "masked_lm_ids": ids}
        return values

    def batch(self, numbers: np.ndarray, max_seq_length: int) -> Batch:
        """The examples of these numbers packed into rows, longest first, each into the first row that has room."""
        examples = [self.example(number) for number in numbers]
        lengths = np.array([len(example["input_ids"]) for example in examples])
        rows: list[list[int]] = []
        room: list[int] = []
        for i in np.argsort(-lengths, kind="stable"):
            row = next((r for r, free in enumerate(room) if free >= lengths[i]), None)
            if row is None:
                rows.append([])
                room.append(max_seq_length)
                row = len(rows) - 1
            rows[row].append(int(i))
            room[row] -= lengths[i]
        width = max_seq_length - min(room)
        packed = np.zeros((4, len(rows), width), np.int64)
        input_ids, token_type_ids, position_ids, example_of = packed
        cls, masked, labels, next_labels = [], [], [], []
        for r, members in enumerate(rows):
            start = 0
            for number, i in enumerate(members, 1):
                values, end = examples[i], start + lengths[i]
                input_ids[r, start:end] = values["input_ids"]
                token_type_ids[r, start:end] = values["token_type_ids"]
                position_ids[r, start:end] = np.arange(lengths[i])
                example_of[r, start:end] = number
                cls.append(r * width + start)
                masked.append(r * width + start + values["masked_lm_positions"].astype(np.int64))
                labels.append(values["masked_lm_ids"].astype(np.int64))
                if values["next_sentence_label"] is not None:
                    next_labels.append(int(values["next_sentence_label"]))
                start = end
        return Batch(
            input_ids, token_type_ids, position_ids, example_of, np.array(cls), np.concatenate(masked), np.concatenate(labels), np.array(next_labels, np.int64)
        )
