"""The table of all models against the baseline."""

from pathlib import Path

import finetuned
import numpy as np
import pytest

from wwm.report import comparison, margins, results


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def rows_of(models: list[str], tasks: list[str], baseline: str = "base"):
    table = comparison.baseline_table(results.read(Path("results"), models, tasks), baseline)
    return table, [dict(zip(table.header, row)) for row in table.rows]


def test_a_row_has_mean_deviation_and_the_difference_to_the_baseline_with_its_interval():
    finetuned.save(finetuned.result("base", "mine", {"dev": [60, 61, 62]}))
    finetuned.save(finetuned.result("other", "mine", {"dev": [70, 72, 74]}))
    _, [base, other] = rows_of(["base", "other"], ["mine"])
    assert [other[head] for head in ("seeds", "mean", "deviation")] == ["3", "72.00", "2.00"]
    assert other["against base"] == "+11.00"
    [task] = results.read(Path("results"), ["base", "other"], ["mine"]).tasks
    found = margins.of_runs(*(task.figures[model]["dev", "accuracy"] for model in ("other", "base")))
    assert other["95 % interval"] == found.interval() and other["p"] == other["p (Holm)"] == found.probability
    assert [base[key] for key in ("against base", "p", "p (Holm)")] == ["baseline", "–", "–"]


def test_all_comparisons_are_counted_and_corrected_together_and_dev_is_none_beside_a_test():
    scores = {"base": [60, 61, 62], "a": [64, 66, 65], "b": [61, 62, 62]}
    for model, test in scores.items():
        finetuned.save(finetuned.result(model, "mine", {"dev": [9, 8, 9], "test": test}))
    table, rows = rows_of(["base", "a", "b"], ["mine"])
    assert "2 comparisons were made" in table.caption
    assert [row["against base"] for row in rows[:3]] == ["baseline", "not tested", "not tested"]
    p, corrected = ([float(row[head]) for row in rows[4:]] for head in ("p", "p (Holm)"))
    assert corrected == pytest.approx([2 * p[0], max(2 * p[0], p[1])], abs=2e-3)


def test_every_measure_of_reading_is_a_comparison():
    finetuned.save(finetuned.result("base", "drcd", {"dev": [(1, 2)] * 3, "test": [(50, 70)] * 3}))
    finetuned.save(finetuned.result("other", "drcd", {"dev": [(1, 2)] * 3, "test": [(52, 71)] * 3}))
    table, rows = rows_of(["base", "other"], ["drcd"])
    assert [(row["split"], row["measure"]) for row in rows if row["model"] == "other"] == [
        ("dev", "EM"),
        ("dev", "F1"),
        ("test", "EM"),
        ("test", "F1"),
    ]
    assert "2 comparisons were made" in table.caption and table.header[0] == "task ‡"


def test_what_cannot_be_tested_says_why():
    finetuned.save(finetuned.result("base", "mine", {"dev": [50, 60, 55]}))
    finetuned.save(finetuned.result("one", "mine", {"dev": [70]}), finetuned.result("two", "mine", {"dev": [50, 60]}))
    finetuned.save(finetuned.result("alone", "yours", {"dev": [50, 60]}))
    table, rows = rows_of(["base", "one", "two", "alone"], ["mine", "yours"])
    told = {row["model"]: (row["deviation"], row["against base"], row["95 % interval"]) for row in rows}
    few = "n/a (fewer than 3 seeds or pairs)"
    assert told["one"] == ("n/a (one seed)", few, "–") and told["two"] == ("7.07", few, "–")
    assert told["alone"] == ("7.07", "n/a (no score of base)", "–")
    assert "0 comparisons were made" in table.caption


def test_what_counts_characters_once_is_compared_with_models_of_many_seeds():
    finetuned.save(finetuned.result("base", "mine", {"dev": [80, 81, 82]}))
    counted = finetuned.result("characters", "mine", {"dev": [60]})
    counted["seeds"][0]["seed"] = None
    finetuned.save(counted)
    _, [_, row] = rows_of(["base", "characters"], ["mine"])
    assert row["against base"] == "-21.00" and float(row["p (Holm)"].removeprefix("< ")) <= 0.001
    assert np.sign(float(row["95 % interval"].split(" to ")[1])) == -1
