"""How many scored examples of a task stand in the text that models are pre-trained on.

Reads   data/corpus/train/*.parquet, data/tasks/TASK/
Writes  results/overlap/TASK.json: of each scored split the percent of its examples of which an n-gram, or a whole text,
        is found
By hand python -m wwm.overlap TASK

It takes the memory of the task's n-grams, whatever the size of the corpus.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from wwm.common import files
from wwm.common.result_files import Overlap
from wwm.tasks.splits import load_given, task_of, texts
from wwm.text import cleaning
from wwm.text.overlap import LENGTH, Lookup, documents


def main(task: str) -> None:
    from wwm import params, track

    values = params.read()
    params.one_of("overlap TASK", task, values.overlap.tasks)
    given = values.finetune.tasks[task]
    table, out = task_of(task, given.define), Path(f"results/overlap/{task}.json")
    with track.run("overlap", name=task, params=given.model_dump(), outs=[out]) as run:
        data = load_given(table, given)
        scored = {split: data.splits[split].examples for split in table.splits if split in data.splits}
        every = [texts(example) for examples in scored.values() for example in examples]
        lookup = Lookup([cleaning.clean(text) for own in every for text in own])
        for path in tqdm(files.shards("corpus", "train"), desc=f"overlap {task}", unit=" shards"):
            lookup.look(documents([path]))
        some, whole = (by_split(found.reshape(len(every), -1).any(axis=1), scored) for found in lookup.found())
        hashes = {split: files.hash_of(examples) for split, examples in scored.items()}
        result: Overlap = {"task": task, "n": LENGTH, "hashes": hashes, "some": some, "whole": whole}
        files.write_json(out, result)
        run.log({f"{split}_{name}": own[split] for name, own in (("some", some), ("whole", whole)) for split in own})
        told = ", ".join(f"{split} {some[split]:.1f} / {whole[split]:.1f}" for split in scored)
        print(f"overlap {task}: {LENGTH} characters in a row / a whole text found, in % of the examples: {told}")


def by_split(found: np.ndarray, scored: dict[str, list]) -> dict[str, float]:
    """Percent of the examples of each split. found: (examples of all,) bool."""
    ends = np.cumsum([len(examples) for examples in scored.values()])
    parts = np.split(found, ends[:-1])
    return {split: round(100 * float(part.mean()), 4) for split, part in zip(scored, parts)}


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
