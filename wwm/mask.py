"""Words -> masked examples in memory-mapped Arrow shards.

Reads   data/segment/{train,heldout}/*.parquet, data/vocab/
Writes  data/mask/SET/LENGTH/{train,heldout}/NNNNN.arrow (Arrow IPC files) with the columns input_ids, token_type_ids,
        unit_begins, masked_lm_positions, masked_lm_ids (lists) and next_sentence_label (0 next, 1 random, null without
        next sentence prediction); results/mask/SET.json
By hand python -m wwm.mask SET; `wwm show data/mask/SET/LENGTH/train/00000.arrow` prints examples

Static masks are written here, once per pass over the corpus (`dupe_factor` passes). Shards of dynamic masks lack the
two masked_lm columns: wwm/training/loader.py draws masks when it loads an example. A shard's schema says in its
metadata how it was made: `vocab` and `segmenter` (sha256), `settings` (JSON) and their sha256, `params`.
"""

import hashlib
import json
import zlib
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from wwm import engine, show
from wwm.common import code, files
from wwm.common.errors import UserError, reading
from wwm.masks import align, examples, masking, use
from wwm.text import tokenization

PIECE = 4  # bytes of UTF-8: 3 of a Chinese character, more of another word
SHOWN = 20  # examples, as text in MLflow
MOST = {"random_next_share": 0.95, "unused_share": 0.7}  # where params.yaml has no limit
OF_SOURCE = "characters of "
LIMITS = {"joined_share_limit", "random_next_share_limit", "unused_share_limit"}


class Pieces(NamedTuple):
    """A shard of documents as flat arrays."""

    ids: np.ndarray  # (n_pieces,)
    unit_begins: np.ndarray  # (n_pieces,) bool
    sentence_ends: np.ndarray  # (n_sentences,) in pieces, none empty
    document_ends: np.ndarray  # (n_documents,) in sentences, none empty
    text_ends: np.ndarray  # (n_texts,) in documents, which follow each other where a weight above 1 copies a text
    joined_characters: int
    characters: int


def main(name: str) -> None:
    from wwm import params, track
    from wwm.params.fields import Changes

    values = params.read()
    base, mask = values.base, values.mask
    chosen = mask.sets[params.one_of("mask SET", name, mask.sets)]
    outs = [Path("data/mask", name), Path(f"results/mask/{name}.json")]
    own = chosen.model_dump(exclude={"lengths"}, exclude_none=True)
    settings = {"seed": base.seed, "set": name} | mask.own_values(Changes.MEASURES) | own
    lengths = [length.model_dump() for length in chosen.lengths]
    with track.run(
        "mask",
        name=name,
        params=settings | mask.model_dump(include=LIMITS) | {"lengths": lengths},
        outs=outs,
    ) as run:
        if not Path("data/vocab/vocab.txt").is_file():
            raise UserError("data/vocab has no vocab.txt; run `dvc repro`, or by hand `python -m wwm.vocab` first")
        vocab = files.content_hash("data/vocab/vocab.txt")
        tokenizer = files.content_hash("data/vocab")
        shards = files.shards("segment")
        made_with = [tokenizer, settings, lengths, code.key("mask")]
        work = (
            (files.hash_of([files.content_hash(shard), *made_with]), (shard, vocab, tokenizer, settings, lengths))
            for shard in shards
        )
        counts: Counter = Counter()
        trained_on: Counter = Counter()
        total = sum(found.num_rows for found in shards.values())
        pieces = sum(files.column_bytes(found, "text") for found in shards.values()) / PIECE
        engine.check_room(f"mask-{name}", pieces * sum(use.bytes_per_piece(settings | one) for one in lengths))
        with (
            files.new_folder(outs[0]) as folder,
            tqdm(total=total, desc=f"mask {name}", unit=" documents", mininterval=1) as bar,
        ):
            for (made, found), shard in zip(engine.each(f"mask-{name}", mask_shard, work), shards):
                for length in (str(length["max_seq_length"]) for length in lengths):
                    target = folder / length / shard.parent.name / f"{shard.stem}.arrow"
                    files.link(made / f"{length}.arrow", target)
                counts += found
                if shard.parent.name == "train":
                    trained_on.update(
                        {k.removeprefix(OF_SOURCE): n for k, n in found.items() if k.startswith(OF_SOURCE)}
                    )
                bar.update(found["documents"])
            # Without a segmenter every character is a word, and what pieces join says nothing.
            segmenter = pq.read_schema(next(iter(shards))).metadata[b"segmenter"]
            segmented = chosen.unit != "wordpiece" and segmenter != b"none"
            shares = {"joined_share": counts["joined"] / max(1, counts["characters"])} if segmented else {}
            if shares.get("joined_share", 0) > mask.joined_share_limit:
                raise UserError(
                    f"mask: {shares['joined_share']:.4f} of all characters are in words that pieces join to their"
                    f" neighbours, mask.joined_share_limit is {mask.joined_share_limit}; see whether segmenter and"
                    " vocabulary fit this text, or raise the limit"
                )
            of_lengths = {str(one["max_seq_length"]): use.summary(counts, one["max_seq_length"]) for one in lengths}
            check_use(of_lengths, mask)
            for one, found in zip(lengths, of_lengths.values()):
                refuse_few_masks(name, found["masked_share"], settings | one)
        report = shares | of_lengths | {"train_characters": dict(sorted(trained_on.items()))}
        files.write_json(outs[1], report)
        logged = dict(shares)
        for length in (str(length["max_seq_length"]) for length in lengths):
            logged |= {f"{length}.{name}": number for name, number in report[length].items()}
        run.log(logged)
        longest = max(length["max_seq_length"] for length in lengths)
        shard = next(iter(sorted((outs[0] / str(longest) / "train").glob("*.arrow"))))
        vocabulary_file = Path("data/vocab/vocab.txt")
        run.text("examples.txt", "\n".join(show.examples(shard, range(SHOWN), vocabulary_file, base.seed)))
        print(f"mask {name}: {json.dumps(report)}")


def check_use(of_lengths: dict[str, dict[str, float]], mask) -> None:
    """Raises UserError for a set that cannot teach what it is for."""
    told = {
        "random_next_share": (
            "next sentences are random ones, since a document of one sentence has no next one; separate documents by"
            " blank lines and not each line from the other, or take single segments: input segments, and"
            " next_sentence_prediction false"
        ),
        "unused_share": (
            "pieces are in no example, since sentences are longer than an example, as text without punctuation is; see"
            " data/segment, take a longer max_seq_length, or single segments, which lose nothing: input segments, and"
            " next_sentence_prediction false"
        ),
    }
    for name, words in told.items():
        limit = MOST[name] if (given := getattr(mask, f"{name}_limit")) is None else given
        for length, shares in of_lengths.items():
            if shares.get(name, 0) > limit:
                raise UserError(
                    f"mask: at max_seq_length {length} {shares[name]:.4f} of all {words}; or raise"
                    f" mask.{name}_limit {limit}"
                )


def refuse_few_masks(name: str, masked_share: float, settings: dict) -> None:
    """Raises UserError where examples of one length have less than half of the masks that their settings ask for."""
    length = settings["max_seq_length"]
    asked = settings["masked_lm_prob"]
    if masked_share < asked / 2:
        raise UserError(
            f"mask {name}: of the pieces at max_seq_length {length} {masked_share:.2%} are masked, less"
            f" than half of the {asked:.2%} that masked_lm_prob asks for: most words have"
            " more pieces than an example may mask; see by `wwm show data/segment/train/00000.parquet 1` whether they"
            " are words, and whether data/vocab/vocab.txt fits them"
        )


def mask_shard(
    folder: Path, shard: Path, vocab: str, tokenizer: str, settings: dict, lengths: list[dict]
) -> dict[str, int]:
    """Writes LENGTH.arrow for each length: the examples of a shard of data/segment, all passes."""
    with reading(shard, pa.ArrowException, OSError, remedy="run the stage segment again"):
        documents = pq.read_table(shard)
    if lacking := {"id", "text", "sentence_ends", "word_ends"} - {*documents.column_names}:
        raise UserError(f"{shard} has no {', '.join(sorted(lacking))}; run the stage segment again")
    tokens, encoder = vocabulary(tokenizer)
    pieces = tokenize(documents, encoder, tokens, settings["unit"])
    counts = Counter(documents=len(documents), joined=pieces.joined_characters, characters=pieces.characters)
    for source, text in zip(documents["source"].to_pylist(), documents["text"].to_pylist()):
        counts[f"{OF_SOURCE}{source}"] += len(text)
    # What a shard holds and not where it stands among others decides its random draws.
    key = zlib.crc32("".join(documents["id"].to_pylist()).encode())
    for length in lengths:
        made = json.dumps(settings | length)
        header = {
            "vocab": vocab,
            "segmenter": documents.schema.metadata[b"segmenter"],
            "settings": made,
            "params": hashlib.sha256(made.encode()).hexdigest(),
        }
        with (
            pa.OSFile(str(folder / f"{length['max_seq_length']}.arrow"), "wb") as sink,
            pa.ipc.new_file(sink, schema(pieces.ids.dtype, settings["masking"]).with_metadata(header)) as writer,
        ):
            for dupe in range(length["dupe_factor"]):
                # Sets that differ in their masks alone have the same examples.
                rng = np.random.default_rng([settings["seed"], length["max_seq_length"], key, dupe])
                rows = examples_of(pieces, settings | length, rng)
                batch = make_examples(rows, pieces, tokens, settings | length, rng)
                writer.write_batch(batch)
                counts += use.counts_of(batch, rows, len(pieces.ids), tokens, settings | length, rng)
    return counts


@lru_cache(maxsize=1)
def vocabulary(tokenizer: str) -> tuple[list[str], tokenization.CorpusTokenizer]:
    """Entries and tokenizer of data/vocab, once in a process for what `tokenizer`, its hash, stands for."""
    return list(files.lines("data/vocab/vocab.txt")), tokenization.CorpusTokenizer(tokenization.load("data/vocab"))


def schema(dtype: np.dtype, masking: str) -> pa.Schema:
    ids = pa.list_(pa.from_numpy_dtype(dtype))
    masks: list[tuple[str, pa.DataType]]
    match masking:
        case "static":
            masks = [("masked_lm_positions", pa.list_(pa.uint16())), ("masked_lm_ids", ids)]
        case "dynamic":
            masks = []
        case _:
            raise AssertionError(masking)
    examples = [("input_ids", ids), ("token_type_ids", pa.list_(pa.uint8())), ("unit_begins", pa.list_(pa.bool_()))]
    return pa.schema([*examples, *masks, ("next_sentence_label", pa.int8())])


def tokenize(documents: pa.Table, tokenizer: tokenization.CorpusTokenizer, tokens: list[str], unit: str) -> Pieces:
    """Pieces of the plain text of each document, with the units and sentences they fall into."""
    texts = documents["text"].to_pylist()
    # All documents are one text here; no word, sentence or piece reaches over the end of one.
    characters = np.cumsum([0, *map(len, texts)])
    ids, starts, ends = tokenizer.encode(texts)
    if not len(ids):
        raise UserError("mask: no piece is left of the segmented text; see data/corpus")
    is_continuation = np.array([token.startswith("##") for token in tokens])
    word_ends, _ = flat_ends(documents["word_ends"], characters)
    begins, joined = align.units(starts, ends, is_continuation[ids], word_ends)
    sentence_ends, document_of_sentence = flat_ends(documents["sentence_ends"], characters)
    pieces_of_sentence = np.bincount(np.searchsorted(sentence_ends, starts, side="right"), minlength=len(sentence_ends))
    has_pieces = pieces_of_sentence > 0
    sentences_of_document = np.bincount(document_of_sentence[has_pieces], minlength=len(documents))
    names = documents["id"].to_numpy()[sentences_of_document > 0]
    return Pieces(
        ids.astype(np.uint16 if len(tokens) <= 2**16 else np.uint32),
        begins if unit != "wordpiece" else np.ones(len(ids), bool),
        np.cumsum(pieces_of_sentence[has_pieces]),
        np.cumsum(sentences_of_document[sentences_of_document > 0]),
        np.append(np.flatnonzero(names[1:] != names[:-1]) + 1, len(names)),
        joined,
        int(characters[-1]),
    )


def flat_ends(column: pa.ChunkedArray, characters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lists of end offsets within documents -> (end offsets in the text that all documents make, document of each)."""
    lists = column.combine_chunks()
    document = np.repeat(np.arange(len(lists)), pc.list_value_length(lists).to_numpy())
    return lists.flatten().to_numpy() + characters[document], document


def examples_of(pieces: Pieces, settings: dict, rng: np.random.Generator) -> np.ndarray:
    """One pass over the shard: (n_examples, 5) rows, see wwm/masks/examples.py."""
    ends = pieces.sentence_ends, pieces.document_ends
    lengths = settings["max_seq_length"], settings["short_seq_prob"]
    if not examples.in_pairs(settings):
        return examples.full_sentences(*ends, *lengths, rng)
    if len(pieces.text_ends) < 2:
        raise UserError(
            "mask: sentence pairs take their random sentences from other documents, and a part of the corpus has only"
            " one; separate documents by a blank line, raise corpus.heldout_share, or take single segments: input"
            " segments, and next_sentence_prediction false"
        )
    return examples.sentence_pairs(*ends, pieces.text_ends, *lengths, rng)


def make_examples(
    rows: np.ndarray, pieces: Pieces, tokens: list[str], settings: dict, rng: np.random.Generator
) -> pa.RecordBatch:
    """The examples of `examples_of` as the shard has them, with masks if they are static."""
    chosen = masking.of_set(tokens, settings)
    input_ids, token_type_ids, unit_begins, offsets = examples.write(
        rows, pieces.ids, pieces.unit_begins, chosen.cls_id, chosen.sep_id
    )
    columns = {
        "input_ids": (offsets, input_ids),
        "token_type_ids": (offsets, token_type_ids),
        "unit_begins": (offsets, unit_begins),
    }
    if settings["masking"] == "static":
        # In place, before Arrow takes the ids.
        positions, labels, masked_offsets = masking.mask_examples(input_ids, unit_begins, offsets, chosen, rng)
        columns |= {"masked_lm_positions": (masked_offsets, positions), "masked_lm_ids": (masked_offsets, labels)}
    lists = [pa.ListArray.from_arrays(pa.array(ends), pa.array(values)) for ends, values in columns.values()]
    next_sentence_label = (
        pa.array(rows[:, 4].astype(np.int8)) if settings["next_sentence_prediction"] else pa.nulls(len(rows), pa.int8())
    )
    return pa.RecordBatch.from_arrays(
        [*lists, next_sentence_label], schema=schema(pieces.ids.dtype, settings["masking"])
    )


if __name__ == "__main__":
    from wwm import mask
    from wwm.common import command

    command.run(mask.main)
