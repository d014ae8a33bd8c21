"""The curve over milestones, and up to which of them a training still made its model better."""

import json
from pathlib import Path

import clozed
import finetuned
import pretrained
import pytest
from test_scores import folder, found  # noqa: F401

from wwm import scores
from wwm.report import milestones, page, words

# Step -> scores by seed, and nats per character.
SCORES = {0: [60, 61, 62], 500: [70, 71, 72], 1000: [71, 71, 73], 2000: [71, 72, 72]}
NATS = {0: 6.0, 500: 5.0, 1000: 4.5, 2000: 4.0}


def name(step: int) -> str:
    return {0: "released", 2000: "domain"}.get(step, f"domain-{step}")


def measure(step: int, seeds=None, nats=None, **changes) -> None:
    training = {"steps": None, "own_steps": step}
    model, own = name(step), seeds or SCORES[step]
    finetuned.save(finetuned.result(model, "reviews", {"dev": own, "test": own}, training=training))
    clozed.save(model, training, nats or NATS[step], nats or NATS[step], **changes)


@pytest.fixture
def training(folder):  # noqa: F811
    """`domain` after 2,000 steps from `released`, with two milestones."""
    for step in SCORES:
        measure(step)
    pretrained.save("domain", "released", {"steps": None}, 2000)
    path = Path("results/pretrain/domain.json")
    kept = {str(step): name(step) for step in (500, 1000, 1500)}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"milestones": kept}), encoding="utf-8")


def curves(steps=SCORES) -> list[milestones.Curve]:
    return milestones.curves(found([name(step) for step in steps], ["reviews"]))


def said() -> str:
    [verdict] = milestones.verdicts(curves())
    return verdict.text


def test_the_curve_goes_from_the_start_over_the_milestones_that_were_measured_to_the_end(training):
    task, cloze = curves()
    assert [(task.source, task.on), (cloze.source, cloze.on)] == [("domain", "reviews"), ("domain", "cloze")]
    assert [(point.step, point.model) for point in task.points] == [(step, name(step)) for step in SCORES]
    assert [point.score for point in task.points] == pytest.approx([61, 71, 71.67, 71.67], abs=0.01)
    assert [point.score for point in cloze.points] == pytest.approx(list(NATS.values()))
    assert all(point.margin.low < point.score < point.margin.high for one in (task, cloze) for point in one.points)


def test_each_is_held_against_the_last_one_before_that_was_better_with_p_for_all_that_are(training):
    task, cloze = curves()
    assert [point.held and point.held.against for point in task.points] == [
        *(None, "released", "domain-500", "domain-500")
    ]
    assert [point.held and point.held.against for point in cloze.points] == [
        *(None, "released", "domain-500", "domain-1000")
    ]
    assert [point.held.outcome for point in task.points[1:]] == ["holds", "open", "open"]
    held = task.points[1].held
    assert held.p == pytest.approx(6 * held.margin.p)


def test_how_long_it_was_worth_it_is_said_of_each_measure(training):
    [verdict] = milestones.verdicts(curves())
    assert verdict.mark == "◐" and verdict.text == (
        "How long domain was worth training: on reviews up to step 500 (domain-500); on cloze to its end, step 2,000."
    )
    assert verdict.details[0].startswith("It holds for domain-500 against released on reviews (+10.00, ")
    assert verdict.details[1].startswith("Not told apart: domain-1000 against domain-500 on reviews (+0.67, ")


def test_small_gains_add_up(training):
    """No milestone is told apart from the one before it, and the end from the start."""
    for step, seeds in ((500, [62, 63, 64]), (1000, [64, 65, 66]), (2000, [68, 69, 70])):
        measure(step, seeds)
    assert "on reviews to its end, step 2,000" in said()


def test_where_nothing_was_better_or_nothing_can_be_told_it_is_said(training):
    for step in (500, 1000, 2000):
        measure(step, [61, 61, 61], nats=6.5)
    assert said() == (
        "How long domain was worth training: on reviews nothing is better than released by more than chance; on cloze"
        " nothing is better than released by more than chance, and step 500 is worse."
    )
    [verdict] = milestones.verdicts(curves())
    assert verdict.mark == "✘" and any("The reverse holds for domain-500" in detail for detail in verdict.details)
    for step in SCORES:
        measure(step, [60, 61])
    assert "on reviews n/a (fewer than 3 seeds or pairs)" in said()


def test_without_a_measured_milestone_there_is_no_curve(training):
    assert curves((0, 2000)) == [] and milestones.verdicts([]) == [] and not milestones.table([]).rows


def test_what_was_measured_of_other_weights_of_that_name_is_no_point(training):
    measure(1000, weights="older")
    path = Path("results/finetune/reviews/domain-1000.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"weights": "older"}), encoding="utf-8")
    assert [point.step for point in curves()[0].points] == [0, 500, 2000]


def test_before_a_head_was_trained_there_is_no_cloze_but_the_task(training):
    measure(0, head_trained=False)
    task, cloze = curves()
    assert [point.step for point in task.points] == [*SCORES]
    assert [point.step for point in cloze.points] == [500, 1000, 2000]


@pytest.mark.parametrize("head_trained", [True, False])
def test_cloze_begins_at_a_start_that_scores_does_not_list_where_its_head_was_trained(training, head_trained):
    measure(0, head_trained=head_trained)
    task, cloze = curves((500, 1000, 2000))
    assert [point.step for point in task.points] == [500, 1000, 2000]
    assert [point.step for point in cloze.points] == [*[0] * head_trained, 500, 1000, 2000]


def test_a_head_that_was_trained_first_is_where_cloze_begins_and_tasks_begin_at_what_was_released(training):
    phase = pretrained.PHASE | {"train": "mlm_head"}
    pretrained.save("head", "released", {"steps": None}, 100, phases=[phase])
    clozed.save("head", {"steps": None, "own_steps": 100}, 5.9, 5.9)
    path = Path("results/pretrain/domain.json")
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"init": "head", "init_weights": "head"}), encoding="utf-8"
    )
    models = ["released", "head", "domain-500", "domain"]
    task, cloze = milestones.curves(found(models, ["reviews"]))
    assert [task.points[0].model, cloze.points[0].model] == ["released", "head"]


def test_table_plots_and_page_show_them_in_both_languages(training):
    made = curves()
    table = milestones.table(made)
    assert len(table.rows) == 8 and "all 6 comparisons" in table.caption
    assert table.rows[0][:5] == ["domain", "reviews", "0", "released", "61.00"] and table.rows[0][6:] == ["–"] * 5
    assert table.rows[1][6:8] == ["released", "+10.00"] and table.rows[1][-1] == "better"
    task, cloze = milestones.plots(made)
    assert list(task.data[0].x) == [*SCORES] and task.data[0].error_y.array[1] > 0
    results = found([name(step) for step in SCORES], ["reviews"])
    assert len(scores.plots(results, made)) == len(scores.plots(results, [])) + 2
    with words.spoken("zh"):
        made = curves()
        [verdict] = milestones.verdicts(made)
        assert verdict.text == (
            "domain 训练到哪一步仍有收益：reviews：到第 500 步（domain-500）；填空：直到最后（第 2,000 步）。"
        )
        report = page.Report([], "", [verdict], [], [milestones.table(made)])
        assert "里程碑：训练到哪一步仍有收益" in page.markdown(report)
