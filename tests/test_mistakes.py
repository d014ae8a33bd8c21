"""What is shown of a fine-tuned model's errors."""

import csv
import io

from wwm.tasks import mistakes
from wwm.tasks.questions import Answer, Question
from wwm.tasks.rows import Example


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_the_wrong_rows_that_a_classifier_was_surest_of_come_first():
    examples = [Example(("很好",), 1), Example(("太差,\n不买",), 0), Example(("一般",), 0)]
    shares = [{"差": 0.4, "好": 0.6}, {"差": 0.1, "好": 0.9}, {"差": 0.3, "好": 0.7}]
    header, *found = rows(mistakes.of_classifier(examples, shares, ("差", "好")))
    assert header == ["row", "label", "predicted", "probability", "probability of the label", "text"]
    assert found == [["2", "差", "好", "0.9", "0.1", "太差,\n不买"], ["3", "差", "好", "0.7", "0.3", "一般"]]


def test_confusion_counts_by_label_and_by_what_was_said():
    assert mistakes.confusion([0, 0, 1], ["差", "好", "好"], ["差", "好"]) == [[1, 1], [0, 1]]


def test_fifty_errors_are_enough():
    examples = [Example((str(number),), 0) for number in range(60)]
    shares = [{"差": 0.2, "好": 0.8}] * 60
    assert len(rows(mistakes.of_classifier(examples, shares, ("差", "好")))) == 51


def test_the_answers_that_are_furthest_off_come_first_with_their_contexts():
    context = "北京是中国的首都。"
    questions = [
        Question(number, "首都是哪？", context, (Answer("北京", 0),), None) for number in ("right", "part", "wrong")
    ]
    said = {"right": "北京", "part": "北京是", "wrong": "首都"}
    header, *found = rows(mistakes.of_reader(questions, said))
    assert header == ["id", "question", "answers", "predicted", "F1", "context"]
    assert found == [
        ["wrong", "首都是哪？", "北京", "首都", "0.0", context],
        ["part", "首都是哪？", "北京", "北京是", "0.8", context],
    ]
