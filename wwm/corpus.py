"""Raw text -> clean, deduplicated documents in Parquet shards.

Reads   corpus.folder/<glob of each source>, or what the source names at a URL or on the hub
Writes  data/corpus/{train,heldout}/NNNNN.parquet with the columns id, source, text; data/corpus/dropped.jsonl, a sample of the documents
        that each rule dropped (`wwm show`); results/corpus.json with every count
By hand python -m wwm.corpus
"""

import hashlib
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from wwm import cleaning, files, sources
from wwm.duplicates import Duplicates

SCHEMA = pa.schema([("id", pa.string()), ("source", pa.string()), ("text", pa.string())])
SAMPLE = 20  # dropped documents that are kept to be looked at, per rule and source
SAMPLE_CHARACTERS = 2000


def main() -> None:
    from wwm import params, track

    base, corpus = params.load("corpus")
    outs = [Path("data/corpus"), Path("results/corpus.json")]
    with track.run("corpus", params=corpus.model_dump(), outs=outs) as run:
        counts: Counter = Counter()
        duplicates = Duplicates(corpus.near_duplicate_similarity, base.seed)
        with files.new_folder(outs[0]) as folder, files.new_file(folder / "dropped.jsonl") as sample, open(sample, "w", encoding="utf-8") as dropped:
            writers = {part: ShardWriter(folder / part, corpus.documents_per_shard) for part in ("train", "heldout")}
            for name, source in corpus.sources.items():
                own: Counter = Counter()
                for place in sources.find(Path(corpus.folder), f"corpus.sources.{name}", source):
                    for raw in tqdm(sources.documents(place, source), desc=f"corpus {name}", unit=" documents", mininterval=1):
                        own["documents_read"] += 1
                        text = cleaning.clean(raw)
                        own["removed_characters"] += len(raw) - len(text)
                        digest = hashlib.sha256(text.encode()).digest()
                        rule = refused(text, corpus) or duplicates.found(text)
                        copies = copies_of(digest, source.weight)
                        if rule or not copies:
                            rule = rule or "weight"
                            own[f"dropped_{rule}"] += 1
                            if own[f"dropped_{rule}"] <= SAMPLE:
                                row = {"rule": rule, "source": name, "text": raw[:SAMPLE_CHARACTERS], "characters": len(raw)}
                                dropped.write(json.dumps(row, ensure_ascii=False) + "\n")
                            continue
                        part = "heldout" if fraction(digest) < corpus.heldout_share else "train"
                        for _ in range(copies if part == "train" else 1):
                            writers[part].add({"id": digest.hex()[:32], "source": name, "text": text})
                            own[f"{part}_documents"] += 1
                            own[f"{part}_characters"] += len(text)
                if not own["train_documents"] or not own["heldout_documents"]:
                    raise ValueError(
                        f"corpus.sources.{name}: of {own['documents_read']} documents {own['train_documents']} are left for training and {own['heldout_documents']} to measure on, "
                        f"dropped: {', '.join(f'{key[8:]} {own[key]}' for key in sorted(own) if key.startswith('dropped_')) or 'none'}; with corpus.heldout_share {corpus.heldout_share} "
                        f"and corpus.min_characters {corpus.min_characters} each needs one at least: separate documents by a blank line, change these keys, or give more text"
                    )
                counts += own
                counts += Counter({f"{name}.{key}": number for key, number in own.items()})
            for writer in writers.values():
                writer.close()
        files.write_json(outs[1], dict(sorted(counts.items())))
        run.log(counts)


def refused(text: str, corpus) -> str | None:
    """The rule that this document falls under, None for one that is kept."""
    if len(text) < corpus.min_characters:
        return "short"
    if cleaning.letter_share(text) < corpus.min_letter_share:
        return "not_language"
    return None


def fraction(digest: bytes) -> float:
    """Uniform in [0, 1), the same for the same document wherever it stands."""
    return int.from_bytes(digest[:8], "big") / 2**64


def copies_of(digest: bytes, weight: float) -> int:
    """How often a document is taken so that its source weighs `weight` times what it has; other bytes than the hold-out's decide."""
    whole = int(weight)
    return whole + (fraction(digest[8:]) < weight - whole)


class ShardWriter:
    """Rows -> folder/NNNNN.parquet, `rows_per_shard` each; the last holds two at least, for next sentence prediction takes two documents."""

    def __init__(self, folder: Path, rows_per_shard: int):
        self.folder, self.rows_per_shard = folder, rows_per_shard
        self.rows: list[dict] = []
        self.shards = 0
        folder.mkdir(parents=True)

    def add(self, row: dict) -> None:
        self.rows.append(row)
        if len(self.rows) == self.rows_per_shard + 2:
            self.write(self.rows[: self.rows_per_shard])
            self.rows = self.rows[self.rows_per_shard :]

    def close(self) -> None:
        if self.rows:
            self.write(self.rows)

    def write(self, rows: list[dict]) -> None:
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), self.folder / f"{self.shards:05d}.parquet", compression="zstd")
        self.shards += 1


if __name__ == "__main__":
    from wwm import command

    command.run(main)
