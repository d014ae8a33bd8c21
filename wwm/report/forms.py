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
    return found


def check_scores(path: Path, row: Finetuned) -> None:
    """Raises UserError where there is no score, or a seed lacks one."""
    if not row["seeds"]:
        raise UserError(f"{path} has no seeds; {again('finetune')}")
    for seed in row["seeds"]:
        for split, scores in seed["scores"].items():
            if lacking := row["measures"].keys() - scores:
                raise UserError(f"{path}: seed {seed['seed']} has no {min(lacking)} on {split}; {again('finetune')}")


def figures(path: Path) -> Figures:
    """What wwm/tasks/figures.py wrote. Raises UserError where it is not there, or not whole."""
    if not path.is_file():
        raise UserError(f"{path} is not beside its .json; {again('finetune')}")
    with reading(path, pa.ArrowException, OSError, TypeError, ValueError, remedy=again("finetune")):
        table = pq.read_table(path)
        if lacking := {"split", "seed", "example"} - {*table.column_names}:
            raise UserError(f"{path} has no {', '.join(sorted(lacking))}; {again('finetune')}")
        found = {}
        for split in table["split"].unique().to_pylist():
            part = table.filter(pc.equal(table["split"], split))
            examples = pc.max(part["example"]).as_py() + 1
            for measure in part.column_names[3:]:
                runs = part[measure].to_numpy().reshape(-1, examples)
                found[split, measure] = runs if part["seed"].null_count == 0 else runs[0]
    return found


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
