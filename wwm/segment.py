"""Documents -> sentences and words, as offsets into the unchanged text. The only importer of ltp.

Reads   data/corpus/{train,heldout}/*.parquet, data/segmenter/
Writes  data/segment/{train,heldout}/*.parquet: id, source, text, and two lists of end offsets in characters, `sentence_ends` and `word_ends`;
        sentences and words each partition the text (white space belongs to the word before it); the schema's metadata has the
        sha256 of the `segmenter`, or `none`; results/segment.json
By hand python -m wwm.segment
"""

import contextlib
import hashlib
import io
import json
import os
import re
import unicodedata
from itertools import accumulate
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
        cut, segmenter = None, segment.backend
        if segment.backend == "ltp":
            dictionary = read_dictionary(segment.dictionary)
            cut = load_ltp("data/segmenter", dictionary)
            if segment.simplify:
                cut = on_simplified(cut)
            made_from = [files.read_json("data/segmenter/origin.json")["sha256"], dictionary, segment.simplify]
            segmenter = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()
        shards = sorted(Path("data/corpus").glob("*/*.parquet"))
        counts = {"documents": 0, "characters": 0, "sentences": 0, "words": 0}
        with (
            files.new_folder(outs[0]) as folder,
            tqdm(total=sum(pq.read_metadata(s).num_rows for s in shards), desc="segment", unit=" documents", mininterval=1) as bar,
        ):
            for shard in shards:
                documents = pq.read_table(shard)
                texts = documents["text"].to_pylist()
                if segment.backend == "spaces":
                    texts, given = zip(*map(without_spaces, texts))
                    documents = documents.set_column(documents.schema.get_field_index("text"), "text", pa.array(texts, pa.string()))
                sentence_ends, word_ends = segment_texts(texts, cut, segment.batch_size, bar)
                if segment.backend == "spaces":
                    word_ends = given
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


def read_dictionary(path: str | None) -> list[str]:
    """A word a line. Raises ValueError for a missing file and for a line with white space within."""
    if path is None:
        return []
    if not Path(path).is_file():
        raise ValueError(f"segment.dictionary: {path} does not exist; it is a text file with a word a line")
    words = []
    for number, line in enumerate(files.lines(path), 1):
        if len(line.split()) > 1:
            raise ValueError(f"{path}, line {number}: {line!r} is more than a word; a dictionary has a word a line")
        words += line.split()
    return words


def load_ltp(folder: str, dictionary: list[str]):
    """A function: list of sentences, none empty -> list of lists of words. LTP re-cuts its own words so that those of `dictionary` stay whole."""
    from ltp import LTP

    config = files.read_json(Path(folder, "config.json"))
    refuse_foreign_code(config, folder)
    # LTP prints where it loads from.
    with contextlib.redirect_stdout(io.StringIO()):
        model = LTP(folder)
    model.add_words(dictionary)
    if not config["nerual"]:
        return lambda sentences: model.pipeline(sentences, tasks=["cws"]).cws
    import torch

    # LTP loads what fits and leaves the rest random.
    if missing := model.model.state_dict().keys() - torch.load(Path(folder, "pytorch_model.bin"), map_location="cpu", weights_only=True).keys():
        raise ValueError(f"{folder}/pytorch_model.bin lacks {len(missing)} tensors of its config.json, first {min(missing)}; copy the whole LTP folder")
    # LTP's neural models call what transformers 5 has dropped.
    model.tokenizer.batch_encode_plus = model.tokenizer.__call__
    if torch.cuda.is_available():
        model.to("cuda")

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


def on_simplified(cut):
    """`cut` as it would cut the simplified form of each sentence; a character is one before and after, so word ends carry over."""
    from opencc import OpenCC

    convert = OpenCC("t2s").convert

    def cut_simplified(sentences: list[str]) -> list[list[str]]:
        simplified = [same_length(sentence, convert) for sentence in sentences]
        # The words of a converted sentence are not to be searched in the text as it is.
        cuts = zip(sentences, simplified, cut(simplified))
        return [words if sentence == other else original_words(sentence, other, words) for sentence, other, words in cuts]

    return cut_simplified


def same_length(sentence: str, convert) -> str:
    """Converted, by characters where converting the whole would change its length."""
    converted = convert(sentence)
    if len(converted) == len(sentence):
        return converted
    return "".join(one if len(one := convert(character)) == 1 else character for character in sentence)


def original_words(sentence: str, simplified: str, words: list[str]) -> list[str]:
    """The stretches of `sentence` at which the `words` of its simplified form stand."""
    ends = find_word_ends(simplified, words)
    return [sentence[start:end] for start, end in zip([0, *ends], ends)]


def without_spaces(text: str) -> tuple[str, np.ndarray]:
    """Text whose words are separated by white space -> (text as it is written, word ends).

    A space stays where a Latin or other alphabetic word meets another one; it belongs to the word before it, as a line's end does.
    """
    parts, ends, length = [], [], 0
    for line in text.split("\n"):
        words = line.split()
        for i, word in enumerate(words):
            if i and spaced(words[i - 1][-1]) and spaced(word[0]):
                parts.append(" ")
                ends[-1] += 1
                length += 1
            parts.append(word)
            length += len(word)
            ends.append(length)
        if parts and ends:
            parts.append("\n")
            ends[-1] += 1
            length += 1
    if parts:
        parts.pop()
        ends[-1] -= 1
    return "".join(parts), np.array(ends, np.int64)


def spaced(character: str) -> bool:
    """Whether words in this character's script are written with spaces between them: letters and digits but Chinese, Japanese and the like."""
    return character.isalnum() and unicodedata.east_asian_width(character) not in ("W", "F")


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
    if "".join(words) == sentence:
        return list(accumulate(map(len, words)))
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
