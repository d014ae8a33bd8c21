"""Weights as people have them: what can be told apart is loaded whole, in today's names; anything else is one line."""

import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForPreTraining

from wwm.common.errors import UserError
from wwm.release import masked_lm
from wwm.text import vocabulary
from wwm.training import weight_files, weights
from wwm.training.head import untrained_heads

TOKENS = [*vocabulary.SPECIAL, *"使用语言模型来预测词"]
ROWS = len(TOKENS)
WORDS, BIAS = "bert.embeddings.word_embeddings.weight", "cls.predictions.bias"
SIZES = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 12}


@pytest.fixture(scope="module")
def bert() -> BertForPreTraining:
    """Of 2 layers x 8, with heads that no drawn one has."""
    torch.manual_seed(0)
    made = BertForPreTraining(BertConfig(vocab_size=ROWS, num_hidden_layers=2, **SIZES))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.rand_like(parameter) / 10)
    return made.eval()


@pytest.fixture
def folder(bert, tmp_path) -> Path:
    """Config and vocabulary; a test writes the weights."""
    bert.config.save_pretrained(tmp_path / "given")
    vocabulary.save(vocabulary.build(TOKENS, True), TOKENS, True, tmp_path / "given")
    return tmp_path / "given"


def config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def state(bert: BertForPreTraining) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in bert.state_dict().items()}


def renamed(tensors: dict, change: Callable[[str], str]) -> dict:
    return {change(name): tensor for name, tensor in tensors.items()}


def encoder(tensors: dict) -> dict:
    """As BertModel calls its tensors."""
    return {name.removeprefix("bert."): tensor for name, tensor in tensors.items() if name.startswith("bert.")}


def old(name: str) -> str:
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def fsdp(name: str) -> str:
    return f"_fsdp_wrapped_module.{name}".replace("layer.0.", "layer.0._checkpoint_wrapped_module.")


def loaded(folder: Path) -> weights.Bert:
    return weights.bert(folder, "given", len(weights.entries(folder, "given")))


def is_whole(found: weights.Bert, bert: BertForPreTraining, without: tuple[str, ...] = ("nothing",)) -> bool:
    """Whether the tensors, in today's names, make the very same model, what starts with `without` apart."""
    made = BertForPreTraining(found.config)
    unexpected = made.load_state_dict(found.tensors, strict=False).unexpected_keys
    same = all(
        tensor.equal(state(bert)[name]) for name, tensor in made.state_dict().items() if not name.startswith(without)
    )
    return not unexpected and same and all(name.startswith(without) for name in found.lacking)


HEADS = ("cls.", "bert.pooler.")
FORMS: dict[str, tuple[Callable[[dict], Any], tuple[str, ...]]] = {
    "today's": (lambda t: t, ()),
    "module.": (lambda t: renamed(t, "module.{}".format), ()),
    "_orig_mod.": (lambda t: renamed(t, "_orig_mod.{}".format), ()),
    "_orig_mod.module.": (lambda t: renamed(t, "_orig_mod.module.{}".format), ()),
    "a wrapped submodule": (lambda t: renamed(t, lambda name: name.replace("bert.", "bert._orig_mod.")), ()),
    "FSDP": (lambda t: renamed(t, fsdp), ()),
    "any prefix": (lambda t: renamed(t, "backbone.language_model.{}".format), ()),
    "gamma and beta": (lambda t: renamed(t, old), ()),
    "model": (lambda t: {"model": t, "epoch": 3}, ()),
    "state_dict": (lambda t: {"state_dict": t, "hyper_parameters": {"lr": 1e-5}}, ()),
    "model_state_dict": (lambda t: {"model_state_dict": t, "loss": torch.tensor(1.0)}, ()),
    "module": (lambda t: {"module": t, "global_steps": 7}, ()),
    "any wrapper": (lambda t: {"net": {"weights": renamed(t, "module.{}".format)}}, ()),
    "a dict for each part": (lambda t: {"bert": encoder(t), "cls": {k[4:]: v for k, v in t.items() if "cls" in k}}, ()),
    "an optimizer beside": (lambda t: {"model": t, "optimizer": {"exp_avg": dict(t), "state": {0: t[BIAS]}}}, ()),
    "position_ids": (lambda t: {**t, "bert.embeddings.position_ids": torch.arange(12)[None]}, ()),
    "no decoder": (lambda t: {k: v for k, v in t.items() if "decoder" not in k}, ()),
    "decoder in half": (lambda t: {k: v.half() if k.endswith("decoder.weight") else v for k, v in t.items()}, ()),
    "decoder.bias alone": (lambda t: {k: v for k, v in t.items() if k != BIAS}, ()),
    "no bert.": (encoder, ("cls.",)),
    "no bert., old, wrapped": (lambda t: {"model": renamed(encoder(t), lambda k: f"module.{old(k)}")}, ("cls.",)),
    "no pooler": (lambda t: {k: v for k, v in t.items() if "pooler" not in k}, ("bert.pooler.",)),
    "no heads": (lambda t: {k: v for k, v in t.items() if not k.startswith(HEADS)}, HEADS),
    "a classifier": (lambda t: {**encoder(t), "classifier.weight": torch.zeros(3, 8)}, ("cls.",)),
}


@pytest.mark.parametrize("form", FORMS)
def test_names_that_can_be_told_apart_are_todays(bert, folder, form):
    change, without = FORMS[form]
    torch.save(change(state(bert)), folder / "pytorch_model.bin")
    found = loaded(folder)
    assert is_whole(found, bert, without or ("nothing",))
    assert found.told == (
        ["left out, for no BERT to be trained on has them: classifier.weight"]
        if form == "a classifier"
        else ["left out, for no BERT to be trained on has them: loss"]
        if form == "model_state_dict"
        else []
    )


def split(tensors: dict, folder: Path, save: Callable, ending: str) -> None:
    names = sorted(tensors)
    parts = {f"part-{i}.{ending}": {name: tensors[name].clone() for name in names[i::2]} for i in range(2)}
    for file, part in parts.items():
        save(part, folder / file)
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    stem = "model.safetensors" if ending == "safetensors" else "pytorch_model.bin"
    (folder / f"{stem}.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    "write",
    [
        lambda t, f: save_file(t, f / "model.safetensors"),
        lambda t, f: torch.save(t, f / "pytorch_model.bin"),
        lambda t, f: torch.save(t, f / "pytorch_model.bin", _use_new_zipfile_serialization=False),
        lambda t, f: save_file(t, f / "pytorch_model.bin"),
        lambda t, f: torch.save(t, f / "model.safetensors"),
        lambda t, f: split(t, f, save_file, "safetensors"),
        lambda t, f: split(t, f, torch.save, "bin"),
        lambda t, f: (torch.save(t, f / "pytorch_model.bin"), (f / "config.json").rename(f / "bert_config.json")),
        lambda t, f: (torch.save(t, f / "pytorch_model.bin"), (f / "vocab.txt").unlink()),
        lambda t, f: torch.save({k: v.double() for k, v in t.items()}, f / "pytorch_model.bin"),
    ],
    ids="safetensors bin legacy misnamed misnamed shards bin-shards bert_config tokenizer.json float64".split(),
)
def test_files_are_known_by_what_they_hold(bert, folder, write):
    write(state(bert), folder)
    assert is_whole(loaded(folder), bert)


def test_a_header_of_safetensors_of_any_length_is_no_pickle_and_no_web_page(tmp_path):
    begins = set()
    for extra in range(0, 256, 8):
        save_file({"x": torch.ones(1)}, tmp_path / "model.safetensors", metadata={"format": "x" * extra})
        begins.add((tmp_path / "model.safetensors").read_bytes()[:1])
        assert weight_files.read(tmp_path, "given")["x"].item() == 1
    assert b"\x80" in begins  # as a pickle


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats_become_32_bits(bert, folder, dtype):
    torch.save({name: tensor.to(dtype) for name, tensor in state(bert).items()}, folder / "pytorch_model.bin")
    config(folder, torch_dtype=str(dtype).removeprefix("torch."))
    found = loaded(folder)
    assert Counter(tensor.dtype for tensor in found.tensors.values()) == {torch.float32: len(found.tensors)}
    assert found.tensors[WORDS].equal(state(bert)[WORDS].to(dtype).float())
    assert BertForPreTraining(found.config).dtype == torch.float32


class Code:
    def __reduce__(self):
        return (print, ("run",))


def bin_of(change: Callable[[dict], Any], **values: object) -> Callable[[dict, Path], None]:
    def write(tensors: dict, folder: Path) -> None:
        torch.save(change(tensors), folder / "pytorch_model.bin")
        config(folder, **values)

    return write


def holding(name: str, content: bytes) -> Callable[[dict, Path], None]:
    """Right weights, but for one file that holds something else."""

    def write(tensors: dict, folder: Path) -> None:
        torch.save(tensors, folder / "pytorch_model.bin")
        (folder / name).write_bytes(content)

    return write


def instead(*names: str) -> Callable[[dict, Path], None]:
    """A folder with such files in place of weights."""

    def write(tensors: dict, folder: Path) -> None:
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"x" * 99)

    return write


def cut(file: str, share: float, **how: bool) -> Callable[[dict, Path], None]:
    def write(tensors: dict, folder: Path) -> None:
        path = folder / file
        save_file(tensors, path) if file.endswith("safetensors") else torch.save(tensors, path, **how)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    return write


def archive(tensors: dict, folder: Path) -> None:
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as file:
        file.writestr("bert/vocab.txt", "好")


def shard_gone(tensors: dict, folder: Path) -> None:
    split(tensors, folder, torch.save, "bin")
    (folder / "part-1.bin").unlink()


def longer(tensors: dict, by: int) -> dict:
    """With so many more rows for pieces, or fewer."""
    of_pieces = {name: tensor for name, tensor in tensors.items() if ROWS in tensor.shape}
    return tensors | {
        name: torch.cat([tensor[: ROWS + by], torch.ones(max(0, by), *tensor.shape[1:])])
        for name, tensor in of_pieces.items()
    }


def layer_twice(tensors: dict) -> dict:
    return tensors | {k.replace("layer.1.", "layer.2."): v for k, v in tensors.items() if "layer.1." in k}


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 411577189\n"
HTML = b"\n<!DOCTYPE html><html><head><title>Sign in</title></head></html>"
NAN, QUERY = float("nan"), "bert.encoder.layer.0.attention.self.query.weight"
WRONG = {
    "no folder's files": (instead(), r"has no weights \(.*\); copy model.safetensors there"),
    "TensorFlow": (
        instead("bert_model.ckpt.index", "bert_model.ckpt.meta"),
        "bert_model.ckpt.index is of a Tensor",
    ),
    "h5": (instead("tf_model.h5"), "tf_model.h5 is for another framework"),
    "msgpack": (instead("flax_model.msgpack"), "flax_model.msgpack is for another framework"),
    "zip beside": (instead("chinese_bert_wwm.zip", "x.bin"), "unpack chinese_bert_wwm.zip and name the folder"),
    "a folder within": (instead("bert/pytorch_model.bin"), "they are in its folder bert: name that"),
    "another name": (instead("bert.pt", "training_args.bin"), "if bert.pt holds them, rename it to pytorch_model.bin"),
    "lfs bin": (holding("pytorch_model.bin", LFS), "pytorch_model.bin is a git-lfs pointer, .* `git lfs pull`"),
    "lfs safetensors": (holding("model.safetensors", LFS), "model.safetensors is a git-lfs pointer"),
    "lfs config": (holding("config.json", LFS), "config.json is a git-lfs pointer"),
    "lfs vocab": (holding("vocab.txt", LFS), "vocab.txt is a git-lfs pointer"),
    "html": (holding("pytorch_model.bin", HTML), "pytorch_model.bin is a web page, so its download failed"),
    "html config": (holding("config.json", HTML), "config.json is a web page"),
    "text": (
        holding("model.safetensors", b"Entry not found\n"),
        r"is text \(Entry not found\), so its download",
    ),
    "empty": (holding("pytorch_model.bin", b""), "pytorch_model.bin is empty"),
    "empty safetensors": (holding("model.safetensors", b""), "model.safetensors is empty"),
    "noise": (holding("pytorch_model.bin", bytes(range(255, 0, -1)) * 9), "pytorch_model.bin is cut off or broken"),
    "zeros": (holding("model.safetensors", bytes(5000)), "model.safetensors is cut off or broken"),
    "no vocab": (lambda t, f: [f.joinpath(n).unlink() for n in ("vocab.txt", "tokenizer.json")], "has no vocab.txt"),
    "vocab without a line": (
        lambda t, f: f.joinpath("vocab.txt").write_text("\n".join([*TOKENS[:7], *TOKENS[8:]]), encoding="utf-8"),
        f"vocab.txt, line 8: '{TOKENS[8]}', where tokenizer.json has '{TOKENS[7]}'",
    ),
    "relative positions": (bin_of(lambda t: t, position_embedding_type="relative_key"), "has the positions 'relative_"),
    "no config": (
        lambda t, f: (torch.save(t, f / "pytorch_model.bin"), (f / "config.json").unlink()),
        "no config.json",
    ),
    "config no json": (holding("config.json", b"{'a': 1}"), "config.json cannot be read as JSON"),
    "config a list": (holding("config.json", b"[]"), r"config.json cannot be read as JSON \(no object\)"),
    "config of none": (holding("config.json", b"{}"), "config.json has no whole number as vocab_size, hidden_size"),
    "another model": (bin_of(lambda t: t, model_type="albert"), "is of a 'albert', .* `load.models`"),
    "a decoder": (bin_of(lambda t: t, is_decoder=True), "is of a 'bert' that is a decoder"),
    "text as a size": (bin_of(lambda t: t, num_hidden_layers="2"), "no whole number as num_hidden_layers"),
    "heads that divide nothing": (bin_of(lambda t: t, num_attention_heads=3), "config.json describes no BERT"),
    "an unknown function": (bin_of(lambda t: t, hidden_act="gelo"), "config.json describes no BERT"),
    "cut bin": (cut("pytorch_model.bin", 0.5), "pytorch_model.bin is cut off or broken"),
    "cut late": (cut("pytorch_model.bin", 0.999), "pytorch_model.bin is cut off or broken"),
    "cut early": (cut("pytorch_model.bin", 0.0002), "pytorch_model.bin is cut off or broken"),
    "cut legacy": (cut("pytorch_model.bin", 0.5, _use_new_zipfile_serialization=False), "cut off or broken"),
    "cut safetensors": (cut("model.safetensors", 0.5), "model.safetensors is cut off or broken"),
    "cut header": (cut("model.safetensors", 0.01), "model.safetensors is cut off or broken"),
    "a zip as weights": (archive, "pytorch_model.bin is a zip archive; unpack it"),
    "a shard gone": (shard_gone, "lacks 1 of the 2 files that pytorch_model.bin.index.json names, first part-1.bin"),
    "code": (
        bin_of(lambda t: {**t, "x": Code()}),
        r"more than tensors \(.*print\), and reading that can run",
    ),
    "a whole model": (bin_of(lambda t: BertForPreTraining(BertConfig(**SIZES))), r"more than tensors \(transformers"),
    "a list": (bin_of(lambda t: list(t.values())), "pytorch_model.bin holds no tensors by name"),
    "nothing": (bin_of(lambda t: {}), "pytorch_model.bin holds no tensors by name"),
    "no BERT": (bin_of(lambda t: {"conv1.weight": t[BIAS]}), "holds no BERT: its tensors are conv1.weight"),
    "two of them": (bin_of(lambda t: {"model": t, "ema": t}), "holds more than one BERT, under "),
    "the same twice": (bin_of(lambda t: {**t, f"module.{BIAS}": t[BIAS]}), f"has {BIAS} twice"),
    "a layer gone": (
        bin_of(lambda t: {k: v for k, v in t.items() if "layer.1." not in k}),
        r"lacks 16 of the \d+ tensors that its config.json describes, bert.encoder.layer.1.attention.* and 13 more",
    ),
    "one tensor gone": (bin_of(lambda t: {k: v for k, v in t.items() if k != QUERY}), f"lacks 1 of .*, {QUERY};"),
    "a layer more": (bin_of(layer_twice), r"has 16 tensors that its config.json \(num_hidden_layers 2\) does not know"),
    "a config of fewer layers": (bin_of(lambda t: t, num_hidden_layers=1), "has 16 tensors that its config.json"),
    "a config of more layers": (bin_of(lambda t: t, num_hidden_layers=3), "lacks 16 of the"),
    "adapters": (bin_of(lambda t: {**t, f"{QUERY[:-6]}lora_A": t[QUERY]}), "has 1 tensors .*query.lora_A"),
    "another width": (
        bin_of(lambda t: t, intermediate_size=20),
        r"is \(16, 8\) in its weights and \(20, 8\) by",
    ),
    "fewer positions": (bin_of(lambda t: t, max_position_embeddings=9), r"is \(12, 8\) in its weights and \(9, 8\)"),
    "rows, config not": (
        bin_of(lambda t: longer(t, 3)),
        f"{ROWS + 3} rows .*set vocab_size to {ROWS + 3}",
    ),
    "config, rows not": (bin_of(lambda t: t, vocab_size=ROWS + 3), f"{ROWS} rows .*, a vocab_size of {ROWS + 3}"),
    "another vocabulary's rows": (bin_of(lambda t: longer(t, 128), vocab_size=ROWS + 128), "take all from one model"),
    "too few rows": (
        bin_of(lambda t: {k: v[:9] if ROWS in v.shape else v for k, v in t.items()}, vocab_size=9),
        "9 rows",
    ),
    "tokens behind": (holding("added_tokens.json", b'{"[X]": 15}'), r"has 1 tokens behind .*, first \[X\]; append"),
    "NaN": (bin_of(lambda t: {**t, QUERY: t[QUERY] * NAN}), f"1 tensors hold NaN or infinity, first {QUERY}"),
    "infinite in half": (bin_of(lambda t: {k: (v * 1e6).half() for k, v in t.items()}), "tensors hold NaN or infinity"),
    "int8": (bin_of(lambda t: {**t, QUERY: t[QUERY].to(torch.int8)}), f"{QUERY} is int8, a quantized model's"),
}


@pytest.mark.parametrize("what", WRONG)
def test_anything_else_is_one_line_with_the_remedy(bert, folder, what):
    write, said = WRONG[what]
    write(state(bert), folder)
    with pytest.raises(UserError, match=f"^given.*{said}") as raised:
        loaded(folder)
    line = str(raised.value)
    assert "\n" not in line and len(line) < 400 and "weights_only" not in line and ";" in line


def test_rows_past_the_vocabulary_are_padding_and_are_cut(bert, folder):
    torch.save(longer(state(bert), 3), folder / "pytorch_model.bin")
    config(folder, vocab_size=ROWS + 3)
    found = loaded(folder)
    assert found.config.vocab_size == ROWS and is_whole(found, bert)
    assert found.told == [
        f"cut: the last 3 of {ROWS + 3} rows of the embeddings, which the vocabulary of {ROWS} entries has no piece for"
    ]


def test_what_a_config_says_of_its_task_or_program_does_not_come_along(bert, folder):
    torch.save(state(bert), folder / "pytorch_model.bin")
    config(folder, problem_type="multi_label_classification", wwm={"kind": "single"})
    found = loaded(folder).config.to_dict()
    assert "wwm" not in found and not found["problem_type"] and found["num_attention_heads"] == 2


def test_a_head_that_goes_with_other_embeddings_is_left_out(bert, folder):
    weights_ = state(bert)
    weights_["cls.predictions.decoder.weight"] += 1
    torch.save(weights_, folder / "pytorch_model.bin")
    found = loaded(folder)
    assert "left out: its MLM head" in found.told[0] and is_whole(found, bert, ("cls.predictions.",))
    config(folder, tie_word_embeddings=False)
    found = loaded(folder)
    made = BertForPreTraining(found.config)
    made.load_state_dict(found.tensors)
    assert not found.told and made.cls.predictions.decoder.weight.equal(weights_["cls.predictions.decoder.weight"])
    assert made.cls.predictions.decoder.bias.equal(weights_[BIAS])


def test_a_head_is_untrained_that_was_drawn_even_in_part_or_is_as_in_a_new_model(bert):
    new = BertForPreTraining(bert.config)
    assert untrained_heads(bert) == []
    assert untrained_heads(new) == ["cls.predictions", "cls.seq_relationship", "bert.pooler"]
    assert untrained_heads(bert, ["bert.pooler.dense.bias"]) == ["bert.pooler"]
    assert untrained_heads(bert, ["cls.predictions.transform.dense.weight"]) == ["cls.predictions"]


def test_words_are_filled_in_by_the_same_rules(bert, folder):
    torch.save({"model": renamed(state(bert), lambda name: f"module.{old(name)}")}, folder / "pytorch_model.bin")
    ids = torch.tensor([[2, 5, 4, 7, 3]])
    model = masked_lm.load(folder, torch.device("cpu"))
    (said,) = model.log_probs(ids, torch.tensor([5]), torch.tensor([[2]]))
    with torch.no_grad():
        wanted = bert(input_ids=ids).prediction_logits[:, [2]].log_softmax(-1)
    torch.testing.assert_close(said, wanted)


def begins(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """As a new model has it, but for the embeddings."""
    return tensor if name.endswith("decoder.weight") else torch.full_like(tensor, name.endswith("LayerNorm.weight"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (encoder, "has no trained MLM head: cls.predictions.bias, "),
        (layer_twice, "has 16 tensors that its config.json"),
        (lambda t: {**t, QUERY: t[QUERY] * NAN}, "1 tensors hold NaN or infinity"),
        (
            lambda t: BertForPreTraining(BertConfig(vocab_size=ROWS, num_hidden_layers=2, **SIZES)).state_dict(),
            "chance",
        ),
    ],
    ids=["no head", "a layer more", "NaN", "a head as in a new model"],
)
def test_no_words_are_filled_in_by_chance(bert, folder, change, said):
    torch.save(change(state(bert)), folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=said):
        masked_lm.load(folder, torch.device("cpu"))


def test_a_folder_that_says_its_head_was_drawn_does_not_fill_in_words(bert, folder):
    save_file(
        {name: tensor for name, tensor in state(bert).items() if "decoder" not in name}, folder / "model.safetensors"
    )
    masked_lm.load(folder, torch.device("cpu"))
    (folder / "training.json").write_text('{"steps": null, "tokens": null, "untrained": ["cls.predictions"]}')
    with pytest.raises(UserError, match="has an MLM head that was never trained, so what it filled in would be chance"):
        masked_lm.load(folder, torch.device("cpu"))


def test_what_is_read_again_is_the_same_as_what_was_written(bert, folder, tmp_path):
    torch.save(renamed(state(bert), old), folder / "pytorch_model.bin")
    found = loaded(folder)
    made = BertForPreTraining(found.config)
    made.load_state_dict(found.tensors, strict=False)
    made.save_pretrained(tmp_path / "again")
    shutil.copy(folder / "vocab.txt", tmp_path / "again")
    assert not [name for name in load_file(tmp_path / "again/model.safetensors") if name.endswith(("gamma", "beta"))]
    assert is_whole(loaded(tmp_path / "again"), bert)
