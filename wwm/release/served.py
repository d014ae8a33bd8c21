"""A model as a function of rows, for `mlflow models serve` and mlflow.pyfunc: what `wwm predict` and `wwm fill` say.

A row has `text` (a classifier; to fill in, with [MASK] or [WORD] in it), `text_a` and `text_b` (a classifier of pairs),
or `question` and `context` (a reader). Texts alone may come as a list.
"""

from pathlib import Path
from typing import Any

from tqdm import tqdm

from wwm.common.errors import UserError
from wwm.release import gaps, inputs, masked_lm, predict
from wwm.release.fill import Filler
from wwm.tasks import kept
from wwm.training import device


def _load_pyfunc(path: str) -> "Served":
    """What mlflow calls, with the folder of a model."""
    folder = Path(path)
    return Served(Labels(folder) if kept.KEY in masked_lm.config_of(folder) else Fillings(folder))


class Served:
    """A model as mlflow asks it. A server answers what is wrong with a row by status 400 and one line."""

    def __init__(self, model: "Labels | Fillings"):
        self.model = model

    def predict(self, model_input: Any, params: dict | None = None) -> list[dict]:
        """Raises MlflowException for a row that cannot be read."""
        from mlflow.exceptions import MlflowException

        try:
            return self.model.predict(rows(model_input))
        except UserError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


class Labels:
    """Of a fine-tuned model: the label or the answer of each row, with probabilities; None for a row without text."""

    def __init__(self, folder: Path):
        self.described, self.model = predict.load(folder)
        self.task = inputs.task_of(self.described)

    def predict(self, rows: list[dict]) -> list[dict]:
        """Raises UserError for a row that lacks a field."""
        kind = self.described["kind"]
        given = []
        for number, values in enumerate(rows, 1):
            lacking = sorted({*inputs.fields(kind)} - values.keys())
            if lacking:
                raise UserError(f"row {number} has {', '.join(map(str, values)) or 'nothing'}, and no {lacking[0]}")
            given.append(inputs.given(f"row {number}", values, self.task))
        with tqdm(disable=True) as bar:
            return [
                one
                for chunk in predict.chunks(iter(given), predict.CHUNK[kind], predict.CHARACTERS)
                for one in predict.predicted(self.model, chunk, bar)
            ]


class Fillings:
    """Of a pre-trained model: the best words for the gaps of each text."""

    def __init__(self, folder: Path):
        self.filler = Filler(masked_lm.load(folder, device.pick()), gaps.BEAM)

    def predict(self, rows: list[dict]) -> list[dict]:
        """Raises UserError for a text without gaps, or one that is too long."""
        texts = []
        for number, values in enumerate(rows, 1):
            text = inputs.text_of(f"row {number}", "text", values.get("text"))
            texts.append(gaps.read(text, gaps.LONGEST, f"row {number}"))
        found = self.filler.fill(texts, gaps.FILLINGS)
        return [{"fillings": [one._asdict() for one in fillings]} for fillings in found]


def rows(model_input: Any) -> list[dict]:
    """Of a data frame, rows, columns (lists or arrays by field), texts, or one row or text. Raises UserError for what
    is none.
    """
    if hasattr(model_input, "to_dict"):
        model_input = model_input.to_dict("records")
    if isinstance(model_input, dict):
        columns = {field: list(values) for field, values in model_input.items() if not isinstance(values, str)}
        if len({*map(len, columns.values())}) > 1 or columns and columns.keys() != model_input.keys():
            raise UserError(f"the columns {', '.join(model_input)} are not of one length")
        model_input = [dict(zip(columns, row)) for row in zip(*columns.values())] if columns else [model_input]
    if isinstance(model_input, str):
        model_input = [model_input]
    made = [row if isinstance(row, dict) else {"text": row} for row in model_input]
    for number, row in enumerate(made, 1):
        if [*row] == ["text"] and not isinstance(row["text"], str | None):
            raise UserError(f"row {number} is no text but {row['text']!r:.60}")
    return made
