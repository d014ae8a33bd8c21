"""How often `wwm fill` finds the word of cloze's questions, beside guesses that know nothing of each other.

python -m bench.fill MODEL [--seed N] [--beams 4 16 64]    in a checkout that has data/segment/heldout and params.yaml

Words are as many masks as they have characters, or a gap of unknown length. Questions of another seed than base.seed
are those that cloze does not ask: for choosing what is then measured on cloze's own.
"""

import argparse
import math
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import torch

from wwm import cloze, params
from wwm.common.errors import UserError
from wwm.release import fill, gaps, masked_lm
from wwm.text import tokenization
from wwm.text.blanks import LONGEST, Question
from wwm.training import device, fill_mask

AGREEING = fill.agreeing


def as_said(conditional: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
    return conditional


def main(model: Path, seed: int | None, beams: list[int], threads: int) -> None:
    torch.set_num_threads(threads)
    place = device.pick()
    asked = questions(seed)
    print(
        f"{torch.cuda.get_device_name(place) if place.type == 'cuda' else f'{platform.machine()}, {threads} threads'};"
        f" Python {platform.python_version()}, torch {torch.__version__}, transformers {version('transformers')};"
        f" {model}, {len(asked):,} questions, seed {seed or params.read().base.seed}\n"
    )
    lengths = [question.end - question.start for question in asked]
    head = [f"{n} of {lengths.count(n)}" for n in range(1, LONGEST + 1)]
    print(f"| words right | {' | '.join(head)} | all | seconds |\n|---|{'---|' * (LONGEST + 2)}")

    begin = time.perf_counter()
    bert = cloze.load(model).to(place)
    blanks = [(question.text, question.start, question.end) for question in asked]
    said = fill_mask.guesses(bert, tokenization.load(model), blanks, bert.config.max_position_embeddings)
    independent = [bool(guesses) and all(guess.right for guess in guesses) for guesses in said]
    show("independent guesses", lengths, independent, begin)

    lm = masked_lm.load(model, place)
    for name, widths, fill.agreeing in (("as the model says it", beams[-1:], as_said), ("agreeing", beams, AGREEING)):
        for width in widths:
            begin = time.perf_counter()
            found = every(lm, width, [gapped(question) for question in asked])
            right = [
                max(one[0].fillings)[1] == (question.word,) if one else False for question, one in zip(asked, found)
            ]
            show(f"beam {width}, {name}", lengths, right, begin)

    begin = time.perf_counter()
    found = every(lm, beams[-1], [gapped(question, LONGEST) for question in asked])
    seconds = time.perf_counter() - begin
    shares = [math.log(max(1, lengths.count(n)) / len(asked)) for n in range(1, LONGEST + 1)]
    rankings: dict[str, Callable[[int, float, float], float]] = {
        "p": lambda n, beside, p: p,
        "p by piece (geometric mean)": lambda n, beside, p: p / n,
        "p x share of the length among the questions": lambda n, beside, p: p + shares[n - 1],
        "p x p(length)": lambda n, beside, p: p + beside,
        "p x p(length) x share of the length": lambda n, beside, p: p + beside + shares[n - 1],
    }
    print(f"\n| [WORD], by | {' | '.join(head)} | all | among 5 best | length right |\n|---|{'---|' * (LONGEST + 3)}")
    for name, score in rankings.items():
        best = [
            sorted(
                ((score(n, one.lengths, p), n, words[0]) for n, one in enumerate(of, 1) for p, words in one.fillings),
                reverse=True,
            )[:5]
            for of in found
        ]
        right = [bool(top) and top[0][2] == question.word for question, top in zip(asked, best)]
        among = sum(question.word in [one[2] for one in top] for question, top in zip(asked, best))
        length = sum(bool(top) and top[0][1] == n for n, top in zip(lengths, best))
        print(f"| {name} | {cells(lengths, right)} | {among} | {length} |")
    print(f"\nseconds {seconds:.0f}")


def questions(seed: int | None) -> list[Question]:
    values = params.read()

    def draw(seed: int) -> list[Question]:
        return cloze.draw(values.cloze.sentences, values.cloze.max_seq_length - 2, seed).questions

    own = draw(values.base.seed)
    return own if seed in (None, values.base.seed) else [one for one in draw(seed) if one not in {*own}]


def gapped(question: Question, longest: int | None = None) -> gaps.Gapped:
    length = question.end - question.start
    lengths = range(1, longest + 1) if longest else range(length, length + 1)
    parts = [question.text[: question.start], question.text[question.end :]]
    return gaps.Gapped(
        question.text, question.text, parts, [gaps.Gap(lengths, punctuation=not longest and length == 1)]
    )


def every(model: masked_lm.MaskedLM, beam: int, texts: list[gaps.Gapped]) -> list[list[fill.Found]]:
    """Of each text what was found for each of its lengths; nothing for a text that does not fit, which counts as wrong,
    as it does in cloze.
    """
    filler = fill.Filler(model, beam)
    layouts: list[list[gaps.Layout]] = []
    for text in texts:
        try:
            layouts.append(list(gaps.layouts(text, filler.pieces, model.positions)))
        except UserError:
            layouts.append([])
    found = iter(filler.found([layout for of_text in layouts for layout in of_text]))
    return [list(islice(found, len(of_text))) for of_text in layouts]


def cells(lengths: list[int], right: list[bool]) -> str:
    counts = [sum(one for n, one in zip(lengths, right) if n == length) for length in range(1, LONGEST + 1)]
    return " | ".join(map(str, [*counts, sum(counts)]))


def show(name: str, lengths: list[int], right: list[bool], begin: float) -> None:
    print(f"| {name} | {cells(lengths, right)} | {time.perf_counter() - begin:.0f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--seed", type=int, help="draws other words than cloze")
    parser.add_argument("--beams", type=int, nargs="+", default=[4, 16, 64], help="the last one is for all else, too")
    parser.add_argument("--threads", type=int, default=1)
    main(**vars(parser.parse_args()))
