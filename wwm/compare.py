"""A params.yaml that fine-tunes released models, or a model and its first layers, on a task of one's own and says which
is better, without any text: presets/compare.yaml fitted to what is there; for `wwm compare`.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig
from transformers.utils import logging

from wwm import recipe
from wwm.common import model_folder
from wwm.common.errors import UserError
from wwm.common.result_files import CHARACTERS
from wwm.params import Params, fields, overrides, whole
from wwm.report import margins
from wwm.start import own_tasks, pace, shapes, sizes, tables, tuning_pace
from wwm.training import released


def main(
    models: Sequence[str],
    task: Path,
    layers: int | None,
    seeds: int | None,
    changes: Sequence[str],
    output: Path,
    run: bool,
    to_do: Callable[[], Collection[str]],
) -> None:
    """run: do it, too, and end with the sentence that was asked for. to_do: the stages that params.yaml leaves."""
    logging.disable_progress_bar()
    if run and output != Path("params.yaml"):
        raise UserError(f"--run does what params.yaml says, and --output is {output}; leave one of them out")
    recipe.check(output)
    sources = named(models)
    if len(sources) == 1 and layers is None:
        raise UserError("wwm compare: one model alone; name another, or --layers 3 for the model and its first three")
    given = overrides.given(changes)
    table, name, place = own_tasks.task_of(task, given)
    known = {model: shapes.shape(source, "MODEL") for model, source in sources.items()}
    configs = {model: config for model, (config, _) in known.items()}
    for source in sources.values():
        if Path(source).is_dir():  # what the stage load would refuse is told before anything is written
            released.opened(Path(source), f"MODEL {source}")
    cuts = {f"{model}-{layers}-layers": cut(model, configs[model], layers) for model in sources if layers}
    threads = pace.threads(next(iter(configs.values())), given)
    seeds = seeds or sizes.SEEDS[sizes.place()]
    fitted = keys(sources, cuts, configs, seeds, table, name, task) | {"base.threads": threads}
    text, values = recipe.chosen("compare", changes, fitted)
    checked = own_tasks.check(task, name, values.finetune.tasks[name])
    recipe.write(output, text)
    if place is not None:
        own_tasks.copy(task, place)
    made = done(values, name, to_do) if output == Path("params.yaml") else []
    for line in (*(note for _, note in known.values() if note), *report(values, configs, table, name, checked, made)):
        print(line, flush=True)
    if run:
        repro()


def named(models: Sequence[str]) -> dict[str, str]:
    """A name for each -> its folder or hub name: the last part of that, with the one before it, or a number, where
    another is called so. One of models/ of this checkout gets another name than it has there, where it would be made.
    """
    found: dict[str, str] = {}
    taken = {*whole.TAKEN, *fields.OVERLOOKED}
    places: set[Path] = set()
    for model in models:
        place = Path(model).resolve() if Path(model).is_dir() else Path(model)
        if place in places:
            raise UserError(f"wwm compare: {model} stands twice; name another model, or --layers")
        places.add(place)
        path = place if Path(model).is_dir() else Path(model.partition("@")[0])
        last, both = (re.sub("[^A-Za-z0-9_-]+", "-", part).strip("-_")[-40:] for part in (path.name, path.parent.name))
        last = last or "model"
        if place.parent == Path("models").resolve():
            taken.add(last)
        names = (last, f"{both}-{last}".strip("-_"), *(f"{last}-{number}" for number in range(2, len(models) + 4)))
        found[next(one for one in names if one not in taken)] = model
        taken |= {*found}
    return found


def cut(model: str, config: PretrainedConfig, layers: int) -> dict[str, Any]:
    if layers >= config.num_hidden_layers:
        raise UserError(f"--layers {layers}: {model} has {config.num_hidden_layers}; give fewer")
    return {"source": model, "layers": list(range(layers))}


def keys(
    sources: dict[str, str],
    cuts: dict[str, dict[str, Any]],
    configs: dict[str, PretrainedConfig],
    seeds: int,
    table: tables.Table,
    name: str,
    task: Path,
) -> dict[str, Any]:
    """What differs from the preset."""
    compared = [*sources, *cuts]
    tried = {rate for config in configs.values() for rate in shapes.rates(config)}
    run = own_tasks.run(table, task, [*configs.values()])
    return {
        "load.models": {model: loaded(source) for model, source in sources.items()},
        "truncate.models": cuts,
        "fetch.tasks": {},
        "characters.tasks": {name: {}},
        "finetune.models": {model: {} for model in compared},
        "finetune.tasks": {name: run | {"sweep": sorted(tried)}},
        "finetune.seeds": seeds,
        "finetune.precision": "bf16" if sizes.place() == "cuda" else "fp32",
        "scores.models": [*compared, CHARACTERS],
        "scores.tasks": [name],
        "scores.baseline": compared[0],
    }


def loaded(source: str) -> dict[str, str]:
    """The hash lets DVC see that a folder has other weights than the last time."""
    folder = Path(source)
    return {"source": source} | ({"weights_sha256": model_folder.weights_hash(folder)} if folder.is_dir() else {})


def done(values: Params, name: str, to_do: Callable[[], Collection[str]]) -> list[str]:
    """The models whose fine-tuning earlier runs have done as it is asked for now."""
    try:
        left = {*to_do()}
    except UserError:  # something is missing, which `wwm check` lists, or this is no checkout
        return []
    return [model for model in values.finetune.models if f"finetune@{model}-{name}" not in left]


def report(
    values: Params,
    configs: dict[str, PretrainedConfig],
    table: tables.Table,
    name: str,
    checked: own_tasks.Checked,
    made: Collection[str],
) -> Iterator[str]:
    """What was chosen, and how long it will take. made: models that are fine-tuned already."""
    run, finetune = values.finetune.tasks[name], values.finetune
    yield from own_tasks.told(table, name, checked, run)
    tried = " or ".join(f"{rate:g}" for rate in run.sweep or [])
    rates = f", learning rate {tried}{', the best by dev' if len(run.sweep or []) > 1 else ''}" if tried else ""
    yield f"makes {', '.join(f'models/{model}' for model in finetune.models)}; others in models/ stay"
    yield f"each: {finetune.seeds} seeds, {run.epochs} epochs{rates}"
    seconds = 0.0
    for model in finetune.models:
        if model in made:
            continue
        config = configs[values.truncate.models[model].source if model in values.truncate.models else model]
        config = type(config).from_dict(config.to_dict())
        if model in values.truncate.models:
            config.num_hidden_layers = len(values.truncate.models[model].layers)
        seconds += tuning_pace.seconds(config, table, run, checked.examples, values)
    yield from pace.busy(values.base.threads)
    if finetune.seeds < margins.FEWEST_RUNS:
        yield (
            f"With fewer than {margins.FEWEST_RUNS} seeds nothing can be told of which is better; give --seeds"
            f" {margins.FEWEST_RUNS} or more."
        )
    if made:
        yield f"fine-tuned alike by an earlier run, and not again: {', '.join(made)}"
    if seconds:
        yield f"It will take {pace.told(seconds / 3600)} here (measured)."
    if not made and seconds / 3600 > pace.SOME and finetune.seeds > margins.FEWEST_RUNS:  # else all would run again
        yield f"Shorter, and less sure: --seeds {margins.FEWEST_RUNS}."
    yield "`dvc repro scores` runs it, without any text, and ends with which is better."


def repro() -> None:
    """Runs what params.yaml says, and ends with the sentence that was asked for. Raises UserError where DVC fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run([sys.executable, "-m", "dvc", "repro", "scores"], env=os.environ | {"PATH": path})
    if ended.returncode:
        raise UserError("wwm compare: it did not end well, see above; `dvc repro scores` goes on from there")
    print(f"\n{Path('results/report/answer.txt').read_text(encoding='utf-8')}Report: results/report/index.html")
