"""The data of a task, fetched from the hub.

Reads   the data set that wwm/tasks/table.py names, or another one or a folder in its layout
Writes  data/tasks/TASK/: its files, named by split
By hand python -m wwm.fetch TASK

Files that somebody has already need no stage: they are put into data/tasks/TASK/.
"""

import shutil
from pathlib import Path

from wwm.common import files, hub
from wwm.common.errors import UserError
from wwm.tasks.table import named_task


def main(task: str) -> None:
    from wwm import params, track

    fetch = params.read().fetch
    source, table = fetch.tasks[params.one_of("fetch TASK", task, fetch.tasks)], named_task(task)
    if table.hub is None:
        raise UserError(
            f"fetch.tasks.{task}: {table.title} is not to be had from the hub; ask for it at {table.source} (licence:"
            f" {table.licence}), and put its files into data/tasks/{task}"
        )
    out = Path("data/tasks", task)
    name = table.hub.name if source == "hub" else source
    choices = hub.CHOICES["fetch"]
    folder = hub.folder(name, f"fetch.tasks.{task}", list(table.hub.files.values()), choices, repo_type="dataset")
    with track.run("fetch", name=task, params={"dataset": name} | hub.origin(folder), outs=[out]):
        found = {split: sorted(folder.glob(pattern)) for split, pattern in table.hub.files.items()}
        for split, parts in found.items():
            if not parts:
                raise UserError(
                    f"fetch.tasks.{task}: {name} has no {table.hub.files[split]}, where {split} is expected; use"
                    f" {choices}"
                )
        made = {
            f"{split}-{n:05d}-of-{len(parts):05d}{part.suffix}": part
            for split, parts in found.items()
            for n, part in enumerate(parts)
        }
        # What else lies in the folder is the user's own, such as a test file that the hub does not have.
        for old in out.glob("*-[0-9]*-of-[0-9]*.*"):
            if old.name not in made:
                old.unlink()
        for file, part in made.items():
            with files.new_file(out / file) as written:
                shutil.copyfile(part, written)
        print(f"fetch {task}: {', '.join(made)} from {name} (licence: {table.licence})")


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
