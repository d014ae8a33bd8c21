"""The LTP model that cuts sentences into words: trained on gold words, or taken from a folder or the hub.

Reads   segmenter.gold: a sentence a line, words separated by one space, or another layout of wwm/text/gold.py
Writes  data/segmenter/: a folder that `ltp.LTP(folder)` loads, and origin.json: where it is from, and a sha256 of its
        files; results/segmenter.json with word F1 on the held-out gold sentences
By hand python -m wwm.segmenter
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np

from wwm.common import files, hub
from wwm.common.errors import UserError
from wwm.text import gold, perceptron

LTP_FILES = ["*.json", "*.bin", "*.txt", "*.safetensors"]


def main() -> None:
    from wwm import params, track

    values = params.read()
    base, segmenter = values.base, values.segmenter
    outs = [Path("data/segmenter"), Path("results/segmenter.json")]
    with track.run("segmenter", params=segmenter.model_dump(), outs=outs) as run:
        train, heldout = split(read_gold(Path(segmenter.gold)), segmenter.heldout_share)
        with files.new_folder(outs[0]) as folder:
            if segmenter.source == "train":
                origin = {}
                train_perceptron(train, heldout, segmenter.epochs, base.seed, folder)
            else:
                source = hub.folder(segmenter.source, "segmenter.source", LTP_FILES, hub.CHOICES["segmenter"])
                if hub.origin(source):
                    # What else of it somebody downloaded lies there, too, and must not make another segmenter of it.
                    for file in (file for pattern in LTP_FILES for file in source.glob(pattern)):
                        shutil.copy(file, folder)
                else:
                    shutil.copytree(source, folder, dirs_exist_ok=True)
                origin = hub.origin(source)
            origin = {"source": segmenter.source, "sha256": files.content_hash(folder)} | origin
            files.write_json(folder / "origin.json", origin)
            model = perceptron_file(folder, segmenter.source)
            scores = {
                "heldout_sentences": len(heldout),
                "train_sentences": len(train) if segmenter.source == "train" else 0,
            }
            if model:
                scores |= word_scores(heldout, cut(model, heldout))
                print(f"segmenter: word F1 {scores['f1']:.2f} on {len(heldout)} held-out sentences")
        files.write_json(outs[1], scores)
        run.log(scores)


def read_gold(path: Path) -> list[list[str]]:
    """Sentences as lists of words. Raises UserError for a missing file, and as gold.read does."""
    if not path.is_file():
        raise UserError(
            f"segmenter.gold: {path} does not exist; it is a text file with a sentence a line, words separated by one"
            " space"
        )
    return gold.read(path)


def split(sentences: list[list[str]], heldout_share: float) -> tuple[list, list]:
    """(train, held-out) by the hash of the sentence, so that a repeated sentence stands on one side only. Raises
    UserError if one is empty.
    """
    parts: tuple[list, list] = ([], [])
    for words in sentences:
        hashed = int.from_bytes(hashlib.sha256("".join(words).encode()).digest()[:8], "big")
        parts[hashed < heldout_share * 2**64].append(words)
    if not all(parts):
        raise UserError(
            f"segmenter.heldout_share {heldout_share} splits {len(sentences)} gold sentences into {len(parts[0])} and"
            f" {len(parts[1])}; change it"
        )
    return parts


def train_perceptron(train: list[list[str]], heldout: list[list[str]], epochs: int, seed: int, folder: Path) -> None:
    """Writes config.json and cws_model.bin of an averaged perceptron, as LTP's legacy models have them, to `folder`."""
    print(
        f"segmenter: {epochs} epochs over {len(train)} sentences, about {len(train) * epochs / 9000:.0f} s", flush=True
    )
    perceptron.train(train, heldout, epochs, seed, folder / "cws_model.bin")
    files.write_json(folder / "config.json", {"nerual": False, "tasks": {"cws": "cws_model.bin"}})


def perceptron_file(folder: Path, source: str) -> str | None:
    """Path of the perceptron's word model, None for a neural LTP model. Raises UserError for a folder LTP could not
    load.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"segmenter.source: {source} is no LTP model: config.json: {error}") from None
    perceptron.refuse_outside(config, source)
    # LTP spells it so.
    if not isinstance(config, dict) or not isinstance(config.get("nerual"), bool):
        raise UserError(
            f"segmenter.source: {source} is no LTP model: its config.json does not say `nerual` true or false"
        )
    if config["nerual"]:
        if not (folder / "pytorch_model.bin").is_file():
            raise UserError(
                f"segmenter.source: {source} has a neural config.json and no pytorch_model.bin beside it; copy the"
                " whole LTP folder"
            )
        return None
    tasks = config.get("tasks")
    name = tasks.get("cws") if isinstance(tasks, dict) else None
    if not isinstance(name, str) or not (folder / name).is_file():
        raise UserError(
            f"segmenter.source: {source} lacks the word model {name or 'tasks.cws'} that its config.json names; copy"
            " the whole LTP folder"
        )
    return str(folder / name)


def cut(model: str, sentences: list[list[str]]) -> list[list[str]]:
    """The model's own words for the text of each sentence."""
    return perceptron.load(model, parallel=False)(["".join(words) for words in sentences])


def word_scores(gold: list[list[str]], cut: list[list[str]]) -> dict[str, float]:
    """Precision, recall and F1 of words in per cent, as the SIGHAN bake-offs: a word is right if both its ends are."""
    right = sum(len(spans(a) & spans(b)) for a, b in zip(gold, cut, strict=True))
    precision, recall = (100 * right / max(1, sum(map(len, words))) for words in (cut, gold))
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / max(1e-9, precision + recall)}


def spans(words: list[str]) -> set[tuple[int, int]]:
    ends = np.cumsum([len(word) for word in words]).tolist()
    return set(zip([0, *ends], ends))


if __name__ == "__main__":
    # LTP's Rust threads make the perceptron's result depend on their timing.
    os.environ["RAYON_NUM_THREADS"] = "1"
    from wwm.common import command

    command.run(main)
