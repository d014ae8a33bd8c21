"""One text as the pipeline sees it: words, WordPieces, units and draws of masks; for `wwm masks` and `wwm play`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wwm import segment, vocab
from wwm.common.errors import UserError
from wwm.masks import align, draws
from wwm.masks.draws import Looked
from wwm.segmenter import perceptron_file
from wwm.show import bracketed, with_bars
from wwm.text import boundaries, tokenization
from wwm.text.vocabulary import build


class Look:
    def __init__(self, vocabulary: Path, segmenter: Path):
        """vocabulary: a vocab.txt or a tokenizer's folder; segmenter: an LTP folder. Raises UserError for one that is
        not there, with the stage that makes it.
        """
        for path, stage in ((vocabulary, "vocab"), (segmenter / "config.json", "segmenter")):
            if not path.exists():
                raise UserError(f"{path} does not exist; `dvc repro {stage}` makes it, or name another by --{stage}")
        perceptron_file(segmenter, str(segmenter))
        self.tokens, *how = vocab.load(str(vocabulary))
        made = (vocabulary / "tokenizer.json").is_file()
        self.tokenizer = tokenization.load(vocabulary) if made else build(self.tokens, *how)
        self.cut = boundaries.on_simplified(segment.load_ltp(str(segmenter), []))

    def __call__(self, text: str, count: int, masked_lm_prob: float, seed: int) -> Looked:
        """count: draws of each kind of masking. Raises UserError for a text without pieces."""
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        if not encoding.ids:
            raise UserError(f"{text!r} has no pieces to mask; give some text")
        _, (word_ends,) = boundaries.segment_texts([text], self.cut)
        starts, ends = np.array(encoding.offsets).T
        continuation = np.array([token.startswith("##") for token in encoding.tokens])
        unit_begins, _ = align.units(starts, ends, continuation, word_ends)
        words = [text[start:end].strip() for start, end in zip([0, *word_ends], word_ends)]
        limit, drawn = draws.drawn(self.tokens, encoding.ids, unit_begins, count, masked_lm_prob, seed)
        return Looked(words, encoding.tokens, unit_begins, limit, drawn)

    def lines(self, text: str, count: int, masked_lm_prob: float, seed: int) -> Iterator[str]:
        """What a call with these finds, to read."""
        looked = self(text, count, masked_lm_prob, seed)
        pieces = looked.pieces
        yield f"text        {text}"
        yield f"words       {' '.join(looked.words)}"
        yield f"WordPieces  {' '.join(pieces)}"
        yield f"units       {with_bars(pieces, looked.unit_begins)}\n"
        yield (
            f"{looked.limit} of {len(pieces)} pieces ({masked_lm_prob:.0%} of them and of [CLS] and [SEP]); of the"
            " chosen 80 % are masked, 10 % kept (in brackets), 10 % replaced at random (in brackets)"
        )
        for unit, name in (("wordpiece", "WordPiece"), ("whole_word", "whole word"), ("ngram", "n-gram")):
            for draw in looked.draws[unit]:
                yield f"{name:<12}{' '.join(bracketed(*draw))}"
