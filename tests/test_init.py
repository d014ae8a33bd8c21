"""Where models begin: what a checkpoint lacks is said before anybody trains on it."""

import json
from pathlib import Path

import pytest
import toy
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file

from wwm import init
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
    compared_only(project)
    init.main("other")
    tokenizer = tokenization.load("models/other")
    assert tokenizer.encode("A好Ａ" if lower else "a好A", add_special_tokens=False).tokens == pieces
    given, taken = load_file("given/model.safetensors"), load_file("models/other/model.safetensors")
    key = "embeddings.word_embeddings.weight"
    assert taken[key].equal(given[f"bert.{key}"])
    assert json.loads(Path("models/other/training.json").read_text()) == {
        "steps": 0,
        "tokens": 0,
        "untrained": [],
    }  # a model of wwm's own says what it saw


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
