"""Speed of making examples out of text: what bounds it on one core beside peers, then the stages at several sizes.

python -m bench.data FOLDER [--megabytes 10 100 300] [--processes 1 2]    FOLDER has *.txt: a paragraph a line, a blank
                                                                          line between documents

The first table, on the smallest size: each line is measured `--repeats` times, in turn with its peer, and has the best
time of each in seconds of CPU; the ratio is of these. The peer of masking is installed in scratch/bench. The second
table: the stages as a user runs them. Segmenter and vocabulary are the project's (`dvc repro segmenter vocab`) or named
by options.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ |= {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "NUMBA_NUM_THREADS": "1"}

import numpy as np
import pyarrow as pa

from bench import stages
from wwm import mask, segment, segmenter, vocab
from wwm.text import boundaries, perceptron, sources, tokenization

WORK = Path("scratch/bench")
PEER = "transformers==4.50.3"


def main(
    folder: Path, megabytes: list[float], processes: list[int], repeats: int, segmenter_folder: Path, vocabulary: Path
) -> None:
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, ", end="")
    print(
        ", ".join(
            f"{name} {version(name)}"
            for name in ("tokenizers", "ltp-extension", "numba", "pyarrow", "rensa", "distributed")
        ),
        "\n",
    )
    one_core(documents(folder, min(megabytes) * 1e6), repeats, segmenter_folder, vocabulary)
    runs = [
        run
        for size in sorted(megabytes)
        for texts in [documents(folder, size * 1e6)]
        for count in processes
        for run in stages.measure(texts, count, segmenter_folder, vocabulary, WORK / "project")
    ]
    print(f"\n{stages.table(runs)}")
    if len(set(megabytes)) > 1 and {1} < set(processes):
        print(f"\n{stages.outlook(runs)}")


def one_core(texts: list[str], repeats: int, segmenter_folder: Path, vocabulary: Path) -> None:
    size = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{size:.1f} MB, {len(texts):,} documents\n")
    model = segmenter.perceptron_file(segmenter_folder, str(segmenter_folder))
    cut = segment.load_ltp(str(segmenter_folder), [])
    sentence_ends, word_ends = boundaries.segment_texts(texts, cut)
    sentences = [text[start:end] for text, ends in zip(texts, sentence_ends) for start, end in zip([0, *ends], ends)]
    raw = perceptron.load(model, parallel=False)
    whole = boundaries.on_simplified(cut)
    segmenting = in_turn(
        repeats,
        {
            "segment": lambda: boundaries.segment_texts(texts, whole),
            "segment, no conversion": lambda: boundaries.segment_texts(texts, cut),
            "peer: ltp_extension batch_predict of the same sentences": lambda: raw(sentences),
        },
    )

    tokens, *how = vocab.load(str(vocabulary))
    tokenizer = vocabulary.build(tokens, *how)
    lists = pa.list_(pa.int32())
    table = pa.table(
        {"text": texts, "sentence_ends": pa.array(sentence_ends, lists), "word_ends": pa.array(word_ends, lists)}
    )
    mask.tokenize(table.slice(0, 2), tokenization.CorpusTokenizer(tokenizer), tokens, "whole_word")  # compiles
    pieces = mask.tokenize(table, tokenization.CorpusTokenizer(tokenizer), tokens, "whole_word")
    tokenizing = in_turn(
        repeats,
        {
            "tokenize and find units": lambda: mask.tokenize(
                table, tokenization.CorpusTokenizer(tokenizer), tokens, "whole_word"
            ),
            "peer: tokenizers encode_batch, ids and offsets read out": lambda: read_out(tokenizer, texts),
        },
    )

    rates = {}
    for pairs in (True, False):
        for length, most in ((128, 20), (512, 77)):
            settings = {
                "masked_lm_prob": 0.15,
                "max_predictions_per_seq": most,
                "random_token": "vocabulary",
                "unit": "whole_word",
                "masking": "static",
            }
            settings |= {"max_seq_length": length, "short_seq_prob": 0.1, "next_sentence_prediction": pairs}
            written = write(pieces, tokens, settings)  # compiles
            (seconds,) = in_turn(repeats, {"": lambda: write(pieces, tokens, settings)}).values()  # noqa: B023 called at once
            rates[f"examples, masks and writing at {length}, {'sentence pairs' if pairs else 'full sentences'}"] = (
                written / seconds,
                seconds,
            )
            if pairs:
                peer_seconds, peer_tokens = collator(pieces, tokens, settings, vocabulary)
                rates[f"peer: {PEER}, DataCollatorForWholeWordMask at {length}, of examples at hand"] = (
                    peer_tokens / peer_seconds,
                    peer_seconds,
                )

    print("| one core | seconds | MB/s | tokens/s | times its peer |\n|---|---|---|---|---|")
    for group in (segmenting, tokenizing):
        peer = list(group.values())[-1]
        for name, seconds in group.items():
            ratio = "" if name.startswith("peer") else f"{peer / seconds:.2f}"
            print(
                f"| {name} | {seconds:.2f} | {size / seconds:.2f} | {len(pieces.ids) / seconds / 1e6:.2f}M | {ratio} |"
            )
    for name, (rate, seconds) in rates.items():
        peer = next(
            (
                other
                for key, (other, _) in rates.items()
                if key.startswith("peer") and f"at {name.split(' at ')[1].split(',')[0]}," in key
            ),
            None,
        )
        print(
            f"| {name} | {seconds:.3f} | | {rate / 1e6:.2f}M |"
            f" {'' if name.startswith('peer') else f'{rate / peer:.0f}'} |"
        )


def documents(folder: Path, size: float) -> list[str]:
    """As many bytes of each file as of any other, from its beginning, and what is wanting from the larger ones."""
    paths = sorted(folder.glob("*.txt"), key=lambda path: path.stat().st_size)
    if not paths:
        sys.exit(f"error: {folder} has no *.txt")
    texts = []
    plain = argparse.Namespace(format="text", fields=None)
    for number, path in enumerate(paths):
        share = left = size / (len(paths) - number)
        for text in sources.documents([sources.Place(str(path), 0)], plain, Counter()):
            texts.append(text)
            left -= len(text.encode())
            if left <= 0:
                break
        size -= share - left
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
        rng = np.random.default_rng(1)
        batch = mask.make_examples(mask.examples_of(pieces, settings, rng), pieces, tokens, settings, rng)
        with pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
    return len(batch.column("input_ids").values)


def collator(pieces: mask.Pieces, tokens: list[str], settings: dict, vocabulary: Path) -> tuple[float, int]:
    """(seconds of CPU, tokens) of the peer's masking, on 1,000 of the same examples."""
    python = WORK / "peer/bin/python"
    if not python.exists():
        wheels = (
            ["--find-links", os.environ["PIP_FIND_LINKS"]]
            if "PIP_FIND_LINKS" in os.environ
            else ["--torch-backend", "cpu"]
        )
        for command in (
            ["venv", "--quiet", WORK / "peer"],
            ["pip", "install", "--quiet", "--python", python, *wheels, PEER, "torch==2.13.0"],
        ):
            subprocess.run([sys.executable, "-m", "uv", *command], check=True)
    settings, rng = settings | {"masking": "dynamic"}, np.random.default_rng(1)
    rows = mask.examples_of(pieces, settings, rng)[:1000]
    examples = mask.make_examples(rows, pieces, tokens, settings, rng)
    with open(WORK / "examples.jsonl", "w") as stream:
        for row in examples.select(["input_ids", "unit_begins"]).to_pylist():
            inside = [position for position, begins in enumerate(row["unit_begins"]) if not begins]
            stream.write(json.dumps({"input_ids": row["input_ids"], "chinese_ref": inside}) + "\n")
    command = [python, Path(__file__).with_name("collator.py"), WORK / "examples.jsonl", vocabulary]
    printed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return printed["seconds"], printed["tokens"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m bench.data", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[10, 100, 300])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--segmenter", dest="segmenter_folder", type=Path, default=Path("data/segmenter"))
    parser.add_argument("--vocab", dest="vocabulary", type=Path, default=Path("data/vocab"))
    main(**vars(parser.parse_args()))
