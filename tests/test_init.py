"""Where models begin: what a checkpoint lacks is said before anybody trains on it."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
import toy
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file

from wwm import init
from wwm.common import model_folder
from wwm.common.errors import UserError
from wwm.tasks import classifier
from wwm.text import tokenization

ROOT = Path(__file__).parent.parent


@pytest.fixture
def project(tmp_path, monkeypatch):
    """presets/tiny.yaml whose model `random` is loaded from the folder `given`."""
    text = Path("presets/tiny.yaml").read_text(encoding="utf-8")
    start, end = text.index("    random:\n"), text.index("\npretrain:")
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(
        text[:start] + "    random:\n      source: given\n      architecture: null\n" + text[end:], encoding="utf-8"
    )
    toy.model(Path("given"))
    Path("data").mkdir()
    toy.model(Path("data/vocab"))
    for file in ("model.safetensors", "config.json", "training.json"):
        Path("data/vocab", file).unlink()
    return tmp_path


def change(weights) -> None:
    tensors = load_file("given/model.safetensors")
    save_file(
        {name: new for name, tensor in tensors.items() if (new := weights(name, tensor)) is not None},
        "given/model.safetensors",
        metadata={"format": "pt"},
    )


def test_head_that_was_trained_is_taken_over_without_a_word(project, capsys):
    change(lambda name, tensor: tensor + 0.01 if name.startswith("cls.predictions") and tensor.dim() == 1 else tensor)
    init.main("random")
    assert "head" not in capsys.readouterr().out
    given, taken = load_file("given/model.safetensors"), load_file("models/random/model.safetensors")
    assert all(taken[name].equal(tensor) for name, tensor in given.items())


def test_head_that_was_never_trained_is_named_with_the_remedy(project, capsys):
    init.main("random")
    printed = capsys.readouterr().out
    assert (
        "given has an MLM head that was never trained: it is as in a new model" in printed
        and "`train: mlm_head`" in printed
    )


def test_head_that_is_missing_is_named_tensor_by_tensor_with_the_remedy(project, capsys):
    change(lambda name, tensor: None if name.startswith("cls.") else tensor)
    init.main("random")
    printed = capsys.readouterr().out
    assert (
        "given lacks these tensors, which start at random: cls.predictions.bias" in printed
        and "cls.predictions.transform.dense.weight" in printed
    )
    assert "`train: mlm_head`" in printed


def test_heads_that_were_drawn_are_remembered_in_the_folder_and_classification_says_so(project, capsys):
    change(lambda name, tensor: None if name.startswith("bert.pooler") else tensor + 0.01)
    init.main("random")
    remembered = json.loads(Path("models/random/training.json").read_text())
    assert remembered == dict.fromkeys(model_folder.COST) | {"untrained": ["bert.pooler"]}
    classifier.Classification(Path("models/random"), None, {}, ("a", "b"), 8, "accuracy")
    assert "models/random has a pooler that was never trained" in capsys.readouterr().out


def test_weights_under_other_names_become_the_same_model_under_todays(project):
    given = load_file("given/model.safetensors")
    old = {
        f"module.{k.replace('Norm.weight', 'Norm.gamma').replace('Norm.bias', 'Norm.beta')}": v
        for k, v in given.items()
    }
    torch.save({"model": old, "epoch": 3}, "given/pytorch_model.bin")
    Path("given/model.safetensors").unlink()
    Path("given/config.json").rename("given/bert_config.json")
    init.main("random")
    taken = load_file("models/random/model.safetensors")
    assert taken.keys() == given.keys() and all(taken[name].equal(tensor) for name, tensor in given.items())


def test_a_file_as_source_is_told_to_be_unpacked_or_its_folder_named(project):
    text = Path("params.yaml").read_text(encoding="utf-8").replace("source: given", "source: given.zip")
    Path("params.yaml").write_text(text, encoding="utf-8")
    shutil.make_archive("given", "zip", "given")
    with pytest.raises(
        UserError, match="init.models.random.source: given.zip is a file; unpack it and name the folder"
    ):
        init.main("random")


def compared_only(project):
    """presets/tiny.yaml that fine-tunes a model of another vocabulary and trains none from it."""
    values = YAML(typ="safe").load((ROOT / "presets/tiny.yaml").read_text(encoding="utf-8"))
    values["init"]["models"]["other"] = {"source": "given", "architecture": None, "own_vocabulary": True}
    values["finetune"]["models"] = {"other": {}}
    values["scores"]["models"] = ["other"]
    values["scores"]["baseline"] = "other"
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)


@pytest.mark.parametrize(("lower", "pieces"), [(True, ["a", "好", "[UNK]"]), (False, ["[UNK]", "好", "A"])])
def test_a_model_to_compare_keeps_its_own_vocabulary_and_casing(project, lower, pieces):
    toy.model(Path("given"), "好a" if lower else "好A")
    for file in Path("given").glob("tokenizer*"):
        file.unlink()
    Path("given/tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower}), encoding="utf-8")
    seen = {"steps": 70, "tokens": 900, "untrained": []}
    of_another_project = {"own_steps": 20, "own_tokens": 300, "cut_from": "teacher"}
    Path("given/training.json").write_text(json.dumps(seen | of_another_project))
    compared_only(project)
    init.main("other")
    tokenizer = tokenization.load("models/other")
    assert tokenizer.encode("A好Ａ" if lower else "a好A", add_special_tokens=False).tokens == pieces
    given, taken = load_file("given/model.safetensors"), load_file("models/other/model.safetensors")
    key = "embeddings.word_embeddings.weight"
    assert taken[key].equal(given[f"bert.{key}"])
    # A model of wwm's own says what it saw.
    assert json.loads(Path("models/other/training.json").read_text()) == dict.fromkeys(model_folder.COST) | seen


def test_a_model_to_compare_that_lacks_weights_or_has_another_models_vocabulary_is_named(project):
    compared_only(project)
    Path("given/vocab.txt").unlink()
    for file in Path("given").glob("tokenizer*"):
        file.unlink()
    toy.model(Path("other"), "好" * 3 + "".join(chr(0x4E00 + i) for i in range(200)))
    for file in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        Path("other", file).rename(Path("given", file))
    with pytest.raises(
        ValueError,
        match=(
            r"init.models.other.source: given has a vocabulary of \d+ entries and weights for 100; its tokenizer is"
            r" another"
        ),
    ):
        init.main("other")
    Path("given/model.safetensors").unlink()
    with pytest.raises(
        ValueError, match="init.models.other.source: given has no weights .*; copy model.safetensors there"
    ):
        init.main("other")


def rows_gone(name, tensor):
    return tensor[:-1].clone() if name.endswith("word_embeddings.weight") else tensor


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda: Path("given/model.safetensors").write_bytes(b"version https://git-lfs"), "is a git-lfs pointer"),
        (lambda: os.truncate("given/model.safetensors", 20_000), "model.safetensors is cut off or broken"),
        (lambda: Path("given/config.json").write_text("<html>"), "config.json is a web page"),
        (lambda: change(lambda name, tensor: tensor * float("nan")), "tensors hold NaN or infinity"),
        (lambda: change(lambda name, tensor: None if "layer.1." in name else tensor), "lacks 16 tensors of its model"),
        (lambda: change(rows_gone), "config.json and weights differ in sizes"),
        (lambda: toy.model(Path("given"), layers=3) and shrink(), "has 16 tensors that its config.json does not know"),
    ],
)
def test_a_model_to_compare_is_held_to_its_config(project, damage, said):
    compared_only(project)
    damage()
    with pytest.raises(UserError, match=f"^init.models.other.source: given.*{said}") as raised:
        init.main("other")
    assert "\n" not in str(raised.value)


def shrink() -> None:
    path = Path("given/config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": 2}))


def test_a_model_to_compare_without_a_pooler_says_so_and_classification_refuses_it(project, capsys):
    compared_only(project)
    change(lambda name, tensor: None if "pooler" in name else tensor)
    init.main("other")
    assert "has no pooler (pooler.dense.bias, pooler.dense.weight)" in capsys.readouterr().out
    with pytest.raises(UserError, match="models/other lacks 2 tensors of its model, first .*pooler.dense.bias"):
        classifier.Classification(Path("models/other"), None, {}, ("a", "b"), 8, "accuracy").model()


def test_no_model_is_trained_on_from_one_that_is_only_compared(project):
    compared_only(project)
    text = Path("params.yaml").read_text(encoding="utf-8").replace("init: random", "init: other")
    Path("params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="pretrain.models.[a-z-]+.init: 'other' is none of"):
        init.main("other")
