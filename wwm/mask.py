"""Words -> masked examples in memory-mapped Arrow shards.

Reads   data/segment/{train,heldout}/*.parquet, data/vocab/
Writes  data/mask/SET/LENGTH/{train,heldout}/NNNNN.arrow (Arrow IPC files) with the columns input_ids, token_type_ids,
        masked_lm_positions, masked_lm_ids (lists) and next_sentence_label (0 next, 1 random, null without next sentence prediction);
        results/mask/SET.json
By hand python -m wwm.mask SET

Masks are static: written here, once per pass over the corpus (`dupe_factor` passes).
"""

import json
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer
from tqdm import tqdm

from wwm import align, examples, files, masking, tokenization


class Pieces(NamedTuple):
    """A shard of documents as flat arrays."""

    ids: np.ndarray  # (n_pieces,)
    unit_begins: np.ndarray  # (n_pieces,) bool
    sentence_ends: np.ndarray  # (n_sentences,) in pieces
    document_ends: np.ndarray  # (n_documents,) in sentences
    joined_characters: int
    characters: int


def main(name: str) -> None:
    from wwm import params, track

    base, mask = params.load("mask")
    chosen = mask.sets[params.one_of("mask SET", name, mask.sets)]
    outs = [Path("data/mask", name), Path(f"results/mask/{name}.json")]
    settings = mask.model_dump(exclude={"sets"}) | chosen.model_dump()
    with track.run("mask", name=name, params=settings, outs=outs) as run:
        tokenizer = tokenization.load("data/vocab")
        tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
        replacements = masking.replacement_ids(tokens, mask.random_token)
        shards = sorted(Path("data/segment").glob("*/*.parquet"))
        totals = {length.max_seq_length: dict.fromkeys(("examples", "pieces", "masked", "pairs", "random_next"), 0) for length in chosen.lengths}
        joined = characters = 0
        segmented = chosen.unit == "whole_word"
        with (
            files.new_folder(outs[0]) as folder,
            tqdm(total=len(shards) * sum(length.dupe_factor for length in chosen.lengths), desc=f"mask {name}", unit=" passes") as bar,
        ):
            for shard in shards:
                documents = pq.read_table(shard)
                pieces = tokenize(documents, tokenizer, tokens, chosen.unit)
                # Without a segmenter every character is a word, and what pieces join says nothing.
                segmented = segmented and documents.schema.metadata[b"backend"] != b"none"
                joined += pieces.joined_characters
                characters += pieces.characters
                for length in chosen.lengths:
                    target = folder / str(length.max_seq_length) / shard.parent.name / f"{shard.stem}.arrow"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    key = [base.seed, zlib.crc32(f"{name}/{length.max_seq_length}/{shard.parent.name}/{shard.stem}".encode())]
                    header = {
                        "set": name,
                        "max_seq_length": str(length.max_seq_length),
                        "unit": chosen.unit,
                        "vocab": files.content_hash("data/vocab/vocab.txt"),
                    }
                    with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_file(sink, schema(pieces.ids.dtype).with_metadata(header)) as writer:
                        for dupe in range(length.dupe_factor):
                            rng = np.random.default_rng([*key, dupe])
                            batch = masked_examples(pieces, chosen, length, mask, tokenizer, replacements, rng)
                            writer.write_batch(batch)
                            count(totals[length.max_seq_length], batch)
                            bar.update()
            shares = {"joined_share": joined / max(1, characters)} if segmented else {}
            if shares.get("joined_share", 0) > mask.joined_share_limit:
                raise ValueError(
                    f"mask: {shares['joined_share']:.4f} of all characters are in words that pieces join to their neighbours, mask.joined_share_limit is "
                    f"{mask.joined_share_limit}; see whether segmenter and vocabulary fit this text, or raise the limit"
                )
        report = shares | {str(length): summary(total, length) for length, total in totals.items()}
        files.write_json(outs[1], report)
        run.log(
            {
                f"{outer}.{key}" if isinstance(value, dict) else outer: number
                for outer, value in report.items()
                for key, number in (value.items() if isinstance(value, dict) else [(outer, value)])
            }
        )
        print(f"mask {name}: {json.dumps(report)}")


def schema(dtype: np.dtype) -> pa.Schema:
    ids = pa.list_(pa.from_numpy_dtype(dtype))
    return pa.schema(
        [
            ("input_ids", ids),
            ("token_type_ids", pa.list_(pa.uint8())),
            ("masked_lm_positions", pa.list_(pa.uint16())),
            ("masked_lm_ids", ids),
            ("next_sentence_label", pa.int8()),
        ]
    )


def tokenize(documents: pa.Table, tokenizer: Tokenizer, tokens: list[str], unit: str) -> Pieces:
    """Pieces of the plain text of each document, with the units and sentences they fall into."""
    is_continuation = np.array([token.startswith("##") for token in tokens])
    dtype = np.uint16 if len(tokens) <= 2**16 else np.uint32
    ids, begins, sentence_ends, document_ends = [], [], [], []
    n_pieces = n_sentences = joined = 0
    texts = documents["text"].to_pylist()
    for text, text_sentence_ends, word_ends in zip(tokenizer.encode_batch(texts, add_special_tokens=False), documents["sentence_ends"], documents["word_ends"]):
        piece_ids = np.array(text.ids, dtype)
        starts, ends = np.array(text.offsets, np.int64).reshape(-1, 2).T
        word_ends = word_ends.values.to_numpy()
        units = align.units(starts, ends, is_continuation[piece_ids], word_ends)
        joined += align.joined_characters(units, starts, ends, word_ends)
        counts = np.bincount(np.searchsorted(text_sentence_ends.values.to_numpy(), starts, side="right"))
        counts = counts[counts > 0]
        if not len(counts):
            continue
        ids.append(piece_ids)
        begins.append(units if unit == "whole_word" else np.ones(len(units), bool))
        sentence_ends.append(n_pieces + np.cumsum(counts))
        n_pieces += len(piece_ids)
        n_sentences += len(counts)
        document_ends.append(n_sentences)
    if not ids:
        raise ValueError("mask: no piece is left of the segmented text; see data/corpus")
    return Pieces(np.concatenate(ids), np.concatenate(begins), np.concatenate(sentence_ends), np.array(document_ends), joined, sum(map(len, texts)))


def masked_examples(pieces: Pieces, chosen, length, mask, tokenizer: Tokenizer, replacements: np.ndarray, rng: np.random.Generator) -> pa.RecordBatch:
    """One pass over the shard."""
    if chosen.next_sentence_prediction and len(pieces.document_ends) < 2:
        raise ValueError(
            "mask: next sentence prediction takes its random sentences from other documents, and a part of the corpus has only one; "
            "separate documents by a blank line, raise corpus.heldout_share, or set next_sentence_prediction to false"
        )
    make = examples.sentence_pairs if chosen.next_sentence_prediction else examples.full_sentences
    rows = make(pieces.sentence_ends, pieces.document_ends, length.max_seq_length, mask.short_seq_prob, rng)
    special = [tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]", "[MASK]")]
    input_ids, token_type_ids, offsets, positions, labels, masked_offsets = examples.write(
        rows, pieces.ids, pieces.unit_begins, *special, replacements, mask.masked_lm_prob, length.max_predictions_per_seq, rng
    )
    columns = [
        pa.ListArray.from_arrays(pa.array(o), pa.array(v))
        for o, v in ((offsets, input_ids), (offsets, token_type_ids), (masked_offsets, positions), (masked_offsets, labels))
    ]
    next_sentence_label = pa.array(rows[:, 4].astype(np.int8)) if chosen.next_sentence_prediction else pa.nulls(len(rows), pa.int8())
    return pa.RecordBatch.from_arrays([*columns, next_sentence_label], schema=schema(pieces.ids.dtype))


def count(total: dict[str, int], batch: pa.RecordBatch) -> None:
    labels = batch.column("next_sentence_label")
    total["examples"] += len(batch)
    total["pieces"] += len(batch.column("input_ids").values)
    total["masked"] += len(batch.column("masked_lm_ids").values)
    total["pairs"] += len(batch) - labels.null_count
    total["random_next"] += labels.drop_null().to_numpy(zero_copy_only=False).sum().item()


def summary(total: dict[str, int], length: int) -> dict[str, float]:
    shares = {
        "examples": total["examples"],
        "pieces": total["pieces"],
        "fill": total["pieces"] / (total["examples"] * length),
        "masked_share": total["masked"] / total["pieces"],
    }
    return shares | ({"random_next_share": total["random_next"] / total["pairs"]} if total["pairs"] else {})


if __name__ == "__main__":
    from wwm import command

    command.run(main)
