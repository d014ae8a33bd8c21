"""Tests over seeds against the baseline."""

from pathlib import Path

import finetuned
import pytest

from wwm.report import comparison, results


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def seed_rows(models: list[str], tasks: list[str], baseline: str = "base"):
    table = comparison.seed_table(results.read(Path("results"), models, tasks), baseline)
    return table, [dict(zip(table.header, row)) for row in table.rows]


def test_seeds_pair_up_by_their_number():
    # Seeds 2 to 5 of both: differences 1, 2, 3, 4, of which t is 3.873 and p 0.0305 (see test_paired.py).
    finetuned.save(finetuned.result("base", "mine", {"dev": [99, 10, 20, 30, 40]}, first_seed=1))
    finetuned.save(finetuned.result("other", "mine", {"dev": [11, 22, 33, 44, 99]}, first_seed=2))
    _, [base, other] = seed_rows(["base", "other"], ["mine"])
    assert (
        other["against base"] == "+2.50"
        and other["95 % interval"] == "+0.45 to +4.55"
        and other["p"] == other["p (Holm)"] == "0.030"
    )
    assert (other["seeds"], other["mean"], other["deviation"]) == (
        "5",
        "41.80",
        "34.26",
    )  # squares 948.64, 392.04, 77.44, 4.84, 3271.84
    assert [base[key] for key in ("against base", "p", "p (Holm)")] == ["baseline", "–", "–"]


def test_all_comparisons_are_counted_and_corrected_together_and_dev_is_none_beside_a_test():
    ours, base = {"dev": [9, 9], "test": [11.0, 22.0, 33.0, 44.0]}, {"dev": [1, 2], "test": [10.0, 20.0, 30.0, 40.0]}
    same = {"dev": [9, 9], "test": [10.0, 20.5, 30.0, 40.5]}  # differences 0, 0.5, 0, 0.5: t = 1.732, p = 0.18
    for model, scores in (("base", base), ("a", ours), ("b", same)):
        finetuned.save(finetuned.result(model, "mine", {"dev": scores["dev"] * 2, "test": scores["test"]}))
    table, rows = seed_rows(["base", "a", "b"], ["mine"])
    assert "2 comparisons were made" in table.caption
    assert [row["against base"] for row in rows] == [
        "baseline",
        "not tested",
        "not tested",
        "baseline",
        "+2.50",
        "+0.25",
    ]
    assert [(row["p"], row["p (Holm)"]) for row in rows[4:]] == [("0.030", "0.061"), ("0.182", "0.182")]


def test_every_measure_of_reading_is_a_comparison():
    finetuned.save(finetuned.result("base", "drcd", {"dev": [(1, 2), (2, 3)], "test": [(50, 70), (51, 72)]}))
    finetuned.save(finetuned.result("other", "drcd", {"dev": [(1, 2), (2, 3)], "test": [(52, 71), (55, 75)]}))
    table, rows = seed_rows(["base", "other"], ["drcd"])
    assert [(row["split"], row["measure"]) for row in rows if row["model"] == "other"] == [
        ("dev", "EM"),
        ("dev", "F1"),
        ("test", "EM"),
        ("test", "F1"),
    ]
    assert "2 comparisons were made" in table.caption and table.header[0] == "task ‡"


def test_what_cannot_be_tested_says_why():
    finetuned.save(finetuned.result("base", "mine", {"dev": [50, 60]}), finetuned.result("one", "mine", {"dev": [70]}))
    finetuned.save(
        finetuned.result("same", "mine", {"dev": [50.1, 60.1]}), finetuned.result("alone", "yours", {"dev": [50, 60]})
    )
    table, rows = seed_rows(["base", "one", "same", "alone"], ["mine", "yours"])
    told = {row["model"]: (row["deviation"], row["against base"], row["95 % interval"]) for row in rows}
    assert told["one"] == ("n/a (one seed)", "n/a (fewer than two common seeds)", "–")
    assert told["same"] == ("7.07", "+0.10", "n/a (the same for all seeds)")
    assert told["alone"] == ("7.07", "n/a (no score of base)", "–")
    assert "0 comparisons were made" in table.caption
