"""Folders of models and tokenizers that are cut off, of something else, or of two models."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bad_inputs import Bad
from damage import changed, each, half, params_of, put, shaped, with_keys
from safetensors.numpy import load_file, save

GIVEN = "elsewhere/bert"  # a copy of models/roberta-wwm-ext, of no stage
INIT = {"init.models.given": {"source": GIVEN, "architecture": None}}
OWN = {"init.models.given": {"source": GIVEN, "architecture": None, "own_vocabulary": True}}
WORDS = "bert.embeddings.word_embeddings.weight"
KEPT = "models/finetuned/reviews/rbt3"


def header(size: int, content: bytes = b"{}") -> bytes:
    return struct.pack("<Q", size) + content


def weights(path: str, **tensors: Callable[[np.ndarray], np.ndarray]) -> Callable[[], None]:
    """With tensors, whose dots are written `__`, changed."""

    def change(content: bytes) -> bytes:
        Path("weights.tmp").write_bytes(content)
        found = load_file("weights.tmp")
        for name, of in tensors.items():
            found[name.replace("__", ".")] = of(found[name.replace("__", ".")])
        return save(found, {"format": "pt"})

    return changed(path, change)


def nan(tensor: np.ndarray) -> np.ndarray:
    tensor = tensor.copy()
    tensor.flat[0] = np.nan
    return tensor


def broken(folder: str) -> dict[str, Callable[[], object]]:
    """What may have happened to any model's folder -> how."""
    file, config = f"{folder}/model.safetensors", f"{folder}/config.json"
    tokenizer = f"{folder}/tokenizer.json"
    return {
        "weights cut off": half(file),
        "weights cut off within their header": changed(file, lambda content: content[:200]),
        "weights empty": put(file, b""),
        "weights of nothing": put(file, header(2)),
        "weights of 4 bytes": put(file, b"\x01\x02\x03\x04"),
        "weights with a huge header": put(file, header(2**60)),
        "weights with a header longer than they are": put(file, header(10**6)),
        "weights with a header that is no JSON": put(file, header(8, b"{nothing")),
        "weights of zeros": changed(file, lambda content: bytes(len(content))),
        "weights of random bytes": put(file, bytes(range(256)) * 40),
        "weights of text": put(file, "no weights at all\n"),
        "weights that are a web page": put(file, "<!DOCTYPE html><html></html>"),
        "weights that are a pointer": put(file, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "weights that are a good zip": put(file, shaped("zip")),
        "weights that are a pickle": put(file, b"\x80\x04cos\nsystem\n(S'touch evil'\ntR."),
        "weights that are a folder": each(lambda: Path(file).unlink(), put(f"{file}/x", b"")),
        "weights missing": lambda: Path(file).unlink(),
        "weights with NaN": weights(file, bert__embeddings__word_embeddings__weight=nan),
        "weights with infinity": weights(file, bert__embeddings__LayerNorm__weight=lambda t: t * np.inf),
        "weights of wrong shape": weights(
            file, bert__encoder__layer__0__output__dense__weight=lambda t: t[:, :-1].copy()
        ),
        "weights of integers": weights(file, bert__embeddings__word_embeddings__weight=lambda t: t.astype(np.int8)),
        "weights of fewer words": weights(file, bert__embeddings__word_embeddings__weight=lambda t: t[:-7].copy()),
        "config missing": lambda: Path(config).unlink(),
        "config empty": put(config, b""),
        "config cut off": half(config),
        "config a list": put(config, "[1, 2]"),
        "config a number": put(config, "7"),
        "config of another architecture": with_keys(config, model_type="gpt2", architectures=["GPT2LMHeadModel"]),
        "config of an unknown architecture": with_keys(config, model_type="nothing"),
        "config without hidden_size": with_keys(config, hidden_size=None),
        "config with a text for a number": with_keys(config, hidden_size="32"),
        "config with hidden_size below 0": with_keys(config, hidden_size=-32),
        "config with heads that do not divide": with_keys(config, num_attention_heads=5),
        "config with a huge layer count": with_keys(config, num_hidden_layers=10**9),
        "config with more layers than weights": with_keys(config, num_hidden_layers=9),
        "config with a huge vocabulary": with_keys(config, vocab_size=10**9),
        "config with an unknown activation": with_keys(config, hidden_act="nothing"),
        "config nested 200,000 deep": put(config, "[" * 200_000),
        "config that is a pipe": each(lambda: Path(config).unlink(), lambda: os.mkfifo(config)),
        "config with a dropout of 7": with_keys(config, hidden_dropout_prob=7),
        "config in GB18030": put(config, '{"名": "模型"}'.encode("gb18030")),
        "config with foreign code": with_keys(config, auto_map={"AutoModel": "evil.Evil"}, model_type="evil"),
        "tokenizer.json cut off": half(tokenizer),
        "tokenizer.json a list": put(tokenizer, "[]"),
        "tokenizer.json of nothing": put(tokenizer, "{}"),
        "tokenizer.json nested 200,000 deep": put(tokenizer, "[" * 200_000),
        "tokenizer.json empty": put(tokenizer, b""),
        "tokenizer.json without its [UNK]": changed(
            tokenizer, lambda content: content.replace(b'"unk_token": "[UNK]"', b'"unk_token": "[NO]"')
        ),
    }


def tokenizers(folder: str) -> dict[str, Callable[[], object]]:
    """More that may be wrong where a folder is from elsewhere."""
    config = f"{folder}/tokenizer_config.json"

    def none() -> None:
        for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
            Path(folder, name).unlink()

    return {
        "no tokenizer": none,
        "tokenizer_config.json cut off": half(config),
        "tokenizer_config.json a list": put(config, "[]"),
        "tokenizer_config.json a text": put(config, '"maybe"'),
        "tokenizer_config.json with do_lower_case maybe": with_keys(config, do_lower_case="maybe"),
        "tokenizer_config.json of random bytes": put(config, bytes(range(256))),
    }


def cases() -> list[Bad]:
    made = params_of(INIT)
    own = params_of(OWN)
    seen = {**broken(GIVEN), **tokenizers(GIVEN)}
    # What BERT's own vocabulary.txt says is enough: these say nothing that is read.
    unread = {name for name in seen if name.startswith("tokenizer_config") or name.endswith("[UNK]")}
    vocab = f"{GIVEN}/vocab.txt"
    more = {
        "vocab.txt missing and tokenizer.json too": each(
            lambda: Path(vocab).unlink(), lambda: Path(GIVEN, "tokenizer.json").unlink()
        ),
        "vocab.txt of another model": put(
            vocab, "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "好"]) + "\n"
        ),
        "vocab.txt without an entry": changed(vocab, lambda content: content.split(b"\n", 1)[1]),
        "vocab.txt with an entry twice": changed(vocab, lambda content: content + "好\n好\n".encode()),
        "vocab.txt in GB18030": changed(vocab, lambda content: content.decode().encode("gb18030")),
        "tokens behind the vocabulary": put(f"{GIVEN}/added_tokens.json", json.dumps({"[NEW]": 99999})),
        "an index that names no file": each(
            lambda: Path(GIVEN, "model.safetensors").unlink(),
            put(f"{GIVEN}/model.safetensors.index.json", json.dumps({"weight_map": {"a": "b.safetensors"}})),
        ),
        "an index that leads out": each(
            lambda: Path(GIVEN, "model.safetensors").unlink(),
            put(f"{GIVEN}/model.safetensors.index.json", json.dumps({"weight_map": {"a": "../../x.safetensors"}})),
        ),
    }
    from_folder = [
        Bad(f"init, {name}", "init given", each(elsewhere, damage, made), GIVEN, name in unread)
        for name, damage in {**seen, **more}.items()
    ]
    compared = [
        Bad(f"own_vocabulary, {name}", "init given", each(elsewhere, damage, own), GIVEN)
        for name, damage in seen.items()
        if name not in ("config with foreign code", "tokenizer.json without its [UNK]")
    ]
    sources = [
        Bad(
            f"source {name}",
            "init given",
            each(elsewhere, params_of({**INIT, "init.models.given.source": path})),
            "init.models.given",
        )
        for name, path in {
            "missing": "nowhere/at/all",
            "a file": f"{GIVEN}/config.json",
            "a URL": "https://x.org/m",
        }.items()
    ]
    reads_model = {
        "pretrain rbt3": "models/rbt3-init",
        "cloze rbt3": "models/rbt3",
        "finetune rbt3 reviews": "models/rbt3",
        "truncate rbt3-init": "models/roberta-wwm-ext",
        "wwm fill models/rbt3 今天天气很[MASK]。": "models/rbt3",
        f"wwm predict {KEPT} texts.txt": KEPT,
    }
    chosen = [
        *(
            f"weights {how}"
            for how in ("cut off", "empty", "with a huge header", "with NaN", "of wrong shape", "of nothing", "missing")
        ),
        *(
            f"config {how}"
            for how in ("missing", "cut off", "of another architecture", "nested 200,000 deep", "that is a pipe")
        ),
        *(f"tokenizer.json {how}" for how in ("cut off", "nested 200,000 deep", "without its [UNK]")),
    ]
    stages = [
        Bad(f"{command}, {name}", command, each(put("texts.txt", "很好\n"), broken(folder)[name]), folder)
        for command, folder in reads_model.items()
        for name in chosen
        # Truncating looks into no tensor.
        if not (command.startswith("truncate") and name in ("weights with NaN", "weights of wrong shape"))
    ]
    diverged = weights(
        "models/rbt3/model.safetensors", bert__embeddings__LayerNorm__weight=lambda tensor: tensor * 1e38
    )
    dropout = broken("models/rbt3")["config with a dropout of 7"]
    stages += [
        Bad("cloze, weights that give NaN", "cloze rbt3", diverged, "models/rbt3"),
        Bad("finetune, config with a dropout of 7", "finetune rbt3 reviews", dropout, "models/rbt3"),
    ]
    return [*from_folder, *compared, *sources, *stages]


def elsewhere() -> None:
    Path("elsewhere").mkdir()
    Path("models/roberta-wwm-ext").rename(GIVEN)
