"""What the report claims, of results as the demo's: which pairs of models, by which rule, in which words."""

import json
from pathlib import Path

import clozed
import finetuned
import pytest
from test_scores import MODELS, folder, found, project  # noqa: F401

from wwm.common.errors import UserError
from wwm.report import claims, pairs
from wwm.report.margins import Margin, Unknown

RANDOM = "Pre-trained models beat random initialisation"
BEGAN = "A model that is trained on beats the one that it began as"
CUT = "A truncated model that is trained on beats plain truncation"


def change(path: str, **values) -> None:
    file = Path(path)
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | values), encoding="utf-8")


def change_masks(model: str, unit: str, all_else: str) -> None:
    path = f"results/pretrain/{model}.json"
    recipe = json.loads(Path(path).read_text(encoding="utf-8"))["recipe"]
    change(path, recipe=recipe | {"examples": recipe["examples"] | {"unit": unit}}, all_else=all_else)


def made(models=MODELS, tasks=("reviews",), experiments=()) -> list[claims.Comparison]:
    return claims.comparisons(found(models, tasks), list(experiments), [])


def contests(*arguments) -> set[tuple[str, str, str]]:
    return {(one.statement, one.model, one.against) for one in made(*arguments)}


def test_models_are_held_against_random_weights_and_against_what_they_began_as(project):  # noqa: F811
    assert contests() == {
        *((RANDOM, model, "random") for model in ("bert", "roberta-wwm-ext", "rbt3")),
        (BEGAN, "roberta-wwm-ext", "bert"),
        (CUT, "rbt3", "rbt3-init"),
    }
    assert [one.on for one in made() if one.statement == CUT] == [
        "reviews",
        "cloze, whole words",
        "cloze, single characters",
    ]


def test_a_model_that_is_only_loaded_is_no_random_one_and_what_is_trained_on_it_is_held_against_it(project):  # noqa: F811
    for path in ("results/finetune/reviews/random.json", "results/cloze/random.json"):
        change(path, training={"steps": None, "tokens": None})
    assert contests() == {
        (BEGAN, "bert", "random"),
        (BEGAN, "roberta-wwm-ext", "bert"),
        (CUT, "rbt3", "rbt3-init"),
    }


def test_nothing_is_claimed_against_another_model_of_the_name_of_what_one_began_as(project):  # noqa: F811
    change("results/pretrain/roberta-wwm-ext.json", init_weights="an older bert")
    assert BEGAN not in {statement for statement, *_ in contests()}


def test_masks_are_compared_where_all_else_is_equal(project):  # noqa: F811
    change_masks("roberta-wwm-ext", "whole_word", all_else="one")
    change_masks("bert", "wordpiece", all_else="other")
    assert not [statement for statement, *_ in contests() if "Masks" in statement]
    change("results/pretrain/bert.json", all_else="one")
    change_masks("rbt3", "whole_word", all_else="one")  # the same masks are no contest
    statement = "Masks of whole words beat masks of WordPieces, all else equal"
    assert {one for one in contests() if "Masks" in one[0]} == {
        (statement, model, "bert") for model in ("roberta-wwm-ext", "rbt3")
    }
    # What an experiment in pairs tells of, one pair alone does not.
    experiment = pairs_of(["roberta-wwm-ext"], ["bert"])
    assert statement not in {one for one, *_ in contests(MODELS, ["reviews"], [experiment])}


def test_a_student_is_held_against_the_model_that_differs_in_having_no_teacher(project):  # noqa: F811
    change("results/pretrain/rbt3.json", teacher="bert", all_but_teacher="one")
    change_masks("bert", "wordpiece", all_else="one")
    assert not [statement for statement, *_ in contests() if "teacher" in statement]  # other masks
    change_masks("roberta-wwm-ext", "whole_word", all_else="one")
    statement = "Training with a teacher beats training without, all else equal"
    assert {one for one in contests() if "teacher" in one[0]} == {(statement, "rbt3", "roberta-wwm-ext")}


def test_nothing_is_claimed_against_a_head_that_was_never_trained(project):  # noqa: F811
    change("results/cloze/rbt3-init.json", head_trained=False)
    assert [one.on for one in made() if one.statement == CUT] == ["reviews"]


def test_differences_are_points_on_tasks_and_nats_in_cloze(project):  # noqa: F811
    task, words, characters = (one for one in made() if one.statement == CUT)
    assert task.margin.mean == pytest.approx(3) and task.margin.low < 0 < task.margin.high
    assert (task.outcome, words.outcome, characters.outcome) == ("open", "holds", "holds")
    assert words.margin.mean == pytest.approx(2) and words.told.startswith(
        "rbt3 against rbt3-init on cloze, whole words (+2.000 nats, +1.9"
    )


def test_p_is_corrected_for_all_that_is_claimed(project):  # noqa: F811
    found = made()
    # Two of three models better by far on each of reviews and two ways of cloze: of 15 tests the one that is open.
    [task] = [one for one in found if one.outcome == "open"]
    assert len(found) == 15 and task.p == task.margin.p
    assert all(one.p > one.margin.p for one in found if one is not task)


def test_what_does_not_come_out_is_said(project):  # noqa: F811
    first, second, third = claims.claims(made())
    assert (first.mark, second.mark, third.mark) == ("✔", "✔", "◐")
    assert first.text == f"{RANDOM}: holds, in 9 of 9 comparisons." and len(first.details) == 1
    assert third.text == f"{CUT}: holds in part, in 2 of 3 comparisons."
    assert third.details[0].startswith("It holds for rbt3 against rbt3-init on cloze, whole words (+2.000 nats, ")
    assert third.details[1].startswith("Not told apart: rbt3 against rbt3-init on reviews (+3.00, -")


@pytest.mark.parametrize(
    ("margin", "p", "text", "detail"),
    [
        (
            Margin(1.0, 0.2, 1.8, 0.01),
            0.02,
            "holds, in 1 of 1",
            "It holds for a against b on t (+1.00, +0.20 to +1.80).",
        ),
        (Margin(1.0, 0.2, 1.8, 0.01), 0.06, "does not hold, in 0 of 1", "Not told apart: a against b on t (+1.00, "),
        (
            Margin(-1.0, -1.8, -0.2, 0.01),
            0.02,
            "does not hold, in 0 of 1",
            "The reverse holds for a against b on t (-1",
        ),
        (Unknown("one seed"), 1.0, "n/a, in 0 of 1", "Without an interval: a against b on t (n/a (one seed))."),
    ],
)
def test_each_outcome_has_its_words(margin, p, text, detail):
    claim = claims.claim("A beats B", [claims.Comparison("A beats B", "a", "b", "t", False, margin, p)])
    assert claim.text == f"A beats B: {text} comparisons." and claim.details[0].startswith(detail)


def test_nothing_is_printed_that_was_not_measured(project):  # noqa: F811
    assert claims.claims(made(["bert", "rbt3"])) == []


def test_few_seeds_and_other_examples_have_no_interval(folder):  # noqa: F811
    changes = {"one": {}, "two": {"hashes": {"train": "train", "test": "another"}}, "three": {}}
    for model, scores in (("one", [50, 51, 52]), ("two", [60, 61, 62]), ("three", [70, 71])):
        finetuned.save(finetuned.result(model, "mine", {"test": scores}, **changes[model]))
    [task] = found(list(changes), ["mine"]).tasks
    assert claims.difference(task, "one", "two", "test", "accuracy") == Unknown("scored on other examples")
    assert claims.difference(task, "one", "three", "test", "accuracy") == Unknown("fewer than 3 seeds or pairs")


def pairs_of(models: list[str], against: list[str]):
    class Experiment:
        name = "Whole word masks against WordPiece masks"

    Experiment.models, Experiment.against = models, against
    return Experiment


def test_of_pairs_the_difference_covers_pre_training_and_examples(folder):  # noqa: F811
    first, second = ["a1", "a2", "a3", "a4"], ["b1", "b2", "b3", "b4"]
    for i, (one, other) in enumerate(zip(first, second)):
        for model, score, nats in ((one, 72 + i, 5.0 + i / 10), (other, 70, 5.2 + i / 10)):
            finetuned.save(finetuned.result(model, "mine", {"dev": [score] * 3, "test": [score - 1, score, score + 1]}))
            clozed.save(model, {"steps": 1000, "tokens": 1}, nats, nats - 1)
    experiment = pairs_of(first, second)
    measured = found([*first, *second], ["mine"])
    task, words, characters = pairs.lines(measured, experiment)
    assert (task.measure, len(task.first), task.margin.mean) == ("mine test", 4, pytest.approx(3.5))
    # The error over pairs is 1.29 / 2; examples, of deviation 20 in each seed, add to it.
    assert task.margin.high - task.margin.low > 2 * 1.96 * 1.29 / 2
    assert [words.margin.mean, characters.margin.mean] == pytest.approx([0.2, 0.2])
    [claim] = claims.claims(claims.comparisons(measured, [experiment], []))
    assert claim.text.startswith("Whole word masks against WordPiece masks, the first is better: holds")
    table = pairs.pair_table(measured, experiment)
    assert table.rows[0][:6] == ["mine test", "4", "73.50", "70.00", "+3.50", "1.29"]
    assert table.rows[1][:6] == ["cloze, whole words", "4", "5.150", "5.350", "+0.200 nats", "0.000"]


def test_two_pairs_are_too_few_and_a_pair_that_was_measured_on_one_side_is_left_out(folder):  # noqa: F811
    for model in ("a1", "a2", "a3", "b1", "b2"):
        finetuned.save(finetuned.result(model, "mine", {"test": [70, 71, 72]}))
    [line] = pairs.lines(
        found(["a1", "a2", "a3", "b1", "b2"], ["mine"]), pairs_of(["a1", "a2", "a3"], ["b1", "b2", "b3"])
    )
    assert (len(line.first), line.margin) == (2, Unknown("fewer than 3 seeds or pairs"))


def test_the_table_has_every_comparison_with_its_verdict(project):  # noqa: F811
    compared = made()
    table = claims.claim_table(found(), compared)
    assert table.header == ["model", "against", "on", "difference", "95 % interval", "p (Holm)", "verdict"]
    assert len(table.rows) == 15 and "for all 15 comparisons" in table.caption
    [row] = [row for row in table.rows if row[:3] == ["rbt3", "rbt3-init", "reviews"]]
    assert row[3] == "+3.00" and row[-1] == "not told apart"


def test_claims_are_made_on_em_and_on_dev_where_there_is_no_test(project):  # noqa: F811
    for model, em in (("random", 10), ("bert", 30)):
        training = {"steps": 0 if model == "random" else 2000}
        scores = {"dev": [(em + i, 90 - em) for i in range(3)]}
        finetuned.save(finetuned.result(model, "cmrc2018", scores, training=training))
    first, *_ = made(["random", "bert"], ["cmrc2018"])
    assert (first.on, first.margin.mean) == ("CMRC 2018", pytest.approx(20))
    compared = found(["random", "bert"], ["cmrc2018"])
    caption = claims.claim_table(compared, [first]).caption
    assert "by EM: CMRC 2018; dev scores where there is no test: CMRC 2018 (dev)" in caption


def test_results_without_figures_of_examples_are_named(project):  # noqa: F811
    Path("results/finetune/reviews/bert.parquet").unlink()
    with pytest.raises(UserError, match="reviews/bert.parquet is not beside its .json; run `dvc repro finetune`"):
        found()
