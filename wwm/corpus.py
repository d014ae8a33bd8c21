"""Raw text -> clean, deduplicated documents in Parquet shards.

Reads   corpus.folder/<glob of each source>, or what the source names at a URL or on the hub
Writes  data/corpus/{train,heldout}/NNNNN.parquet with the columns id, source, text; data/corpus/dropped.jsonl, a sample
        of the documents that each rule dropped (`wwm show`); results/corpus.json with every count
By hand python -m wwm.corpus

Three passes: blocks of raw documents are cleaned and signed, side by side; what repeats is found among the signatures
of all; shards are written from what is left, side by side. Where blocks and shards end is decided by hashes of the
documents there, so that a changed, added or removed file changes those around it and no other.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from wwm import engine
from wwm.common import code, files
from wwm.common.errors import UserError
from wwm.text import cleaning, duplicates, overlap, selection, shape, sources, wikitext
from wwm.text.selection import RULES, Documents

SCHEMA = pa.schema([("id", pa.string()), ("source", pa.string()), ("text", pa.string())])
BLOCK = pa.schema(
    [
        ("text", pa.string()),
        ("digest", pa.binary(32)),
        ("characters", pa.int64()),
        ("dropped", pa.uint8()),
        ("signature", pa.binary()),
    ]
)
BLOCK_CHARACTERS = 1_000_000
FAR = 10  # times max_characters
WEIGHT = 1.0  # of a source that has none in params.yaml
SENTENCES = 100_000  # held-out ones that are looked for: their share is known to a few tenths of a percent
WRITTEN = 0.5  # bytes in shards for each of the raw text, at least


def main() -> None:
    from wwm import params, track

    values = params.read()
    base, corpus = values.base, values.corpus
    outs = [Path("data/corpus"), Path("results/corpus.json")]
    with track.run("corpus", params=corpus.model_dump(), outs=outs) as run:
        counts: dict[str, Counter] = {name: Counter() for name in corpus.sources}
        documents = read(corpus, base.seed, counts)
        parts = selection.split(documents)
        for name, own in counts.items():
            mine = np.array([source == name for source in documents.sources])[documents.block]
            selection.count(own, mine, documents, parts)
            shape.check(f"corpus.sources.{name}", own, corpus)
            if not own["train_documents"] or not own["heldout_documents"]:
                dropped = ", ".join(f"{key[8:]} {own[key]}" for key in sorted(own) if key.startswith("dropped_"))
                share = corpus.sources[name].heldout_share or corpus.heldout_share
                raise UserError(
                    f"corpus.sources.{name}: of {own['documents_read']} documents {own['train_documents']} are left for"
                    f" training and {own['heldout_documents']} to measure on, dropped: {dropped or 'none'}; with"
                    f" corpus.heldout_share {share} and corpus.min_characters {corpus.min_characters} each needs one at"
                    f" least: {sources.division(corpus.sources[name])}change these keys, or give more"
                )
        with files.new_folder(outs[0]) as folder:
            files.write_text(
                folder / "dropped.jsonl",
                "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in selection.sample(documents)),
            )
            shards = {
                f"{part}/{number:05d}.parquet": shard_work(documents, rows, copies)
                for part, copies in parts.items()
                for number, rows in enumerate(selection.cut_shards(documents, copies, corpus.characters_per_shard))
            }
            for (made, _), name in zip(
                tqdm(
                    engine.each("corpus", write_shard, shards.values()),
                    total=len(shards),
                    desc="corpus",
                    unit=" shards",
                ),
                shards,
            ):
                files.link(made / "shard.parquet", folder / name)
        count_verbatim(outs[0], base.seed, counts)
        total = sum(counts.values(), Counter())
        total |= shares(total)
        for name, own in counts.items():
            total |= {f"{name}.{key}": number for key, number in (own | shares(own)).items() if number}
        files.write_json(outs[1], dict(sorted(total.items())))
        run.log(total)
        run.artifact(outs[0] / "dropped.jsonl")


def count_verbatim(folder: Path, seed: int, counts: dict[str, Counter]) -> None:
    """Adds to the counts of each source how many of its held-out sentences, SENTENCES in all at most, were looked for
    in the text to train on, and how many stand there to the letter, white space aside.
    """
    sentences = [
        (source, sentence)
        for path in sorted(folder.glob("heldout/*.parquet"))
        for source, text in zip(*pq.read_table(path, columns=["source", "text"]).to_pydict().values())
        for sentence in shape.END.split(text)
        if sentence.strip()
    ]
    if len(sentences) > SENTENCES:
        chosen = np.random.default_rng([seed, SENTENCES]).choice(len(sentences), SENTENCES, replace=False)
        sentences = [sentences[i] for i in np.sort(chosen)]
    lookup = overlap.Lookup([sentence for _, sentence in sentences])
    lookup.look(overlap.documents(sorted(folder.glob("train/*.parquet"))))
    for (source, _), found in zip(sentences, lookup.found()[1]):
        counts[source].update(heldout_sentences=1, heldout_verbatim_sentences=int(found))


def shares(counts: Counter) -> dict[str, float]:
    verbatim = counts["heldout_verbatim_sentences"] / max(1, counts["heldout_sentences"])
    return shape.shares(counts) | {"heldout_verbatim_share": verbatim}


def read(corpus, seed: int, counts: dict[str, Counter]) -> Documents:
    """All documents of all sources, cleaned in blocks, with what drops them; adds to the counts of each source."""
    found = {
        name: sources.find(Path(corpus.folder), f"corpus.sources.{name}", source)
        for name, source in corpus.sources.items()
    }
    rules = corpus.model_dump(
        include={"min_characters", "max_characters", "min_letter_share", "near_duplicate_similarity"}
    ) | {"seed": seed}
    names: list[str] = []

    def blocks() -> Iterator[tuple[str, tuple]]:
        for name, places in found.items():
            source = corpus.sources[name]
            documents = sources.documents(places, source, counts[name], bar.update, FAR * corpus.max_characters)
            for block, digest in cut_blocks(documents):
                names.append(name)
                settings = rules | {"format": sources.layout(source)}
                yield files.hash_of([digest, settings, code.key("corpus")]), (block, settings)

    paths, columns = [], []
    size = sum(place.size for places in found.values() for place in places)
    engine.check_room("corpus", WRITTEN * size)
    with (
        tqdm(total=size, desc="corpus: reading and cleaning", unit="B", unit_scale=True, mininterval=1) as bar,
        duplicates.Signatures(files.SCRATCH) as signatures,
    ):
        for made, own in engine.each("corpus-blocks", clean_block, blocks()):
            counts[names[len(paths)]] += own
            table = pq.read_table(made / "block.parquet", columns=["digest", "characters", "dropped", "signature"])
            digests = np.frombuffer(b"".join(table["digest"].to_pylist()), ">u8").astype(np.uint64).reshape(-1, 4)
            rows = np.arange(len(table), dtype=np.int32)
            columns.append(
                (
                    np.full_like(rows, len(paths)),
                    rows,
                    digests,
                    table["characters"].to_numpy(),
                    table["dropped"].to_numpy(),
                )
            )
            signatures.add(
                np.frombuffer(b"".join(table["signature"].drop_null().to_pylist()), np.uint32).reshape(
                    -1, duplicates.PERMUTATIONS
                )
            )
            paths.append(made / "block.parquet")
        arrays = [np.concatenate(column) for column in zip(*columns)]
        columns.clear()
        block, _, digests, _, dropped = arrays
        each = [corpus.sources[name] for name in names]
        weight = np.array([source.weight or WEIGHT for source in each])[block]
        share = np.array([source.heldout_share or corpus.heldout_share for source in each])[block]
        always = np.array([source.heldout_share is not None for source in each])[block]
        documents = Documents(names, paths, *arrays, *selection.drawn(digests, weight, share, always))
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
        if selection.ends(selection.fraction(digests[-1]), len(text), filled, BLOCK_CHARACTERS):
            yield block, hashlib.sha256(b"".join(digests)).hexdigest()
            block, digests, filled = [], [], 0
    if block:
        yield block, hashlib.sha256(b"".join(digests)).hexdigest()


def clean_block(folder: Path, documents: list[str], settings: dict) -> dict[str, int]:
    """Writes block.parquet: each document cleaned, or as read where it is refused, with what decisions need."""
    columns: dict[str, list] = {name: [] for name in BLOCK.names}
    counts = Counter(documents_read=len(documents))
    for raw in documents:
        text, marked_up = raw, settings["format"] == "mediawiki"
        # Far too long is so without a look at its mark-up.
        far = len(raw) > FAR * settings["max_characters"]
        tangled = marked_up and not far and wikitext.depth(raw) > wikitext.DEEPEST
        if not far and not tangled:
            if marked_up:
                text, left_out = wikitext.plain_text(raw)
                counts["incomplete_sentences"] += left_out
            text = cleaning.clean(text)
        counts["removed_characters"] += len(raw) - len(text)
        rule = "mark_up" if tangled else refused(text, settings)
        if not rule:
            counts.update(shape.of(text))
        sign = not rule and settings["near_duplicate_similarity"] is not None
        row = (
            raw[: selection.SAMPLE_CHARACTERS] if rule else text,
            hashlib.sha256(text.encode()).digest(),
            len(text),
            RULES.index(rule),
            duplicates.signature(text, settings["seed"]).tobytes() if sign else None,
        )
        for name, value in zip(columns, row):
            columns[name].append(value)
    pq.write_table(pa.table(columns, BLOCK), folder / "block.parquet", compression="zstd")
    return counts


def refused(text: str, settings: dict) -> str:
    """The rule that this document by itself falls under, "" for none."""
    if len(text) < settings["min_characters"]:
        return "short"
    if len(text) > settings["max_characters"]:
        return "long"
    return "not_language" if cleaning.letter_share(text) < settings["min_letter_share"] else ""


def shard_work(documents: Documents, rows: np.ndarray, copies: np.ndarray) -> tuple[str, tuple]:
    """(key, arguments of write_shard): rows of blocks, each as often as it is to stand."""
    parts = []
    for block in np.unique(documents.block[rows]):
        mine = rows[documents.block[rows] == block]
        parts.append(
            (str(documents.blocks[block]), documents.sources[block], np.repeat(documents.row[mine], copies[mine]))
        )
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
