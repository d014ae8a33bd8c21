"""Text files -> clean, deduplicated documents in Parquet shards.

Reads   corpus.folder/<glob of each source>: UTF-8, a paragraph a line, a blank line between documents
Writes  data/corpus/{train,heldout}/NNNNN.parquet with the columns id, source, text; results/corpus.json with every count
By hand python -m wwm.corpus
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from wwm import files

SCHEMA = pa.schema([("id", pa.string()), ("source", pa.string()), ("text", pa.string())])


def main() -> None:
    from wwm import params, track

    _, corpus = params.load("corpus")
    outs = [Path("data/corpus"), Path("results/corpus.json")]
    with track.run("corpus", params=corpus.model_dump(), outs=outs) as run:
        counts: Counter = Counter()
        with files.new_folder("data/corpus") as folder:
            writers = {part: ShardWriter(folder / part, corpus.documents_per_shard) for part in ("train", "heldout")}
            seen: set[bytes] = set()
            for source, pattern in corpus.sources.items():
                written = Counter()
                for path in source_files(Path(corpus.folder), source, pattern):
                    for text in tqdm(read_documents(path), desc=f"corpus {source}", unit=" documents", mininterval=1):
                        counts["documents_read"] += 1
                        text = clean(text)
                        digest = hashlib.sha256(text.encode()).digest()
                        if len(text) < corpus.min_characters:
                            counts["dropped_short"] += 1
                        elif digest[:16] in seen:
                            counts["dropped_duplicate"] += 1
                        else:
                            seen.add(digest[:16])
                            part = "heldout" if int.from_bytes(digest[:8], "big") < corpus.heldout_share * 2**64 else "train"
                            writers[part].add({"id": digest.hex()[:32], "source": source, "text": text})
                            counts[f"{part}_documents"] += 1
                            counts[f"{part}_characters"] += len(text)
                            written[part] += 1
                if not written["train"] or not written["heldout"]:
                    raise ValueError(
                        f"corpus.sources.{source}: {written['train']} documents of {corpus.folder}/{pattern} are left for training and {written['heldout']} to measure on, "
                        f"with corpus.heldout_share {corpus.heldout_share} and corpus.min_characters {corpus.min_characters}; each needs one at least: change the share, or give more text"
                    )
            for writer in writers.values():
                writer.close()
        files.write_json(outs[1], dict(sorted(counts.items())))
        run.log(counts)


def source_files(folder: Path, source: str, pattern: str) -> list[Path]:
    """The files of one source, sorted. Raises ValueError when there is none."""
    if Path(pattern).is_absolute():
        raise ValueError(f"corpus.sources.{source}: {pattern} is an absolute path; set corpus.folder to the folder and this key to a file or glob in it")
    found = sorted(path for path in folder.glob(pattern) if path.is_file())
    if not found:
        raise ValueError(
            f"corpus.sources.{source}: no file matches {folder}/{pattern}; set corpus.folder to the folder of your text and this key to a file or glob in it"
        )
    return found


def read_documents(path: Path) -> Iterator[str]:
    """Documents of one file, lines joined by newlines. Raises ValueError naming the line that is not UTF-8, and for an empty file."""
    lines: list[str] = []
    empty = True
    for line in files.lines(path):
        if line.strip():
            lines.append(line)
            empty = False
        elif lines:
            yield "\n".join(lines)
            lines = []
    if lines:
        yield "\n".join(lines)
    if empty:
        raise ValueError(f"{path}: no text in it; remove it or fill it")


def clean(text: str) -> str:
    """Text without control and invisible characters and without blanks at line ends; otherwise as it is."""
    text = "".join(
        character for character in text if character == "\n" or character == "\t" or unicodedata.category(character) not in ("Cc", "Cf", "Co", "Cs", "Cn")
    )
    lines = (line.strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


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
