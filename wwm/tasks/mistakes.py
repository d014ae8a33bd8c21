"""What a fine-tuned model gets wrong on dev, as tables to read: they are shown in MLflow, and change nothing."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from wwm.common.csv_text import csv_text
from wwm.tasks.questions import Question
from wwm.tasks.rows import Example
from wwm.tasks.span_scores import cmrc
from wwm.tasks.tags import Sentence, entities

MOST = 50
BEGIN = attrgetter("begin")


def confusion(gold: Sequence[int], said: Sequence[str], labels: Sequence[str]) -> list[list[int]]:
    """(labels, labels) how often a row with one label was given another, by label and by what was said. gold: numbers
    of labels.
    """
    counts = np.zeros((len(labels), len(labels)), int)
    for label, name in zip(gold, said, strict=True):
        counts[label, labels.index(name)] += 1
    return counts.tolist()


def of_classifier(examples: Sequence[Example], shares: Sequence[dict[str, float]], labels: Sequence[str]) -> str:
    """A CSV of the wrong rows that the model was surest of. shares: label -> probability, of each example."""
    found: list[list[Any]] = []
    for number, (example, row) in enumerate(zip(examples, shares, strict=True), 1):
        said, right = max(row, key=lambda label: row[label]), labels[example.label]
        if said != right:
            found.append([number, right, said, row[said], row[right], *example.texts])
    texts = ["text"] if not examples or len(examples[0].texts) == 1 else ["text_a", "text_b"]
    found.sort(key=lambda row: -row[3])
    return csv_text(["row", "label", "predicted", "probability", "probability of the label", *texts], found[:MOST])


def of_reader(questions: Sequence[Question], answers: dict[str, str]) -> str:
    """A CSV of the questions whose answers are furthest off by F1, with their contexts. answers: by question id."""
    found: list[list[Any]] = []
    for question in questions:
        texts = [answer.text for answer in question.answers]
        said = answers.get(question.id, "")
        if texts and (f1 := cmrc(texts, said)[1]) < 1 and said not in texts:
            found.append([question.id, question.question, " / ".join(texts), said, round(f1, 4), question.context])
    found.sort(key=lambda row: row[4])
    return csv_text(["id", "question", "answers", "predicted", "F1", "context"], found[:MOST])


def of_tagger(sentences: Sequence[Sentence], said: Sequence[Sequence[str]]) -> str:
    """A CSV of the sentences with most entities that are missed or wrong. said: the tags of each."""
    found: list[list[Any]] = []
    for number, (sentence, own) in enumerate(zip(sentences, said, strict=True), 1):
        wanted, told = set(entities(sentence.tags)), set(entities(own))
        missed, wrong = sorted(wanted - told, key=BEGIN), sorted(told - wanted, key=BEGIN)
        if missed or wrong:
            shown = [
                " / ".join(f"{''.join(sentence.tokens[one.begin : one.end])} {one.type}".strip() for one in part)
                for part in (missed, wrong)
            ]
            found.append([number, len(missed) + len(wrong), *shown, sentence.text])
    found.sort(key=lambda row: -row[1])
    return csv_text(["row", "mistakes", "missed", "wrong", "text"], found[:MOST])
