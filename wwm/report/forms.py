"""Files of results, read where they are whole: of what is cut off, or of another version, nothing is compared."""

import csv
import io
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from wwm.common import files
from wwm.common.errors import UserError, reading
from wwm.common.result_files import Cloze, Finetuned, Overlap, Pretrained

FORMS: dict[str, TypeAdapter] = {
    "pretrain": TypeAdapter(Pretrained),
    "cloze": TypeAdapter(Cloze),
    "finetune": TypeAdapter(Finetuned),
    "overlap": TypeAdapter(Overlap),
}
# By split and measure, in percent of each example: (runs, examples), or (examples,) where nothing is drawn.
Figures = dict[tuple[str, str], np.ndarray]


def again(stage: str) -> str:
    return f"run `dvc repro {stage}`"


def result(path: Path, stage: str) -> Any:
    """What a stage wrote as JSON. Raises UserError where it is not all there, or of another kind."""
    found = files.read_json(path)
    try:
        FORMS[stage].validate_python(found, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(
            f"{path} is no result, or of another version ({place}: {first['msg']}); {again(stage)}"
        ) from None
    if stage == "finetune":
        check_scores(path, found)
    if stage == "pretrain" and (other := [step for step in found.get("milestones", {}) if not step.isdecimal()]):
        raise UserError(f"{path} is no result, or of another version (milestones.{other[0]}: no step); {again(stage)}")
    return found


def check_scores(path: Path, row: Finetuned) -> None:
    """Raises UserError where there is no score, or a seed lacks one."""
    if not row["seeds"]:
        raise UserError(f"{path} has no seeds; {again('finetune')}")
    for seed in row["seeds"]:
        for split, scores in seed["scores"].items():
            if lacking := row["measures"].keys() - scores:
                raise UserError(f"{path}: seed {seed['seed']} has no {min(lacking)} on {split}; {again('finetune')}")


def figures(path: Path, row: Finetuned) -> Figures:
    """What wwm/tasks/figures.py wrote of the measures of `row`, the result beside it. Raises UserError where it is not
    there, not whole, or of another result.
    """
    if not path.is_file():
        raise UserError(f"{path} is not beside its .json; {again('finetune')}")
    kept = 0
    found: Figures = {}
    columns = ["split", "seed", "example", *row["measures"]]
    with reading(path, pa.ArrowException, OSError, TypeError, ValueError, remedy=again("finetune")):
        table = pq.read_table(path)
        if lacking := set(columns) - {*table.column_names}:
            raise UserError(f"{path} has no {', '.join(sorted(lacking))}; {again('finetune')}")
        for split in dict.fromkeys(split for seed in row["seeds"] for split in seed["scores"]):
            part = table.filter(pc.equal(table["split"], split))
            runs = [seed for seed in row["seeds"] if split in seed["scores"]]
            numbers, examples = [seed["seed"] for seed in runs], range(row["examples"].get(split, 0))
            if part["seed"].to_pylist() != [number for number in numbers for _ in examples] or part[
                "example"
            ].to_pylist() != [*examples] * len(runs):
                raise other(path, f"seeds or examples of {split}")
            kept += len(part)
            for measure in row["measures"]:
                if not pa.types.is_floating(part[measure].type):
                    raise other(path, f"kinds of {measure}")
                values = part[measure].to_numpy().reshape(len(runs), len(examples))
                scores = [seed["scores"][split][measure] for seed in runs]
                # Scores are rounded to four decimals; what is null is NaN here, and close to nothing.
                if not examples or not np.allclose(values.mean(1), scores, rtol=0, atol=1e-4):
                    raise other(path, f"{measure} of {split}")
                found[split, measure] = values[0] if numbers == [None] else values
        if kept != len(table):
            raise other(path, "splits")
    return found


def other(path: Path, what: str) -> UserError:
    return UserError(f"{path} has other {what} than {path.with_suffix('.json').name}; {again('finetune')}")


def curve(path: Path, row: Pretrained) -> list[tuple[int, float]]:
    """(step, training MLM loss in nats) of the training whose result is `row`. Raises UserError where the curve does
    not end as that says.
    """
    remedy = again("pretrain")
    rows = table(path, ("step", "mlm_loss"), remedy)
    with reading(path, ValueError, remedy=remedy):
        points = [(int(row["step"]), float(row["mlm_loss"])) for row in rows if row["mlm_loss"]]
    if not points or points[-1][1] != row["mlm_loss"]:
        raise UserError(f"{path} does not end at the mlm_loss of {path.with_suffix('.json').name}; {remedy}")
    return points


def table(path: Path, columns: Collection[str], remedy: str) -> list[dict[str, str]]:
    """The rows of a CSV file that a stage wrote. Raises UserError with the `remedy` where there are none, where one of
    `columns` is not there, and where it is cut off.
    """
    with reading(path, OSError, ValueError, csv.Error, remedy=remedy):
        text = path.read_text(encoding="utf-8")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        rows: list[dict[str, str]] = list(reader)
    if lacking := [name for name in columns if name not in (reader.fieldnames or [])]:
        raise UserError(f"{path} has no column {lacking[0]}; {remedy}")
    if not rows:
        raise UserError(f"{path} has no rows; {remedy}")
    # The reader calls cells that are too many None, and says None where they are too few.
    if not text.endswith("\n") or any(None in row or None in row.values() for row in rows):
        raise UserError(f"{path} is cut off or broken; {remedy}")
    return rows
