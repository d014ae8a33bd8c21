"""The best words for the gaps of a text, by a masked language model; for `wwm fill`.

Words of several pieces come out of a beam from left to right, the model run again on every partial filling. The
probability of a filling of known lengths is a product over its pieces; of a single masked piece it is the model's own.
For a later piece p(piece | pieces before it in place, those after it masked) is not yet what the chain rule asks for: a
model that learned by whole word masking takes a piece in sight for a word of its own, and the mask beside it for
another word. So it is weighed until, summed over the beam, a position has what the model gives it where all are masked
(`agreeing`). What the fillings of a beam have together they then share by how well they explain the pieces beside the
gaps, too (`shared`).

A gap of unknown length is tried with each. The probability of a filling is then that of its lengths times that of the
filling given its lengths; lengths are as probable as the model finds the pieces beside the gaps where the gaps are so
many masks.

Pieces that make no word keep what the model gives them, so that all words together have at most 1.
"""

import math
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import NamedTuple

import torch
from torch import Tensor

from wwm.release import gaps
from wwm.release.gaps import Gapped, Layout
from wwm.release.masked_lm import FLOATS, MaskedLM

TEXTS = 32  # are filled together


class Filling(NamedTuple):
    """A word for each gap, and the text with them in place."""

    words: tuple[str, ...]
    text: str
    probability: float


class Found(NamedTuple):
    """Of one layout: what speaks for its lengths, and fillings with their probability given these, all as logs."""

    lengths: float
    fillings: list[tuple[float, tuple[str, ...]]]


class Filler:
    def __init__(self, model: MaskedLM, beam: int):
        """beam: how many fillings are kept at every step."""
        self.model, self.beam = model, beam
        self.pieces = gaps.Pieces(model.tokenizer, model.vocab_size)
        self.fitting = self.tensor(self.pieces.fitting)
        self.runs = self.tensor(self.pieces.runs)

    def fill(self, texts: list[Gapped], count: int) -> list[list[Filling]]:
        """Of each text the `count` most probable fillings, or as many as there are, the best first.

        Raises UserError for a text that is too long for the model, or has too many gaps of unknown length.
        """
        layouts = [list(gaps.layouts(text, self.pieces, self.model.positions)) for text in texts]
        found = iter(self.found([layout for of_text in layouts for layout in of_text]))
        return [best(text, list(islice(found, len(of_text))), count) for text, of_text in zip(texts, layouts)]

    def found(self, layouts: list[Layout]) -> list[Found]:
        """Of each layout; those with as many masked pieces go through the model together."""
        found: dict[int, Found] = {}
        order = sorted(range(len(layouts)), key=lambda i: (len(layouts[i].positions), len(layouts[i].ids)))
        for masked, same in groupby(order, key=lambda i: len(layouts[i].positions)):
            size = max(1, FLOATS // (max(self.beam, masked) * self.model.vocab_size))
            while group := list(islice(same, size)):
                found |= zip(group, self.found_together([layouts[i] for i in group]))
        return [found[i] for i in range(len(layouts))]

    @torch.inference_mode()
    def found_together(self, layouts: list[Layout]) -> Iterator[Found]:
        used = self.tensor([len(layout.ids) for layout in layouts])
        longest = max(len(layout.ids) for layout in layouts)
        gapped = self.tensor([layout.ids + [0] * (longest - len(layout.ids)) for layout in layouts])
        rows, log_probs = self.search(layouts, gapped, used)
        lengths = self.explained(layouts, gapped, used)
        for layout, length, ids, values in zip(layouts, lengths.tolist(), rows.tolist(), log_probs.tolist()):
            # A beam that is wider than there are words ends in what is none.
            words = [(value, self.words(layout, row)) for row, value in zip(ids, values) if value > -math.inf]
            yield Found(length, words)

    def search(self, layouts: list[Layout], gapped: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
        """ids (N, B, L) with pieces in the gaps, and their log-probabilities (N, B), -inf for what makes no word.

        gapped: (N, L), of which `used`, (N,), are no padding.
        """
        number, size = len(layouts), self.model.vocab_size
        positions = self.tensor([layout.positions for layout in layouts])
        marginals = torch.cat([*self.model.log_probs(gapped, used, positions)])
        rows, log_probs = gapped[:, None], marginals.new_zeros(number, 1)
        for step in range(positions.shape[1]):
            at, beam = positions[:, step, None], rows.shape[1]
            conditional = marginals[:, :1]
            if step:
                owner = torch.arange(number, device=used.device).repeat_interleave(beam)
                said = torch.cat([*self.model.log_probs(rows.flatten(0, 1), used[owner], at[owner])])
                conditional = agreeing(said.view(number, beam, size), log_probs, marginals[:, step])
            before = rows.gather(2, (at - 1)[:, None].expand(number, beam, 1))[..., 0]
            fits = self.fits([layout.places[step] for layout in layouts], before)
            scores = log_probs[..., None] + conditional.masked_fill(~fits, -math.inf)
            log_probs, chosen = scores.flatten(1).topk(min(self.beam, beam * size))
            kept = chosen.shape[1]
            rows = rows.gather(1, (chosen // size)[..., None].expand(number, kept, rows.shape[2]))
            rows = rows.scatter(2, at[:, None].expand(number, kept, 1), (chosen % size)[..., None])
        return rows, log_probs

    def fits(self, places: list[gaps.Place], before: Tensor) -> Tensor:
        """Bool (N, B, V): which pieces may stand in the places (N) after the pieces `before`, ids (N, B)."""
        known = self.tensor([place.after is not None for place in places])[:, None]
        after = torch.where(known, self.tensor([bool(place.after) for place in places])[:, None], self.runs[before])
        rest = self.tensor([[place.before, place.punctuation] for place in places]).long()
        return self.fitting[after.long(), rest[:, :1], rest[:, 1:]]

    def explained(self, layouts: list[Layout], gapped: Tensor, used: Tensor) -> Tensor:
        """Log-probability (N,) of the pieces beside the gaps, each masked by itself, in ids (N, L) with masked gaps."""
        most = max(len(layout.beside) for layout in layouts)
        # Padded by the place of [CLS], which is not counted.
        at = self.tensor([layout.beside + [0] * (most - len(layout.beside)) for layout in layouts]).long()
        labels = gapped.gather(1, at)
        masked = gapped[:, None].expand(-1, most, -1).scatter(2, at[..., None], self.pieces.mask)
        said = self.model.log_probs_of(
            masked.flatten(0, 1), used.repeat_interleave(most), at.flatten(), labels.flatten()
        )
        return (said.view(at.shape) * (at > 0)).sum(1)

    def words(self, layout: Layout, ids: list[int]) -> tuple[str, ...]:
        positions = iter(layout.positions)
        return tuple(self.pieces.word([ids[i] for i in islice(positions, length)]) for length in layout.lengths)

    def tensor(self, values: object) -> Tensor:
        return torch.as_tensor(values, device=self.model.device)


def agreeing(conditional: Tensor, log_probs: Tensor, marginal: Tensor) -> Tensor:
    """log p(piece | filling), (N, B, V), weighed so that its mean over the fillings is the marginal, (N, V).

    log_probs: of the fillings, (N, B). What these have together stays what it is.
    """
    mean = (conditional + log_probs.log_softmax(1)[..., None]).logsumexp(1)
    return conditional + (marginal - mean)[:, None]


def best(text: Gapped, found: list[Found], count: int) -> list[Filling]:
    total = torch.tensor([one.lengths for one in found], dtype=torch.float64).logsumexp(0).item()
    probabilities: dict[tuple[str, ...], float] = {}
    for one in found:
        for log_prob, words in one.fillings:
            # The same word cut into other pieces, as 19 into 1 ##9, is the same word.
            probabilities[words] = probabilities.get(words, 0.0) + math.exp(one.lengths - total + log_prob)
    order = sorted(probabilities, key=lambda words: (-probabilities[words], words))
    return [Filling(words, text.filled(words), probabilities[words]) for words in order[:count]]


def all_filled(filler: Filler, texts: Iterable[Gapped], count: int) -> Iterator[tuple[Gapped, list[Filling]]]:
    """Of each text the `count` best, a few texts at a time."""
    texts = iter(texts)
    while together := list(islice(texts, TEXTS)):
        yield from zip(together, filler.fill(together, count))


def table(text: Gapped, fillings: list[Filling]) -> list[str]:
    """Lines for a person; with several gaps the filled text, too."""
    if not fillings:
        return [text.text, "no word of the vocabulary fits"]
    several = len(text.gaps) > 1
    rows = [("rank", "probability", "words" if several else "word", "text" if several else "")]
    for rank, filling in enumerate(fillings, 1):
        probability = f"{filling.probability:.3%}"
        rows.append((str(rank), probability, " ".join(filling.words), filling.text if several else ""))
    width = max(columns(words) for _, _, words, _ in rows)
    return [
        text.text,
        *(
            f"{rank:>4}  {probability:>11}  {words}{' ' * (width - columns(words))}  {filled}".rstrip()
            for rank, probability, words, filled in rows
        ),
    ]


def columns(text: str) -> int:
    """Of a terminal: a Chinese character has two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
