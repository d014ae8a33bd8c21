"""Cloze in nats: what models make of the same questions."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wwm.common.errors import UserError, reading
from wwm.common.result_files import Cloze
from wwm.report import forms


class Answers(NamedTuple):
    """Sums over the questions of each document, float64 (documents,) each; the same documents in the same order for
    models that were asked the same questions.
    """

    nats: np.ndarray  # -log p of the true characters
    unigram_nats: np.ndarray  # the same of who knows how often each character stands in held-out text, and no context
    characters: np.ndarray

    @property
    def mean(self) -> float:
        """Nats per character."""
        return float(self.nats.sum() / self.characters.sum())


def read(path: Path, row: Cloze) -> tuple[dict[str, Answers], list[str]]:
    """By way of asking (`words`, `characters`), and which source each document is of, out of results/cloze/MODEL.csv
    beside the result `row`. Raises UserError where it has not all of the characters that were asked for.
    """
    remedy = forms.again("cloze")
    rows = forms.table(path, ("source", "document", "kind", *Answers._fields), remedy)
    with reading(path, ValueError, remedy=remedy):
        found = sums(rows)
    for kind, asked in (("words", row["words"]), ("characters", row["characters"])):
        if kind not in found or found[kind].characters.sum() != asked["characters"]:
            raise UserError(
                f"{path} has not the {asked['characters']:,} characters that {path.with_suffix('.json').name} says;"
                f" {remedy}"
            )
    return found, list({row["document"]: row["source"] for row in rows}.values())


def sums(rows: list[dict[str, str]]) -> dict[str, Answers]:
    numbers = {document: i for i, document in enumerate(dict.fromkeys(row["document"] for row in rows))}
    found: dict[str, Answers] = {}
    for row in rows:
        of_kind = found.setdefault(row["kind"], Answers(*np.zeros((len(Answers._fields), len(numbers)))))
        for name, column in of_kind._asdict().items():
            column[numbers[row["document"]]] += float(row[name])
    return found


def together(kinds: Mapping[str, Answers]) -> Answers:
    """Over all ways of asking."""
    return Answers(*(np.sum(columns, 0) for columns in zip(*kinds.values())))
