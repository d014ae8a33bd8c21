"""Tags of tokens: BERT, dropout, one linear layer on every position; the first piece of a token tells its tag.

A token is cut into pieces by itself, so that tags keep their places whatever BERT's cleaning removes from it; one of
which nothing is left is [UNK]. A sentence that is too long is read in windows, as the context of a question is, and
each token's tag is that of the window where it has most context.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import AutoModelForTokenClassification, PreTrainedModel

from wwm.tasks.classifier import count_parameters, padded, rounded, taken, with_head
from wwm.tasks.metrics import METRICS
from wwm.tasks.spans import encoded, layout
from wwm.tasks.tags import Sentence
from wwm.tasks.tuning import How, passes


class Window(NamedTuple):
    """[CLS] a stretch of the pieces of a sentence [SEP]."""

    sentence: int  # index into the sentences
    ids: np.ndarray  # (n,) int64
    tokens: np.ndarray  # (k,) int64, of the sentence, whose tags are read here,
    places: np.ndarray  # (k,) int64, at these positions of `ids`


class Tagging:
    """A wwm.tasks.tuning.Job. splits: sentences; tags: all that they may have; metric: of wwm/tasks/metrics.py."""

    def __init__(
        self,
        folder: Path,
        tokenizer: Tokenizer,
        splits: dict[str, list[Sentence]],
        tags: tuple[str, ...],
        metric: str,
        how: How,
    ):
        self.folder, self.tags, self.metric, self.sentences = folder, tags, metric, splits
        self.windows = {
            split: windows(tokenizer, sentences, how.max_seq_length, how.stride) for split, sentences in splits.items()
        }
        self.lengths = {split: np.array([len(window.ids) for window in found]) for split, found in self.windows.items()}
        numbers = {tag: number for number, tag in enumerate(tags)}
        gold = [np.array([numbers[tag] for tag in sentence.tags]) for sentence in splits["train"]]
        self.targets = [gold[window.sentence][window.tokens] for window in self.windows["train"]]
        for split, found in self.windows.items():
            if long := sum(count > 1 for count in Counter(window.sentence for window in found).values()):
                print(
                    f"{long:,} of the {len(splits[split]):,} sentences of {split} have more than"
                    f" {how.max_seq_length - 2} pieces and are read in several windows",
                    flush=True,
                )

    def model(self) -> PreTrainedModel:
        return with_head(AutoModelForTokenClassification, self.folder, self.tags)

    def loss(self, model: torch.nn.Module, rows: np.ndarray, place: torch.device) -> torch.Tensor:
        """Every token of train weighs the same, and a row as much as its tokens: their mean has 1."""
        taught = [self.windows["train"][row] for row in rows]
        said = at_tokens(model, taught, place)
        targets = torch.from_numpy(np.concatenate([self.targets[row] for row in rows])).to(place)
        return cross_entropy(said, targets, reduction="sum") * len(self.targets) / sum(map(len, self.targets))

    def score(
        self, model: torch.nn.Module, split: str, place: torch.device, positions: int
    ) -> tuple[dict[str, float], dict[str, object]]:
        """Percent by measure; of each token of each sentence its tag, and how likely that is."""
        sentences = self.sentences[split]
        found = tagged(model, self.windows[split], len(sentences), place, positions)
        said = [[self.tags[number] for number in numbers] for numbers, _ in found]
        scores = METRICS[self.metric].score(sentences, said) if all(one.tags for one in sentences) else {}
        shares = [[round(float(share), 6) for share in own] for _, own in found]
        return rounded(scores), {f"{split}.json": said, f"{split}_probabilities.json": shares}

    def save(self, model: PreTrainedModel, folder: Path) -> None:
        model.save_pretrained(folder)

    def parameters(self) -> int:
        return count_parameters(self.folder, len(self.tags))


def windows(tokenizer: Tokenizer, sentences: Sequence[Sentence], max_seq_length: int, stride: int) -> list[Window]:
    """The windows of all sentences, in their order, one for most; every token is read in one of them."""
    vocabulary = tokenizer.get_vocab()
    cls_id, sep_id, unknown = (vocabulary[name] for name in ("[CLS]", "[SEP]", "[UNK]"))
    pieces = {
        token: ids if len(ids) else np.array([unknown])
        for token, (ids, _) in encoded(tokenizer, (one for sentence in sentences for one in sentence.tokens)).items()
    }
    room = max_seq_length - 2
    made = []
    for number, sentence in enumerate(sentences):
        parts = [pieces[token] for token in sentence.tokens]
        ids = np.concatenate(parts)
        firsts = np.cumsum([0, *map(len, parts[:-1])])
        begins, most = layout(len(ids), room, stride)
        for i, begin in enumerate(begins.tolist()):
            tokens = np.flatnonzero(most[firsts] == i)
            if len(tokens):  # else all of it is the middle of a long token
                row: np.ndarray = np.concatenate(([cls_id], ids[begin : begin + room], [sep_id]))
                made.append(Window(number, row, tokens, firsts[tokens] - begin + 1))
    return made


def at_tokens(model: torch.nn.Module, windows: Sequence[Window], place: torch.device) -> torch.Tensor:
    """(tokens of all windows, tags) float32 logits."""
    inputs = padded([one.ids for one in windows], [np.zeros_like(one.ids) for one in windows], place)
    rows = np.repeat(np.arange(len(windows)), [len(one.places) for one in windows])
    places = np.concatenate([one.places for one in windows])
    logits = model(**taken(model, inputs)).logits
    return logits[torch.from_numpy(rows).to(place), torch.from_numpy(places).to(place)].float()


def tagged(
    model: torch.nn.Module, windows: Sequence[Window], sentences: int, place: torch.device, positions: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each sentence the numbers of its tokens' tags, (tokens,) int64, and how likely each is, (tokens,) float32. A
    forward pass has at most so many `positions`, or one window.
    """
    counts = np.zeros(sentences, np.int64)
    for window in windows:
        counts[window.sentence] += len(window.tokens)
    found = [(np.zeros(count, np.int64), np.zeros(count, np.float32)) for count in counts]
    for rows in passes(np.array([len(window.ids) for window in windows]), positions):
        taken_up = [windows[row] for row in rows]
        best = at_tokens(model, taken_up, place).softmax(-1).max(-1)
        ends = np.cumsum([len(one.tokens) for one in taken_up])[:-1]
        for window, numbers, shares in zip(
            taken_up, np.split(best.indices.cpu().numpy(), ends), np.split(best.values.cpu().numpy(), ends)
        ):
            found[window.sentence][0][window.tokens] = numbers
            found[window.sentence][1][window.tokens] = shares
    return found
