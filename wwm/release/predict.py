"""What a fine-tuned model says of texts, pairs or questions: `wwm predict`."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from safetensors import safe_open
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.utils import logging

from wwm.common import files, model_folder
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
        self.model = classifier_of(folder, self.labels)
        self.model.to(self.place)  # type: ignore[arg-type]  # transformers' wrapper hides that it is a method

    def __call__(self, given: list[Given]) -> list[dict]:
        encoded = classifier.encode(self.tokenizer, [row.content for row in given], self.length)
        self.cut += encoded.cut
        said = classifier.logits(self.model, encoded, self.place, 2 * tuning.POSITIONS[self.place.type])
        shares = torch.from_numpy(said).softmax(-1).numpy()
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
        self.model = reader_of(folder, self.choices).to(self.place)

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
    described = read(folder)
    return described, (Reader if described["kind"] == "reading" else Classifier)(folder, described)


def read(folder: Path) -> kept.Kept:
    """What the config.json of a kept model says. Raises UserError that says what `folder` is instead."""
    if not (folder / kept.CONFIG).is_file():
        if (folder / model_folder.CARD).is_file():
            raise UserError(
                f"{folder} has no weights, for finetune.models.{folder.name}.keep is `none`; set it to `best` and run"
                " `dvc repro`"
            )
        raise UserError(f"{folder} is not there or is no model; finetune keeps models in models/finetuned/TASK/MODEL")
    config = files.read_json(folder / kept.CONFIG)
    if kept.KEY not in config:
        raise UserError(
            f"{folder} is no fine-tuned model of this project ({', '.join(config.get('architectures') or ['?'])});"
            " fine-tune it, and name models/finetuned/TASK/MODEL"
        )
    if not (folder / kept.WEIGHTS).is_file():
        raise UserError(f"{folder} has a {kept.CONFIG} and no {kept.WEIGHTS}; copy the whole folder")
    return cast(kept.Kept, config[kept.KEY])


def classifier_of(folder: Path, labels: tuple[str, ...]) -> PreTrainedModel:
    """Raises UserError that names what its weights lack, or labels that are not its own."""
    model, info = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    classifier.check_loaded(folder, list(info["missing_keys"]))
    if (own := tuple(model.config.id2label[number] for number in range(model.config.num_labels))) != labels:
        raise UserError(f"{folder}/config.json has the labels {own} in id2label and {labels} in wwm; copy it anew")
    return model.eval()


def reader_of(folder: Path, choices: tuple[str, ...]) -> reader.Reader:
    """Raises UserError that names what its weights lack."""
    model = reader.Reader(reader.load_encoder(folder), sum(map(bool, choices)))
    with safe_open(folder / kept.WEIGHTS, "pt") as weights:
        for name, tensor in model.outputs.named_parameters():
            wanted = [f"{reader.SPANS}.{name}", *([f"{reader.CHOICES}.{name}"] if len(tensor) > 2 else [])]
            classifier.check_loaded(folder, sorted(set(wanted) - set(weights.keys())))
            tensor.data = torch.cat([weights.get_tensor(part) for part in wanted])
    return model.eval()


def main(folder: Path, file: str, output: Path | None, form: str | None, columns: dict[str, str]) -> None:
    """Predictions of `file` go to `output` (.jsonl or .csv), or as JSON lines to standard output."""
    if output and output.suffix not in (".jsonl", ".csv"):
        raise UserError(f"--output {output}: its ending says its form; name it .jsonl or .csv")
    if output and output.exists() and Path(file).exists() and output.samefile(file):
        raise UserError(f"--output {output} is the file that is read; name another")
    described, model = load(folder)
    given, total = inputs.read(file, form, described, columns)
    labelled = right = 0
    unit = " questions" if described["kind"] == "reading" else " texts"
    with writer(output) as write, tqdm(total=total, desc="predict", unit=unit, mininterval=1) as bar:
        for chunk, said in predicted(model, given, described, CHUNK[described["kind"]]):
            for row, one in zip(chunk, said):
                write(row.shown | one)
                labelled += row.label is not None
                right += row.label is not None and row.label == one.get("label")
            bar.update(len(chunk))
    if model.cut:
        print(f"{model.cut:,} longer than {described['max_seq_length']} pieces were cut there", file=sys.stderr)
    if labelled:
        print(f"accuracy {100 * right / labelled:.2f} % of {labelled:,} rows that have a label", file=sys.stderr)


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
