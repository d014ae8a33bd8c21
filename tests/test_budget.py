"""What a recipe costs, before anything is bought."""

import re
from pathlib import Path

import pytest
import toy
from typer.testing import CliRunner

from wwm import budget, cli, params
from wwm.common import hub
from wwm.masks import use
from wwm.params.masks import ExampleSet, Length
from wwm.training import loader


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(cli.commands, ["plan", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def nothing(source: str, *_) -> None:
    raise hub.Away(f"no network for {source}")


@pytest.fixture(autouse=True)
def no_hub(monkeypatch):
    monkeypatch.setattr(hub, "folder", nothing)


@pytest.mark.parametrize(
    ("preset", "steps", "tokens", "flops"),
    [
        # wwm/report/authors_models.csv has these FLOPs; steps and batches are the authors'.
        ("bert-wwm", "200,000", "52.4B", "2.9e19"),
        ("bert-wwm-ext", "1,400,000", "406.3B", "2.2e20"),
        ("roberta-wwm-ext", "1,000,000", "196.6B", "1.1e20"),
        ("roberta-wwm-ext-large", "2,000,000", "524.3B", "1.0e21"),
    ],
)
def test_the_authors_models_cost_what_their_steps_and_batches_come_to(preset, steps, tokens, flops):
    said = printed(preset, "--device", "a100", "--share", "0.4")
    row = next(line.split() for line in said.splitlines() if line.startswith(f"{preset} "))
    assert row[2:5] == [steps, tokens, flops]
    assert float(row[5].replace(",", "")) == pytest.approx(float(flops) / (0.4 * 312e12) / 3600, rel=0.05)
    assert ("neither here nor does the hub answer" in said) == (preset != "roberta-wwm-ext-large")  # drawn at random


def test_a_recipe_of_ones_own_is_planned_with_keys_changed_and_text_of_its_size():
    said = printed("tiny", "--set", "pretrain.models.bert.phases.0.steps=40000", "--characters", "2e9")
    assert re.search(r"bert +\S+ +40,0\d\d ", said) and "base.threads" in said and "in all" in said


def test_milestones_take_the_room_of_as_many_models():
    def room(*changes: str) -> float:
        return float(re.search(r"^models +(\S+)$", printed("roberta-wwm-ext-large", *changes), re.M)[1])

    every = "pretrain.models.roberta-wwm-ext-large.milestones=200000"
    one = room() / 2  # of random and of trained weights
    assert room("--set", every) == pytest.approx(one * (2 + 9), rel=0.03)


def test_a_teacher_whose_logits_are_not_learnt_costs_its_layers_up_to_the_highest_match():
    def work(name: str, *changes: str) -> float:
        said = printed("distill", "--device", "a100", *(part for each in changes for part in ("--set", each)))
        return float(re.search(rf"^{name} +\S+ +\S+ +\S+ +(\S+)", said, re.M)[1])

    hidden = "distill.models.mini-taught.kd_loss_weight=0"
    matches = "distill.models.mini-taught.intermediate_matches"
    match = "{layer_S: 1, feature: hidden, loss: cos, weight: 1, proj: [linear, 64, 128], layer_T: %d}"
    each = [work("mini-taught", hidden, f"{matches}=[{match % layer}]") for layer in (0, 2, 4)]
    assert each[0] == work("mini") < each[1] < each[2] < work("mini-taught")


@pytest.mark.parametrize("dynamic", [True, False])
def test_examples_take_the_room_that_was_foretold(tmp_path, dynamic):
    toy.shards(tmp_path / "set", dynamic=dynamic, n_documents=4000)
    examples = ExampleSet(
        unit="whole_word",
        masking="dynamic" if dynamic else "static",
        next_sentence_prediction=True,
        lengths=[Length(max_seq_length=32, max_predictions_per_seq=5, dupe_factor=1)],
    )
    lengths = [len(row) for shard in loader.shards(tmp_path / "set").values() for row in shard.read_all()["input_ids"]]
    how = examples.model_dump() | {"masked_lm_prob": 0.15, "max_seq_length": round(sum(lengths) / len(lengths))}
    foretold = use.bytes_per_piece(how | {"dupe_factor": 1})
    written = sum(path.stat().st_size for path in tmp_path.rglob("*.arrow"))
    assert written / sum(lengths) == pytest.approx(foretold, rel=0.1)


def test_every_model_of_every_preset_has_a_shape():
    for path in Path("presets").glob("*.yaml"):
        values = params.read(path)
        found, _ = budget.shapes(values)
        assert {*values.made_from} == {*found}
    assert budget.shapes(params.read("presets/rbt3.yaml"))[0]["rbt3"].num_hidden_layers == 3
