"""Models from elsewhere, taken as they are: cut, fine-tuned and compared without any text."""

import json
from pathlib import Path

import pytest
import torch
import toy
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file
from transformers import BertForMaskedLM

from wwm import load, params, truncate
from wwm.common import model_folder
from wwm.common.errors import UserError
from wwm.tasks import classifier

ROOT = Path(__file__).parent.parent


@pytest.fixture
def project(tmp_path, monkeypatch):
    """presets/tiny.yaml that begins with nothing but the folder `given`, whose layers are cut."""
    values = YAML(typ="safe").load((ROOT / "presets/tiny.yaml").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    toy.model(Path("given"), layers=4)
    values["mask"]["sets"], values["init"]["models"], values["pretrain"]["models"] = {}, {}, {}
    values["load"] = {"models": {"given": {"source": "given"}}}
    values["truncate"] = {"models": {"cut": {"source": "given", "layers": [0, 1, 2]}}}
    values["cloze"]["models"] = []
    values["finetune"]["models"] = {"given": {}, "cut": {}}
    values["scores"] = {"models": ["given", "cut"], "tasks": ["reviews"], "baseline": "given"}
    write(values)
    return values


def write(values: dict) -> None:
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)


def test_a_loaded_model_is_cut_to_its_first_layers_without_any_text(project):
    load.main("given")
    truncate.main("cut")
    given, cut = load_file("models/given/model.safetensors"), load_file("models/cut/model.safetensors")
    assert cut.keys() == {name for name in given if "layer.3." not in name} and len(cut) < len(given)
    assert all(given[name].equal(tensor) for name, tensor in cut.items())
    assert json.loads(Path("models/cut/training.json").read_text())["cut_from"] == "given"
    classifier.Classification(Path("models/cut"), None, {}, ("a", "b"), 8, "accuracy").model()


def test_a_model_whose_config_cuts_its_feed_forward_into_chunks_reads_texts_of_any_length(project):
    config = json.loads(Path("given/config.json").read_text(encoding="utf-8"))
    Path("given/config.json").write_text(json.dumps(config | {"chunk_size_feed_forward": 7}), encoding="utf-8")
    load.main("given")
    model = classifier.Classification(Path("models/given"), None, {}, ("a", "b"), 8, "accuracy").model()
    assert model(input_ids=torch.ones(1, 8, dtype=torch.long)).logits.isfinite().all()
    # Of a folder that somebody put into models/ by hand, too.
    model = classifier.Classification(Path("given"), None, {}, ("a", "b"), 8, "accuracy").model()
    assert model(input_ids=torch.ones(1, 8, dtype=torch.long)).logits.isfinite().all()


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_weights_in_half_precision_are_cut_and_compared_as_those_of_32_bits(project, kind):
    halves = {name: tensor.to(kind) for name, tensor in load_file("given/model.safetensors").items()}
    save_file(halves, "given/model.safetensors", {"format": "pt"})
    config = json.loads(Path("given/config.json").read_text(encoding="utf-8"))
    Path("given/config.json").write_text(
        json.dumps(config | {"dtype": str(kind).removeprefix("torch.")}), encoding="utf-8"
    )
    load.main("given")
    truncate.main("cut")
    cut = load_file("models/cut/model.safetensors")
    assert {tensor.dtype for tensor in cut.values()} == {torch.float32}
    name = "encoder.layer.2.output.dense.weight"
    assert cut[name].equal(halves[f"bert.{name}"].float())


def rename(change) -> None:
    tensors = load_file("given/model.safetensors")
    save_file({change(name): tensor for name, tensor in tensors.items()}, "given/model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("prefix", ["roberta.", "module.bert.", "model.encoder_q."])
def test_tensors_under_other_names_are_those_of_the_model(project, prefix):
    rename(lambda name: name.replace("bert.", prefix, 1) if name.startswith("bert.") else name)
    given = load_file("given/model.safetensors")
    load.main("given")
    taken = load_file("models/given/model.safetensors")
    assert len(taken) > 60 and all(given[f"{prefix}{name}"].equal(tensor) for name, tensor in taken.items())


def test_weights_as_pickled_tensors_and_none_of_a_head_are_enough(project):
    tensors = load_file("given/model.safetensors")
    torch.save({name: one for name, one in tensors.items() if not name.startswith("cls.")}, "given/pytorch_model.bin")
    Path("given/model.safetensors").unlink()
    load.main("given")
    assert load_file("models/given/model.safetensors").keys() == {
        name.removeprefix("bert.") for name in tensors if name.startswith("bert.")
    }


def test_a_pooler_that_was_not_saved_is_drawn_once_and_said(project, capsys):
    BertForMaskedLM.from_pretrained("given").save_pretrained("given")
    load.main("given")
    first = load_file("models/given/model.safetensors")["pooler.dense.weight"]
    assert "given has no pooler" in capsys.readouterr().out
    load.main("given")
    assert load_file("models/given/model.safetensors")["pooler.dense.weight"].equal(first)
    assert json.loads(Path("models/given/training.json").read_text())["untrained"] == [model_folder.POOLER]


def test_a_pooler_that_is_as_it_was_drawn_is_known_to_be_untrained(project):
    tensors = load_file("given/model.safetensors")
    biases = {name: tensor * 0 for name, tensor in tensors.items() if name.endswith("pooler.dense.bias")}
    assert biases
    save_file(tensors | biases, "given/model.safetensors", {"format": "pt"})
    Path("given/training.json").unlink()
    load.main("given")
    assert json.loads(Path("models/given/training.json").read_text())["untrained"] == [model_folder.POOLER]


def test_other_weights_than_those_that_were_meant_are_refused(project):
    project["load"]["models"]["given"]["weights_sha256"] = model_folder.weights_hash(Path("given"))
    write(project)
    load.main("given")
    rename(lambda name: name)
    load.main("given")
    toy.model(Path("given"), layers=3)
    with pytest.raises(UserError, match="load.models.given.weights_sha256: given has other weights now"):
        load.main("given")


def test_no_model_with_a_vocabulary_of_its_own_nor_a_part_of_it_is_trained_on_or_asked_for_words(project):
    tiny = YAML(typ="safe").load((ROOT / "presets/tiny.yaml").read_text(encoding="utf-8"))
    project["mask"]["sets"] = tiny["mask"]["sets"]
    project["pretrain"]["models"] = {"bert": tiny["pretrain"]["models"]["bert"] | {"init": "cut"}}
    write(project)
    with pytest.raises(UserError, match="pretrain.models.bert.init: 'cut' is not there, nor is anything else"):
        params.read()
    project["pretrain"]["models"], project["cloze"]["models"] = {}, ["given"]
    write(project)
    with pytest.raises(UserError, match="cloze.models: 'given' is not there"):
        params.read()
