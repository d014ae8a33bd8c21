"""What a fine-tuned model says of each row of a split, beside what is right: the rows of a .jsonl file."""

from collections.abc import Iterator, Sequence

from wwm.tasks.questions import Question
from wwm.tasks.rows import Example
from wwm.tasks.task import TEXTS, Kind


def of_classifier(
    kind: Kind, examples: Sequence[Example], shares: Sequence[dict[str, float]], labels: Sequence[str]
) -> Iterator[dict]:
    """`id`, the texts, `gold` (null where the file has no label), and the rest as `wwm predict` has it. shares: label
    -> probability, of each example.
    """
    for example, row in zip(examples, shares, strict=True):
        said = max(row, key=lambda label: row[label])
        yield {
            "id": example.id,
            **dict(zip(TEXTS[kind], example.texts)),
            "gold": labels[example.label] if example.label >= 0 else None,
            "label": said,
            "probability": row[said],
            "probabilities": row,
        }


def of_reader(questions: Sequence[Question], n_best: dict[str, list]) -> Iterator[dict]:
    """`id`, `question`, `context`, `gold` (all answers, [] where they are kept by others), `answer`, and the best ones
    with their scores. n_best: by question id.
    """
    for question in questions:
        found = n_best[question.id]
        yield {
            "id": question.id,
            "question": question.question,
            "context": question.context,
            "gold": [answer.text for answer in question.answers],
            "answer": found[0][0],
            "n_best": [{"answer": text, "score": score} for text, score in found],
        }
