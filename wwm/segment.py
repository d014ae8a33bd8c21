"""Documents -> sentences and words, as offsets into the unchanged text. The only importer of ltp.

Reads   data/corpus/{train,heldout}/*.parquet, data/segmenter/
Writes  data/segment/{train,heldout}/*.parquet: id, source, text, and two lists of end offsets in characters,
        `sentence_ends` and `word_ends`; sentences and words each partition the text (white space belongs to the word
        before it); the schema's metadata has the sha256 of the `segmenter`, or `none`; results/segment.json
By hand python -m wwm.segment
"""

import contextlib
import io
import os
import re
from collections import Counter
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from wwm import engine
from wwm.common import code, files
from wwm.common.errors import UserError, reading
from wwm.text import boundaries, perceptron, sentences
from wwm.text.simplify import simplified

ENDS = pa.list_(pa.int32())
NEURAL_BATCH = 32  # sentences in one forward pass of a neural model
# What separates words, numbers, tags and comments; `嗨！孤独`, `Node.js`, `C++` and `《红楼梦》` are words.
NO_WORD = re.compile(r"[，。；：、,;|\t“”\"]|^#|(?<=[㐀-鿿])[/_:=#][A-Za-z0-9]{1,5}$|[!?！？]$")
LONGEST_WORD = 40  # the longest of the 55,303 of SIGHAN's pku has 22
GROWS = 1.3  # at least, from a shard of text to one with its sentences and words
LONGEST = 500  # characters that a neural model takes at once


def main() -> None:
    from wwm import params, track

    values = params.read()
    base, segment = values.base, values.segment
    outs = [Path("data/segment"), Path("results/segment.json")]
    with track.run("segment", params=segment.model_dump(), outs=outs) as run:
        segmenter = segment.backend
        if segment.backend == "ltp":
            with reading("data/segmenter/origin.json", KeyError, TypeError, remedy="run the stage segmenter again"):
                origin = files.read_json("data/segmenter/origin.json")["sha256"]
            made_from = [
                origin,
                read_dictionary(segment.dictionary),
                segment.simplify,
            ]
            segmenter = files.hash_of(made_from)
        shards = files.shards("corpus")
        settings = {"threads": base.threads} | segment.model_dump()
        work = (
            (
                files.hash_of([files.content_hash(shard), segmenter, settings, code.key("segment")]),
                (shard, segmenter, settings),
            )
            for shard in shards
        )
        counts: Counter = Counter()
        total = sum(found.num_rows for found in shards.values())
        engine.check_room("segment", GROWS * sum(shard.stat().st_size for shard in shards))
        with (
            files.new_folder(outs[0]) as folder,
            tqdm(total=total, desc="segment", unit=" documents", mininterval=1) as bar,
        ):
            for (made, own), shard in zip(engine.each("segment", segment_shard, work), shards):
                files.link(made / "shard.parquet", folder / shard.parent.name / shard.name)
                counts += own
                bar.update(own["documents"])
        files.write_json(outs[1], counts)
        run.log(counts)
        if segment.backend == "ltp" and segment.dictionary:
            found = counts["dictionary_matches"]
            if found:
                print(f"segment: words of {segment.dictionary} stand {found:,} times in the text", flush=True)
            else:
                print(
                    f"warning: segment.dictionary: no word of {segment.dictionary} stands in the text; write a word a"
                    " line, as the text has it",
                    flush=True,
                )


def segment_shard(folder: Path, shard: Path, segmenter: str, settings: dict) -> dict[str, int]:
    """Writes shard.parquet: a shard of data/corpus with its sentence and word ends."""
    os.environ |= {"RAYON_NUM_THREADS": str(settings["threads"]), "OMP_NUM_THREADS": str(settings["threads"])}
    unbroken = matches = None
    match settings["backend"]:
        case "ltp":
            cut, unbroken = cutter(segmenter, settings["dictionary"], settings["simplify"])
            if settings["dictionary"]:
                matches = boundaries.matches(words_of(settings["dictionary"], settings["simplify"]))
        case "spaces" | "none":
            cut = None
        case backend:
            raise AssertionError(backend)
    counts: Counter = Counter()
    schema = (
        pq.read_schema(shard)
        .append(pa.field("sentence_ends", ENDS))
        .append(pa.field("word_ends", ENDS))
        .with_metadata({"segmenter": segmenter})
    )
    with pq.ParquetWriter(folder / "shard.parquet", schema, compression="zstd") as writer:
        for documents in files.batches(shard, settings["batch_size"]):
            texts = documents["text"].to_pylist()
            if settings["backend"] == "spaces":
                texts, given = zip(*map(boundaries.without_spaces, texts))
            sentence_ends, word_ends = boundaries.segment_texts(texts, cut, unbroken)
            if settings["backend"] == "spaces":
                word_ends = given
            columns = {
                "id": documents["id"],
                "source": documents["source"],
                "text": texts,
                "sentence_ends": sentence_ends,
                "word_ends": word_ends,
            }
            writer.write_table(pa.table(columns, schema))
            counts += Counter(
                documents=len(texts),
                characters=sum(map(len, texts)),
                sentences=sum(map(len, sentence_ends)),
                words=sum(map(len, word_ends)),
            )
            if matches:
                read = map(simplified, texts) if settings["simplify"] else texts
                counts["dictionary_matches"] += sum(map(matches, read))
    return counts


@lru_cache(maxsize=1)
def cutter(segmenter: str, dictionary: str | None, simplify: bool) -> tuple[boundaries.Cut, re.Pattern | None]:
    """load_ltp of data/segmenter, and what finds words of the dictionary in which no sentence ends; once in a process
    for what `segmenter`, its hash, stands for.
    """
    words = read_dictionary(dictionary)
    unbroken = sentences.pattern_of(words)
    if not simplify:
        return load_ltp("data/segmenter", words), unbroken
    cut = load_ltp("data/segmenter", words_of(dictionary, simplify))
    return boundaries.on_simplified(cut, words), unbroken


def words_of(dictionary: str | None, simplify: bool) -> list[str]:
    """Of the dictionary, as they may stand in what is cut."""
    words = read_dictionary(dictionary)
    return [*words, *map(simplified, words)] if simplify else words


def read_dictionary(path: str | None) -> list[str]:
    """A word a line. Raises UserError for a missing file, one without words, and a line that is no word."""
    if path is None:
        return []
    if not Path(path).is_file():
        raise UserError(f"segment.dictionary: {path} does not exist; it is a text file with a word a line")
    words = []
    for number, line in enumerate(files.lines(path), 1):
        if len(line.split()) > 1:
            raise UserError(
                f"{path}, line {number}: {line[:40]!r} is more than a word; a dictionary has a word a line, without"
                " frequencies, tags or comments (`cut -d' ' -f1` leaves the words of jieba's)"
            )
        if len(line.strip()) > 1 and (odd := NO_WORD.search(line.strip())):
            raise UserError(
                f"{path}, line {number}: {line.strip()[:40]!r} is no word, {odd[0]!r} is in it; a dictionary has a word"
                " a line, without punctuation, frequencies, tags or comments"
            )
        if len(line.strip()) > LONGEST_WORD:
            raise UserError(
                f"{path}, line {number}: {line.strip()[:40]!r} has {len(line.strip())} characters, as a sentence has; a"
                f" dictionary has a word a line, of {LONGEST_WORD} characters at most"
            )
        words += line.split()
    if not words:
        raise UserError(f"{path}: no word in it; write a word a line, or set segment.dictionary to null")
    return words


def load_ltp(folder: str, dictionary: list[str]):
    """A function: list of sentences, none empty -> list of lists of words, which leaves those of `dictionary` whole."""
    cut = load_model(folder)
    # LTP's own dictionary leaves one word in a hundred cut, and ends the process at a word before a wide blank.
    return boundaries.with_dictionary(cut, dictionary) if dictionary else cut


def load_model(folder: str):
    place = Path(folder, "config.json")
    with reading(place, KeyError, TypeError, remedy="run the stage segmenter again"):
        config = files.read_json(place)
        perceptron.refuse_outside(config, folder)
        model = None if config["nerual"] else str(Path(folder, config["tasks"]["cws"]))
    if model:
        return perceptron.load(model)
    from ltp import LTP

    refuse_foreign_code(config, folder)
    # LTP prints where it loads from.
    with contextlib.redirect_stdout(io.StringIO()):
        model = LTP(folder)
    import torch

    # LTP loads what fits and leaves the rest random.
    if (
        missing := model.model.state_dict().keys()
        - torch.load(Path(folder, "pytorch_model.bin"), map_location="cpu", weights_only=True).keys()
    ):
        raise UserError(
            f"{folder}/pytorch_model.bin lacks {len(missing)} tensors of its config.json, first {min(missing)}; copy"
            " the whole LTP folder"
        )
    # LTP's neural models call what transformers 5 has dropped.
    model.tokenizer.batch_encode_plus = model.tokenizer.__call__
    if torch.cuda.is_available():
        model.to("cuda")

    def cut(sentences: list[str]) -> list[list[str]]:
        # They read 512 pieces at most and drop the rest.
        parts = [
            (i, sentence[start : start + LONGEST])
            for i, sentence in enumerate(sentences)
            for start in range(0, len(sentence), LONGEST)
        ]
        words: dict[int, list[str]] = {}
        order = sorted(range(len(parts)), key=lambda part: len(parts[part][1]))
        for first in range(0, len(order), NEURAL_BATCH):
            batch = order[first : first + NEURAL_BATCH]
            words |= dict(zip(batch, model.pipeline([parts[part][1] for part in batch], tasks=["cws"]).cws))
        joined: list[list[str]] = [[] for _ in sentences]
        for part, (i, _) in enumerate(parts):
            joined[i] += words[part]
        return joined

    return cut


def refuse_foreign_code(config, folder: str) -> None:
    """Raises UserError if an LTP config names code that is not LTP's own: LTP calls whatever stands there."""
    if isinstance(config, dict):
        target = config.get("_ltp_target_", "ltp_core.")
        # By attributes of its modules any module that they import is reached, so only plain names are let through.
        if not re.fullmatch(
            r"ltp_core\.(models\.(ltp_model|processor|components\.\w+|utils\.transformer)\.\w+)?", str(target)
        ):
            raise UserError(
                f"{folder}/config.json: _ltp_target_ {target!r} is not a part of LTP's models; take the folder from LTP"
                " itself"
            )
        for value in config.values():
            refuse_foreign_code(value, folder)


if __name__ == "__main__":
    from wwm import segment
    from wwm.common import command

    command.run(segment.main)
