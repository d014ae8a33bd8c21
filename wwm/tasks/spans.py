"""Span reading (CMRC 2018, DRCD, CJRC): questions out of SQuAD-style JSON, windows over their contexts, answers out of
logits.

Windows and answers are those of google-research/bert's run_squad.py. Plain values in, plain values out.
"""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from tokenizers import Tokenizer

from wwm.common.errors import UserError

COUNTED = ("moved", "misaligned", "lost", "dropped")
# Where params.yaml does not say. run_squad.py's longest answer, 30, is too short for 19 % of CMRC 2018's training set.
MAX_QUERY_LENGTH = 64
MAX_ANSWER_LENGTH = 128
T = TypeVar("T")
BEST_LOGITS = 20  # of a window's starts, and of its ends, as run_squad.py's n_best_size


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


class Window(NamedTuple):
    """[CLS] question [SEP] a stretch of m context pieces [SEP]."""

    question: int  # index into the questions
    ids: np.ndarray  # (n,) int64
    types: np.ndarray  # (n,) int64, 1 from the first context piece on
    first: int  # position in `ids` of the first context piece
    offsets: np.ndarray  # (m, 2) int64, characters of the unchanged context; they may repeat, overlap or leave gaps
    best: np.ndarray  # (m,) bool, no other window gives this piece more context on its poorer side
    held: tuple[int, int]  # begin and end of the characters that have no piece outside this window


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
        file = json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{error.lineno}:{error.colno} is not JSON ({error.msg}); expected one SQuAD-style object"
        ) from None
    questions: dict[str, Question] = {}
    counts, unusable, bare, answered = dict.fromkeys(COUNTED, 0), [], [], False
    for i, entry in enumerate(field(file, "data", list, f"{path}")):
        for j, paragraph in enumerate(field(entry, "paragraphs", list, f"{path}: data[{i}]")):
            where = f"{path}: data[{i}].paragraphs[{j}]"
            context = field(paragraph, "context", str, where)
            for k, asked in enumerate(field(paragraph, "qas", list, where)):
                name = field(asked, "id", str, f"{where}.qas[{k}]")
                told = f"{path}: question {name}"
                if name in questions:
                    raise UserError(f"{told} comes twice; ids must differ, for predictions are kept by them")
                answers = []
                if asked.get("answers") is None:
                    bare.append(name)
                    asked = asked | {"answers": []}
                for given in field(asked, "answers", list, told):
                    answer, quirk = placed(
                        field(given, "text", str, told), field(given, "answer_start", int, told), context, choices
                    )
                    answers.append(answer)
                    if quirk:
                        counts[quirk] += 1
                answered = answered or bool(answers)
                if not answers and "" in choices:
                    answers.append(Answer("", -1))
                question = Question(
                    name, field(asked, "question", str, told), context, tuple(answers), entry.get("domain")
                )
                if taught(question, choices) is None:
                    counts["lost" if answers else "dropped"] += 1
                    unusable.append(name)
                questions[name] = question
    if not questions:
        raise UserError(f"{path} has no questions")
    if 0 < len(bare) < len(questions):
        raise UserError(
            f"{path}: question {bare[0]}: answers is missing, which other questions have; [] stands for none"
        )
    if not answered:
        raise Unlabelled(f"{path}: none of its {len(questions):,} questions has an answer")
    if len(unusable) > len(questions) / 2:
        raise UserError(
            f"{path}: {len(unusable)} of {len(questions)} questions have no answer that stands in their context, the"
            f" first is {unusable[0]}; is it another file's?"
        )
    return [question for question in questions.values() if question.answers], counts


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


def windows(
    tokenizer: Tokenizer, questions: Sequence[Question], max_seq_length: int, stride: int, max_query_length: int
) -> list[Window]:
    """The windows of all questions, in their order; one begins `stride` pieces after another until the context ends.

    A context without pieces has one window. Raises UserError if a question leaves no room for its context.
    """
    cls_id, sep_id = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    assert cls_id is not None and sep_id is not None
    queries = encoded(tokenizer, [question.question for question in questions])
    contexts = encoded(tokenizer, [question.context for question in questions])
    made = []
    for number, question in enumerate(questions):
        query = queries[question.question][0][:max_query_length]
        ids, offsets = contexts[question.context]
        room = max_seq_length - len(query) - 3
        if room < 1 or stride < 1:
            raise UserError(
                f"question {question.id} takes {len(query)} pieces of max_seq_length {max_seq_length} at stride"
                f" {stride}: no room for its context; make max_seq_length longer or max_query_length shorter, and"
                " stride 1 or more"
            )
        begins, best = layout(len(ids), room, stride)
        for i, begin in enumerate(begins.tolist()):
            end = min(begin + room, len(ids))
            held = (
                int(offsets[begin - 1, 1]) if begin else 0,
                int(offsets[end, 0]) if end < len(ids) else len(question.context),
            )
            row: np.ndarray = np.concatenate(([cls_id], query, [sep_id], ids[begin:end], [sep_id]))
            types = np.zeros(len(row), np.int64)
            types[len(query) + 2 :] = 1
            made.append(Window(number, row, types, len(query) + 2, offsets[begin:end], best[i, begin:end], held))
    return made


def encoded(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """ids (n,) int64 and offsets (n, 2) int64 of each different text."""
    different = list(dict.fromkeys(texts))
    encodings = tokenizer.encode_batch(different, add_special_tokens=False)
    return {
        text: (np.array(encoding.ids, np.int64), np.array(encoding.offsets, np.int64).reshape(-1, 2))
        for text, encoding in zip(different, encodings)
    }


def layout(n_pieces: int, room: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Where windows of up to `room` pieces begin, (k,) int64, and in which of them each piece has most context, (k,
    n_pieces) bool.
    """
    step = min(stride, room)
    begins = np.arange(0, max(n_pieces - room, 0) + step, step)
    ends = np.minimum(begins + room, n_pieces)
    pieces = np.arange(n_pieces)
    context = np.minimum(pieces - begins[:, None], ends[:, None] - 1 - pieces)
    # In run_squad.py a longer window breaks a tie; only the last one is shorter, so the first of equals is that.
    return begins, context.argmax(0) == np.arange(len(begins))[:, None]


def target(window: Window, answer: Answer) -> tuple[int, int]:
    """Positions in `ids` of the first and last piece that have a part in the answer; (0, 0), [CLS], if this window does
    not hold it whole.
    """
    begin, end = answer.start, answer.start + len(answer.text)
    if begin < window.held[0] or end > window.held[1]:
        return 0, 0
    pieces = np.flatnonzero((window.offsets[:, 1] > begin) & (window.offsets[:, 0] < end))
    return (window.first + int(pieces[0]), window.first + int(pieces[-1])) if len(pieces) else (0, 0)


def unreachable(
    windows: Sequence[Window], questions: Sequence[Question], max_answer_length: int, choices: tuple[str, ...] = ()
) -> int:
    """Questions none of whose answers `answers` can return to the letter, whatever the logits.

    Such an answer is no choice, and it has more than `max_answer_length` pieces, or no window in which its first piece
    has most context holds it whole, or what the pieces cut out of the context is another text.
    """
    reached = {
        number
        for number, question in enumerate(questions)
        if any(answer.text in choices for answer in question.answers)
    }
    for window in windows:
        if window.question in reached:
            continue
        question = questions[window.question]
        for answer in question.answers:
            first, last = (position - window.first for position in target(window, answer))
            if (
                0 <= first
                and last - first < max_answer_length
                and window.best[first]
                and question.context[window.offsets[first, 0] : window.offsets[last, 1]] == answer.text
            ):
                reached.add(window.question)
    return len(questions) - len(reached)


def answers(
    windows: Sequence[Window],
    starts: Sequence[np.ndarray],
    ends: Sequence[np.ndarray],
    questions: Sequence[Question],
    n_best: int,
    max_answer_length: int,
    choices: tuple[str, ...] = (),
    choices_scores: Sequence[np.ndarray] = (),
) -> list[list[tuple[str, float]]]:
    """For each question up to `n_best` different texts and their scores, best first; ("", 0.0) alone if there is none.

    starts, ends: for each window float32 logits over the positions of its ids, (n,) or padded to more; choices_scores:
    for each window the start and end logit of each of the choices, (len(choices), 2). A span's score is the sum of its
    logits; it lies in one window, has up to `max_answer_length` pieces, and begins where that window gives most
    context. The score of "" is that of the window which says it least, as every window must find nothing; that of
    another choice is that of the window which says it most.
    """
    parts: list[list[int]] = [[] for _ in questions]
    for i, window in enumerate(windows):
        parts[window.question].append(i)
    told = []
    for question, indices in zip(questions, parts):
        found = [spans(windows[i], starts[i], ends[i], max_answer_length) for i in indices]
        scores, characters = (
            np.concatenate([scores for scores, _ in found]),
            np.concatenate([characters for _, characters in found]),
        )
        ranked: dict[str, float] = {}
        for i in np.argsort(-scores, kind="stable").tolist():
            ranked.setdefault(question.context[characters[i, 0] : characters[i, 1]], float(scores[i]))
            if len(ranked) == n_best:
                break
        if choices:
            sums = np.stack([choices_scores[i] for i in indices]).sum(2)
            for choice, said in zip(choices, sums.T):
                score = float(said.max() if choice else said.min())
                ranked[choice] = max(score, ranked.get(choice, score))
        told.append(sorted(ranked.items(), key=lambda item: -item[1])[:n_best] or [("", 0.0)])
    return told


def spans(
    window: Window, starts: np.ndarray, ends: np.ndarray, max_answer_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (k,) and characters (k, 2) of the spans that the best starts and the best ends of a window make."""
    context = slice(window.first, window.first + len(window.offsets))
    starts, ends = np.where(window.best, starts[context], -np.inf), ends[context]
    firsts, lasts = np.argsort(-starts, kind="stable")[:BEST_LOGITS], np.argsort(-ends, kind="stable")[:BEST_LOGITS]
    scores = starts[firsts, None] + ends[lasts]
    lengths = lasts - firsts[:, None] + 1
    i, j = np.nonzero((lengths >= 1) & (lengths <= max_answer_length) & window.best[firsts, None])
    return scores[i, j], np.stack((window.offsets[firsts[i], 0], window.offsets[lasts[j], 1]), 1)
