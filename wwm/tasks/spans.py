"""Span reading (CMRC 2018, DRCD, CJRC): windows over the contexts of questions, answers out of logits.

Windows and answers are those of google-research/bert's run_squad.py. Plain values in, plain values out.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from wwm.common.errors import UserError
from wwm.tasks.questions import Answer, Question

# Where params.yaml does not say. run_squad.py's longest answer, 30, is too short for 19 % of CMRC 2018's training set.
MAX_QUERY_LENGTH = 64
MAX_ANSWER_LENGTH = 128
BEST_LOGITS = 20  # of a window's starts, and of its ends, as run_squad.py's n_best_size


class Window(NamedTuple):
    """[CLS] question [SEP] a stretch of m context pieces [SEP]."""

    question: int  # index into the questions
    ids: np.ndarray  # (n,) int64
    types: np.ndarray  # (n,) int64, 1 from the first context piece on
    first: int  # position in `ids` of the first context piece
    offsets: np.ndarray  # (m, 2) int64, characters of the unchanged context; they may repeat, overlap or leave gaps
    best: np.ndarray  # (m,) bool, no other window gives this piece more context on its poorer side
    held: tuple[int, int]  # begin and end of the characters that have no piece outside this window


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
        begins, most = layout(len(ids), room, stride)
        for i, begin in enumerate(begins.tolist()):
            end = min(begin + room, len(ids))
            held = (
                int(offsets[begin - 1, 1]) if begin else 0,
                int(offsets[end, 0]) if end < len(ids) else len(question.context),
            )
            row: np.ndarray = np.concatenate(([cls_id], query, [sep_id], ids[begin:end], [sep_id]))
            types = np.zeros(len(row), np.int64)
            types[len(query) + 2 :] = 1
            made.append(Window(number, row, types, len(query) + 2, offsets[begin:end], most[begin:end] == i, held))
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
    """Where windows of up to `room` pieces begin, (k,) int64, and in which of them each piece has most context,
    (n_pieces,) int64.
    """
    step = min(stride, room)
    begins = np.arange(0, max(n_pieces - room, 0) + step, step)
    ends = np.minimum(begins + room, n_pieces)
    pieces = np.arange(n_pieces)
    # No window before these holds the piece, and none after them.
    near = np.maximum(np.minimum(pieces // step, len(begins) - 1) - np.arange(-(-room // step))[::-1, None], 0)
    context = np.minimum(pieces - begins[near], ends[near] - 1 - pieces)
    # In run_squad.py a longer window breaks a tie; only the last one is shorter, so the first of equals is that.
    return begins, near[context.argmax(0), pieces]


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
