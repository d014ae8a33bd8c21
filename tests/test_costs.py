"""What the report says of how models were trained, and what that cost."""

import csv
import json
from pathlib import Path
from typing import get_args

import pretrained
import pytest
from test_scores import MODELS, cells, folder, found, project  # noqa: F401
from transformers import BertConfig

from wwm.common import times
from wwm.params.masks import ExampleSet
from wwm.report import costs
from wwm.training import optim
from wwm.training.model import training_flops


def row(model: str) -> dict[str, str]:
    return cells(costs.cost_table(found()), model)


def test_each_model_that_was_trained_here_has_a_row_and_theirs_stand_below(project):  # noqa: F811
    names = [cell[0] for cell in costs.cost_table(found()).rows]
    assert names[:4] == ["bert", "roberta-wwm-ext", "rbt3", "authors: BERT"] and names[-1] == "authors: RBTL3"
    assert list(row("rbt3").values()) == [
        *("rbt3", "whole words", "4 layers of 128 hidden", "yes", "?", "?", "1,000 at 32", "16", "AdamW", "6,000"),
        *("rbt3-init", "?", "2.0e12", "5.0e12"),
    ]
    assert list(row("authors: RBT3").values())[:8] == [
        *("authors: RBT3", "whole words", "3 layers of base", "no", "wiki + ext", "5.4B", "1,000,000 at ?", "?")
    ]


def test_what_is_known_beside_the_results_is_told(project):  # noqa: F811
    counts = {"news": 1_800_000, "reviews": 1_000_000}
    pretrained.finetuned.write("results/mask/words.json", {"train_characters": counts})
    times.write("pretrain/bert", {"device": "CPU", "seconds": 60.0})
    told = row("bert")
    assert [told[head] for head in ("data", "training tokens", "device", "initial checkpoint")] == [
        *("news + reviews", "2.8M characters", "CPU", "random weights")
    ]


def test_a_students_teacher_is_told_with_its_start(project):  # noqa: F811
    path = Path("results/pretrain/rbt3.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"teacher": "bert"}))
    assert row("rbt3")["initial checkpoint"] == "rbt3-init, with the teacher bert"


def test_phases_and_sizes_are_told_as_the_authors_tell_them(project):  # noqa: F811
    base = {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12}
    phases = [
        pretrained.PHASE | {"max_seq_length": 512, "steps": 500, "batch_size": 384, "train": "mlm_head"},
        pretrained.PHASE | {"max_seq_length": 512, "steps": 10**6, "batch_size": 384, "optimizer": "lamb"},
    ]
    seen = {"steps": None, "flops": None}
    made = pretrained.EXAMPLES | {"unit": "wordpiece", "masking": "dynamic"}
    pretrained.save("bert", "google", seen, 1000, architecture=base, phases=phases, examples=made)
    told = row("bert")
    assert [told[head] for head in ("masking", "size", "steps", "batch", "optimizer", "initial checkpoint")] == [
        *(
            "WordPieces, dynamic",
            "base",
            "500 at 512 (MLM head alone) + 1,000,000 at 512",
            "384",
            "AdamW / LAMB",
            "google",
        )
    ]
    assert told["with starting points"] == "?"


def test_every_optimizer_and_mask_has_its_name():
    assert costs.OPTIMIZERS.keys() == optim.OPTIMIZERS.keys()
    assert costs.UNITS.keys() == set(get_args(ExampleSet.model_fields["unit"].annotation))


@pytest.mark.parametrize("model", ["BERT-wwm", "BERT-wwm-ext", "RoBERTa-wwm-ext", "RoBERTa-wwm-ext-large"])
def test_the_authors_flops_follow_from_their_steps_and_batch(model):
    with open(costs.AUTHORS, encoding="utf-8", newline="") as file:
        [told] = [row for row in csv.DictReader(file) if row["model"] == model]
    large = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
    config = BertConfig(vocab_size=21128, **(large if told["size"] == "large" else {}))
    batches = [int(batch.replace(",", "")) for batch in told["batch"].split(" / ")]
    total = 0.0
    for phase, batch in zip(told["steps"].split(" + "), batches, strict=True):
        steps, length = map(int, phase.split(" at "))
        total += steps * batch * training_flops(config, length, length**2, {128: 20, 512: 77}[length])
    assert f"{total:.1e}".replace("+", "") == told["flops"]
