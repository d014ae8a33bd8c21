import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file
from transformers import BertConfig

from wwm import finetune, tasks, tokenization

ROOT = Path(__file__).parent.parent
GOOD = ["房间很干净，服务也好。", "性价比高，值得推荐！", "书写得真好，孩子喜欢", "送货快，质量不错", "早餐豐富，下次還來", "T恤很好看👍"]
BAD = ["房间太脏，服务差。", "性价比低，不推荐！", "纸张差，字太小", "退货三次，太差了", "早餐難吃，不會再來", "１９９９块的垃圾"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with params.yaml, one model, and the task `reviews` with twelve distinct texts."""
    monkeypatch.setenv("RANK", "1")  # other ranks than 0 track nothing
    monkeypatch.chdir(tmp_path)
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["finetune"]["tasks"] = {"reviews": {"learning_rate": 1.0e-3, "epochs": 2, "batch_size": 4, "max_seq_length": 32}}
    values["finetune"]["seeds"] = 3
    values["scores"]["tasks"] = ["reviews"]
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    toy.model(tmp_path / "models/bert", "".join(GOOD + BAD))
    (tmp_path / "models/bert/training.json").write_text('{"steps": 7, "tokens": 99}', encoding="utf-8")
    folder = tmp_path / "data/tasks/reviews"
    folder.mkdir(parents=True)
    rows = [{"text": text, "label": label} for pair in zip(GOOD, BAD) for text, label in zip(pair, ("positive", "negative"))]
    for split, repeats in (("train", 20), ("dev", 1), ("test", 1)):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows * repeats]
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def result():
    values = json.loads(Path("results/finetune/reviews/bert.json").read_text(encoding="utf-8"))
    values.pop("seconds")
    return values


def test_a_model_learns_its_task_and_every_seed_is_scored(project):
    finetune.main("bert", "reviews")
    values = result()
    assert [row["seed"] for row in values["seeds"]] == [20190619, 20190620, 20190621]
    assert all(row["dev"] == row["test"] and row["test"] >= 75 for row in values["seeds"])  # the train texts again
    assert values["train_examples"] == 240
    assert values["training"] == {"steps": 7, "tokens": 99}
    assert not list(Path("scratch").glob("finetune-*/"))


def test_a_seed_gives_the_same_bits_whatever_ran_before_it(project):
    finetune.main("bert", "reviews")
    together = result()["seeds"]
    text = Path("params.yaml").read_text(encoding="utf-8").replace("seed: 20190619", "seed: 20190621").replace("seeds: 3", "seeds: 1")
    Path("params.yaml").write_text(text, encoding="utf-8")
    finetune.main("bert", "reviews")
    assert result()["seeds"] == together[2:]


def test_a_kill_costs_only_the_seed_it_hits(project):
    command = [sys.executable, "-m", "wwm.finetune", "bert", "reviews"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    killed = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while not list(Path("scratch").glob("finetune-*/20190619.json")) and killed.poll() is None:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not Path("results/finetune/reviews/bert.json").exists()
    [kept] = Path("scratch").glob("finetune-*/20190619.json")
    marked = {**json.loads(kept.read_text(encoding="utf-8")), "loss": -1.0}
    kept.write_text(json.dumps(marked), encoding="utf-8")

    finetune.main("bert", "reviews")
    resumed = result()["seeds"]
    assert resumed[0] == {"seed": 20190619, **marked}  # taken, not trained again
    finetune.main("bert", "reviews")
    assert result()["seeds"][1:] == resumed[1:]


def test_literal_special_tokens_are_text(tmp_path):
    toy.model(tmp_path / "bert", "[mask]sepunk好")
    tokenizer = tokenization.load(tmp_path / "bert")
    encoded = finetune.encode(tokenizer, [tasks.Example(("[MASK]好[SEP]",), 0)], 32)
    specials = [tokenizer.token_to_id(token) for token in ("[MASK]", "[SEP]")]
    assert specials[0] not in encoded.ids[0]
    assert [i for i, piece in enumerate(encoded.ids[0]) if piece == specials[1]] == [len(encoded.ids[0]) - 1]


def test_of_a_pair_the_longer_text_is_cut_and_the_segments_are_told_apart(tmp_path):
    toy.model(tmp_path / "bert", "标题正文")
    tokenizer = tokenization.load(tmp_path / "bert")
    encoded = finetune.encode(tokenizer, [tasks.Example(("标题", "正文" * 20), 1)], 12)
    assert encoded.types[0].tolist() == [0] * 4 + [1] * 8  # [CLS] 标 题 [SEP], seven pieces and [SEP]
    assert encoded.labels.tolist() == [1]


def test_the_share_of_unknown_pieces_is_counted_in_the_whole_text(tmp_path):
    toy.model(tmp_path / "bert", "好")
    tokenizer = tokenization.load(tmp_path / "bert")
    finetune.encode(tokenizer, [tasks.Example(("好",), 0)], 3)
    assert finetune.unknown_share(tokenizer, [tasks.Example(("好好龘",), 0), tasks.Example(("龘",), 0)]) == 0.5


def test_padding_gets_no_attention():
    data = finetune.Encoded([np.array([2, 9, 3]), np.array([2, 8, 9, 7, 3])], [np.zeros(3, int), np.array([0, 0, 0, 1, 1])], np.array([1, 0]))
    inputs, labels = finetune.collate(data, np.array([0, 1]), torch.device("cpu"))
    assert inputs["input_ids"].tolist() == [[2, 9, 3, 0, 0], [2, 8, 9, 7, 3]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5]
    assert inputs["token_type_ids"].tolist() == [[0] * 5, [0, 0, 0, 1, 1]]
    assert labels.tolist() == [1, 0]


def test_a_checkpoint_that_lacks_encoder_weights_is_not_fine_tuned_at_random(project):
    tensors = load_file("models/bert/model.safetensors")
    save_file({name: tensor for name, tensor in tensors.items() if "layer.1.output" not in name}, "models/bert/model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="models/bert lacks 4 tensors of its model, first bert.encoder.layer.1.output.LayerNorm.bias"):
        finetune.main("bert", "reviews")


@pytest.mark.parametrize(
    ("layers", "hidden", "heads", "millions"),
    [(24, 1024, 16, 325), (12, 768, 12, 102), (3, 1024, 16, 61), (3, 768, 12, 38)],
    ids=["large", "base", "RBTL3", "RBT3"],
)
def test_parameters_are_counted_as_the_authors_do(layers, hidden, heads, millions):
    sizes = {"num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads, "intermediate_size": 4 * hidden}
    config = BertConfig(vocab_size=21128, num_labels=3, **sizes)
    config.architectures = ["BertForPreTraining"]
    assert int(finetune.count_parameters(config) / 1e6) == millions


def test_bad_input_is_named(project):
    with pytest.raises(ValueError, match="models/nobody is not there or is no model"):
        finetune.main("nobody", "reviews")
    with pytest.raises(ValueError, match="finetune.tasks has no cmrc; it has reviews"):
        finetune.main("bert", "cmrc")
    Path("data/tasks/reviews/dev.jsonl").write_bytes('{"text": "好"'.encode("gbk"))
    with pytest.raises(ValueError, match="data/tasks/reviews/dev.jsonl, line 1: not UTF-8"):
        finetune.main("bert", "reviews")
    Path("data/tasks/reviews/dev.jsonl").unlink()
    with pytest.raises(ValueError, match="data/tasks/reviews/dev.jsonl does not exist"):
        finetune.main("bert", "reviews")
    values = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    values["finetune"]["tasks"]["reviews"]["max_seq_length"] = 64
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    with pytest.raises(ValueError, match=r"finetune.tasks.reviews.max_seq_length 64 is more than the 40 positions of models/bert"):
        finetune.main("bert", "reviews")
