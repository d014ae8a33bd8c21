"""What fine-tuned models score on each example: results/finetune/TASK/MODEL.parquet, for intervals that cover chance in
seeds and in examples.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wwm.common import files
from wwm.tasks.metrics import Metric
from wwm.tasks.rows import Example
from wwm.tasks.tags import Sentence

Said = list[Any] | dict[str, str]  # of a split


def write(
    path: Path,
    metric: Metric,
    splits: dict[str, list],
    labels: Sequence[str],
    runs: list[tuple[int | None, dict[str, Any]]],
) -> None:
    """A row for each run's scored examples: `split`, `seed`, `example` (its place in the split, from 0), and a column
    of float64 for each of the metric's figures, in percent; null where an example does not count.

    splits: the scored examples; runs: seed (None where nothing is drawn), and what it predicts, by file name as
    tuning.Job.score says it.
    """
    tables = [
        pa.table(
            {
                "split": [split] * len(examples),
                "seed": pa.array([seed] * len(examples), pa.int64()),
                "example": range(len(examples)),
            }
            | {
                name: pa.array(found, pa.float64(), from_pandas=True)
                for name, found in metric.figures(*compared(examples, labels, said[f"{split}.json"])).items()
            }
        )
        for seed, said in runs
        for split, examples in splits.items()
    ]
    with files.new_file(path) as written:
        pq.write_table(pa.concat_tables(tables, promote_options="default"), written, compression="zstd")


def compared(examples: list, labels: Sequence[str], said: Said) -> tuple[Any, Any]:
    """What a metric takes: gold and predicted."""
    if isinstance(examples[0], Example):
        return np.array([example.label for example in examples]), np.array([labels.index(name) for name in said])
    if isinstance(examples[0], Sentence):
        return examples, said
    return examples, by_id(said)


def by_id(said: Said) -> dict[str, str]:
    """The answers of a reading task, as CMRC 2018's script or CJRC's has them, by question."""
    return said if isinstance(said, dict) else {row["id"]: row["answer"] for row in said}
