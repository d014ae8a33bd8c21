"""Questions on texts out of SQuAD-style JSON (CMRC 2018, DRCD, CJRC), with the quirks of its files. Plain values."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from wwm.common.errors import UserError

T = TypeVar("T")
COUNTED = ("moved", "misaligned", "lost", "dropped")


class Unlabelled(UserError):
    """A file whose rows have no label, or questions no answer, as those of test sets whose answers are kept."""


class Answer(NamedTuple):
    """`start` counts characters of the context; -1: no span, a choice (YES, NO, "") or a text that stands nowhere,
    which only scores.
    """

    text: str
    start: int


class Question(NamedTuple):
    """`answers` are all that the official scripts compare with, in the file's order; `domain` is CJRC's."""

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...]
    domain: str | None


def parse(text: str, path: object, choices: tuple[str, ...] = ()) -> tuple[list[Question], dict[str, int]]:
    """The questions of a SQuAD-style JSON file, and how often each of its quirks was met; `path` is for messages.

    choices: answers that are no span whatever their start; where "" is one, an empty list of answers means it (CJRC's
    script reads it so, and never looks at `is_impossible`). Counts: answers that were `moved` to the only place where
    they stand, that are `misaligned` (start -1: they stand nowhere, or at several other places); questions `lost` to
    training, for all their answers are misaligned; questions `dropped` as they have no answer at all. What is
    misaligned or lost is kept, as the official scores count it. Raises Unlabelled where no question at all has an
    answer, and UserError that names the file, and line and column, entry or question, of broken JSON, a missing field,
    an id that comes twice, no questions, or more than half of the questions lost or dropped.
    """
    if not text.strip("\ufeff \t\r\n"):
        raise UserError(f"{path} is empty; expected one SQuAD-style object")
    try:
        file = json_of(text.removeprefix("\ufeff"), path)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{error.lineno}:{error.colno} is not JSON ({error.msg}); expected one SQuAD-style object"
        ) from None
    questions: dict[str, Question] = {}
    counts, unusable, bare = dict.fromkeys(COUNTED, 0), [], []
    any_answer = False
    for told, asked, question in walk(field(file, "data", list, f"{path}"), path):
        if question.id in questions:
            raise UserError(f"{told} comes twice; ids must differ, for predictions are kept by them")
        answers = []
        if asked.get("answers") is None:
            bare.append(question.id)
            asked = asked | {"answers": []}
        for given in field(asked, "answers", list, told):
            answer, quirk = placed(
                field(given, "text", str, told), field(given, "answer_start", int, told), question.context, choices
            )
            answers.append(answer)
            if quirk:
                counts[quirk] += 1
        any_answer = any_answer or bool(answers)
        if not answers and "" in choices:
            answers.append(Answer("", -1))
        question = question._replace(answers=tuple(answers))
        if taught(question, choices) is None:
            counts["lost" if answers else "dropped"] += 1
            unusable.append(question.id)
        questions[question.id] = question
    if not questions:
        raise UserError(f"{path} has no questions")
    if 0 < len(bare) < len(questions):
        raise UserError(
            f"{path}: question {bare[0]}: answers is missing, which other questions have; [] stands for none"
        )
    if not any_answer:
        raise Unlabelled(f"{path}: none of its {len(questions):,} questions has an answer")
    if len(unusable) > len(questions) / 2:
        raise UserError(
            f"{path}: {len(unusable)} of {len(questions)} questions have no answer that stands in their context, the"
            f" first is {unusable[0]}; is it another file's?"
        )
    return [question for question in questions.values() if question.answers], counts


def json_of(text: str, path: object) -> Any:
    """Raises JSONDecodeError; and UserError for JSON that Python does not read: lists in lists without end, a number of
    thousands of digits.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise UserError(f"{path} has lists in lists without end; mend it: no task has such a row") from None
    except ValueError:
        raise UserError(f"{path} has a number of more than 4,300 digits; put it in quotes") from None


def walk(entries: Iterable[object], path: object) -> Iterator[tuple[str, dict, Question]]:
    """Of each question of a SQuAD-style file's `data`: what messages call it, its object, and itself without answers.
    Raises UserError that names what lacks a field.
    """
    for i, entry in enumerate(entries):
        for j, paragraph in enumerate(field(entry, "paragraphs", list, f"{path}: data[{i}]")):
            where = f"{path}: data[{i}].paragraphs[{j}]"
            context = field(paragraph, "context", str, where)
            for k, asked in enumerate(field(paragraph, "qas", list, where)):
                name = field(asked, "id", str, f"{where}.qas[{k}]")
                told = f"{path}: question {name}"
                domain = entry.get("domain") if isinstance(entry, dict) else None
                yield told, asked, Question(name, field(asked, "question", str, told), context, (), domain)


def field(values: object, key: str, kind: type[T], where: str) -> T:
    if not isinstance(values, dict) or not isinstance(values.get(key), kind):
        raise UserError(f"{where}: {key} is missing or no {kind.__name__}")
    return values[key]


def placed(text: str, start: int, context: str, choices: tuple[str, ...]) -> tuple[Answer, str | None]:
    """The answer where it stands, and the quirk that it shows, if any."""
    if text in choices:
        return Answer(text, -1), None
    if text and start >= 0 and context.startswith(text, start):
        return Answer(text, start), None
    found = context.find(text) if text else -1
    if found >= 0 and context.find(text, found + 1) < 0:
        return Answer(text, found), "moved"
    return Answer(text, -1), "misaligned"


def taught(question: Question, choices: tuple[str, ...] = ()) -> Answer | None:
    """The answer that training shows: the first that is a span or one of the choices; None: the question is no training
    example.
    """
    return next((answer for answer in question.answers if answer.start >= 0 or answer.text in choices), None)
