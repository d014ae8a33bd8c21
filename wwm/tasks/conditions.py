"""What a task is and what its data are, as every result file on it tells `scores`."""

from dataclasses import asdict
from typing import Any

from wwm.common import files
from wwm.tasks.metrics import METRICS
from wwm.tasks.splits import Data
from wwm.tasks.task import Task


def conditions(table: Task, data: Data) -> dict[str, Any]:
    """Keys of wwm.common.result_files.Finetuned. data: as the files have it."""
    splits = data.splits
    recipe = asdict(table.recipe) if table.recipe else {}
    return {
        "title": table.title,
        "kind": table.kind,
        "remark": table.remark,
        "footnote": table.footnote,
        "measures": METRICS[table.metric].measures,
        "recipe": {key: value for key, value in recipe.items() if key != "learning_rates"},
        "scored": list(table.splits),
        "missing": data.missing,
        "reduced": data.reduced,
        "examples": {split: len(found.examples) for split, found in splits.items()},
        "files": {split: found.file.partition(",")[0] for split, found in splits.items()},
        "hashes": {split: files.hash_of(found.examples) for split, found in splits.items()},
        "dropped": {split: found.counts for split, found in splits.items() if found.counts},
        "duplicates": data.duplicates,
    }
