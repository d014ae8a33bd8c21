"""The models to use: the best one on each task."""

from typing import NamedTuple

from wwm.report.results import Results, Task, mean


class Champion(NamedTuple):
    what: str
    model: str
    command: str  # that uses it

    def __str__(self) -> str:
        return f"{self.what}: {self.model}. To use it:\n  {self.command}"


def champions(results: Results) -> list[Champion]:
    """By the mean over seeds on dev, so that test scores choose nothing, of models that are kept. The first of
    equals.
    """
    found = [champion for task in results.tasks if (champion := of_task(task))]
    return found


def of_task(task: Task) -> Champion | None:
    means = {
        model: mean(values)
        for model, row in task.rows.items()
        if row["kept"] != "none" and (values := task.values(model, "dev", task.main))
    }
    if not means:
        return None
    best = max(means, key=lambda model: means[model])
    what = f"Best on {task.title}, {task.measures[task.main]} {means[best]:.1f} % on dev (mean over seeds)"
    file = task.rows[best]["files"][task.last]
    return Champion(
        what, best, f"wwm predict models/finetuned/{task.name}/{best} data/tasks/{task.name}/{file} --output said.csv"
    )
