"""Where models begin: what a checkpoint lacks is said before anybody trains on it."""

from pathlib import Path

import pytest
import toy
from safetensors.torch import load_file, save_file

from wwm import init


@pytest.fixture
def project(tmp_path, monkeypatch):
    """presets/tiny.yaml whose model `random` is loaded from the folder `given`."""
    text = Path("presets/tiny.yaml").read_text(encoding="utf-8")
    start, end = text.index("    random:\n"), text.index("\npretrain:")
    monkeypatch.setenv("RANK", "1")  # other ranks than 0 track nothing
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(text[:start] + "    random:\n      source: given\n      architecture: null\n" + text[end:], encoding="utf-8")
    toy.model(Path("given"))
    Path("data").mkdir()
    toy.model(Path("data/vocab"))
    for file in ("model.safetensors", "config.json", "training.json"):
        Path("data/vocab", file).unlink()
    return tmp_path


def change(weights) -> None:
    tensors = load_file("given/model.safetensors")
    save_file(
        {name: new for name, tensor in tensors.items() if (new := weights(name, tensor)) is not None}, "given/model.safetensors", metadata={"format": "pt"}
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
    assert "given has an MLM head that was never trained: cls.predictions.bias" in printed and "`train: mlm_head`" in printed


def test_head_that_is_missing_is_named_tensor_by_tensor_with_the_remedy(project, capsys):
    change(lambda name, tensor: None if name.startswith("cls.") else tensor)
    init.main("random")
    printed = capsys.readouterr().out
    assert "given lacks these tensors, which start at random: cls.predictions.bias" in printed and "cls.predictions.transform.dense.weight" in printed
    assert "`train: mlm_head`" in printed
