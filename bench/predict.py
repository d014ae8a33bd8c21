"""Speed of `wwm predict` beside transformers' text-classification pipeline.

python -m bench.predict MODEL FILE [--repeat N]    MODEL: a kept one, of single texts; FILE: texts, as predict has them

Both get the same texts in the same order, round by round in one process; the peer cuts where ours does and has batches
of one size. Times are those of reading, tokenizing and predicting, without loading the model and writing. The
probabilities are compared.
"""

import argparse
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import pipeline

from wwm.release import inputs, predict
from wwm.training import device

ALIKE = 1e-5


def main(model: Path, file: str, repeat: int, batch: int, rounds: int, threads: int) -> None:
    torch.set_num_threads(threads)
    place = device.pick()
    described, own = predict.load(model)
    ask = pipeline("text-classification", str(model), top_k=None, device=place, batch_size=batch)

    def texts() -> list[inputs.Given]:
        return [row for row in inputs.read(file, None, described, {})[0] if row.content] * repeat

    def ours() -> list[dict[str, float]]:
        parts = predict.chunks(texts(), predict.CHUNK["single"], predict.CHARACTERS)
        bar = tqdm(disable=True)
        return [one["probabilities"] for chunk in parts for one in predict.predicted(own, chunk, bar)]

    def peer() -> list[dict[str, float]]:
        rows = [row.content.texts[0] for row in texts()]
        said = ask(rows, truncation=True, max_length=described["max_seq_length"])
        return [{each["label"]: each["score"] for each in one} for one in said]

    ways = {"ours": ours, f"peer: transformers' pipeline, batches of {batch}": peer}
    times: dict[str, list[float]] = {name: [] for name in ways}
    said = {}
    for number in range(rounds):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            begin = time.perf_counter()
            said[name] = ways[name]()
            times[name].append(time.perf_counter() - begin)
    first, second = said.values()
    apart = max(abs(share - theirs[label]) for one, theirs in zip(first, second) for label, share in one.items())
    print(
        f"{torch.cuda.get_device_name(place) if place.type == 'cuda' else f'{platform.machine()}, {threads} threads'};"
        f" Python {platform.python_version()}, torch {torch.__version__}, transformers {version('transformers')};"
        f" {model}, {len(first):,} texts, {rounds} rounds; probabilities differ by {apart:.0e} at most\n"
    )
    print("| | seconds | best | rows/s | times the peer |\n|---|---|---|---|---|")
    *_, slow = (np.median(each) for each in times.values())
    for name, each in times.items():
        middle = np.median(each)
        print(f"| {name} | {middle:.2f} | {min(each):.2f} | {len(first) / middle:,.0f} | {slow / middle:.2f} |")
    if apart > ALIKE:
        raise SystemExit(f"the probabilities differ by more than {ALIKE:.0e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("file")
    parser.add_argument("--repeat", type=int, default=1, help="how often the file's texts are taken")
    parser.add_argument("--batch", type=int, default=32, help="the peer's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    main(**vars(parser.parse_args()))
