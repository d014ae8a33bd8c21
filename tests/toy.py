"""A tiny model and tiny example shards for tests of training."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from transformers import BertConfig, BertForPreTraining

from wwm.common import files, model_folder
from wwm.mask import schema
from wwm.masks.examples import full_sentences, sentence_pairs, write
from wwm.masks.masking import mask_examples, of_set
from wwm.text import vocabulary

CHARACTERS = "".join(chr(0x4E00 + i) for i in range(95))
VOCAB_SIZE = len(vocabulary.SPECIAL) + len(CHARACTERS)


def model(
    folder: Path | None = None,
    characters: str = CHARACTERS,
    dropout: float = 0.0,
    layers: int = 2,
    hidden: int = 32,
) -> BertForPreTraining:
    """A random BERT of 2 layers x 32 whose vocabulary is `characters`; saved with its tokenizer to `folder`, if any."""
    torch.manual_seed(0)
    tokens = [*vocabulary.SPECIAL, *sorted(set(characters) - {" "})]
    bert = BertForPreTraining(
        BertConfig(
            vocab_size=len(tokens),
            num_hidden_layers=layers,
            hidden_size=hidden,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=40,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            initializer_range=0.1,
        )
    )
    if folder:
        bert.save_pretrained(folder)
        vocabulary.save(vocabulary.build(tokens, True), tokens, True, folder)
        # Tests look at what its head says, too.
        files.write_json(folder / "training.json", dict.fromkeys(model_folder.COST, 0) | {"untrained": []})
    return bert


def vocab_hash() -> str:
    """What the shards say of the vocabulary of `model()`."""
    with tempfile.TemporaryDirectory() as folder:
        model(Path(folder))
        return files.content_hash(Path(folder, "vocab.txt"))


def shards(
    folder: Path,
    next_sentence_prediction: bool = True,
    n_documents: int = 40,
    seed: int = 0,
    dynamic: bool = False,
    **changes: object,
) -> None:
    """Examples of length up to 32 from random sentences: folder/NNNNN.arrow, two shards. changes: of their settings."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for shard in range(2):
        lengths = rng.integers(3, 14, size=n_documents * 3)
        ends = np.cumsum(lengths), np.arange(3, n_documents * 3 + 1, 3)
        pieces = rng.integers(5, VOCAB_SIZE, size=lengths.sum()).astype(np.uint16)
        begins = rng.random(len(pieces)) < 0.6
        if next_sentence_prediction:
            rows = sentence_pairs(*ends, np.arange(1, n_documents + 1), 32, 0.3, rng)
        else:
            rows = full_sentences(*ends, 32, 0.3, rng)
        settings = {
            "next_sentence_prediction": next_sentence_prediction,
            "masking": "dynamic" if dynamic else "static",
            "unit": "whole_word",
            "masked_lm_prob": 0.15,
            "max_predictions_per_seq": 5,
            "random_token": "vocabulary",
        } | changes
        ids, types, unit_begins, offsets = write(rows, pieces, begins, 2, 3)
        columns = [(offsets, ids), (offsets, types), (offsets, unit_begins)]
        if not dynamic:
            positions, labels, masked = mask_examples(
                ids, unit_begins, offsets, of_set([*vocabulary.SPECIAL, *CHARACTERS], settings), rng
            )
            columns += [(masked, positions), (masked, labels)]
        lists = [pa.ListArray.from_arrays(pa.array(o), pa.array(v)) for o, v in columns]
        labels = pa.array(rows[:, 4].astype(np.int8)) if next_sentence_prediction else pa.nulls(len(rows), pa.int8())
        header = {"vocab": vocab_hash(), "settings": json.dumps(settings)}
        batch = pa.RecordBatch.from_arrays(
            [*lists, labels], schema=schema(pieces.dtype, settings["masking"]).with_metadata(header)
        )
        with pa.OSFile(str(folder / f"{shard:05d}.arrow"), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
