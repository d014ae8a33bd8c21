"""How tasks are scored; tests/test_span_scores.py has reading, tests/test_tags.py entities."""

from typing import get_args

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from wwm.tasks import metrics
from wwm.tasks.metrics import METRICS
from wwm.tasks.questions import Answer, Question
from wwm.tasks.table import TASKS
from wwm.tasks.tags import Sentence
from wwm.tasks.task import Kind


def test_macro_f1_of_three_labels_is_the_mean_of_their_f1():
    gold, predicted = np.array([0, 0, 0, 0, 1, 2]), np.array([0, 0, 0, 1, 1, 1])
    # 0: 3 of 3 and 3 of 4; 1: 1 of 3 and 1 of 1; 2 is never said.
    assert METRICS["macro_f1"].score(gold, predicted)["macro_f1"] == pytest.approx(100 * (6 / 7 + 1 / 2 + 0) / 3)


@pytest.mark.parametrize("labels", [2, 3, 10])
def test_classification_is_scored_as_scikit_learn_does(labels):
    rng = np.random.default_rng(labels)
    for size in (1, 5, 200):
        gold, predicted = rng.integers(0, labels, size), rng.integers(0, labels, size)
        scores = METRICS["macro_f1"].score(gold, predicted)
        assert scores["macro_f1"] == pytest.approx(100 * f1_score(gold, predicted, average="macro", zero_division=0))
        assert (
            scores["accuracy"]
            == METRICS["accuracy"].score(gold, predicted)["accuracy"]
            == pytest.approx(100 * accuracy_score(gold, predicted))
        )


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_returns_what_its_tables_show_and_that_first(name):
    assert METRICS[name].measures and set(METRICS[name].kinds) <= {*get_args(Kind)}
    if set(METRICS[name].kinds) & set(metrics.CLASSIFICATION):
        scores = METRICS[name].score(np.array([0, 1]), np.array([0, 0]))
    elif "tagging" in METRICS[name].kinds:
        scores = METRICS[name].score([Sentence(("京",), ("B-LOC",))], [["B-LOC"]])
    else:
        scores = METRICS[name].score([Question("a", "谁？", "张三", (Answer("张三", 0),), None)], {"a": "张三"})
    assert list(scores)[: len(METRICS[name].measures)] == list(METRICS[name].measures)


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_every_task_of_the_table_has_a_metric_of_its_kind(task):
    assert task.kind in METRICS[task.metric].kinds


def test_figures_of_macro_f1_tell_how_much_it_would_differ_on_other_examples():
    """Their deviation over the square root of their number is that of the score over many test sets."""
    rng = np.random.default_rng(0)
    scores, errors = [], []
    for _ in range(2000):
        gold = rng.choice(3, 300, p=[0.7, 0.2, 0.1])
        predicted = np.where(rng.random(300) < 0.7, gold, rng.integers(0, 3, 300))
        figures = metrics.macro_f1(gold, predicted)["macro_f1"]
        scores.append(figures.mean())
        errors.append(figures.std(ddof=1) / 300**0.5)
    assert np.mean(errors) == pytest.approx(np.std(scores), rel=0.04)
