"""What a fine-tuned model says of each row of a split, beside what is right: the rows of a .jsonl file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wwm.common import files
from wwm.tasks import tags
from wwm.tasks.questions import Question
from wwm.tasks.rows import Example, Split
from wwm.tasks.tags import Sentence
from wwm.tasks.task import TEXTS, Kind


def write(folder: Path, kind: Kind, splits: dict[str, Split], said: dict[str, Any], labels: Sequence[str]) -> None:
    """SPLIT.jsonl of each split, and of a reading task SPLIT.json for official scripts. said: what tuning.Job.score
    says, by file name.
    """
    for split, found in splits.items():
        if f"{split}.json" not in said:
            continue
        match kind:
            case "reading":
                rows = of_reader(found.examples, said[f"{split}_nbest.json"])
                files.write_json(folder / f"{split}.json", said[f"{split}.json"])
            case "tagging":
                rows = of_tagger(found.examples, said[f"{split}.json"], said[f"{split}_probabilities.json"])
            case _:
                rows = of_classifier(kind, found.examples, said[f"{split}_probabilities.json"], labels)
        files.write_json_lines(folder / f"{split}.jsonl", rows)


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


def of_tagger(
    sentences: Sequence[Sentence], said: Sequence[Sequence[str]], probabilities: Sequence[Sequence[float]]
) -> Iterator[dict]:
    """`id`, `text`, `tokens` where they are not its characters, `gold` (the tags, null where the file has none), and
    the rest as `wwm predict` has it. said, probabilities: of each token of each sentence the tag, and how likely it
    is.
    """
    for sentence, own, shares in zip(sentences, said, probabilities, strict=True):
        yield {
            "id": sentence.id,
            **sentence.shown,
            "gold": [*sentence.tags] or None,
            **tags.answer(sentence.tokens, own, shares),
        }
