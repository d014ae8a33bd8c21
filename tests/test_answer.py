"""What the report says first: whether training a released model on helped, on the task, on text of the domain and on
general text; or that the data cannot tell.
"""

import json
import shutil
from pathlib import Path

import clozed
import finetuned
import pretrained
import pytest
from test_scores import compare, folder, found  # noqa: F401

from wwm import scores
from wwm.report import answer, champions, claims, forms, margins, page, words

HEAD = {"phases": [pretrained.PHASE | {"train": "mlm_head"}]}
LOADED = {"steps": None, "tokens": None}
MODELS = ["released", "released-head", "domain"]


def measured(
    before: list[float], after: list[float], general: tuple = (0.0, 0.5), examples: int = 400, **changes
) -> None:
    """A released model without a head, one whose head was trained, and one trained on: scores by seed; cloze in nats
    per character 5.0 before and 4.5 after, on general text so many more.
    """
    compare(MODELS, ["reviews"], "released")
    pretrained.save("released-head", "released", LOADED, 100, **HEAD)
    pretrained.save("domain", "released-head", LOADED, 1000)
    for model, values in (("released", before), ("domain", after)):
        each = {"examples": {"train": 500, "dev": examples, "test": examples}, "training": LOADED}
        finetuned.save(finetuned.result(model, "reviews", {"dev": values, "test": values}, **each | changes))
    for model, nats, more in zip(MODELS[1:], (5.0, 4.5), general):
        clozed.save(model, LOADED, nats, nats, general=more, unknown_share=0.01)


def answers() -> list[str]:
    return told_of(found(MODELS))


def told_of(results) -> list[str]:
    """Of each model, as one text."""
    told = answer.answers(results, claims.comparisons(results, [], answer.comparisons(results)))
    return [" ".join(lines) for lines in told.values()]


def test_what_helped_and_what_was_forgotten_is_said_with_intervals(folder):  # noqa: F811
    measured([80.0, 80.4, 79.6], [90.0, 90.4, 89.6], general=(0.0, 0.7))
    [told] = answers()
    assert told.startswith("Training released on as domain helped on reviews: +10.00 points (+")
    assert "; 3 seeds, 400 examples of test)." in told
    assert "On held-out text of the domain it gained 0.500 nats per character (95 %: 0." in told
    assert "), from 5.000 to 4.500; fewer is better. On general text it lost 0.200 nats per character (95 %: 0." in told
    assert "), from 5.000 to 5.200; fewer is better." in told
    assert "Unknown to the vocabulary ([UNK]) among the pieces of the words asked for: 1.00% before, 1.00% now." in told
    assert "hardly learned" not in told and "standard deviation" not in told


def test_a_gain_of_a_head_that_guesses_worse_than_who_counts_characters_is_called_that(folder):  # noqa: F811
    measured([80.0, 80.4, 79.6], [90.0, 90.4, 89.6], general=(2.0, 3.0))
    assert "On general text it lost 0.500 nats" in answers()[0] and "hardly learned" not in answers()[0]
    for model, nats in (("released-head", 8.0), ("domain", 6.7)):
        clozed.save(model, LOADED, nats, nats, general=0.5)
    [told] = answers()
    assert "it gained 1.300 nats per character (95 %: 1.2" in told and told.count("hardly learned") == 1
    counting = "By the frequency of characters alone it is 6.500, so this gain says nothing of its encoder."
    assert f"from 8.000 to 6.700; fewer is better. {counting} On general text" in told and told.count(counting) == 2
    assert "three times as many (pretrain.models.released-head.phases.0.steps, " in told
    with words.spoken("zh"):
        assert "只按字频猜测则是 6.500" in answers()[0]
    # Nothing to fill in words with, either.
    assert all(best.task for best in champions.champions(found(MODELS)))


def test_a_gain_on_general_text_alone_that_counting_would_have_made_is_called_that(folder):  # noqa: F811
    measured([80.0, 80.4, 79.6], [90.0, 90.4, 89.6], general=(3.0, 3.2))
    [told] = answers()
    assert "On general text it gained 0.300 nats" in told and "hardly learned" not in told
    assert told.count("By the frequency of characters alone it is 6.500, so this gain says nothing") == 1


def test_counting_characters_that_does_better_than_the_model_is_named(folder):  # noqa: F811
    measured([80.0, 80.4, 79.6], [70.0, 70.4, 69.6])
    compare([*MODELS, "characters"], ["reviews"], "released")
    counted = {"examples": {"train": 500, "dev": 400, "test": 400}, "training": LOADED}
    once = finetuned.result("characters", "reviews", {"dev": [90.0], "test": [90.0]}, **counted)
    once["seeds"][0]["seed"] = None
    once["kept"] = "none"
    finetuned.save(once)
    results = found([*MODELS, "characters"])
    [told] = told_of(results)
    assert "But counting characters (naive Bayes) does better on reviews than domain, by 20.0 points (+" in told
    assert "counting characters" not in answers()[0]
    [told] = [one.told for one in champions.champions(results) if one.task]
    assert "released. Counting characters (naive Bayes), which costs next to nothing, does better on test by" in told


def test_seeds_that_learn_or_not_by_chance_are_told(folder):  # noqa: F811
    measured([30.0, 40.0, 50.0], [32.0, 50.0, 50.0])
    assert "On reviews the seeds of domain have a standard deviation of 10.4 points" in answers()[0]
    # Of so few examples that draws of equal ones differ as much.
    measured([50.0, 60.0, 65.0], [50.0, 56.0, 62.0], examples=20)
    assert "standard deviation" not in answers()[0]


def test_harm_is_said(folder):  # noqa: F811
    measured([90.0, 90.4, 89.6], [80.0, 80.4, 79.6])
    assert "did not help on reviews but harmed: -10.00 points" in answers()[0]


def test_what_the_data_cannot_tell_says_how_many_seeds_would(folder):  # noqa: F811
    measured([80.0, 88.0, 84.0], [85.0, 90.0, 83.0], examples=50_000)
    [told] = answers()
    assert "On reviews these data cannot tell whether training released on as domain helped: +2.00 points" in told
    ours, theirs = (found(MODELS).tasks[0].figures[model]["test", "accuracy"] for model in ("domain", "released"))
    needed = margins.needed(ours, theirs, 0.025)  # for what it forgot is open, too
    assert needed and needed.runs and needed.runs > 3 and needed.examples is None
    assert f"A difference of this size takes about {needed.runs} seeds to tell." in told


def test_where_examples_are_too_few_more_of_them_are_asked_for(folder):  # noqa: F811
    measured([80.0, 80.1, 79.9], [80.5, 80.6, 80.4], examples=100)
    assert "scored examples to tell, and here are 100; more seeds alone will not do." in answers()[0]


def test_an_interval_that_says_otherwise_than_the_verdict_has_the_corrected_p_beside_it(folder):  # noqa: F811
    measured([80.0, 80.4, 79.6], [85.0, 85.4, 84.6], examples=100)
    results = found(MODELS)
    made = claims.comparisons(results, [], answer.comparisons(results))
    made = [one._replace(p=0.08, margin=one.margin._replace(low=0.1, p=0.02)) for one in made]
    [told] = map(" ".join, answer.answers(results, made).values())
    assert len(made) == 3 == told.count("among the 3 that were made")
    assert told.count("(p corrected for them, by Holm: 0.080).") == 3


def test_a_task_that_is_too_small_says_so(folder):  # noqa: F811
    measured([80.0, 80.4, 79.6], [90.0, 90.4, 89.6], examples=20)
    assert "no answer on reviews (fewer than 50 examples or documents)" in answers()[0]


def test_without_general_text_and_without_a_trained_head_it_says_what_was_not_measured(folder):  # noqa: F811
    measured([80.0, 80.4, 79.6], [90.0, 90.4, 89.6], general=(None, None))
    assert "No general text is held out, so what it forgot was not measured." in answers()[0]
    for file in Path("results/cloze").glob("*.json"):
        file.unlink()
    assert (
        "What it gained or lost on held-out text is not known (no cloze: `dvc repro cloze@released-head`"
        in answers()[0]
    )


def test_with_general_text_alone_it_is_the_domain_that_was_not_measured(folder):  # noqa: F811
    measured([80.0, 80.4, 79.6], [90.0, 90.4, 89.6])
    for file in Path("results/cloze").glob("*.csv"):
        file.write_text(file.read_text(encoding="utf-8").replace("news,", "general,"), encoding="utf-8")
    [told] = answers()
    assert "On general text it gained" in told and "No text of the domain is held out" in told
    assert "No general text" not in told


@pytest.mark.parametrize(
    ("model", "changes", "told"),
    [
        ("released-head", {"rows": "1"}, "not known (domain and released-head were asked different questions). "),
        ("domain", {"rows": "1"}, "not known (domain and released-head were asked different questions). "),
        (
            "released-head",
            {"head_trained": False},
            "not known (the MLM head of released-head was never trained). ",
        ),
        ("released-head", {"unknown_share": None}, "On general text "),
    ],
)
def test_what_was_not_measured_alike_is_not_compared_and_says_why(folder, model, changes, told):  # noqa: F811
    measured([80.0, 80.4, 79.6], [90.0, 90.4, 89.6])
    path = Path(f"results/cloze/{model}.json")
    changed = json.loads(path.read_text(encoding="utf-8")) | changes
    finetuned.write(path, {key: value for key, value in changed.items() if value is not None})
    [said] = answers()
    # With a blank at its end for what comes next, if anything does.
    assert told in f"{said} " and ("[UNK]" in said) == ("head_trained" in changes)
    with words.spoken("zh"):
        assert ("[UNK]" in answers()[0]) == ("head_trained" in changes)


def test_models_that_score_the_same_on_every_example_are_said_to(folder):  # noqa: F811
    measured([80.0] * 3, [80.0] * 3)
    shutil.copy("results/finetune/reviews/released.parquet", "results/finetune/reviews/domain.parquet")
    assert answers()[0].startswith(
        "Training released on as domain changed nothing on reviews: both score the same on every example (3 seeds, 400"
        " examples of test). On "
    )


def test_of_a_reading_task_the_measure_is_named(folder):  # noqa: F811
    measured([80.0], [80.0])
    compare(MODELS, ["cmrc2018"], "released")
    for model in ("released", "domain"):
        scores_of = {"dev": [(60 + len(model), 80), (62, 77), (63, 78)]}
        finetuned.save(finetuned.result(model, "cmrc2018", scores_of, training=LOADED))
    results = found(MODELS, ["cmrc2018"])
    [told] = told_of(results)
    assert told.startswith("On CMRC 2018 EM these data cannot tell whether training released on as domain helped: -0.")
    assert "; 3 seeds, 100 examples of dev)" in told


def test_each_file_of_cloze_is_read_once(folder, monkeypatch):  # noqa: F811
    measured([80.0, 80.4, 79.6], [90.0, 90.4, 89.6])
    read, table = [], forms.table
    monkeypatch.setattr(forms, "table", lambda path, *more: read.append(path) or table(path, *more))
    answers()
    assert sorted(path.name for path in read if path.parent.name == "cloze") == ["domain.csv", "released-head.csv"]


def test_models_that_began_at_random_weights_have_no_such_answer(folder):  # noqa: F811
    measured([80.0, 80.4, 79.6], [90.0, 90.4, 89.6], training={"steps": 0, "tokens": 0})
    assert answers() == []


def test_the_answer_stands_first_in_the_report_and_last_in_the_terminal(folder, capsys):  # noqa: F811
    measured([80.0, 80.4, 79.6], [90.0, 90.4, 89.6])
    compare(MODELS, ["reviews"], "released")
    scores.main()
    told = Path("results/report/answer.txt").read_text(encoding="utf-8")
    assert told.startswith("Training released on as domain helped on reviews")
    assert capsys.readouterr().out.endswith(f"\nAll tables: results/report/index.html\n{told}")
    assert len(told.splitlines()) == 4  # the task, text of the domain, general text, [UNK]
    escaped = "\n\n".join(map(page.escaped, told.splitlines()))
    assert Path("results/report/scores.md").read_text(encoding="utf-8").startswith(f"# Scores\n\n{escaped}\n")
    html = Path("results/report/index.html").read_text(encoding="utf-8")
    assert max(map(html.index, told.splitlines())) < html.index("Scale: ")


def test_the_terminal_speaks_the_language_of_the_report(folder, capsys):  # noqa: F811
    measured([80.0, 80.4, 79.6], [90.0, 90.4, 89.6])
    compare(MODELS, ["reviews"], "released")
    values = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(values.replace("baseline: released", "baseline: released\n  language: zh"))
    scores.main()
    told = capsys.readouterr().out
    assert "全部表格：results/report/index.html" in told and "| 模型 |" in told and "| model |" not in told


def test_a_gain_without_an_interval_that_counting_would_have_made_is_called_that(folder, monkeypatch):  # noqa: F811
    monkeypatch.setattr(clozed, "DOCUMENTS", 20)
    measured([80.0, 80.4, 79.6], [90.0, 90.4, 89.6], general=(None, None))
    for model, nats in (("released-head", 9.0), ("domain", 7.5)):
        clozed.save(model, LOADED, nats, nats)
    [told] = answers()
    assert "it went from 9.000 to 7.500 nats per character (fewer is better), without an interval: " in told
    assert "By the frequency of characters alone it is 6.500, so this gain says nothing of its encoder." in told
