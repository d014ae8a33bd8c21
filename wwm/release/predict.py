"""What a fine-tuned model says of texts, pairs or questions: `wwm predict`."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from tqdm import tqdm
from transformers.utils import logging

from wwm.common import files
from wwm.common.errors import UserError
from wwm.release import inputs
from wwm.release.inputs import Given
from wwm.tasks import classifier, kept, reader, spans, tuning
from wwm.tasks.rows import converted
from wwm.text import simplify, tokenization
from wwm.training import device

CHUNK = {"single": 4096, "pair": 4096, "reading": 256}  # rows in memory at once, sorted by length
SHOWN = 3  # answers of a question


class Model(Protocol):
    cut: int  # rows so far that were longer than the model takes

    def __call__(self, given: list[Given]) -> list[dict]:
        """What is said of each row: a label or an answer, and probabilities."""


class Classifier:
    def __init__(self, folder: Path, described: kept.Kept):
        self.labels, self.length = tuple(described["labels"]), described["max_seq_length"]
        self.tokenizer, self.place, self.cut = tokenization.load(folder), device.pick(), 0
        self.model = classifier.load(folder, self.labels)
        self.model.to(self.place)  # type: ignore[arg-type]  # transformers' wrapper hides that it is a method

    def __call__(self, given: list[Given]) -> list[dict]:
        encoded = classifier.encode(self.tokenizer, [row.content for row in given], self.length)
        self.cut += encoded.cut
        shares = np.empty((len(given), len(self.labels)), np.float32)
        lengths = np.array([len(ids) for ids in encoded.ids])
        for rows in tuning.passes(lengths, 2 * tuning.POSITIONS[self.place.type]):
            batch, _ = classifier.collate(encoded, rows, self.place)
            logits = self.model(**classifier.taken(self.model, batch)).logits
            shares[rows] = logits.float().softmax(-1).cpu().numpy()
        return [
            {
                "label": self.labels[best],
                "probability": round(float(row[best]), 6),
                "probabilities": {label: round(float(share), 6) for label, share in zip(self.labels, row)},
            }
            for row, best in zip(shares, shares.argmax(-1))
        ]


class Reader:
    """An answer's probability is that of run_squad.py: the softmax over the scores of the best 20."""

    def __init__(self, folder: Path, described: kept.Kept):
        self.described, self.choices = described, tuple(described["labels"])
        self.tokenizer, self.place, self.cut = tokenization.load(folder), device.pick(), 0
        self.model = reader.load(folder, self.choices).to(self.place)

    def __call__(self, given: list[Given]) -> list[dict]:
        how, questions = self.described, [row.content for row in given]
        windows = spans.windows(
            self.tokenizer, questions, how["max_seq_length"], how["stride"], how["max_query_length"]
        )
        positions = 2 * tuning.POSITIONS[self.place.type]
        n_best = reader.answered(
            self.model, windows, questions, self.choices, how["max_answer_length"], self.place, positions
        )
        said = []
        for found in n_best:
            scores = np.array([score for _, score in found])
            shares = np.exp(scores - scores.max())
            shares /= shares.sum()
            best = [{"answer": text, "probability": round(float(p), 6)} for (text, _), p in zip(found, shares)]
            said.append({**best[0], "n_best": best[:SHOWN]})
        return said


def load(folder: Path) -> tuple[kept.Kept, Model]:
    """A kept model, ready for rows on the device that is there. Raises UserError for what is none."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    described = kept.read(folder)
    return described, (Reader if described["kind"] == "reading" else Classifier)(folder, described)


def main(folder: Path, file: str, output: Path | None, form: str | None, columns: dict[str, str]) -> None:
    """Predictions of `file` go to `output` (.jsonl or .csv), or as JSON lines to standard output."""
    if output and output.suffix not in (".jsonl", ".csv"):
        raise UserError(f"--output {output}: its ending says its form; name it .jsonl or .csv")
    if output and output.exists() and Path(file).exists() and output.samefile(file):
        raise UserError(f"--output {output} is the file that is read; name another")
    described, model = load(folder)
    given, total = inputs.read(file, form, described, columns)
    right: Counter = Counter()
    unit = " questions" if described["kind"] == "reading" else " texts"
    with writer(output) as write, tqdm(total=total, desc="predict", unit=unit, mininterval=1) as bar:
        for chunk, said in predicted(model, given, described, CHUNK[described["kind"]]):
            for row, one in zip(chunk, said):
                write(row.shown | one)
                right += Counter(labelled=row.label is not None, right=row.label == one.get("label"))
            bar.update(len(chunk))
    if model.cut:
        print(f"{model.cut:,} longer than {described['max_seq_length']} pieces were cut there", file=sys.stderr)
    if right["labelled"]:
        share = 100 * right["right"] / right["labelled"]
        print(f"accuracy {share:.2f} % of {right['labelled']:,} rows that have a label", file=sys.stderr)


def predicted(
    model: Model, given: Iterable[Given], described: kept.Kept, size: int
) -> Iterator[tuple[list[Given], list[dict]]]:
    """Rows, `size` at a time, and what is said of each."""
    rows = iter(given)
    while chunk := list(islice(rows, size)):
        simple = chunk
        if described["simplify"]:
            simple = [row._replace(content=converted(row.content, simplify.simplified)) for row in chunk]
        with torch.inference_mode():
            said = model(simple)
        yield chunk, said


@contextmanager
def writer(output: Path | None) -> Iterator[Callable[[dict], object]]:
    """Writes a row; a file appears whole or not at all."""
    if output is None:
        yield lambda row: print(json.dumps(row, ensure_ascii=False))
        return
    with files.new_file(output) as temporary, open(temporary, "w", encoding="utf-8", newline="") as stream:
        if output.suffix == ".jsonl":
            yield lambda row: stream.write(json.dumps(row, ensure_ascii=False) + "\n")
            return
        table = csv.writer(stream, lineterminator="\n")
        header: list[str] = []

        def write(row: dict) -> None:
            flat = {key: value for key, value in row.items() if not isinstance(value, dict | list)}
            if not header:
                header.extend(flat)
                table.writerow(header)
            table.writerow([flat[key] for key in header])

        yield write
