"""Pre-training survives a kill with the same weights, to the bit, and names what goes wrong."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
import toy
from safetensors.torch import load_file
from training import assert_close, lay_out, losses, run, set_milestones, set_params, went_on
from transformers import BertConfig

from wwm import params, pretrain, pretraining, truncate
from wwm.common import files, model_folder, times
from wwm.common.errors import UserError
from wwm.training import checkpoint, device, model, trainer
from wwm.training.job import from_labels
from wwm.training.step import Stepper


@pytest.fixture
def project(tmp_path, monkeypatch):
    lay_out(tmp_path, monkeypatch)


# What `accelerate config` writes for two GPUs of one machine; where there is none, each process takes the CPU.
PAIR = """compute_environment: LOCAL_MACHINE
distributed_type: MULTI_GPU
gpu_ids: all
num_machines: 1
num_processes: 2
machine_rank: 0
main_process_port: 0
main_training_function: main
mixed_precision: 'no'
use_cpu: false
"""


def make_shards(masking: str) -> None:
    if masking == "dynamic":
        shutil.rmtree("data/mask/wordpiece-nsp/32")
        toy.shards(Path("data/mask/wordpiece-nsp/32/train"), dynamic=True)
        toy.shards(Path("data/mask/wordpiece-nsp/32/heldout"), seed=1, dynamic=True)


def two_processes() -> None:
    Path("pair.yaml").write_text(PAIR)
    set_params(accelerate="pair.yaml")


def made(model: str) -> dict[str, str]:
    """File -> its hash, of all that lies in a model's folder."""
    folder = Path("models", model)
    return {str(file.relative_to(folder)): files.content_hash(file) for file in folder.rglob("*") if file.is_file()}


def written(pattern: str) -> dict[str, int]:
    """File -> when, in nanoseconds."""
    return {str(file): file.stat().st_mtime_ns for file in Path().glob(pattern)}


@pytest.mark.parametrize("masking", ["static", "dynamic"])
def test_killed_run_goes_on_and_ends_with_the_weights_of_one_that_was_never_killed(project, masking, capsys):
    make_shards(masking)
    set_milestones(4)
    if masking == "dynamic":
        set_params(masking="dynamic", optimizer="muon, masked_lm_prob: [0.15, 0.05]")
    assert run() == 0
    never_killed, curve, last = made("bert"), losses(), Path("results/pretrain/bert.json").read_bytes()
    milestones = {str(Path(name).parent) for name in never_killed if name.endswith("/model.safetensors")}
    assert milestones == {f"milestones/{step}" for step in (4, 8, 12, 16, 20)}
    assert not list(Path("scratch").glob("pretrain-*/*"))
    shutil.rmtree("models/bert")
    # Once in each phase; the second run resumes the first's checkpoint.
    assert run(kill_after=5) == -signal.SIGKILL
    assert not Path("models/bert").exists()
    kept = written("scratch/pretrain-*/milestones/4/*")
    assert run(kill_after=17) == -signal.SIGKILL
    assert kept and kept.items() <= written("scratch/pretrain-*/milestones/*/*").items()
    newest = torch.load(max(Path("scratch").glob("pretrain-*/step-*.pt")), weights_only=True)
    before_the_kill = json.loads(newest["state"])["seconds"]
    assert run() == 0
    assert went_on(capsys.readouterr().out)
    assert made("bert") == never_killed
    assert losses() == curve and Path("results/pretrain/bert.json").read_bytes() == last
    assert times.read("pretrain/bert")["seconds"] >= before_the_kill > 0


def test_share_of_masked_pieces_goes_in_a_line_from_the_first_step_to_the_last(project, monkeypatch):
    make_shards("dynamic")
    set_params(masking="dynamic", optimizer="adamw, masked_lm_prob: [0.15, 0.05]", batch_size=40, micro_batch=8)
    shares, step = [], Stepper.step

    def counted(self, *arguments, **keywords):
        told = step(self, *arguments, **keywords)
        counts = self.unread[-1].counts
        shares.append(counts["masked"] / counts["tokens"])
        return told

    monkeypatch.setattr(Stepper, "step", counted)
    pretrain.main("bert")
    # Examples are short and each has a whole number of masks.
    wanted = [0.15 - 0.1 * i / 11 for i in range(12)] * 2
    assert np.abs(np.array(shares) - wanted).max() < 0.02 and np.abs(np.mean(np.array(shares) - wanted)) < 0.005


def test_curve_of_a_run_that_was_stopped_between_two_of_its_points_is_that_of_one_that_was_not(project):
    text = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(re.sub("checkpoint_every: .*", "checkpoint_every: 3", text), encoding="utf-8")
    assert run() == 0
    curve = losses()
    Path("models/bert/model.safetensors").unlink()
    assert run(kill_after=6) == -signal.SIGKILL
    assert run() == 0
    assert losses() == curve and len(curve) > 4


def test_a_milestone_is_the_whole_model_of_a_training_that_ended_there_and_changes_nothing_else(project, capsys):
    assert run() == 0
    whole, last = made("bert"), json.loads(Path("results/pretrain/bert.json").read_text())
    text = Path("params.yaml").read_text(encoding="utf-8")
    phases = [line for line in text.splitlines(keepends=True) if "batch_size: 8, micro_batch: 2" in line]
    Path("params.yaml").write_text(text.replace("".join(phases), phases[0]), encoding="utf-8")
    assert run() == 0
    half = made("bert")
    Path("params.yaml").write_text(text, encoding="utf-8")
    set_milestones(12)
    assert run() == 0
    assert made("bert") == whole | {f"milestones/12/{name}": digest for name, digest in half.items()}
    told = json.loads(Path("results/pretrain/bert.json").read_text())
    assert told == last | {"milestones": {"12": model_folder.weights_hash(Path("models/bert/milestones/12"))}}
    assert re.search("[0-9] for models/bert and [0-9]+ for 1 milestones\n", capsys.readouterr().out)


@pytest.mark.parametrize("fsdp", ["false", "true"])
def test_two_processes_give_the_curve_and_the_weights_of_one(project, fsdp, capsys):
    """Without dropout; what differs is the order of sums in 32-bit floats."""
    toy.model(Path("models/random"), dropout=0.0)
    assert run() == 0
    alone, curve = load_file("models/bert/model.safetensors"), losses()
    shutil.rmtree("models/bert")
    two_processes()
    set_params(fsdp=fsdp)
    assert run() == 0
    printed = capsys.readouterr().out
    assert "2 processes" in printed and ("part of the weights" in printed) == (fsdp == "true")
    pair = load_file("models/bert/model.safetensors")
    assert_close(pair, alone)
    for one, other in zip(curve, losses(), strict=True):
        assert one.keys() == other.keys() and len(curve) > 4
        for key, value in one.items():
            if key != "fill" and value:  # rows are packed from other examples
                assert float(other[key]) == pytest.approx(float(value), rel=1e-4), key


def test_no_process_drops_out_what_one_of_another_seed_does(project):
    values, seeds = params.read(), []
    for seed, rank in ((7, 0), (7, 1), (8, 0), (8, 1)):
        job = SimpleNamespace(
            name="bert",
            seed=seed,
            threads=1,
            settings=values.pretrain,
            phases=values.pretrain.models["bert"].phases,
            init=Path("models/random"),
            processes=device.Processes(rank, 2, torch.device("cpu")),
            losses=from_labels,
        )
        trainer.Trainer(job)
        seeds.append(torch.initial_seed())
    assert len(set(seeds)) == 4


def test_a_second_machine_joins_in_by_the_readmes_command(project, capsys):
    """Both are this one, with a process each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    machines = PAIR.replace("num_machines: 1", "num_machines: 2").replace(
        "main_process_port: 0", f"main_process_ip: 127.0.0.1\nmain_process_port: {port}"
    )
    Path("machines.yaml").write_text(machines)
    set_params(accelerate="machines.yaml")
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        "machines.yaml",
        "--machine_rank",
        "1",
        "-m",
        "wwm.pretrain",
        "bert",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as second:
        assert run() == 0
        assert second.wait(timeout=60) == 0
    assert "2 processes train together" in capsys.readouterr().out and len(losses()) > 4


@pytest.mark.parametrize(
    "masking, fsdp",
    [pytest.param("static", "false", marks=pytest.mark.slow), ("dynamic", "false"), ("static", "true")],
)
def test_two_processes_that_are_killed_end_with_the_weights_of_two_that_never_were(project, masking, fsdp, capsys):
    make_shards(masking)
    two_processes()
    set_params(fsdp=fsdp)
    set_milestones(4)
    assert run() == 0
    never_killed, curve = made("bert"), losses()
    assert "milestones/20/model.safetensors" in never_killed
    shutil.rmtree("models/bert")
    assert run(kill_after=5) == -signal.SIGKILL
    assert run(kill_after=17) == -signal.SIGKILL
    assert run() == 0
    assert went_on(capsys.readouterr().out)
    assert made("bert") == never_killed and losses() == curve


def test_processes_that_train_together_end_with_the_one_that_was_killed(project):
    two_processes()
    assert run(kill_after=5) == -signal.SIGKILL
    time.sleep(2)
    newest = max(Path("scratch").glob("pretrain-*/step-*.pt"))
    time.sleep(2)
    assert max(Path("scratch").glob("pretrain-*/step-*.pt")) == newest and not Path("models/bert").exists()


def test_checkpoint_of_two_processes_is_gone_on_from_by_one_which_says_what_differs(project, capsys):
    two_processes()
    assert run(kill_after=5) == -signal.SIGKILL
    set_params(accelerate="null")
    assert run() == 0
    assert "the checkpoint is of 2 processes, these are 1" in capsys.readouterr().out


@pytest.mark.parametrize("processes", [1, 2])
def test_sigterm_saves_and_asks_to_be_run_again(project, processes, capsys):
    if processes == 2:
        two_processes()
    assert run(kill_after=5, sent=signal.SIGTERM) == os.EX_TEMPFAIL
    (step,) = re.findall(r"stopped at step (\d+), checkpoint saved", capsys.readouterr().out)
    assert len(list(Path("scratch").glob(f"pretrain-*/step-{int(step):08d}.pt"))) == 1


@pytest.mark.parametrize(
    ("pairs", "head_only", "left"),
    [
        (True, [False], []),
        (True, [True, False], []),
        (True, [True], ["cls.seq_relationship", "bert.pooler"]),
        (False, [False], ["cls.seq_relationship", "bert.pooler"]),
    ],
)
def test_a_head_that_was_drawn_is_remembered_until_a_phase_reaches_it(pairs, head_only, left):
    phases = [SimpleNamespace(train="mlm_head" if one else "all") for one in head_only]
    drawn = ["cls.predictions", "cls.seq_relationship", "bert.pooler"]
    ended = SimpleNamespace(phase=len(phases))
    trained = SimpleNamespace(
        before={"steps": None, "untrained": drawn},
        job=SimpleNamespace(phases=phases),
        state=ended,
        losses=model.Pretraining(None),
    )
    assert pretraining.untrained(trained, {"next_sentence_prediction": pairs}) == {"untrained": left}
    trained.before = {"steps": None}
    assert pretraining.untrained(trained, {"next_sentence_prediction": pairs}) == {}


def test_model_counts_what_all_its_training_cost(project):
    before = {"steps": 100, "tokens": 5000, "flops": 10**9}
    Path("models/random/training.json").write_text(json.dumps(before))
    assert run() == 0
    seen, own = (
        json.loads(Path("models/bert/training.json").read_text()),
        json.loads(Path("results/pretrain/bert.json").read_text()),
    )
    assert [own["init_weights"], own["weights"]] == [
        model_folder.weights_hash(Path("models", name)) for name in ("random", "bert")
    ]
    assert seen["own_steps"] == 24 and seen["steps"] == own["steps"] == 124
    assert all(seen[key] == before[key] + seen[f"own_{key}"] for key in before)
    phases = own["recipe"]["phases"]
    assert seen["own_examples"] == sum(phase["steps"] * phase["batch_size"] for phase in phases)
    assert seen["examples"] is None  # of its start that is not known
    config = BertConfig.from_pretrained("models/bert")
    tokens = seen["own_tokens"]
    least, most = (model.training_flops(config, tokens, *each) for each in ((0, 0), (32 * tokens, tokens / 2)))
    assert least < seen["own_flops"] < most


def test_models_that_differ_in_their_unit_of_masking_alone_have_all_else_in_common(project):
    assert run() == 0
    kept = json.loads(Path("results/pretrain/bert.json").read_text())
    examples = Path("data/mask/wordpiece-nsp")
    for changes, same in (({"unit": "wordpiece"}, True), ({"unit": "wordpiece", "masked_lm_prob": 0.3}, False)):
        shutil.rmtree(examples)
        for split, seed in (("train", 0), ("heldout", 1)):
            toy.shards(examples / "32" / split, seed=seed, **changes)
        assert run() == 0
        made = json.loads(Path("results/pretrain/bert.json").read_text())
        assert (kept["recipe"]["examples"]["unit"], made["recipe"]["examples"]["unit"]) == ("whole_word", "wordpiece")
        assert (made["all_else"] == kept["all_else"]) == same
    set_params(learning_rate="2.0e-3")
    assert run() == 0
    assert json.loads(Path("results/pretrain/bert.json").read_text())["all_else"] != made["all_else"]


def test_batch_that_the_processes_cannot_share_is_named(project, capsys):
    two_processes()
    set_params(batch_size=13)
    assert run()
    assert "batch_size 13 is not divisible by 2 processes; nearest is 12" in capsys.readouterr().out


def test_missing_accelerate_config_is_named(project):
    set_params(accelerate="nowhere.yaml")
    with pytest.raises(UserError, match="pretrain.accelerate: nowhere.yaml does not exist"):
        pretrain.main("bert")


@pytest.mark.parametrize(
    "content",
    ["", "x\n", "- a\n", "{a: [\n", "nothing: 1\n", *(f"num_processes: {count}\n" for count in ("maybe", 0, -1))],
)
def test_broken_accelerate_config_is_named_before_a_process_starts(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    local = "compute_environment: LOCAL_MACHINE\n" if content.startswith("num") else ""
    Path("acc.yaml").write_text(local + content, encoding="utf-8")
    with pytest.raises(UserError, match="acc.yaml"):
        pretraining.launch("pretrain", "bert", "acc.yaml")


def test_micro_batch_of_null_is_the_largest_that_fits_and_changes_the_result_by_rounding_alone(project, capsys):
    toy.model(Path("models/random"), dropout=0.0)
    assert run() == 0
    given = load_file("models/bert/model.safetensors")
    shutil.rmtree("models/bert")
    set_params(micro_batch="null")
    assert run() == 0
    assert "pretrain bert: 8 rows in one forward pass\n" in capsys.readouterr().out
    assert_close(load_file("models/bert/model.safetensors"), given)


def test_loss_that_is_not_finite_stops_before_the_weights_change_and_names_shard_and_row(project):
    model = toy.model(Path("models/random"))
    # The last position poisons the examples that reach it; what is not finite at the start is refused before.
    with torch.no_grad():
        model.bert.embeddings.position_embeddings.weight[31] = 3e38
    model.save_pretrained("models/random")
    with pytest.raises(
        ValueError,
        match=(
            r"at step \d+ the loss is nan, .*worst example there is data/mask/wordpiece-nsp/32/train/0000[01].arrow,"
            r" row \d+"
        ),
    ) as caught:
        pretrain.main("bert")
    path, row = re.search(r"there is (\S+), row (\d+)", str(caught.value)).groups()
    assert len(pa.ipc.open_file(path).read_all()["input_ids"][int(row)]) == 32
    assert not list(Path("scratch").glob("pretrain-*/step-*"))


def test_batch_without_masks_stops_and_names_the_set(project):
    for path in Path("data/mask/wordpiece-nsp/32/train").glob("*.arrow"):
        table = pa.ipc.open_file(path).read_all()
        for name in ("masked_lm_positions", "masked_lm_ids"):
            place = table.schema.get_field_index(name)
            none = pa.array([[]] * len(table), table.schema.field(name).type)
            table = table.set_column(place, table.schema.field(name), none)
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table.combine_chunks())
    with pytest.raises(ValueError, match="at step 1 no piece .* is masked; look at data/mask/wordpiece-nsp/32/train"):
        pretrain.main("bert")


def test_loss_that_jumps_stops_and_names_the_worst_example(project, monkeypatch):
    monkeypatch.setattr("wwm.training.step.SPIKE_WINDOW", 3)
    # From the fourth step on the rate is far too high.
    set_params(learning_rate=300.0, loss_spike=1.5, warmup_steps=2, max_grad_norm=1e9)
    with pytest.raises(
        ValueError,
        match=(
            r"the loss is .*, 1.5 times the mean of 3 steps is .* worst example there is"
            r" data/mask/wordpiece-nsp/32/train/.*, row \d+"
        ),
    ):
        pretrain.main("bert")


def test_training_that_was_stopped_by_its_loss_goes_on_from_its_checkpoint_when_the_limit_is_raised(
    project, monkeypatch, capsys
):
    monkeypatch.setattr("wwm.training.step.SPIKE_WINDOW", 3)
    set_params(loss_spike=1.0001, learning_rate=0.03, checkpoint_every=1)
    with pytest.raises(UserError, match="raise pretrain.loss_spike"):
        pretrain.main("bert")
    set_params(loss_spike="null", log_every=2)
    pretrain.main("bert")
    assert re.search(r"going on from \S+step-0", capsys.readouterr().out)


def test_phase_that_warms_up_the_head_leaves_the_encoder_as_it_is(project):
    before = load_file("models/random/model.safetensors")
    text = Path("params.yaml").read_text(encoding="utf-8")
    text = re.sub(
        r"(    bert:\n.*?phases:\n.*?warmup_steps: 2)}\n.*?\n(    roberta)",
        r"\g<1>, train: mlm_head}\n\g<2>",
        text,
        flags=re.S,
    )
    Path("params.yaml").write_text(text, encoding="utf-8")
    pretrain.main("bert")
    after = load_file("models/bert/model.safetensors")
    changed = {name for name, tensor in before.items() if not tensor.equal(after[name])}
    assert changed == {
        "cls.predictions.bias",
        "cls.predictions.transform.dense.weight",
        "cls.predictions.transform.dense.bias",
        "cls.predictions.transform.LayerNorm.weight",
        "cls.predictions.transform.LayerNorm.bias",
    }


def test_token_type_that_single_segments_never_have_stays_as_it_was(project):
    shutil.rmtree("data/mask/wordpiece-nsp/32")
    for seed, part in enumerate(("train", "heldout")):
        toy.shards(Path("data/mask/wordpiece-nsp/32", part), next_sentence_prediction=False, seed=seed)
    pretrain.main("bert")
    key = "bert.embeddings.token_type_embeddings.weight"
    start, end = (load_file(f"models/{name}/model.safetensors")[key] for name in ("random", "bert"))
    assert torch.equal(start[1], end[1]) and not torch.equal(start[0], end[0])


def test_gradient_checkpointing_and_bfloat16_train_the_same_model_closely(project):
    toy.model(Path("models/random"), dropout=0.0)
    pretrain.main("bert")
    plain = losses()
    set_params(gradient_checkpointing="true")
    pretrain.main("bert")
    for one, other in zip(plain, losses(), strict=True):
        assert float(other["mlm_loss"]) == pytest.approx(float(one["mlm_loss"]), rel=1e-5)
    set_params(precision="bf16")
    pretrain.main("bert")
    for one, other in zip(plain, losses(), strict=True):
        assert float(other["mlm_loss"]) == pytest.approx(float(one["mlm_loss"]), rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_compiled_model_has_the_curve_and_the_weights_of_one_that_is_not(project, processes):
    """Without dropout; rows and masked positions of each step are other numbers, and there are two phases."""
    toy.model(Path("models/random"), dropout=0.0)
    assert run() == 0
    plain, curve = load_file("models/bert/model.safetensors"), losses()
    shutil.rmtree("models/bert")
    if processes == 2:
        two_processes()
    set_params(compile="true")
    assert run() == 0
    assert_close(load_file("models/bert/model.safetensors"), plain)
    for one, other in zip(curve, losses(), strict=True):
        assert float(other["mlm_loss"]) == pytest.approx(float(one["mlm_loss"]), rel=1e-4)
        assert float(other["heldout_mlm_loss"] or 0) == pytest.approx(float(one["heldout_mlm_loss"] or 0), rel=1e-4)


def test_unreadable_newest_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path, capsys):
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, {"step": step})
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-00000002.pt", "step-00000003.pt"]
    (tmp_path / "step-00000003.pt").write_bytes(b"half")
    assert checkpoint.newest(tmp_path)["step"] == 2
    assert "step-00000003.pt cannot be read" in capsys.readouterr().out


def test_examples_of_another_vocabulary_are_not_trained_on(project):
    lines = Path("models/random/vocab.txt").read_text(encoding="utf-8").split("\n")
    Path("models/random/vocab.txt").write_text("\n".join([*lines[:5], *lines[5:-1][::-1], ""]), encoding="utf-8")
    with pytest.raises(
        ValueError,
        match="data/mask/wordpiece-nsp/32/train was made with another vocabulary than models/random/vocab.txt",
    ):
        pretrain.main("bert")


def test_a_disk_without_room_for_checkpoints_the_model_and_its_milestones_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scratch, model = tmp_path / "scratch/pretrain-bert", torch.nn.Linear(1000, 1000, bias=False)
    job = SimpleNamespace(title="pretrain bert", scratch=scratch, milestones=range(1, 3))
    for step in job.milestones:
        folder = pretraining.milestone(scratch, step)
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(bytes(1_000_000))
    trained = SimpleNamespace(job=job, model=model)
    usage = shutil.disk_usage(".")
    told = "pretrain bert: 36 MB for checkpoints, 4 for models/bert and 8 for 2 milestones: some 42 MB are needed .*"
    for free in (42e6, 41e6):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: usage._replace(free=free))
        with nullcontext() if free == 42e6 else pytest.raises(UserError, match=f"{told}41 MB left; make room, or set"):
            pretraining.check_room(trained, Path("models/bert"))


def test_a_stopped_training_goes_on_where_its_milestones_change(project, capsys):
    set_milestones(4)
    assert run() == 0
    fours = made("bert")
    for every, told in ((8, "going on from"), (5, "the milestone of step 5 was not kept; going on from before it")):
        shutil.rmtree("models/bert")
        set_params(milestones=4)
        assert run(kill_after=17) == -signal.SIGKILL
        set_params(milestones=every)
        capsys.readouterr()
        assert run() == 0
        assert told in capsys.readouterr().out
        now = made("bert")
        assert {Path(name).parts[1] for name in now if "/" in name} == {str(step) for step in range(every, 24, every)}
        same = now.keys() & fours.keys()
        assert "model.safetensors" in same and len({Path(name).parent for name in same}) > 1
        assert all(now[name] == fours[name] for name in same)


def test_muon_is_refused_on_xla_in_one_line(project, monkeypatch):
    set_params(optimizer="muon")
    monkeypatch.setattr(device, "join", lambda: device.Processes(0, 1, torch.device("xla")))
    monkeypatch.setattr(device, "named", lambda *_: "TPU")
    with pytest.raises(UserError, match="pretrain.models.bert: optimizer muon does not run on XLA; take adamw or lamb"):
        pretrain.main("bert")


def test_matrices_that_muon_moves_have_a_rate_of_their_own(project):
    set_params(optimizer="muon, muon_learning_rate: 1.0e-2", weight_decay=0)
    phases = re.sub("learning_rate: [^,]+, warmup", "learning_rate: 1.0e-12, warmup", Path("params.yaml").read_text())
    Path("params.yaml").write_text(phases)
    pretrain.main("bert")
    before, after = (load_file(f"models/{name}/model.safetensors") for name in ("random", "bert"))
    moved = {name for name in after if not torch.allclose(before[name], after[name], atol=1e-9)}
    assert moved == {name for name in after if after[name].dim() == 2 and ("layer." in name or "transform" in name)}


def test_phase_longer_than_the_models_positions_is_named(project):
    config = Path("models/random/config.json")
    config.write_text(config.read_text().replace('"max_position_embeddings": 40', '"max_position_embeddings": 16'))
    weights = load_file("models/random/model.safetensors")
    from safetensors.torch import save_file

    key = "bert.embeddings.position_embeddings.weight"
    save_file(weights | {key: weights[key][:16].clone()}, "models/random/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="max_seq_length 32 is more than the 16 positions"):
        pretrain.main("bert")


def test_truncated_model_has_the_chosen_layers_and_everything_else(tmp_path, monkeypatch):
    text = Path("presets/tiny.yaml").read_text(encoding="utf-8").replace("layers: [0, 1, 2]", "layers: [2, 0]")
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(text, encoding="utf-8")
    toy.model(Path("models/roberta-wwm-ext"), layers=3)
    truncate.main("rbt3-init")
    before, after = (load_file(f"models/{name}/model.safetensors") for name in ("roberta-wwm-ext", "rbt3-init"))
    layer = "bert.encoder.layer.{}.output.dense.weight"
    assert after[layer.format(0)].equal(before[layer.format(2)]) and after[layer.format(1)].equal(
        before[layer.format(0)]
    )
    assert (
        layer.format(2) not in after
        and json.loads(Path("models/rbt3-init/config.json").read_text())["num_hidden_layers"] == 2
    )
    others = {name for name in before if "encoder.layer" not in name}
    assert others <= set(after) and all(after[name].equal(before[name]) for name in others)
    seen = dict.fromkeys(model_folder.COST, 0) | {"untrained": [], "cut_from": "roberta-wwm-ext"}
    assert json.loads(Path("models/rbt3-init/training.json").read_text()) == seen


def test_layer_that_the_source_lacks_is_named(tmp_path, monkeypatch):
    text = Path("presets/tiny.yaml").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(text, encoding="utf-8")
    toy.model(Path("models/roberta-wwm-ext"), layers=2)
    with pytest.raises(UserError, match="truncate.models.rbt3-init.layers: roberta-wwm-ext has no layer 2; it has 2"):
        truncate.main("rbt3-init")
