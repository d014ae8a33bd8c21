"""What the stages pretrain and distill do alike: masked examples -> a model, in one or more phases.

A killed run goes on from its newest checkpoint in scratch/, with the same weights as one that was never killed: to the
bit on a CPU, where no kernel adds in an order of its own as some of a GPU do.
"""

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import BertForPreTraining

from wwm.common import code, files, milestones, model_folder, room
from wwm.common.csv_text import csv_text
from wwm.common.errors import UserError, reading
from wwm.text import tokenization
from wwm.training import checkpoint, curve, device, loader, trainer, weight_files
from wwm.training.job import Job, from_labels
from wwm.training.model import Pretraining, save
from wwm.training.state import State

if TYPE_CHECKING:
    from wwm.params.training import Pretrain, PretrainedModel
    from wwm.params.whole import Base

LAUNCHED = "WWM_LAUNCHED"
MOST_PROCESSES = 2**16
MILESTONES = "milestones"  # folder of the models as they were, by step


def run(
    name: str,
    model: "PretrainedModel",
    base: "Base",
    pretrain: "Pretrain",
    losses: Callable[[Job, BertForPreTraining], Pretraining] = from_labels,
    teacher: Path | None = None,
) -> None:
    """Trains models/`name` as an entry of params.yaml, and the sections of all models, say. losses: what is learnt
    from; teacher: the model that this takes, if any.
    """
    from wwm import track
    from wwm.params.fields import Changes
    from wwm.params.training import PretrainedModel

    stage = model.stage
    if pretrain.accelerate and not {LAUNCHED, "WORLD_SIZE"} & set(os.environ):
        launch(stage, name, pretrain.accelerate)
    init, examples, out = Path("models", model.init), Path("data/mask", model.examples), Path("models", name)
    results = [Path(f"results/pretrain/{name}.csv"), Path(f"results/pretrain/{name}.json")]
    settings = {
        "base": base.model_dump(),
        "pretrain": pretrain.own_values(Changes.NOTHING),
        "model": model.model_dump(),
    }
    # A training that was stopped goes on where the rest is different.
    making = settings | {"pretrain": pretrain.own_values(Changes.NOTHING, Changes.MEASURES)}
    plain = making | {"model": model.model_dump(include=set(PretrainedModel.model_fields))}
    # By a module that is a dep of the stage, as wwm/params is not.
    kept = milestones.steps(model.milestones, model.phases)
    processes = device.join()
    with contextlib.ExitStack() as stack:
        if processes.rank:
            # One process speaks, and holds the folder; all read it.
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            scratch = None
        else:
            # A training that ran out of memory goes on with fewer rows, and one whose milestones change goes on, too.
            model_made = model.model_dump(exclude={"milestones": True, "phases": {"__all__": {"micro_batch"}}})
            key = making | {"model": model_made, "code": code.key(stage)}
            inputs = [init, examples, *([teacher] if teacher else [])]
            scratch = stack.enter_context(track.scratch(f"{stage}-{name}", inputs, key))
            forget(scratch, kept)
        scratch = processes.from_first(scratch)
        if processes.count > 1:
            spread = ", each with a part of the weights (FSDP)" if pretrain.fsdp else ""
            print(f"{stage} {name}: {processes.count} processes train together{spread}", flush=True)
        where = device.named(processes.device, processes.count)
        tokenization.load(init)  # which the trained model has a copy of
        made_with = recipe(init, examples)
        told = settings | made_with | {"loss_spike": pretrain.loss_spike, "device": where}
        with track.run(stage, name=name, params=told, outs=[out, *results], scratch=scratch) as run:
            trained = trainer.Trainer(
                Job(
                    stage=stage,
                    name=name,
                    seed=base.seed if model.seed is None else model.seed,
                    threads=base.threads,
                    settings=pretrain,
                    phases=model.phases,
                    init=init,
                    examples=examples,
                    scratch=scratch,
                    log=run,
                    processes=processes,
                    losses=losses,
                    milestones=kept,
                )
            )
            if processes.rank == 0:
                check_room(trained, out)
            trained.train(lambda: keep_milestone(trained, made_with["examples"]))
            if processes.rank == 0:
                checkpoint.prune(scratch, 1)
                phases = [phase.model_dump(exclude={"micro_batch"}) for phase in model.phases]
                told = {
                    "all_else": all_else(making, init, examples, teacher),
                    "recipe": made_with | {"phases": phases},
                }
                if teacher:
                    told |= {
                        "teacher": teacher.name,
                        "teacher_weights": model_folder.weights_hash(teacher),
                        "all_but_teacher": all_else(plain, init, examples),
                    }
                write(trained, out, results, told)
                state = trained.state
                run.log({f"own_{key}": count for key, count in own_cost(state).items()})
                files.write_text(f"results/times/pretrain/{name}.csv", columns(state.rows, ["step", *curve.SPEEDS]))
                run.took(f"pretrain/{name}", where, state.seconds, **last(state.rows, curve.SPEEDS))


def check_room(trained: trainer.Trainer, out: Path) -> None:
    """Raises UserError where the training would run into a full disk. Says what its milestones take of it."""
    scratch, steps = trained.job.scratch, trained.job.milestones
    weights = 4 * sum(parameter.numel() for parameter in trained.model.parameters())
    milestones = weights * len(steps)
    # Of each weight a checkpoint has two moments besides; one is written before an old one goes.
    one, most = 3 * weights, checkpoint.KEPT + 1
    there = sum(path.stat().st_size for path in checkpoint.paths(scratch))
    there += sum(room.size_of(milestone(scratch, step)) for step in steps)
    told = f"{trained.job.title}: {most * one / 1e6:,.0f} MB for checkpoints, {weights / 1e6:,.0f} for {out}"
    if steps:
        told += f" and {milestones / 1e6:,.0f} for {len(steps)} milestones"
        print(told, flush=True)
    room.check(told, made=weights, shared=milestones, alone=one, passing=(most - 1) * one, there=there)


def forget(scratch: Path, steps: Collection[int]) -> None:
    """Checkpoints from after a milestone that is not there go, as where `milestones` has changed since."""
    for path in checkpoint.paths(scratch):
        passed = [step for step in steps if step <= checkpoint.step(path)]
        if lacking := [step for step in passed if not milestone(scratch, step).is_dir()]:
            print(f"{path}: the milestone of step {lacking[0]} was not kept; going on from before it", flush=True)
            path.unlink()


def launch(stage: str, name: str, config: str) -> None:
    """Starts this stage again in the processes that an accelerate config file describes, and ends with their exit
    status.
    """
    if not Path(config).is_file():
        raise UserError(
            f"pretrain.accelerate: {config} does not exist; write it by `accelerate config --config_file {config}`, or"
            " set the key to null"
        )
    from accelerate.commands.config.config_args import load_config_from_file

    # The launcher would start its processes first, and say it in a traceback.
    with reading(config, Exception, remedy=f"write it by `accelerate config --config_file {config}`"):
        count = getattr(load_config_from_file(config), "num_processes", 1)
        if type(count) is not int or not 0 < count <= MOST_PROCESSES:
            raise UserError(f"pretrain.accelerate: {config} has num_processes {count!r}; give a number of processes")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", config, "-m", f"wwm.{stage}", name]
    process = subprocess.Popen(command, env=os.environ | {LAUNCHED: "1"}, preexec_fn=device.end_with_parent)
    stopped = []

    def stop(*_) -> None:
        stopped.append(True)
        process.terminate()

    signal.signal(signal.SIGTERM, stop)
    status = process.wait()
    # The launcher has a status of its own for processes that saved and left.
    sys.exit(os.EX_TEMPFAIL if stopped else status)


def all_else(settings: dict, init: Path, examples: Path, teacher: Path | None = None) -> str:
    """Hash of all that makes a model but its unit of masking: two models that share it differ in that alone."""
    model = {key: value for key, value in settings["model"].items() if key not in ("init", "examples", "milestones")}
    headers = [loader.header(shard) for shard in loader.shards(examples).values()]
    made = [{key: value for key, value in header.items() if key not in ("unit", "set", "params")} for header in headers]
    taught = [model_folder.weights_hash(teacher)] if teacher else []
    return files.hash_of([settings | {"model": model}, model_folder.weights_hash(init), made, *taught])


def recipe(init: Path, examples: Path) -> dict:
    """What else a comparison of models needs: the architecture, and what was masked."""
    config = weight_files.read_config(init, str(init))[1]
    keys = (
        "num_hidden_layers",
        "hidden_size",
        "num_attention_heads",
        "intermediate_size",
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
    )
    return {
        "architecture": {key: config[key] for key in keys},
        "vocab_size": config["vocab_size"],
        "examples": loader.header(next(iter(loader.shards(examples).values()))),
    }


def untrained(trained: trainer.Trainer, header: dict) -> dict[str, list[str]]:
    """What training.json says of heads that are still as they were drawn; {} where the start's folder does not say."""
    if "untrained" not in trained.before:
        return {}
    head_only = all(trainer.HEAD_ONLY[phase.train] for phase in trained.job.phases[: trained.state.phase + 1])
    without_pairs = head_only or not header["next_sentence_prediction"]
    heads = trained.before["untrained"] if without_pairs else []
    done = {model_folder.MLM_HEAD} if trained.losses.trains_mlm_head else set()
    return {"untrained": [head for head in heads if head not in done]}


def write(trained: trainer.Trainer, out: Path, results: list[Path], told: dict) -> None:
    """The model folder and the curve."""
    state, job = trained.state, trained.job
    with files.new_folder(out) as folder:
        write_model(trained, folder, told["recipe"]["examples"])
        for step in job.milestones:
            for file in milestone(job.scratch, step).iterdir():
                files.link(file, milestone(folder, step) / file.name)
    names = [*curve.COLUMNS, *(curve.OF_TEACHER if "teacher" in told else [])]
    files.write_text(results[0], columns(state.rows, names))
    made: dict = {
        "init": job.init.name,
        "init_weights": model_folder.weights_hash(job.init),
        "weights": model_folder.weights_hash(out),
    }
    kept = {str(step): model_folder.weights_hash(milestone(out, step)) for step in job.milestones}
    made |= {"milestones": kept} if kept else {}
    files.write_json(results[1], last(state.rows, names[2:]) | seen(trained) | made | told)


def write_model(trained: trainer.Trainer, folder: Path, header: dict) -> None:
    """Of the model as it is now."""
    save(trained.model, folder)
    model_folder.copy_tokenizer(trained.job.init, folder)
    files.write_json(folder / "training.json", seen(trained) | untrained(trained, header))


def milestone(folder: Path, step: int) -> Path:
    """Where that of a step lies, in scratch as in the folder of the model."""
    return folder / MILESTONES / str(step)


def keep_milestone(trained: trainer.Trainer, header: dict) -> None:
    """Beside the checkpoints, until the training is over."""
    path = milestone(trained.job.scratch, trained.state.total_steps)
    with files.new_folder(path) as folder:
        write_model(trained, folder, header)
        # No checkpoint may outlive a milestone before it.
        for file in folder.iterdir():
            with open(file, "rb") as stream:
                os.fsync(stream.fileno())


def seen(trained: trainer.Trainer) -> dict[str, int | None]:
    """What the model cost by now, the models that it started from included, but for `own_`."""
    own = own_cost(trained.state)
    every = {key: None if trained.before[key] is None else trained.before[key] + count for key, count in own.items()}
    return every | {f"own_{key}": count for key, count in own.items()}


def own_cost(state: State) -> dict[str, int]:
    """By the names of model_folder.COST."""
    return dict(zip(model_folder.COST, (state.total_steps, state.tokens, state.examples, round(state.flops))))


def columns(rows: list[dict], names: list[str]) -> str:
    return csv_text(names, [[row[name] for name in names] for row in rows])


def last(rows: list[dict], names: list[str]) -> dict:
    """The values of the last row that it has."""
    return {name: rows[-1][name] for name in names if rows[-1][name] is not None}
