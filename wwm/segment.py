"""Documents -> sentences and words, as offsets into the unchanged text. The only importer of ltp.

Reads   data/corpus/{train,heldout}/*.parquet, data/segmenter/
Writes  data/segment/{train,heldout}/*.parquet: id, source, text, and two lists of end offsets in characters, `sentence_ends` and `word_ends`;
        sentences and words each partition the text (white space belongs to the word before it); the schema's metadata has the
        sha256 of the `segmenter`, or `none`; results/segment.json
By hand python -m wwm.segment
"""

import contextlib
import io
import os
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from wwm import files

NEURAL_BATCH = 32  # sentences in one forward pass of a neural model
LONGEST = 500  # characters that a neural model takes at once


def main() -> None:
    from wwm import params, track

    base, segment = params.load("segment")
    os.environ["RAYON_NUM_THREADS"] = str(base.threads)
    outs = [Path("data/segment"), Path("results/segment.json")]
    with track.run("segment", params=segment.model_dump(), outs=outs) as run:
        cut, segmenter = None, "none"
        if segment.backend == "ltp":
            cut, segmenter = load_ltp("data/segmenter"), files.read_json("data/segmenter/origin.json")["sha256"]
        shards = sorted(Path("data/corpus").glob("*/*.parquet"))
        counts = {"documents": 0, "characters": 0, "sentences": 0, "words": 0}
        with (
            files.new_folder(outs[0]) as folder,
            tqdm(total=sum(pq.read_metadata(s).num_rows for s in shards), desc="segment", unit=" documents", mininterval=1) as bar,
        ):
            for shard in shards:
                documents = pq.read_table(shard)
                texts = documents["text"].to_pylist()
                sentence_ends, word_ends = segment_texts(texts, cut, segment.batch_size, bar)
                ends = [pa.array(values, pa.list_(pa.int32())) for values in (sentence_ends, word_ends)]
                documents = documents.append_column("sentence_ends", ends[0]).append_column("word_ends", ends[1])
                target = folder / shard.parent.name / shard.name
                target.parent.mkdir(exist_ok=True)
                pq.write_table(documents.replace_schema_metadata({"segmenter": segmenter}), target, compression="zstd")
                counts["documents"] += len(texts)
                counts["characters"] += sum(map(len, texts))
                counts["sentences"] += sum(map(len, sentence_ends))
                counts["words"] += sum(map(len, word_ends))
        files.write_json(outs[1], counts)
        run.log(counts)


def load_ltp(folder: str):
    """A function: list of sentences -> list of lists of words."""
    from ltp import LTP

    config = files.read_json(Path(folder, "config.json"))
    refuse_foreign_code(config, folder)
    # LTP prints where it loads from.
    with contextlib.redirect_stdout(io.StringIO()):
        model = LTP(folder)
    if not config["nerual"]:
        return lambda sentences: model.pipeline(sentences, tasks=["cws"]).cws
    import torch

    # LTP loads what fits and leaves the rest random.
    if missing := model.model.state_dict().keys() - torch.load(Path(folder, "pytorch_model.bin"), map_location="cpu", weights_only=True).keys():
        raise ValueError(f"{folder}/pytorch_model.bin lacks {len(missing)} tensors of its config.json, first {min(missing)}; copy the whole LTP folder")
    # LTP's neural models call what transformers 5 has dropped.
    model.tokenizer.batch_encode_plus = model.tokenizer.__call__

    def cut(sentences: list[str]) -> list[list[str]]:
        # They read 512 pieces at most and drop the rest.
        parts = [(i, sentence[start : start + LONGEST]) for i, sentence in enumerate(sentences) for start in range(0, len(sentence), LONGEST)]
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
    """Raises ValueError if an LTP config names code that is not LTP's own: LTP calls whatever stands there."""
    if isinstance(config, dict):
        target = config.get("_ltp_target_", "ltp_core.")
        # By attributes of its modules any module that they import is reached, so only plain names are let through.
        if not re.fullmatch(r"ltp_core\.(models\.(ltp_model|processor|components\.\w+|utils\.transformer)\.\w+)?", str(target)):
            raise ValueError(f"{folder}/config.json: _ltp_target_ {target!r} is not a part of LTP's models; take the folder from LTP itself")
        for value in config.values():
            refuse_foreign_code(value, folder)


def segment_texts(texts: list[str], cut, batch_size: int, bar=None) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Sentence ends and word ends, in characters, of each text. `cut` is None where every character is a word of its own."""
    from ltp import StnSplit

    splitter = StnSplit()
    sentence_ends = [split_sentences(text, splitter.split) for text in texts]
    word_ends: list[np.ndarray] = []
    for first in range(0, len(texts), batch_size):
        batch = range(first, min(first + batch_size, len(texts)))
        if cut is None:
            word_ends += [np.arange(1, len(texts[i]) + 1) for i in batch]
        else:
            sentences = [text[start:end] for i in batch for text, ends in [(texts[i], sentence_ends[i])] for start, end in zip([0, *ends], ends)]
            words = iter(cut(sentences))
            for i in batch:
                ends, start = [], 0
                for end in sentence_ends[i]:
                    ends += [start + e for e in find_word_ends(texts[i][start:end], next(words))]
                    start = end
                word_ends.append(np.array(ends))
        if bar is not None:
            bar.update(len(batch))
    return sentence_ends, word_ends


def split_sentences(text: str, split) -> list[int]:
    """End offsets of sentences: LTP's splitter within each line; line breaks and blanks go to the sentence before them.

    LTP drops blanks, so each of its sentences is searched forward in the raw text, and the sentences are made to join.
    """
    starts, position = [], 0
    for sentence in split(text):
        found = text.find(sentence, position)
        if found < 0:
            continue
        if text[position:found].strip():
            # The splitter changed the text before this sentence: that stretch stays a sentence of its own.
            starts.append(position)
        starts.append(found)
        position = found + len(sentence)
    if text[position:].strip():
        starts.append(position)
    return [*sorted(set(starts[1:])), len(text)]


def find_word_ends(sentence: str, words: list[str]) -> list[int]:
    """End offsets of `words` in `sentence`, which they partition.

    LTP drops some characters (U+3000, U+200C), so each word is searched forward; what lies between two words goes to the
    first of them when it is white space, and is a word of its own otherwise.
    """
    ends, position = [], 0
    for word in words:
        found = sentence.find(word, position)
        if found < 0:
            continue
        gap = sentence[position:found]
        if position and gap and not gap.strip():
            ends[-1] = found
        elif gap.strip():
            ends.append(found)
        position = found + len(word)
        ends.append(position)
    if position < len(sentence):
        if ends and not sentence[position:].strip():
            ends[-1] = len(sentence)
        else:
            ends.append(len(sentence))
    return ends


if __name__ == "__main__":
    from wwm import command

    command.run(main)
