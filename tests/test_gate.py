"""Which models pass the gate, and who takes over from a champion."""

import json
from pathlib import Path

import clozed
import finetuned
import numpy as np
import pytest
from test_scores import MODELS, folder, found, project  # noqa: F401

from wwm.report import champions, gate


def outcome(model: str) -> gate.Verdict:
    return next(one for one in gate.verdicts(found()) if one.model == model)


def change(path: str, **values) -> None:
    file = Path(path)
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def nats(model: str, words: float, noise: float = 0.1, **changes) -> None:
    training = json.loads(Path(f"results/cloze/{model}.json").read_text())["training"]
    clozed.save(model, training, words, words - 1, noise, **changes)


def test_a_model_passes_that_has_fewer_nats_than_its_start_by_more_than_chance(project):  # noqa: F811
    assert {one.model: one.outcome for one in gate.verdicts(found())} == {
        "random": "none",
        "bert": "passed",
        "roberta-wwm-ext": "passed",
        "rbt3-init": "none",
        "rbt3": "passed",
    }
    assert outcome("roberta-wwm-ext").reason.startswith("4.50 nats per character, bert 5.50: 1.00 fewer (95 %: 0.9")


def test_a_gain_that_documents_do_not_agree_on_does_not_pass(project):  # noqa: F811
    nats("roberta-wwm-ext", 5.9, noise=1.0)
    verdict = outcome("roberta-wwm-ext")
    assert verdict.outcome == "failed" and "bert 5.50: 0.10 fewer (95 %: -0." in verdict.reason


def test_a_model_that_has_more_nats_than_its_start_is_said_to(project):  # noqa: F811
    nats("roberta-wwm-ext", 6.5)
    assert outcome("roberta-wwm-ext").outcome == "failed"
    assert "bert 5.50: 0.50 more (95 %: 0.4" in outcome("roberta-wwm-ext").reason


@pytest.mark.parametrize(("words", "passes"), [(6.8, "passed"), (7.1, "failed")])
def test_random_weights_are_held_against_the_frequency_of_characters(project, words, passes):  # noqa: F811
    nats("bert", words)
    assert outcome("bert").outcome == passes and "by frequency of characters 6.50" in outcome("bert").reason


def test_a_start_whose_head_was_never_trained_is_no_start(project):  # noqa: F811
    change("results/cloze/rbt3-init.json", head_trained=False)
    reason = outcome("rbt3").reason
    assert "by frequency of characters 6.50" in reason and reason.endswith(
        "; the MLM head of rbt3-init was never trained"
    )
    assert outcome("rbt3-init").reason == "not trained here, and its MLM head was never trained"


def test_a_model_whose_head_alone_was_trained_has_nothing_to_pass(project):  # noqa: F811
    recipe = json.loads(Path("results/pretrain/rbt3.json").read_text())["recipe"]
    phases = [phase | {"train": "mlm_head"} for phase in recipe["phases"]]
    change("results/pretrain/rbt3.json", recipe=recipe | {"phases": phases})
    assert outcome("rbt3")[1:3] == ("none", "its MLM head alone was trained")


def test_a_start_that_guesses_worse_than_by_the_frequency_of_characters_is_no_start(project):  # noqa: F811
    nats("rbt3-init", 8.0)
    nats("rbt3", 7.3)
    assert outcome("rbt3").outcome == "failed" and "frequency of characters 6.50: 0.30 more" in outcome("rbt3").reason
    nats("rbt3", 6.5)
    assert outcome("rbt3").outcome == "passed" and "frequency of characters 6.50: 0.50 few" in outcome("rbt3").reason


@pytest.mark.parametrize(("lacks", "command"), [("rbt3", "dvc repro cloze@rbt3"), ("rbt3-init", "cloze@rbt3-init")])
def test_what_is_not_measured_has_not_passed_and_is_told_the_command(project, lacks, command):  # noqa: F811
    Path(f"results/cloze/{lacks}.json").unlink()
    assert outcome("rbt3").outcome == "unmeasured" and command in outcome("rbt3").reason
    [claim] = gate.claims(found())
    assert any("Not measured, so not passed: rbt3" in detail for detail in claim.details)


def test_a_start_that_is_not_compared_counts_all_the_same(project):  # noqa: F811
    models = [model for model in MODELS if model != "rbt3-init"]
    assert {one.model: one.outcome for one in gate.verdicts(found(models))}["rbt3"] == "passed"


def test_the_cloze_of_an_older_model_of_the_starts_name_does_not_count(project):  # noqa: F811
    change("results/cloze/rbt3-init.json", weights="older")
    change("results/finetune/reviews/rbt3-init.json", weights="older")
    assert outcome("rbt3").outcome == "unmeasured"


def test_a_start_that_was_asked_other_questions_does_not_count(project):  # noqa: F811
    change("results/cloze/rbt3-init.json", rows="1")
    assert outcome("rbt3").outcome == "unmeasured"


def contest(scores: list[float], rows: str = "1", examples: int = 100, **changes) -> gate.Contest:
    """On dev: figures of examples around the score of each seed, of deviation 10."""
    errors = np.random.default_rng([int(10 * score) for score in scores]).normal(0, 10, (len(scores), examples))
    figures = np.array(scores)[:, None] + errors - errors.mean(1, keepdims=True)
    return {"measure": "dev accuracy", "rows": rows, "figures": figures.tolist(), "characters": None} | changes


def filling(nats: float, noise: float = 0.1) -> gate.Contest:
    errors = np.random.default_rng(int(100 * nats)).normal(0, noise, 60)
    return {"measure": "cloze nats", "rows": "1", "figures": [list(2 * (nats + errors))], "characters": [2] * 60}


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        (contest([85.0, 86.0, 85.5]), contest([80.0, 82.0, 81.0]), None),
        (contest([81.0, 83.0, 82.0]), contest([80.0, 82.0, 81.0]), ""),
        (contest([85.0, 86.0, 85.5], rows="2"), contest([80.0, 82.0, 81.0]), "other rows"),
        (contest([85.0, 86.0, 85.5]), contest([80.0, 82.0, 81.0], values=[80]), "another measure"),
        (
            contest([99.0, 99.0]),
            contest([80.0, 82.0, 81.0]),
            "told to be better (fewer than 3 seeds or pairs)",
        ),
        (contest([99.0] * 3, examples=20), contest([80.0] * 3, examples=20), "fewer than 50 examples"),
        (filling(5.0), filling(5.5), None),
        (filling(5.5), filling(5.0), ""),
        (filling(5.0, noise=5.0), filling(5.5), ""),
        (contest([80.0, 82.0, 81.0]), contest([85.0, 86.0, 85.5]), ""),
    ],
)
def test_a_champion_is_beaten_by_more_than_chance_on_the_same_rows_alone(ours, theirs, why):
    lost = gate.lost(ours, theirs)
    assert lost == why if not why else why in lost


def test_what_a_champion_is_held_to_fits_into_a_tag_of_mlflow(project):  # noqa: F811
    scores = {"dev": [80 + i / 10 for i in range(10)]}
    finetuned.save(finetuned.result("bert", "xnli", scores, examples={"train": 1, "dev": 2490}))
    kept = champions.champions(found(["bert"], ["xnli"]))[0].contest
    assert len(json.dumps(kept)) < 100_000 and np.mean(kept["figures"], 1) == pytest.approx(scores["dev"], abs=1e-3)
