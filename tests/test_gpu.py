"""What a GPU does to pre-training, on a CPU: torch.compile's graphs by its backend `eager`, flash-attn and a memory
that runs out by stand-ins.
"""

import csv
import json
import re
from functools import partialmethod
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import toy
from safetensors.torch import load_file
from torch._dynamo.utils import counters
from training import assert_close, lay_out, set_params

from wwm import pretrain
from wwm.common.errors import UserError
from wwm.training import device, micro_batch, model
from wwm.training.model import Pretraining

LAYERS = 9
BERT = SimpleNamespace(key="pretrain.models.bert")
OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("Triton Error [CUDA]: out of memory"),
]


@pytest.fixture
def project(tmp_path, monkeypatch):
    lay_out(tmp_path, monkeypatch)


@pytest.fixture
def compiled(project, monkeypatch):
    """pretrain.compile, in a process that has compiled nothing."""
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(torch.nn.Module.compile, backend="eager"))
    toy.model(Path("models/random"), dropout=0.1, layers=LAYERS)
    text = Path("params.yaml").read_text(encoding="utf-8")
    # The first phase trains the head alone, the second all.
    text = text.replace("warmup_steps: 2}", "warmup_steps: 2, train: mlm_head}", 1)
    Path("params.yaml").write_text(text, encoding="utf-8")
    set_params(compile="true", evaluate_every=4, log_every=2, steps=4)
    torch._dynamo.reset()
    counters.clear()
    with torch._dynamo.config.patch(recompile_limit=torch._dynamo.config.recompile_limit):
        yield


def attend(
    q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p=0.0, softmax_scale=None, causal=False
):
    """flash_attn.flash_attn_varlen_func."""
    example = torch.bucketize(torch.arange(len(q)), cu_seqlens_q[1:], right=True)
    q, k, v = (values.transpose(0, 1) for values in (q, k, v))
    same = example[:, None] == example
    found = torch.nn.functional.scaled_dot_product_attention(q, k, v, same, dropout_p, scale=softmax_scale)
    return found.transpose(0, 1)


def with_flash_attention(monkeypatch) -> None:
    load = model.load

    def loaded(*arguments):
        bert = load(*arguments)
        for module in bert.modules():
            if hasattr(module, "config"):
                module.config._attn_implementation = "flash_attention_2"
        return bert

    monkeypatch.setattr(model, "load", loaded)
    functions = (attend, attend, None, None, None)
    monkeypatch.setattr("transformers.modeling_flash_attention_utils._loaded_implementation", None)
    monkeypatch.setattr("transformers.modeling_flash_attention_utils._lazy_imports", lambda *_, **__: functions)
    set_params(precision="bf16")


def probe_memory_first(monkeypatch) -> None:
    """As on a GPU."""
    rows_of = micro_batch.rows_of

    def probed(phase, stepper, examples, saved):
        for rows in (1, 2, 4, 3):
            micro_batch.try_rows(stepper, rows, phase.max_seq_length, examples)
        return rows_of(phase, stepper, examples, saved)

    monkeypatch.setattr(micro_batch, "rows_of", probed)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda _: SimpleNamespace(total_memory=1 << 20))


def graphs() -> list[int]:
    with open("results/times/pretrain/bert.csv", newline="") as rows:
        return [int(row["compilations"]) for row in csv.DictReader(rows)]


@pytest.mark.parametrize("attention", ["flash", "sdpa"])
def test_compiled_layers_share_a_few_graphs_and_no_step_runs_without(compiled, attention, monkeypatch, capsys):
    """A first phase of the MLM head, one of everything, the memory's probe, measuring, rows of any number."""
    if attention == "flash":
        with_flash_attention(monkeypatch)
    probe_memory_first(monkeypatch)
    pretrain.main("bert")
    assert "NOT COMPILED" not in capsys.readouterr().out
    assert graphs() == sorted(graphs()) and 0 < graphs()[-1] <= {"flash": LAYERS, "sdpa": 2 * LAYERS}[attention]


def test_step_that_runs_uncompiled_is_told_once_with_its_reason(compiled, monkeypatch, capsys):
    monkeypatch.setattr(model, "GRAPHS", 1)
    pretrain.main("bert")
    told = re.findall("NOT COMPILED in full from step .*", capsys.readouterr().out)
    assert len(told) == 1 and "Dynamo recompile limit exceeded" in told[0]
    assert Path("models/bert/model.safetensors").exists()


def with_memory_for(monkeypatch, rows: int, error: Exception, after: int = 0) -> list[int]:
    """Passes of more rows raise `error` once `after` passes were made. Returns the rows of those that end well."""
    forward, seen = Pretraining.forward, []

    def limited(self, batch):
        result = forward(self, batch)
        count = len(batch["input_ids"])
        if count > rows and len(seen) >= after:
            raise error
        seen.append(count)
        return result

    monkeypatch.setattr(Pretraining, "forward", limited)
    return seen


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["torch", "cublas", "triton"])
def test_pass_that_runs_out_of_memory_is_made_again_with_half_the_rows_and_the_model_is_the_same(
    project, error, monkeypatch, capsys
):
    toy.model(Path("models/random"), dropout=0.0)
    set_params(micro_batch=4)
    pretrain.main("bert")
    wanted = load_file("models/bert/model.safetensors")
    # In the middle of a step: what its first pass has added to the gradients must not count twice.
    seen = with_memory_for(monkeypatch, 1, error, after=6)
    pretrain.main("bert")
    assert max(seen[:6]) > 1 and set(seen[6:]) == {1}
    assert "out of memory with 4 rows in one forward pass; from here on 2" in capsys.readouterr().out
    assert_close(load_file("models/bert/model.safetensors"), wanted)


def stopped_at_a_point_of_the_curve(monkeypatch) -> int:
    """Rows of one pass that the newest checkpoint of a training has which is stopped there."""

    def stop(*_):
        raise KeyboardInterrupt

    set_params(checkpoint_every=1)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("wwm.training.trainer.Trainer.show", stop)
        pretrain.main("bert")
    newest = max(Path("scratch").glob("pretrain-*/step-*.pt"))
    return json.loads(torch.load(newest, weights_only=True)["state"])["micro_batch"]["rows"]


@pytest.mark.parametrize("asked", [4, "null"])
def test_checkpoint_keeps_the_smaller_number_of_rows_until_another_one_is_asked_for(
    project, asked, monkeypatch, capsys
):
    set_params(micro_batch=asked)
    with monkeypatch.context() as patched:
        with_memory_for(patched, 1, OUT_OF_MEMORY[0], after=3)
        assert stopped_at_a_point_of_the_curve(monkeypatch) == 1
    seen = with_memory_for(monkeypatch, 99, OUT_OF_MEMORY[0])
    assert stopped_at_a_point_of_the_curve(monkeypatch) == 1 and set(seen) == {1}
    set_params(micro_batch=2)
    capsys.readouterr()
    pretrain.main("bert")
    assert max(seen) == 2 and "going on from" in capsys.readouterr().out


def test_pass_that_cannot_be_made_smaller_or_alone_says_what_to_set():
    def fail(batches: list) -> None:
        raise OUT_OF_MEMORY[0]

    for count, rows, message in (
        (1, 1, "not even one row fits"),
        (2, 4, "in one of 2 processes, .*micro_batch .* to 2"),
    ):
        stepper = SimpleNamespace(job=BERT, processes=device.Processes(0, count, torch.device("cpu")))
        with pytest.raises(UserError, match=f"pretrain.models.bert: .*{message}"):
            micro_batch.fit(stepper, {"rows": rows}, lambda rows: [], fail)


def test_other_errors_are_not_tried_again():
    tried = []

    def fail(batches: list) -> None:
        tried.append(batches)
        raise RuntimeError("a bug")

    stepper = SimpleNamespace(job=BERT, processes=device.Processes(0, 1, torch.device("cpu")))
    with pytest.raises(RuntimeError, match="a bug"):
        micro_batch.fit(stepper, {"rows": 4}, lambda rows: [], fail)
    assert len(tried) == 1


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["torch", "cublas", "triton"])
def test_most_rows_that_fit_are_found_from_few_to_many(error):
    tried = []

    def limited(limit: int):
        def attempt(rows: int) -> None:
            tried.append(rows)
            if rows > limit:
                raise error

        return attempt

    sizes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 19, 24, 32, 48, 96]
    for limit in range(1, 100):
        assert micro_batch.largest_that_fits(sizes, limited(limit)) == max(size for size in sizes if size <= limit)
    tried.clear()
    assert micro_batch.largest_that_fits(sizes, limited(13)) == 12 and tried == [1, 2, 4, 8, 16, 12, 14]
    with pytest.raises(UserError, match="not even one row fits"):
        micro_batch.largest_that_fits(sizes, limited(0))
