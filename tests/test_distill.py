"""A student learns of its teacher what TextBrewer's terms say, by the user's command, and is a model like any other."""

import json
import shutil
import signal
from functools import partialmethod
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import toy
from ruamel.yaml import YAML
from safetensors.torch import load_file
from test_pretrain import PAIR
from training import assert_close, lay_out, losses, run, weights, went_on
from transformers import BertForPreTraining

from wwm import distill, params, pretrain
from wwm.common.errors import UserError
from wwm.common.model_folder import COST, HEADS, MLM_HEAD
from wwm.training import device, loader, trainer
from wwm.training.distillation import Distilled
from wwm.training.model import on_device
from wwm.training.step import Stepper

MATCHES = [
    {"layer_T": 0, "layer_S": 0, "feature": "hidden", "loss": "cos", "weight": 0.5, "proj": ["linear", 32, 48]},
    {"layer_T": 3, "layer_S": 2, "feature": "hidden", "loss": "hidden_mse", "weight": 2, "proj": ["linear", 32, 48]},
]
OF_TEACHER = {
    "teacher": "teacher",
    "temperature": 4.0,
    "kd_loss_type": "ce",
    "kd_loss_weight": 1.0,
    "hard_label_weight": 0.5,
    "intermediate_matches": MATCHES,
}
WARM_UP = {
    "max_seq_length": 32,
    "steps": 4,
    "batch_size": 8,
    "micro_batch": 2,
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "warmup_steps": 2,
    "train": "mlm_head",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """`small` and `bert` begin alike and are trained alike, `small` with a deeper and wider teacher."""
    lay_out(tmp_path, monkeypatch)
    toy.model(Path("models/teacher"), layers=3, hidden=48)
    change()


def change(settings: dict | None = None, dropout: float = 0.1, **changes) -> None:
    """settings: of all models; changes: of the student."""
    values = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    begun = values["init"]["models"]
    begun["random"]["architecture"] |= {"num_hidden_layers": 2}
    wider = {"num_hidden_layers": 3, "hidden_size": 48}
    begun["begun"] = {"source": "random", "architecture": begun["random"]["architecture"] | wider}
    begun["loaded"] = {"source": "elsewhere", "architecture": None}
    values["truncate"] = {"models": {"cut": {"source": "begun", "layers": [0, 1, 2]}}}
    values["pretrain"]["models"].pop("rbt3", None)
    values["pretrain"]["models"]["teacher"] = values["pretrain"]["models"]["bert"] | {"init": "begun"}
    for section in ("cloze", "scores"):
        values[section]["models"] = ["random"]
    values["finetune"]["models"] = {"random": {}}
    values["scores"]["baseline"] = "random"
    values["pretrain"] |= settings or {}
    values["distill"] = {"models": {"small": values["pretrain"]["models"]["bert"] | OF_TEACHER | changes}}
    toy.model(Path("models/random"), dropout=dropout)
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML(typ="safe").dump(values, file)


@pytest.mark.parametrize("kd_loss_type", ["ce", "mse"])
def test_loss_is_that_of_plain_formulas_over_examples_one_by_one(tmp_path, kd_loss_type):
    """Packed rows in several passes, against transformers' own models on each example alone, at every position."""
    bert = toy.model(tmp_path / "model")
    teacher = toy.model(layers=3, hidden=48)
    toy.shards(tmp_path / "shards")
    settings = SimpleNamespace(**OF_TEACHER | {"kd_loss_type": kd_loss_type})
    settings.intermediate_matches = [SimpleNamespace(**match) for match in MATCHES]
    student = Distilled(bert, teacher, settings, seed=1)
    examples = loader.Examples(tmp_path / "shards", tmp_path / "model/vocab.txt", seed=1)
    numbers = examples.numbers(0, 12)
    kd, hard, nsp, matches, masked, tokens = [0.0] * 6
    for number in numbers:
        example = examples.example(number)
        inputs = {
            name: torch.from_numpy(example[name].astype(np.int64))[None] for name in ("input_ids", "token_type_ids")
        }
        ours = bert(**inputs, output_hidden_states=True)
        with torch.no_grad():
            theirs = teacher(**inputs, output_hidden_states=True)
        places = example["masked_lm_positions"].tolist()
        logits, wanted = (said.prediction_logits[0, places] for said in (ours, theirs))
        if kd_loss_type == "ce":
            kd = kd - ((wanted / 4).softmax(-1) * (logits / 4).log_softmax(-1)).sum()
        else:
            kd = kd + ((logits / 4 - wanted / 4) ** 2).mean(-1).sum()
        labels = torch.from_numpy(example["masked_lm_ids"].astype(np.int64))
        hard = hard - logits.log_softmax(-1)[range(len(labels)), labels].sum()
        nsp = nsp - ours.seq_relationship_logits[0].log_softmax(0)[int(example["next_sentence_label"])]
        for match, linear in zip(MATCHES, student.projections):
            state, aim = ours.hidden_states[match["layer_S"]][0], theirs.hidden_states[match["layer_T"]][0]
            state = state @ linear.weight.T + linear.bias
            if match["loss"] == "cos":
                each = 1 - (state * aim).sum(-1) / (state.norm(dim=-1) * aim.norm(dim=-1))
            else:
                each = ((state - aim) ** 2).mean(-1)
            matches = matches + match["weight"] * each.sum()
        masked, tokens = masked + len(places), tokens + inputs["input_ids"].numel()
    (kd / masked + 0.5 * (hard / masked + nsp / 12) + matches / tokens).backward()
    by_hand = {name: p.grad for name, p in student.named_parameters() if p.grad is not None}
    student.zero_grad()

    settings = SimpleNamespace(precision="fp32", max_grad_norm=1e9, loss_spike=None)
    job = SimpleNamespace(settings=settings, processes=device.Processes(0, 1, torch.device("cpu")))
    stepper = Stepper(job, student, torch.optim.SGD(student.parameters(), 0.1), [])
    stepper.step(1, numbers, examples.batches(numbers, 32, rows=2), stop=False)
    assert by_hand.keys() == {name for name, p in student.named_parameters() if p.grad is not None}
    assert {"projections.0.weight", "projections.1.bias"} <= by_hand.keys()
    for name, p in student.named_parameters():
        if name in by_hand:
            torch.testing.assert_close(p.grad, by_hand[name], rtol=1e-3, atol=1e-6, msg=name)
    sums = stepper.read(examples, 32)
    assert sums.kd / sums.masked == pytest.approx((kd / masked).item(), rel=1e-5)
    assert sums.matches / sums.tokens == pytest.approx((matches / tokens).item(), rel=1e-5)
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize("of_teacher", [False, True])
def test_a_pass_that_runs_out_of_memory_leaves_nothing_on_the_models(tmp_path, monkeypatch, of_teacher):
    bert, teacher = toy.model(tmp_path / "model"), toy.model(layers=3, hidden=48)
    toy.shards(tmp_path / "shards")
    settings = SimpleNamespace(**OF_TEACHER | {"intermediate_matches": [SimpleNamespace(**m) for m in MATCHES]})
    student = Distilled(bert, teacher, settings, seed=1)
    examples = loader.Examples(tmp_path / "shards", tmp_path / "model/vocab.txt", seed=1)
    batch = on_device(next(iter(examples.batches(examples.numbers(0, 4), 32, rows=2))), bert)

    def too_much(*_):
        assert hasattr((teacher if of_teacher else bert).bert.embeddings, "kept")
        raise torch.OutOfMemoryError

    student.train()
    with monkeypatch.context() as patched, pytest.raises(torch.OutOfMemoryError):
        patched.setattr((teacher if of_teacher else bert).cls.predictions, "forward", too_much)
        student(batch)
    assert not [module for model in (bert, teacher) for module in model.modules() if hasattr(module, "kept")]
    assert student(batch).matches > 0


def test_without_logits_the_teacher_runs_and_counts_up_to_its_highest_matched_layer(tmp_path):
    bert, teacher, whole = toy.model(tmp_path / "model"), *(toy.model(layers=3, hidden=48) for _ in range(2))
    toy.shards(tmp_path / "shards")
    examples = loader.Examples(tmp_path / "shards", tmp_path / "model/vocab.txt", seed=1)
    batch = on_device(next(iter(examples.batches(examples.numbers(0, 4), 32, rows=2))), bert)
    ran = []
    for part in (*teacher.bert.encoder.layer, teacher.cls):
        part.register_forward_hook(lambda module, *_: ran.append(module))
    first, second, _ = teacher.bert.encoder.layer
    matches = [SimpleNamespace(**MATCHES[1] | {"layer_T": 2})]

    def student(teacher, weight: float) -> Distilled:
        settings = OF_TEACHER | {"kd_loss_weight": weight, "intermediate_matches": matches}
        return Distilled(bert, teacher, SimpleNamespace(**settings), seed=1).train()

    of_hidden, of_logits = student(teacher, 0), student(whole, 1)
    learnt = of_hidden(batch).matches
    assert ran == [first, second] and learnt == of_logits(batch).matches > 0
    assert of_hidden.flops(64, 2048, 9) < of_logits.flops(64, 2048, 9)


def test_killed_student_goes_on_and_ends_with_the_weights_of_one_that_was_never_killed(project, capsys):
    small = {"stage": "distill", "name": "small"}
    assert run(**small) == 0
    never_killed, curve = weights("small"), losses("small")
    Path("models/small/model.safetensors").unlink()
    assert run(kill_after=5, **small) == -signal.SIGKILL
    assert run(kill_after=17, **small) == -signal.SIGKILL
    newest = torch.load(max(Path("scratch").glob("distill-*/step-*.pt")), weights_only=True)
    assert {name for name in newest["model"] if name.startswith("projections.")} == {
        f"projections.{i}.{part}" for i in (0, 1) for part in ("weight", "bias")
    }
    assert run(**small) == 0
    assert went_on(capsys.readouterr().out)
    assert weights("small") == never_killed and losses("small") == curve


def test_student_is_a_model_like_any_other_and_its_results_tell_of_its_teacher(project):
    pretrain.main("bert")
    distill.main("small")
    plain, small = (load_file(f"models/{name}/model.safetensors") for name in ("bert", "small"))
    assert {name: t.shape for name, t in plain.items()} == {name: t.shape for name, t in small.items()}
    assert not all(t.equal(small[name]) for name, t in plain.items())
    assert BertForPreTraining.from_pretrained("models/small").config.hidden_size == 32
    one, other = (json.loads(Path(f"results/pretrain/{name}.json").read_text()) for name in ("bert", "small"))
    assert other["teacher"] == "teacher" and other["all_but_teacher"] == one["all_else"] != other["all_else"]
    assert not one.keys() & {"teacher", "kd_loss"} and "kd_loss" not in losses("bert")[0]
    assert other["own_flops"] > 1.3 * one["own_flops"] and other["own_tokens"] == one["own_tokens"]
    rows = losses("small")
    assert float(rows[-1]["kd_loss"]) < float(rows[0]["kd_loss"])
    assert float(rows[-1]["matches_loss"]) < float(rows[0]["matches_loss"])


def test_mlm_head_stays_untrained_where_neither_logits_nor_text_are_learnt_from(project):
    for part, seed in (("train", 0), ("heldout", 1)):
        toy.shards(Path("data/mask/whole-word/32", part), next_sentence_prediction=False, seed=seed)
    for weight, left in ((0, list(HEADS)), (1, [head for head in HEADS if head != MLM_HEAD])):
        change(examples="whole-word", hard_label_weight=0, kd_loss_weight=weight)
        Path("models/random/training.json").write_text(json.dumps(dict.fromkeys(COST, 0) | {"untrained": HEADS}))
        distill.main("small")
        assert json.loads(Path("models/small/training.json").read_text())["untrained"] == left


def test_student_that_is_its_teacher_has_nothing_to_match(project):
    same = [{"layer_T": i, "layer_S": i, "feature": "hidden", "loss": "hidden_mse", "weight": 1} for i in (0, 1, 2)]
    change({"log_every": 1}, dropout=0.0, teacher="loaded", intermediate_matches=same)
    shutil.copytree("models/random", "models/loaded")
    distill.main("small")
    assert not losses("small")[0]["matches_loss"] and float(losses("small")[-1]["matches_loss"]) > 0


def test_two_processes_give_the_student_of_one(project):
    change(dropout=0.0)
    assert run(stage="distill", name="small") == 0
    alone, curve = load_file("models/small/model.safetensors"), losses("small")
    shutil.rmtree("models/small")
    Path("pair.yaml").write_text(PAIR)
    change({"accelerate": "pair.yaml"}, dropout=0.0)
    assert run(stage="distill", name="small") == 0
    assert_close(load_file("models/small/model.safetensors"), alone)
    for before, after in zip(curve, losses("small"), strict=True):
        for key in ("kd_loss", "matches_loss", "mlm_loss"):
            assert float(after[key]) == pytest.approx(float(before[key]), rel=1e-4), key


@pytest.mark.parametrize("changed", ["compile", "gradient_checkpointing"])
def test_hidden_states_are_matched_as_before_when_layers_are_compiled_or_computed_again(
    project, changed, monkeypatch, capsys
):
    change(dropout=0.0)
    distill.main("small")
    curve = losses("small")
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(torch.nn.Module.compile, backend="eager"))
    torch._dynamo.reset()
    change({changed: True}, dropout=0.0)
    distill.main("small")
    assert "NOT COMPILED" not in capsys.readouterr().out
    for before, after in zip(curve, losses("small"), strict=True):
        for key in ("kd_loss", "matches_loss", "mlm_loss"):
            assert float(after[key]) == pytest.approx(float(before[key]), rel=1e-4), key


def other_vocabulary() -> None:
    lines = Path("models/teacher/vocab.txt").read_text(encoding="utf-8").split("\n")
    Path("models/teacher/vocab.txt").write_text("\n".join([*lines[:5], *lines[5:-1][::-1], ""]), encoding="utf-8")


def no_head() -> None:
    Path("models/teacher/training.json").write_text('{"steps": null, "untrained": ["cls.predictions"]}')


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (other_vocabulary, "teacher: models/teacher has another vocabulary than models/random; take a teacher with"),
        (
            no_head,
            "teacher: the MLM head of models/teacher was never trained, so its logits say nothing; train",
        ),
        (
            lambda: toy.model(Path("models/teacher"), layers=3, hidden=64),
            r"intermediate_matches.0.proj: models/random is 32 wide, models/teacher 64; write proj: \[linear, 32, 64\]",
        ),
        (
            lambda: toy.model(Path("models/teacher"), layers=2, hidden=48),
            "intermediate_matches.1.layer_T 3 is more than the 2 layers of models/teacher; lower it, or take a model",
        ),
    ],
    ids=["vocabulary", "head", "width", "layer"],
)
def test_a_teacher_that_cannot_teach_is_refused_in_one_line(project, damage, told):
    damage()
    with pytest.raises(UserError, match=f"^distill.models.small.{told}"):
        distill.main("small")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"teacher": "nobody"}, "distill.models.small.teacher: 'nobody' is none of begun, bert, "),
        ({"kd_loss_weight": 0, "intermediate_matches": []}, "small: kd_loss_weight 0 without intermediate_matches"),
        (
            {"kd_loss_weight": 0, "hard_label_weight": 0, "phases": [WARM_UP]},
            "phases.0.train mlm_head: kd_loss_weight and hard_label_weight 0 leave the MLM head untrained; set one",
        ),
        ({"hard_label_weight": 0}, "small: hard_label_weight 0 leaves the next sentence head untrained"),
        ({"teacher": "begun"}, "small.teacher: begun has random weights; take a trained model"),
        ({"teacher": "cut"}, "small.teacher: cut has random weights"),
        (
            {"intermediate_matches": [MATCHES[0] | {"proj": None}]},
            r"0.proj: random is 32 wide, teacher 48; write proj: \[linear, 32, 48\]",
        ),
        (
            {"intermediate_matches": [MATCHES[0] | {"proj": ["linear", 48, 32]}]},
            "0.proj: random is 32 wide, teacher 48",
        ),
        ({"intermediate_matches": [MATCHES[0] | {"layer_T": 9}]}, "0.layer_T 9 is more than the 3 layers of teacher"),
        (
            {"intermediate_matches": [MATCHES[0] | {"proj": ["relu", 32, 48]}]},
            r"proj \['relu', 32, 48\] is not \[linear",
        ),
        ({"intermediate_matches": [MATCHES[0] | {"feature": "attention"}]}, "feature is 'attention': .*'hidden'"),
        ({"init": "small"}, "distill.models.small.init: 'small' is none of"),
    ],
)
def test_what_params_say_of_a_student_is_checked_before_anything_runs(project, changes, told):
    with pytest.raises(UserError, match=told):
        change(**changes)
        params.read()


def test_a_teacher_that_begins_at_its_student_is_named(project):
    change(teacher="bert")
    values = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    values["pretrain"]["models"]["bert"]["init"] = "small"
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML(typ="safe").dump(values, file)
    with pytest.raises(UserError, match="(small -> bert -> small|bert -> small -> bert): these models start from"):
        params.read()


def test_weights_spread_over_processes_and_xla_are_refused(project, monkeypatch):
    change({"fsdp": True})
    with pytest.raises(UserError, match="distill.models.small: a teacher stays whole in each process"):
        params.read()
    change({"fsdp": False})
    monkeypatch.setattr(device, "join", lambda: device.Processes(0, 1, torch.device("xla")))
    monkeypatch.setattr(device, "named", lambda *_: "TPU")
    monkeypatch.setattr(trainer.model, "load", lambda *_: toy.model())
    with pytest.raises(UserError, match="distill.models.small: a teacher does not run on XLA"):
        distill.main("small")
