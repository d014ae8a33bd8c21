"""Speed of segmenting, tokenizing and masking on one core, beside what does the heavy part by itself.

python -m bench.data FOLDER --megabytes 10    FOLDER has *.txt: a paragraph a line, a blank line between documents

Each line is measured `--repeats` times, in turn with its peer; the table has the best time of each in seconds of CPU, the
ratio is of these. Segmenter and vocabulary are the project's (`dvc repro segmenter vocab`) or named by options.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ |= {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "NUMBA_NUM_THREADS": "1"}

import numpy as np
import pyarrow as pa

from wwm import mask, segment, segmenter, sources, tokenization, vocab


def main(folder: Path, megabytes: float, repeats: int, segmenter_folder: Path, vocabulary: Path) -> None:
    texts = documents(folder, megabytes * 1e6)
    size = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{size:.1f} MB of {folder}, {len(texts):,} documents; {platform.processor() or platform.machine()}, Python {platform.python_version()}, ", end="")
    print(", ".join(f"{name} {version(name)}" for name in ("tokenizers", "ltp-extension", "numba", "pyarrow")), "\n")

    model = segmenter.perceptron_file(segmenter_folder, str(segmenter_folder))
    cut = segment.load_ltp(str(segmenter_folder), [])
    sentence_ends, word_ends = segment.segment_texts(texts, cut)
    sentences = [text[start:end] for text, ends in zip(texts, sentence_ends) for start, end in zip([0, *ends], ends)]
    from ltp_extension.perceptron import CWSModel

    raw = CWSModel.load(model)
    whole = segment.on_simplified(cut)
    segmenting = in_turn(
        repeats,
        {
            "segment": lambda: segment.segment_texts(texts, whole),
            "segment, no conversion": lambda: segment.segment_texts(texts, cut),
            "peer: ltp_extension batch_predict of the same sentences": lambda: raw.batch_predict(sentences, parallelism=False),
        },
    )

    tokens, lower_case = vocab.load(str(vocabulary))
    tokenizer = vocab.build(tokens, lower_case)
    lists = pa.list_(pa.int32())
    table = pa.table({"text": texts, "sentence_ends": pa.array(sentence_ends, lists), "word_ends": pa.array(word_ends, lists)})
    mask.tokenize(table.slice(0, 2), tokenization.CorpusTokenizer(tokenizer), tokens, "whole_word")  # compiles
    pieces = mask.tokenize(table, tokenization.CorpusTokenizer(tokenizer), tokens, "whole_word")
    tokenizing = in_turn(
        repeats,
        {
            "tokenize and find units": lambda: mask.tokenize(table, tokenization.CorpusTokenizer(tokenizer), tokens, "whole_word"),
            "peer: tokenizers encode_batch, ids and offsets read out": lambda: read_out(tokenizer, texts),
        },
    )

    masking = {}
    for nsp in (True, False):
        for length, most in ((128, 20), (512, 77)):
            settings = {"masked_lm_prob": 0.15, "max_predictions_per_seq": most, "random_token": "vocabulary", "unit": "whole_word", "masking": "static"}
            settings |= {"max_seq_length": length, "short_seq_prob": 0.1, "next_sentence_prediction": nsp}
            written = write(pieces, tokens, settings)  # compiles
            (seconds,) = in_turn(repeats, {"": lambda: write(pieces, tokens, settings)}).values()  # noqa: B023 called at once
            masking[f"examples, masks and writing at {length}, {'sentence pairs' if nsp else 'full sentences'}"] = seconds, written

    print("| one core | seconds | MB/s | tokens/s | peer's seconds / ours |\n|---|---|---|---|---|")
    for group in (segmenting, tokenizing):
        peer = list(group.values())[-1]
        for name, seconds in group.items():
            print(
                f"| {name} | {seconds:.2f} | {size / seconds:.2f} | {len(pieces.ids) / seconds / 1e6:.2f}M | {'' if name.startswith('peer') else f'{peer / seconds:.2f}'} |"
            )
    for name, (seconds, written) in masking.items():
        print(f"| {name} | {seconds:.3f} | | {written / seconds / 1e6:.1f}M | |")


def documents(folder: Path, size: float) -> list[str]:
    """As many bytes of each file as of any other, from its beginning."""
    paths = sorted(folder.glob("*.txt"))
    if not paths:
        sys.exit(f"error: {folder} has no *.txt")
    texts = []
    for path in paths:
        left = size / len(paths)
        for text in sources.documents(sources.Place(str(path), 0), argparse.Namespace(format="text", fields=None)):
            texts.append(text)
            left -= len(text.encode())
            if left <= 0:
                break
    return texts


def in_turn(repeats: int, work: dict[str, Callable]) -> dict[str, float]:
    """Best seconds of CPU of each, the order changing from round to round."""
    best = dict.fromkeys(work, float("inf"))
    for number in range(repeats):
        for name in list(work)[:: -1 if number % 2 else 1]:
            start = time.process_time()
            work[name]()
            best[name] = min(best[name], time.process_time() - start)
    return best


def read_out(tokenizer, texts: list[str]) -> None:
    for first in range(0, len(texts), 1000):
        for encoding in tokenizer.encode_batch(texts[first : first + 1000], add_special_tokens=False):
            encoding.ids, encoding.offsets  # noqa: B018 both make lists


def write(pieces: mask.Pieces, tokens: list[str], settings: dict) -> int:
    """One pass, written as the stage does; returns how many pieces."""
    with tempfile.NamedTemporaryFile() as file, pa.OSFile(file.name, "wb") as sink:
        batch = mask.make_examples(pieces, tokens, settings, np.random.default_rng(1))
        with pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
    return len(batch.column("input_ids").values)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.data", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--segmenter", dest="segmenter_folder", type=Path, default=Path("data/segmenter"))
    parser.add_argument("--vocab", dest="vocabulary", type=Path, default=Path("data/vocab"))
    main(**vars(parser.parse_args()))
