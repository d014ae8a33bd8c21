"""Raw text -> clean, deduplicated documents in Parquet shards.

Reads   corpus.folder/<glob of each source>, or what the source names at a URL or on the hub
Writes  data/corpus/{train,heldout}/NNNNN.parquet with the columns id, source, text; data/corpus/dropped.jsonl, a sample of the documents
        that each rule dropped (`wwm show`); results/corpus.json with every count
By hand python -m wwm.corpus

Three passes: blocks of raw documents are cleaned and signed, side by side; what repeats is found among the signatures of
all; shards are written from what is left, side by side. Where blocks and shards end is decided by hashes of the documents
there, so that a changed, added or removed file changes those around it and no other.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from wwm import engine
from wwm.common import code, files
from wwm.common.errors import UserError
from wwm.text import cleaning, duplicates, sources, wikitext

SCHEMA = pa.schema([("id", pa.string()), ("source", pa.string()), ("text", pa.string())])
BLOCK = pa.schema([("text", pa.string()), ("digest", pa.binary(32)), ("characters", pa.int64()), ("dropped", pa.uint8()), ("signature", pa.binary())])
BLOCK_CHARACTERS = 1_000_000
RULES = ["", "short", "long", "not_language", "duplicate", "near_duplicate", "weight"]
FAR = 10  # times max_characters
WEIGHT = 1.0  # of a source that has none in params.yaml
SAMPLE = 20  # dropped documents that are kept to be looked at, per rule and source
SAMPLE_CHARACTERS = 2000


class Documents(NamedTuple):
    """All documents read, n in blocks: what decisions over the whole corpus need of each."""

    sources: list[str]  # of each block
    blocks: list[Path]  # the file that has the texts of each block
    block: np.ndarray  # (n,) int32
    row: np.ndarray  # (n,) int32, in the block
    digests: np.ndarray  # (n, 4) uint64: sha256 of the clean text
    characters: np.ndarray  # (n,) int64, of the clean text
    dropped: np.ndarray  # (n,) uint8, into RULES
    copies: np.ndarray  # (n,) int64, how often its source's weight takes it


def main() -> None:
    from wwm import params, track

    base, corpus = params.load("corpus")
    outs = [Path("data/corpus"), Path("results/corpus.json")]
    with track.run("corpus", params=corpus.model_dump(), outs=outs) as run:
        counts: dict[str, Counter] = {name: Counter() for name in corpus.sources}
        documents = read(corpus, base.seed, counts)
        parts = split(documents, corpus.heldout_share)
        for name, own in counts.items():
            count(own, np.array([source == name for source in documents.sources])[documents.block], documents, parts)
            if not own["train_documents"] or not own["heldout_documents"]:
                raise UserError(
                    f"corpus.sources.{name}: of {own['documents_read']} documents {own['train_documents']} are left for training and {own['heldout_documents']} to measure on, "
                    f"dropped: {', '.join(f'{key[8:]} {own[key]}' for key in sorted(own) if key.startswith('dropped_')) or 'none'}; with corpus.heldout_share {corpus.heldout_share} "
                    f"and corpus.min_characters {corpus.min_characters} each needs one at least: separate documents by a blank line, change these keys, or give more text"
                )
        with files.new_folder(outs[0]) as folder:
            files.write_text(folder / "dropped.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in dropped_sample(documents)))
            shards = {
                f"{part}/{number:05d}.parquet": shard_work(documents, rows, copies)
                for part, copies in parts.items()
                for number, rows in enumerate(cut_shards(documents, copies, corpus.characters_per_shard))
            }
            for (made, _), name in zip(tqdm(engine.each("corpus", write_shard, shards.values()), total=len(shards), desc="corpus", unit=" shards"), shards):
                files.link(made / "shard.parquet", folder / name)
        total = sum(counts.values(), Counter()) + Counter({f"{name}.{key}": number for name, own in counts.items() for key, number in own.items()})
        files.write_json(outs[1], dict(sorted(total.items())))
        run.log(total)


def read(corpus, seed: int, counts: dict[str, Counter]) -> Documents:
    """All documents of all sources, cleaned in blocks, with what refused or repeats; adds to the counts of each source."""
    found = {name: sources.find(Path(corpus.folder), f"corpus.sources.{name}", source) for name, source in corpus.sources.items()}
    rules = corpus.model_dump(include={"min_characters", "max_characters", "min_letter_share", "near_duplicate_similarity"}) | {"seed": seed}
    names: list[str] = []

    def blocks() -> Iterator[tuple[str, tuple]]:
        for name, places in found.items():
            source = corpus.sources[name]
            for block, digest in cut_blocks(text for place in places for text in sources.documents(place, source, bar.update)):
                names.append(name)
                settings = rules | {"format": sources.layout(source)}
                yield files.hash_of([digest, settings, code.key("corpus")]), (block, settings)

    paths, columns = [], []
    size = sum(place.size for places in found.values() for place in places)
    with (
        tqdm(total=size, desc="corpus: reading and cleaning", unit="B", unit_scale=True, mininterval=1) as bar,
        duplicates.Signatures(files.SCRATCH) as signatures,
    ):
        for made, own in engine.each("corpus-blocks", clean_block, blocks()):
            counts[names[len(paths)]] += own
            table = pq.read_table(made / "block.parquet", columns=["digest", "characters", "dropped", "signature"])
            digests = np.frombuffer(b"".join(table["digest"].to_pylist()), ">u8").astype(np.uint64).reshape(-1, 4)
            rows = np.arange(len(table), dtype=np.int32)
            columns.append((np.full_like(rows, len(paths)), rows, digests, table["characters"].to_numpy(), table["dropped"].to_numpy()))
            signatures.add(np.frombuffer(b"".join(table["signature"].drop_null().to_pylist()), np.uint32).reshape(-1, duplicates.PERMUTATIONS))
            paths.append(made / "block.parquet")
        arrays = [np.concatenate(column) for column in zip(*columns)]
        columns.clear()
        block, _, digests, _, dropped = arrays
        documents = Documents(names, paths, *arrays, drawn(digests, np.array([corpus.sources[name].weight or WEIGHT for name in names])[block]))
        kept = np.flatnonzero(dropped == 0)
        # What is not taken is no reason to drop another one.
        taken = documents.copies[kept] > 0
        dropped[kept[~taken]] = RULES.index("weight")
        if corpus.near_duplicate_similarity is not None:
            dropped[kept[signatures.repeated(corpus.near_duplicate_similarity, taken)]] = RULES.index("near_duplicate")
        kept = kept[taken]
        dropped[kept[duplicates.exact(digests[kept, :2])]] = RULES.index("duplicate")
    return documents


def cut_blocks(documents: Iterable[str]) -> Iterator[tuple[list[str], str]]:
    """(documents, sha256 of them) of about BLOCK_CHARACTERS each."""
    block: list[str] = []
    digests: list[bytes] = []
    filled = 0
    for text in documents:
        block.append(text)
        digests.append(hashlib.sha256(text.encode()).digest())
        filled += len(text)
        if ends(fraction(digests[-1]), len(text), filled, BLOCK_CHARACTERS):
            yield block, hashlib.sha256(b"".join(digests)).hexdigest()
            block, digests, filled = [], [], 0
    if block:
        yield block, hashlib.sha256(b"".join(digests)).hexdigest()


def ends(fraction: float, characters: int, filled: int, size: int) -> bool:
    """Whether a block or shard ends after this document: `size` on average, half of it to twice as much, where the document's own hash says.

    What comes before moves only the ends that are near: after a change the old ones are soon met again.
    """
    return filled >= size / 2 and (fraction * size < 2 * characters or filled >= 2 * size)


def clean_block(folder: Path, documents: list[str], settings: dict) -> dict[str, int]:
    """Writes block.parquet: each document cleaned, or as it was read where it is refused, with what the decisions need."""
    columns: dict[str, list] = {name: [] for name in BLOCK.names}
    removed = 0
    for raw in documents:
        # Far too long is so without a look at its mark-up.
        whole = len(raw) <= FAR * settings["max_characters"]
        text = cleaning.clean(wikitext.plain_text(raw) if settings["format"] == "mediawiki" else raw) if whole else raw
        removed += len(raw) - len(text)
        rule = refused(text, settings)
        sign = not rule and settings["near_duplicate_similarity"] is not None
        row = (
            raw[:SAMPLE_CHARACTERS] if rule else text,
            hashlib.sha256(text.encode()).digest(),
            len(text),
            RULES.index(rule),
            duplicates.signature(text, settings["seed"]).tobytes() if sign else None,
        )
        for name, value in zip(columns, row):
            columns[name].append(value)
    pq.write_table(pa.table(columns, BLOCK), folder / "block.parquet", compression="zstd")
    return {"documents_read": len(documents), "removed_characters": removed}


def refused(text: str, settings: dict) -> str:
    """The rule that this document by itself falls under, "" for none."""
    if len(text) < settings["min_characters"]:
        return "short"
    if len(text) > settings["max_characters"]:
        return "long"
    return "not_language" if cleaning.letter_share(text) < settings["min_letter_share"] else ""


def fraction(digest: bytes) -> float:
    """Uniform in [0, 1), the same for the same document wherever it stands."""
    return int.from_bytes(digest[:8], "big") / 2**64


def drawn(digests: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(n,) int64, how often each document is taken so that its source weighs `weight` times what it has; other bits of its hash than the hold-out's decide."""
    return np.floor(weight).astype(np.int64) + (digests[:, 1] / 2.0**64 < weight % 1)


def split(documents: Documents, heldout_share: float) -> dict[str, np.ndarray]:
    """Part -> (n,) int64, how often it has each document; what is measured on is there once."""
    copies = np.where(documents.dropped > 0, 0, documents.copies)
    heldout = documents.digests[:, 0] / 2.0**64 < heldout_share
    return {"train": np.where(heldout, 0, copies), "heldout": np.where(heldout, np.minimum(copies, 1), 0)}


def count(own: Counter, mine: np.ndarray, documents: Documents, parts: dict[str, np.ndarray]) -> None:
    """Adds the counts of one source, whose documents are `mine`."""
    for number, rule in enumerate(RULES[1:], 1):
        if dropped := int((documents.dropped[mine] == number).sum()):
            own[f"dropped_{rule}"] = dropped
    for part, copies in parts.items():
        own[f"{part}_documents"] = int(copies[mine].sum())
        own[f"{part}_characters"] = int((copies[mine] * documents.characters[mine]).sum())


def dropped_sample(documents: Documents) -> Iterator[dict]:
    """The first few documents that each rule dropped of each source."""
    source = np.unique(documents.sources, return_inverse=True)[1][documents.block]
    wanted = [np.flatnonzero((documents.dropped == number) & (source == s))[:SAMPLE] for number in range(1, len(RULES)) for s in range(source.max() + 1)]
    chosen = np.sort(np.concatenate(wanted))
    for block in np.unique(documents.block[chosen]):
        texts = pq.read_table(documents.blocks[block], columns=["text"])["text"]
        for i in chosen[documents.block[chosen] == block]:
            text = texts[documents.row[i]].as_py()
            rule = RULES[documents.dropped[i]]
            yield {"rule": rule, "source": documents.sources[block], "text": text[:SAMPLE_CHARACTERS], "characters": int(documents.characters[i])}


def cut_shards(documents: Documents, copies: np.ndarray, characters_per_shard: int) -> list[np.ndarray]:
    """The documents of which there are copies, in shards; each has two at least, for next sentence prediction takes two."""
    chosen = np.flatnonzero(copies)
    starts, filled = [0], 0
    for n, (i, characters) in enumerate(zip(chosen, (documents.characters * copies)[chosen].tolist()), 1):
        filled += characters
        if n - starts[-1] >= 2 and n < len(chosen) - 1 and ends(documents.digests[i, 2] / 2.0**64, characters, filled, characters_per_shard):
            starts.append(n)
            filled = 0
    return [chosen[start:end] for start, end in zip(starts, [*starts[1:], len(chosen)])]


def shard_work(documents: Documents, rows: np.ndarray, copies: np.ndarray) -> tuple[str, tuple]:
    """(key, arguments of write_shard): rows of blocks, each as often as it is to stand."""
    parts = []
    for block in np.unique(documents.block[rows]):
        mine = rows[documents.block[rows] == block]
        parts.append((str(documents.blocks[block]), documents.sources[block], np.repeat(documents.row[mine], copies[mine])))
    key = [
        hashlib.sha256(documents.digests[rows].tobytes() + copies[rows].tobytes()).hexdigest(),
        [(source, len(taken)) for _, source, taken in parts],
        code.key("corpus"),
    ]
    return files.hash_of(key), (parts,)


def write_shard(folder: Path, parts: list[tuple[str, str, np.ndarray]]) -> dict:
    tables = []
    for block, source, rows in parts:
        table = pq.read_table(block, columns=["digest", "text"]).take(rows)
        ids = [digest.hex()[:32] for digest in table["digest"].to_pylist()]
        tables.append(pa.table({"id": ids, "source": [source] * len(ids), "text": table["text"]}, SCHEMA))
    pq.write_table(pa.concat_tables(tables), folder / "shard.parquet", compression="zstd")
    return {}


if __name__ == "__main__":
    from wwm import corpus
    from wwm.common import command

    command.run(corpus.main)
