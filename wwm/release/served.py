"""A model as a function of rows, for `mlflow models serve` and mlflow.pyfunc: what `wwm predict` and `wwm fill` say.

A row has `text` (a classifier; to fill in, with [MASK] or [WORD] in it), `text_a` and `text_b` (a classifier of pairs),
or `question` and `context` (a reader). Texts alone may come as a list.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from wwm.common import files
from wwm.common.errors import UserError
from wwm.release import gaps, inputs, masked_lm, predict
from wwm.release.fill import Filler
from wwm.tasks import kept
from wwm.training import device


def _load_pyfunc(path: str) -> "Labels | Fillings":
    """What mlflow calls, with the folder of a model."""
    folder = Path(path)
    return Labels(folder) if kept.KEY in files.read_json(folder / kept.CONFIG) else Fillings(folder)


class Labels:
    """Of a fine-tuned model: the label or the answer of each row, with probabilities."""

    def __init__(self, folder: Path):
        self.described, self.model = predict.load(folder)
        self.task = inputs.task_of(self.described)

    def predict(self, model_input: Any, params: dict | None = None) -> list[dict]:
        """Raises UserError for a row that lacks a field."""
        given = []
        for number, values in enumerate(rows(model_input), 1):
            row = inputs.given(f"row {number}", values, self.task)
            if row.content is None:
                raise UserError(f"row {number} lacks a text; see wwm/release/served.py for the fields of each model")
            given.append(row)
        with tqdm(disable=True) as bar:
            return predict.predicted(self.model, given, bar)


class Fillings:
    """Of a pre-trained model: the best words for the gaps of each text."""

    def __init__(self, folder: Path):
        self.filler = Filler(masked_lm.load(folder, device.pick()), gaps.BEAM)

    def predict(self, model_input: Any, params: dict | None = None) -> list[dict]:
        """Raises UserError for a text without gaps, or one that is too long."""
        texts = [
            gaps.read(str(values.get("text", "")), gaps.LONGEST, f"row {number}")
            for number, values in enumerate(rows(model_input), 1)
        ]
        found = self.filler.fill(texts, gaps.FILLINGS)
        return [{"fillings": [one._asdict() for one in fillings]} for fillings in found]


def rows(model_input: Any) -> Iterable[dict]:
    """Of a data frame, a list of rows, of texts, or one text."""
    if hasattr(model_input, "to_dict"):
        model_input = model_input.to_dict("records")
    if isinstance(model_input, str | dict):
        model_input = [model_input]
    return [row if isinstance(row, dict) else {"text": str(row)} for row in model_input]
