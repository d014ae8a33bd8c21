"""What tags say, and how they are scored: as conlleval does."""

import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwm.tasks import tags
from wwm.tasks.metrics import METRICS, entity_f1
from wwm.tasks.tags import Sentence, entities


def conlleval(row: str) -> list[tuple[str, int, int]]:
    """By the two tables of its endOfChunk and startOfChunk, of tags of B, I and O."""
    found, before, kind_before, first = [], "O", "", 0
    for i, tag in enumerate([*row.split(), "O"]):
        letter, _, kind = tag.partition("-")
        if before + letter in ("BB", "BO", "IB", "IO") or before != "O" and kind_before != kind:
            found.append((kind_before, first, i))
        if before + letter in ("BB", "IB", "OB", "OI") or letter != "O" and kind_before != kind:
            first = i
        before, kind_before = letter, kind
    return found


@pytest.mark.parametrize(
    "row, found",
    [
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("I-PER I-PER O", [("PER", 0, 2)]),  # an I without a B
        ("O I-LOC I-PER O", [("LOC", 1, 2), ("PER", 2, 3)]),  # another type within a run of I
        ("B-LOC I-PER I-PER", [("LOC", 0, 1), ("PER", 1, 3)]),
        ("B-LOC B-LOC I-LOC", [("LOC", 0, 1), ("LOC", 1, 3)]),
        ("B-LOC O I-LOC", [("LOC", 0, 1), ("LOC", 2, 3)]),
        ("O O", []),
        ("B-LOC M-LOC E-LOC S-LOC O B-PER E-PER", [("LOC", 0, 3), ("LOC", 3, 4), ("PER", 5, 7)]),  # BMES
        ("S-LOC I-LOC E-LOC", [("LOC", 0, 1), ("LOC", 1, 3)]),  # nothing goes on behind S
        ("B-LOC E-LOC E-LOC", [("LOC", 0, 2), ("LOC", 2, 3)]),  # or behind E
        ("B E S B M E", [("", 0, 2), ("", 2, 3), ("", 3, 6)]),  # words
        ("M E O B", [("", 0, 2), ("", 3, 4)]),
    ],
)
def test_entities_are_those_of_conlleval(row, found):
    assert entities(row.split()) == found


def test_every_row_of_bio_tags_is_read_as_conlleval_reads_it():
    for length in range(1, 5):
        for row in product(["O", "B-A", "I-A", "B-B", "I-B"], repeat=length):
            assert entities(row) == conlleval(" ".join(row)), row


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["O", "PER", "LOC"])), min_size=1, max_size=8))
def test_the_tags_of_entities_say_these_entities_in_every_scheme(parts):
    begin, wanted, rows = 0, [], {scheme: [] for scheme in tags.SCHEMES}
    for length, kind in parts:
        if kind != "O":
            wanted.append((kind, begin, begin + length))
        for scheme, letters in tags.SCHEMES.items():
            inside = letters[1]
            row = ["B", *inside * (length - 1)]
            if scheme != "BIO":
                row = ["S"] if length == 1 else [*row[:-1], "E"]
            rows[scheme] += ["O"] * length if kind == "O" else [f"{letter}-{kind}" for letter in row]
        begin += length
    for scheme, row in rows.items():
        assert entities(row) == wanted
        assert {*row} <= {*tags.of_types(["PER", "LOC"], scheme)}


def test_precision_recall_and_f1_are_counted_over_all_sentences():
    gold = [Sentence(tuple("张三在北京"), ("B-PER", "I-PER", "O", "B-LOC", "I-LOC")), Sentence(("人",), ("O",))]
    said = [["B-PER", "I-PER", "O", "B-LOC", "O"], ["B-PER"]]
    # One of two entities is found, of three that are said.
    scores = METRICS["entity_f1"].score(gold, said)
    assert scores == pytest.approx({"entity_f1": 40.0, "entity_precision": 100 / 3, "entity_recall": 50.0})


def test_where_there_is_no_entity_scores_are_0_and_no_warning():
    gold = [Sentence(("人",), ("O",))] * 2
    assert METRICS["entity_f1"].score(gold, [["O"], ["O"]])["entity_f1"] == 0
    assert METRICS["entity_f1"].score(gold, [["O"], ["B-PER"]])["entity_f1"] == 0


def test_figures_of_entity_f1_tell_how_much_it_would_differ_on_other_sentences():
    """Their deviation over the square root of their number is that of the score over many test sets."""
    rng = np.random.default_rng(0)
    scores, errors = [], []
    for _ in range(300):
        gold, said = [], []
        for count in rng.poisson(1.5, 200):  # entities of a sentence, some missed, some with another type
            row = ["B-PER"] * count
            gold.append(Sentence(("人",) * (count + 1), (*row, "O")))
            shares = [0.4, 0.4, 0.2] if rng.random() < 0.3 else [0.9, 0.07, 0.03]
            told = rng.choice(["B-PER", "O", "B-LOC"], count, p=shares).tolist()
            said.append([*told, "B-LOC" if rng.random() < 0.1 else "O"])
        figures = entity_f1(gold, said)["entity_f1"]
        scores.append(figures.mean())
        errors.append(figures.std(ddof=1) / 200**0.5)
    assert np.mean(errors) == pytest.approx(np.std(scores), rel=0.1)


def test_a_tag_is_o_or_a_letter_with_a_type_or_without():
    good = "O B I M E S B-PER I-公司 S-T.1"
    assert [tag for tag in good.split() if not re.fullmatch(tags.TAG, tag)] == []
    assert [tag for tag in ["PER", "O-PER", "X-PER", "B-", "B_PER", "", "B-A B"] if re.fullmatch(tags.TAG, tag)] == []
