"""What counting characters makes of a task: naive Bayes over their n-grams, a row beside the models.

Reads   data/tasks/TASK/
Writes  results/finetune/TASK/characters.json and characters.parquet, in the form of finetune's
By hand python -m wwm.characters TASK

It learns from the same examples as the models; nothing is drawn, so that it runs once and its seed is null.
"""

from pathlib import Path

from wwm.common import files
from wwm.common.result_files import CHARACTERS, Finetuned
from wwm.tasks import figures
from wwm.tasks.conditions import conditions
from wwm.tasks.counting import counted
from wwm.tasks.metrics import METRICS
from wwm.tasks.splits import load_given, task_of


def main(task: str) -> None:
    from wwm import params, track

    values = params.read()
    params.one_of("characters TASK", task, values.characters.tasks)
    given = values.finetune.tasks[task]
    table = task_of(task, given.define)
    out = Path(f"results/finetune/{task}/{CHARACTERS}.json")
    outs = [out, out.with_suffix(".parquet")]
    with track.run("characters", name=task, params=given.model_dump(), outs=outs) as run:
        data = load_given(table, given)
        metric = METRICS[table.metric]
        examples = {split: part.examples for split, part in data.splits.items()}
        found = counted(examples, data.labels, metric, f"characters {task}")
        scored = {split: examples[split] for split in table.splits if split in examples}
        said = {f"{split}.json": found.said[split] for split in scored}
        scores = {}
        for split, own in scored.items():
            score = metric.score(*figures.compared(own, data.labels, found.said[split]))
            scores[split] = {name: round(value, 4) for name, value in score.items()}
        figures.write(outs[1], metric, scored, data.labels, [(None, said)])
        result: Finetuned = {
            "model": CHARACTERS,
            "task": task,
            **conditions(table, data),
            "recipe": {},
            "unreachable": {},
            "kept": "none",
            "how": {"longest": found.longest, "smoothing": found.smoothing},
            "swept": {f"{longest} {smoothing:g}": score for (longest, smoothing), score in found.tried.items()},
            "seeds": [{"seed": None, "scores": scores}],
            "training": {},
        }
        files.write_json(out, result)
        flat = {f"{split}_{name}": value for split, own in scores.items() for name, value in own.items()}
        run.log(flat)
        told = ", ".join(f"{name} {value:.1f}" for name, value in flat.items())
        print(f"characters {task}: n-grams of up to {found.longest}, smoothing {found.smoothing:g}: {told}")


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
