"""What a recipe costs before anything is bought: steps, tokens, FLOPs, hours, disk; for `wwm plan`.

Upper bounds: all rows full, all steps taken. Nothing is downloaded but the config.json of models to be loaded.
"""

import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from transformers import BertConfig, BertForPreTraining

from wwm.masks import use
from wwm.params import Params
from wwm.params.distill import DistilledModel
from wwm.params.training import Phase
from wwm.report.tables import amount, flops
from wwm.start.shapes import shape
from wwm.training import checkpoint, device, optim
from wwm.training.distillation import teacher_flops
from wwm.training.model import training_flops

# bfloat16, floating point operations a second; four chips of 123e12 (cloud.google.com/tpu/docs/v3).
PEAKS = {"h100": device.PEAK_FLOPS["H100"], "a100": device.PEAK_FLOPS["A100"], "v3-8": 492e12}
FLOAT = 4  # bytes
COPIES = 3 * (checkpoint.KEPT + 1)  # of the weights: two moments with each; one more while it is written
GB = 1e9


class Cost(NamedTuple):
    steps: int
    tokens: int
    flops: float


def lines(values: Params, place: str, share: float, characters: float | None) -> Iterator[str]:
    """A report. place: of PEAKS, or cpu; share: of its peak that training reaches; characters: of the training text,
    None where nobody knows.
    """
    config, notes = shapes(values)
    size = {name: skeleton(own).num_parameters() for name, own in config.items()}
    peak = measured_peak(values.base.threads) if place == "cpu" else PEAKS[place]
    of = f"this CPU with base.threads {values.base.threads}" if place == "cpu" else f"one {place}"
    yield f"{'model':<24}{'parameters':>12}{'steps':>12}{'tokens':>12}{'FLOPs':>10}{'hours':>12}"
    total = 0.0
    for name, model in values.trained.items():
        examples = values.mask.sets[model.examples]
        prob = examples.masked_lm_prob or values.mask.masked_lm_prob
        costs = [phase_cost(config[name], phase, prob) for phase in model.phases]
        if student := values.distill.models.get(name):
            costs += [teacher_cost(config[student.teacher], student, phase, prob) for phase in model.phases]
        steps, tokens, work = (sum(column) for column in zip(*costs))
        hours = work / (share * peak) / 3600
        total += hours
        yield (
            f"{name:<24}{amount(size[name]):>12}{steps:>12,}{amount(tokens):>12}{flops(round(work)):>10}{hours:>12,.1f}"
        )
    yield f"{'all, one after the other':<70}{total:>12,.1f}"
    measured = "measured in 32 bits" if place == "cpu" else "by the data sheet, in bfloat16"
    yield f"Hours: on {of}, at {share:.0%} of {peak / 1e12:,.3g} TFLOP/s ({measured}), all rows full."
    yield "Fine-tuning, which hangs on the tasks' sizes, and segmentation, which is the CPU's, are not in it."
    yield ""
    yield from disk(values, size, characters)
    yield from notes


def phase_cost(config: BertConfig, phase: Phase, masked_lm_prob: float) -> Cost:
    tokens, squares, masked = positions(phase, masked_lm_prob)
    multiplied = optim.orthogonalization_flops(hidden_matrices(config)) if phase.optimizer == "muon" else 0
    work = training_flops(
        config,
        tokens,
        squares,
        masked,
        phase.steps * multiplied,
        phase.train == "mlm_head",
    )
    return Cost(phase.steps, tokens, work)


def teacher_cost(config: BertConfig, student: DistilledModel, phase: Phase, masked_lm_prob: float) -> Cost:
    """Beside that of the student, whose steps and tokens these are."""
    return Cost(0, 0, teacher_flops(config, student, *positions(phase, masked_lm_prob)))


def positions(phase: Phase, masked_lm_prob: float) -> tuple[int, int, float]:
    """Tokens, the sum of squared lengths and masked positions of full rows."""
    if phase.masked_lm_prob:
        masked_lm_prob = sum(phase.masked_lm_prob) / 2  # a line from the one to the other
    tokens = phase.steps * phase.batch_size * phase.max_seq_length
    return tokens, tokens * phase.max_seq_length, tokens * masked_lm_prob


def disk(values: Params, parameters: dict[str, int], characters: float | None) -> Iterator[str]:
    """parameters: of each model."""
    yield f"{'disk':<52}{'GB':>10}"
    total = 0.0
    for name, examples in values.mask.sets.items():
        how = {"masking": examples.masking, "masked_lm_prob": examples.masked_lm_prob or values.mask.masked_lm_prob}
        each = sum(use.bytes_per_piece(how | length.model_dump()) for length in examples.lengths)
        size = each * (characters or 1e9)
        told = "" if characters else ", for each billion characters"
        total += size if characters else 0.0
        yield f"{f'data/mask/{name}{told}':<52}{size / GB:>10,.1f}"
    milestones = {name: len(model.milestone_steps) for name, model in values.trained.items()}
    models = sum(count * (1 + milestones.get(name, 0)) for name, count in parameters.items())
    kept = {None: 1, "best": 1, "all": values.finetune.seeds, "none": 0}
    tuned = sum(
        parameters[name] * kept[options.keep] * len(values.finetune.tasks)
        for name, options in values.finetune.models.items()
    )
    for name, count in (
        ("models", models),
        ("models/finetuned", tuned),
        ("checkpoints of the largest, while it trains", COPIES * max(parameters.values())),
    ):
        total += count * FLOAT
        yield f"{name:<52}{count * FLOAT / GB:>10,.1f}"
    if characters:
        yield f"{'in all, and most of it again in the cache of DVC':<52}{total / GB:>10,.1f}"
        yield f"Text: {amount(round(characters))} characters, a piece each."


def shapes(values: Params) -> tuple[dict[str, BertConfig], list[str]]:
    """Every model's config by name; and a line for each that could only be guessed."""
    found = {
        name: BertConfig(vocab_size=values.vocab.vocab_size, **model.architecture.model_dump())
        for name, model in values.init.models.items()
        if model.architecture
    }
    released = {("init", name): model.source for name, model in values.init.models.items() if name not in found}
    released |= {("load", name): model.source for name, model in values.load.models.items()}
    notes = []
    for (stage, name), source in released.items():
        found[name], note = shape(source, f"{stage}.models.{name}.source")
        notes += [note] if note else []
    waiting = {name: (model.init, None) for name, model in values.trained.items()}
    waiting |= {name: (model.source, None) for name, model in values.milestones.models.items()}
    waiting |= {name: (model.source, len(model.layers)) for name, model in values.truncate.models.items()}
    while waiting:
        # check_names lets no ring through.
        name = next(name for name, (start, _) in waiting.items() if start in found)
        start, layers = waiting.pop(name)
        found[name] = type(found[start]).from_dict(found[start].to_dict())
        found[name].num_hidden_layers = layers or found[start].num_hidden_layers
    return found, notes


def skeleton(config: BertConfig) -> BertForPreTraining:
    """Without weights."""
    with torch.device("meta"):
        return BertForPreTraining(config)


def hidden_matrices(config: BertConfig) -> list[torch.Size]:
    groups = optim.parameter_groups(skeleton(config), 0.0)
    return [p.shape for group in groups if group["orthogonal"] for p in group["params"]]


def measured_peak(threads: int, side: int = 1536, seconds: float = 1.0) -> float:
    """Floating point operations a second of a product of large matrices, in 32 bits, on this CPU."""
    device.set_up_cpu(threads)
    a, b = torch.rand(side, side), torch.rand(side, side)
    count, best, begun = 0, float("inf"), time.perf_counter()
    while count < 3 or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
        count += 1
    return 2 * side**3 / best
