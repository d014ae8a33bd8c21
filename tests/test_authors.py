"""The authors' figures, and the tables of small models that their page computes from these."""

from pathlib import Path

import finetuned
import pytest

from wwm.report import authors, averages, results

TASKS = ["cmrc2018", "drcd", "xnli", "chnsenticorp", "lcqmc", "bq"]
# As published: CMRC EM and F1, DRCD EM and F1, XNLI, ChnSentiCorp, LCQMC, BQ; average; parameters in millions and their
# share.
SMALL = {
    "RoBERTa-wwm-ext-large": ([74.2, 90.6, 89.6, 94.5, 81.2, 95.8, 87.0, 85.8], 87.335, "325.0M"),
    "RoBERTa-wwm-ext": ([72.6, 89.4, 85.6, 92.0, 78.8, 95.6, 86.4, 85.0], 85.675, "102.0M (100.0 %)"),
    "RBTL3": ([63.3, 83.4, 77.2, 85.6, 74.0, 94.2, 85.1, 83.6], 80.800, "61.0M (59.8 %)"),
    "RBT3": ([62.2, 81.8, 75.0, 83.9, 72.3, 92.8, 85.1, 83.3], 79.550, "38.0M (37.3 %)"),
}
# The same relative to RoBERTa-wwm-ext; the overall and the classification figure.
RELATIVE = {
    "RoBERTa-wwm-ext-large": ([102.2, 101.3, 104.7, 102.7, 103.0, 100.2, 100.7, 100.9], 101.9, 101.2),
    "RoBERTa-wwm-ext": ([100] * 8, 100, 100),
    "RBTL3": ([87.2, 93.3, 90.2, 93.0, 93.9, 98.5, 98.5, 98.4], 94.3, 97.35),
    "RBT3": ([85.7, 91.5, 87.6, 91.2, 91.8, 97.1, 98.5, 98.0], 92.9, 96.35),
}


def measured(tasks: list[str]) -> list[results.Task]:
    """Of one model, whatever its scores: the authors' tables need to know which tasks there are."""
    splits = {
        task: {"dev": [(1, 2)], "test": [(1, 2)]} if task in ("cmrc2018", "drcd", "cjrc") else {"dev": [1], "test": [1]}
        for task in tasks
    }
    return [results.task(task, {"mine": finetuned.result("mine", task, scores)}, {}) for task, scores in splits.items()]


def test_average_of_each_small_model_is_the_published_one():
    figures = averages.reference(measured(TASKS))
    assert [key.split()[0] for keys in figures.heads.values() for key in keys] == [
        "cmrc2018",
        "cmrc2018",
        "drcd",
        "drcd",
        *TASKS[2:],
    ]
    for model, (published, average, _) in SMALL.items():
        assert list(figures.rows[model].values()) == published
        assert results.mean(published) == pytest.approx(average, abs=0.05)
    table = averages.average_table(figures, "RoBERTa-wwm-ext", "", "")
    rows = {row[0]: dict(zip(table.header, row)) for row in table.rows}
    for model, (_, average, size) in SMALL.items():
        assert float(rows[model]["average"]) == pytest.approx(average, abs=0.05)
        assert rows[model]["parameters"].startswith(size)
    assert rows["RBT3"]["CMRC 2018"] == "62.2 / 81.8"
    assert rows["ERNIE"]["parameters"] == "n/a (not counted)"


def test_relative_scores_of_each_small_model_are_the_published_ones():
    figures = averages.reference(measured(TASKS))
    found = averages.relative(figures.rows, "RoBERTa-wwm-ext", figures.classification)
    for model, (percents, overall, classification) in RELATIVE.items():
        *each, ours, of_classes = found[model].values()
        assert each == pytest.approx(percents, abs=0.05)
        assert (ours, of_classes) == (pytest.approx(overall, abs=0.05), pytest.approx(classification, abs=0.05))


def test_figures_are_the_published_ones():
    best = {("google", "cmrc2018", "challenge", "f1"): (43.3, 41.3), ("ernie", "drcd", "test", "em"): (71.9, 71.4)}
    best |= {
        ("bert-wwm", "xnli", "dev", "accuracy"): (79.0, 78.4),
        ("roberta-wwm-ext-large", "cjrc", "test", "em"): (62.4, 61.4),
    }
    best |= {
        ("bert-wwm-ext", "bq", "test", "accuracy"): (85.3, 84.8),
        ("roberta-wwm-ext", "thucnews", "dev", "accuracy"): (98.3, 97.9),
    }
    best |= {("rbtl3-init", "cmrc2018", "test", "em"): (42.9, None), ("rbtl3-init", "drcd", "test", "em"): None}
    best |= {("rbtl3", "lcqmc", "test", "accuracy"): (85.1, None), ("rbt3", "lcqmc", "dev", "accuracy"): None}
    assert {key: authors.figure(*key) for key in best} == best


def test_file_has_every_figure_of_six_models_and_eight_of_each_small_one():
    # Three reading tasks with 3, 2 and 2 splits and two measures, five other tasks with 2 splits.
    counts = {model: len(figures) for model, figures in authors.published().figures.items()}
    assert counts == dict.fromkeys(
        ["BERT", "ERNIE", "BERT-wwm", "BERT-wwm-ext", "RoBERTa-wwm-ext", "RoBERTa-wwm-ext-large"], 24
    ) | {"RBTL3": 8, "RBT3": 8, "RBTL3-init": 2}
    assert len(authors.published().tasks) == 8
    assert all(
        figure.mean is None or figure.mean <= figure.best
        for figures in authors.published().figures.values()
        for figure in figures.values()
    )


@pytest.mark.parametrize(
    "model, theirs",
    [
        ("bert", "BERT"),
        ("google", "BERT"),
        ("ernie", "ERNIE"),
        ("chinese-bert-wwm", "BERT-wwm"),
        ("chinese-roberta-wwm-ext-large", "RoBERTa-wwm-ext-large"),
    ]
    + [
        ("rbt3", "RBT3"),
        ("roberta-wwm-ext", "RoBERTa-wwm-ext"),
        ("rbt3-init", None),
        ("rbtl3-init", "RBTL3-init"),
        ("chinese-bert", None),
        ("mine", None),
    ],
)
def test_model_is_theirs_by_its_name_here_or_that_of_their_release(model, theirs):
    assert authors.named(model) == theirs


def test_tasks_that_their_table_leaves_out_make_one_of_their_own_only_where_there_is_nothing_else():
    everything = results.Results(Path(), ["mine"], {}, {}, {}, measured(["cjrc", *TASKS]), [], {}, {}, {}, {}, [])
    table = averages.average_tables(everything, "mine")[0]
    assert table.header == [
        "model",
        "CMRC 2018 ‡",
        "DRCD ‡",
        "XNLI ‡",
        "ChnSentiCorp ‡",
        "LCQMC ‡",
        "BQ Corpus ‡",
        "average",
        "parameters",
    ]
    assert "Left out: CJRC (as in the authors' table)." in table.caption
    alone = averages.average_tables(everything._replace(tasks=measured(["cjrc"])), "mine")
    assert [table.header[1] for table in alone] == ["CJRC ‡", "parameters", "CJRC", "parameters"]
