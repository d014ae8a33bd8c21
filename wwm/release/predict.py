"""What a fine-tuned model says of texts, pairs or questions: `wwm predict`."""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from safetensors import safe_open
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, PreTrainedModel
from transformers.utils import logging

from wwm.common import model_folder
from wwm.common.errors import UserError
from wwm.release import inputs, masked_lm, outputs, passes
from wwm.release.inputs import Given
from wwm.tasks import classifier, kept, reader, spans, tagger, tags, tuning
from wwm.tasks.questions import Question
from wwm.tasks.rows import Example, converted
from wwm.tasks.tags import Sentence
from wwm.text import tokenization
from wwm.text.simplify import simplified
from wwm.training import device, weight_files

# In memory at once, sorted by length: rows, and characters, of which each takes some 200 bytes on its way.
CHUNK = {"single": 4096, "pair": 4096, "reading": 256, "tagging": 4096}
NOUNS = {"single": "texts", "pair": "pairs", "reading": "questions", "tagging": "sentences"}
CHARACTERS = 2**19
# So many characters have more pieces than any model takes; of those behind them tokenizers would keep each piece.
LONGEST = 2**16
SHOWN = 3  # answers of a question


class Model(Protocol):
    nothing: dict  # what is said of a row without text
    most: int  # pieces of a text, or of a question
    cut: int  # texts or questions so far that had more

    def __call__(self, contents: list, done: Callable[[float], object]) -> list[dict]:
        """What is said of each row: a label, an answer or tags, with probabilities. `done` gets the share done."""


class Classifier:
    def __init__(self, folder: Path, described: kept.Kept):
        self.labels, self.most, self.simplify = (
            tuple(described["labels"]),
            described["max_seq_length"],
            described["simplify"],
        )
        self.tokenizer, self.place, self.cut = tokenization.load(folder), device.pick(), 0
        self.nothing: dict[str, Any] = {"label": None, "probability": None, "probabilities": {}}
        self.model = labelling(AutoModelForSequenceClassification, folder, self.labels)
        self.model.to(self.place)  # type: ignore[arg-type]  # transformers' wrapper hides that it is a method
        self.model.forward = passes.halving(self.model.forward)

    def __call__(self, contents: list[Example], done: Callable[[float], object]) -> list[dict]:
        short = [one._replace(texts=tuple(text[:LONGEST] for text in one.texts)) for one in contents]
        encoded = classifier.encode(self.tokenizer, simple(short, self.simplify), self.most)
        self.cut += encoded.cut
        with passes.told(self.model, len(contents), done):
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
        self.tokenizer, self.place = tokenization.load(folder), device.pick()
        self.most, self.cut = described["max_query_length"], 0
        self.nothing: dict[str, Any] = {"answer": None, "probability": None, "n_best": []}
        self.model = reader_of(folder, self.choices).to(self.place)
        self.model.encoder.forward = passes.halving(self.model.encoder.forward)

    def __call__(self, contents: list[Question], done: Callable[[float], object]) -> list[dict]:
        how, questions = self.described, simple(contents, self.described["simplify"])
        windows = spans.windows(self.tokenizer, questions, how["max_seq_length"], how["stride"], self.most)
        pieces = spans.encoded(self.tokenizer, [one.question for one in questions])
        self.cut += sum(len(pieces[one.question][0]) > self.most for one in questions)
        positions = 2 * tuning.POSITIONS[self.place.type]
        with passes.told(self.model.encoder, len(windows), done):
            # Answers are cut out of what was given, not of what it was simplified to.
            n_best = reader.answered(
                self.model, windows, contents, self.choices, how["max_answer_length"], self.place, positions
            )
        said = []
        for found in n_best:
            scores = np.array([score for _, score in found])
            shares = np.exp(scores - scores.max())
            shares /= shares.sum()
            best = [{"answer": text, "probability": round(float(p), 6)} for (text, _), p in zip(found, shares)]
            said.append({**best[0], "n_best": best[:SHOWN]})
        return said


class Tagger:
    def __init__(self, folder: Path, described: kept.Kept):
        self.described, self.labels = described, tuple(described["labels"])
        self.tokenizer, self.place = tokenization.load(folder), device.pick()
        self.most, self.cut = described["max_seq_length"], 0  # for it reads what is longer in windows
        self.nothing: dict[str, Any] = {"tags": None, "entities": []}
        self.model = labelling(AutoModelForTokenClassification, folder, self.labels)
        self.model.to(self.place)  # type: ignore[arg-type]  # transformers' wrapper hides that it is a method
        self.model.forward = passes.halving(self.model.forward)

    def __call__(self, contents: list[Sentence], done: Callable[[float], object]) -> list[dict]:
        sentences = simple(contents, self.described["simplify"])
        windows = tagger.windows(self.tokenizer, sentences, self.most, self.described["stride"])
        positions = 2 * tuning.POSITIONS[self.place.type]
        with passes.told(self.model, len(windows), done):
            found = tagger.tagged(self.model, windows, len(sentences), self.place, positions)
        return [
            tags.answer(one.tokens, [self.labels[number] for number in numbers], shares.tolist())
            for one, (numbers, shares) in zip(contents, found)
        ]


def simple(contents: list, simplify: bool) -> list:
    """In simplified characters for a model that was trained on them."""
    return [converted(one, simplified) for one in contents] if simplify else contents


def load(folder: Path) -> tuple[kept.Kept, Model]:
    """A kept model, ready for rows on the device that is there. Raises UserError for what is none."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    described = read(folder)
    kinds: dict[str, Any] = {"reading": Reader, "tagging": Tagger}
    return described, kinds.get(described["kind"], Classifier)(folder, described)


def read(folder: Path) -> kept.Kept:
    """What the config.json of a kept model says. Raises UserError that says what `folder` is instead."""
    if not (folder / kept.CONFIG).is_file():
        if (folder / model_folder.CARD).is_file():
            raise UserError(
                f"{folder} has no weights, for finetune.models.{folder.name}.keep is `none`; set it to `best` and run"
                " `dvc repro`"
            )
        raise UserError(f"{folder} is not there or is no model; finetune keeps models in models/finetuned/TASK/MODEL")
    config = masked_lm.config_of(folder)
    if kept.KEY not in config:
        raise UserError(
            f"{folder} is no fine-tuned model of this project ({', '.join(config.get('architectures') or ['?'])});"
            " fine-tune it, and name models/finetuned/TASK/MODEL"
        )
    if lacking := sorted(kept.Kept.__annotations__.keys() - config[kept.KEY].keys()):
        raise UserError(
            f"{folder / kept.CONFIG} has no {', '.join(lacking)} in `{kept.KEY}`, as other versions of this project"
            " wrote it; fine-tune the model anew, or use that version"
        )
    if not (folder / kept.WEIGHTS).is_file():
        raise UserError(f"{folder} has a {kept.CONFIG} and no {kept.WEIGHTS}; copy the whole folder")
    return cast(kept.Kept, config[kept.KEY])


def labelling(kind: Any, folder: Path, labels: tuple[str, ...]) -> PreTrainedModel:
    """A kept model of the class `kind` of transformers. Raises UserError that names what its weights lack, or labels
    that are not its own.
    """
    model, info = weight_files.from_pretrained(kind, folder, dtype=torch.float32)
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
    if output:
        outputs.check(output, file)
    described, model = load(folder)
    given, total = inputs.read(file, form, described, columns)
    labelled = empty = 0
    right, whole, noun, tagging = 0, 0, NOUNS[described["kind"]], described["kind"] == "tagging"
    with outputs.writer(output) as write, tqdm(total=total, desc="predict", unit=f" {noun}", mininterval=1) as bar:
        for chunk in chunks(given, CHUNK[described["kind"]], CHARACTERS):
            for row, one in zip(chunk, predicted(model, chunk, bar)):
                write(row.shown | one)
                empty += row.content is None
                if row.content is not None and row.label is not None:
                    labelled += 1
                    if tagging:
                        both, wanted, told = tags.counts(row.label, one["tags"])
                        right, whole = right + 2 * both, whole + wanted + told
                    else:
                        right, whole = right + (row.label == one["label"]), whole + 1
    if empty:
        missing = {"questions": ("answer", "question or context"), "sentences": ("tags", "text")}.get(
            noun, ("label", "text")
        )
        print(f"no {missing[0]} for {empty:,} with an empty {missing[1]}", file=sys.stderr)
    if model.cut:
        print(f"{model.cut:,} of the {noun} had more than {model.most} pieces and lost the rest", file=sys.stderr)
    if labelled:
        measure, given_by = ("entity F1", "tags") if tagging else ("accuracy", "a label")
        score = 100 * right / max(1, whole)
        print(f"{measure} {score:.2f} % of {labelled:,} rows that have {given_by}", file=sys.stderr)


def chunks(given: Iterable[Given], rows: int, characters: int) -> Iterator[list[Given]]:
    """Up to so many rows at a time, and no more once they have so many characters."""
    chunk: list[Given] = []
    size = 0
    for row in given:
        chunk.append(row)
        size += row.characters
        if len(chunk) == rows or size >= characters:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


@torch.inference_mode()
def predicted(model: Model, chunk: list[Given], bar: tqdm) -> list[dict]:
    """What is said of each row; `bar` moves with each forward pass."""
    begun, contents = bar.n, [row.content for row in chunk if row.content is not None]
    said = iter(model(contents, lambda share: bar.update(begun + int(share * len(chunk)) - bar.n)) if contents else [])
    found = [model.nothing if row.content is None else next(said) for row in chunk]
    bar.update(begun + len(chunk) - bar.n)
    return found
