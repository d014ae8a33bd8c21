"""What a student learns of its teacher beside the text: its logits at masked positions, its hidden states layer by
layer.

Terms and their names are TextBrewer's (arXiv 2002.12620): kd_loss_weight * KD + hard_label_weight * (MLM + NSP) + the
matches. Logits are divided by the temperature on both sides, and nothing is multiplied by its square.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from transformers import BertConfig, BertForPreTraining

from wwm.common import files, model_folder
from wwm.common.errors import UserError
from wwm.common.sizes import Size, check_taught
from wwm.training import model
from wwm.training.job import Job
from wwm.training.model import Losses, Pretraining

# Logits of student and teacher (M, vocabulary), divided by the temperature -> () sum over masked positions.
KD_LOSSES = {
    "ce": lambda student, teacher: F.cross_entropy(student, teacher.softmax(-1), reduction="sum"),
    "mse": lambda student, teacher: F.mse_loss(student, teacher, reduction="sum") / student.shape[-1],
}
# Hidden states (R, L, width) of both -> (R, L).
MATCH_LOSSES = {
    "hidden_mse": lambda student, teacher: F.mse_loss(student, teacher, reduction="none").mean(-1),
    "cos": lambda student, teacher: 1 - F.cosine_similarity(student, teacher, dim=-1),
}
PROJECTIONS = {"linear": torch.nn.Linear}


class Match(Protocol):
    layer_T: int  # 0: embeddings
    layer_S: int
    feature: str
    loss: str
    weight: float
    proj: Sequence[str | int] | None


class Distillation(Protocol):
    """Of one model: its entry in the section `distill`."""

    temperature: float
    kd_loss_type: str
    kd_loss_weight: float
    hard_label_weight: float
    intermediate_matches: Sequence[Match]


class Distilled(Pretraining):
    """A student with its losses. Its projections are trained and checkpointed with it, and are no part of `bert`.

    teacher: it loses the layers that nothing is learnt from. seed: of the projections' first weights.
    """

    def __init__(self, bert: BertForPreTraining, teacher: BertForPreTraining, settings: Distillation, seed: int):
        super().__init__(bert)
        self.settings, matches = settings, settings.intermediate_matches
        self.trains_mlm_head = bool(settings.kd_loss_weight or settings.hard_label_weight)
        # In a tuple, since a module would be trained, saved, and copied to other processes.
        self.teacher = (Pretraining(teacher.eval().requires_grad_(False)),)
        encoder = teacher.bert.encoder
        encoder.layer = encoder.layer[: layers_asked(teacher.config, settings)]
        draw = torch.Generator().manual_seed(seed)
        self.projections = torch.nn.ModuleList(projection(match, draw) for match in matches).to(bert.device)
        self.matched = {
            output_of(one, layer) for m in matches for one, layer in ((bert, m.layer_S), (teacher, m.layer_T))
        }
        for module in self.matched:
            module.register_forward_hook(keep)

    def forward(self, batch: dict[str, torch.Tensor]) -> Losses:
        """As Pretraining; the teacher is asked while training alone."""
        try:
            return self.learnt(batch)
        finally:
            # Also where the pass ran out of memory, whose graph would stay with what is kept of it.
            for module in self.matched:
                module.__dict__.pop("kept", None)

    def learnt(self, batch: dict[str, torch.Tensor]) -> Losses:
        settings, (teacher,) = self.settings, self.teacher
        learns = self.training
        if learns:
            # First, when nothing of the student is held yet.
            with torch.no_grad():
                seen = teacher.hidden_states(batch)
                wanted = teacher.masked_logits(seen, batch) if settings.kd_loss_weight else None
        hidden = self.hidden_states(batch)
        logits = self.masked_logits(hidden, batch)
        losses = self.label_losses(hidden, logits, batch)
        if not learns:
            return losses
        if wanted is not None:
            heat = settings.temperature
            losses = losses._replace(kd=KD_LOSSES[settings.kd_loss_type](logits / heat, wanted / heat))
        for match, project in zip(settings.intermediate_matches, self.projections):
            state = project(output_of(self.bert, match.layer_S).kept).float()
            other = output_of(teacher.bert, match.layer_T).kept.float()
            each = MATCH_LOSSES[match.loss](state, other)
            if "example" in batch:
                each = each * (batch["example"] > 0)
            losses = losses._replace(matches=losses.matches + match.weight * each.sum())
        return losses

    def loss(self, sums: Losses, counts: Mapping[str, float]) -> torch.Tensor:
        settings = self.settings
        of_teacher = settings.kd_loss_weight * sums.kd / max(1, counts["masked"]) + sums.matches / counts["tokens"]
        return of_teacher + settings.hard_label_weight * super().loss(sums, counts)

    def flops(
        self, tokens: float, squares: float, masked: float, optimizer_flops: float = 0.0, head_only: bool = False
    ) -> float:
        own = super().flops(tokens, squares, masked, optimizer_flops, head_only)
        return own + teacher_flops(self.teacher[0].bert.config, self.settings, tokens, squares, masked)


def layers_asked(teacher: BertConfig, settings: Distillation) -> int:
    """How many of its layers run: all of them for its logits, else those up to the highest that is matched."""
    if settings.kd_loss_weight:
        return teacher.num_hidden_layers
    return max(match.layer_T for match in settings.intermediate_matches)


def teacher_flops(teacher: BertConfig, settings: Distillation, tokens: float, squares: float, masked: float) -> float:
    """Floating point operations of what a teacher says of so much, counted as `model.training_flops` does."""
    layers, *head = model.forward_flops(teacher, tokens, squares, masked)
    asked = layers * layers_asked(teacher, settings) / teacher.num_hidden_layers
    return asked + sum(head) if settings.kd_loss_weight else asked


def projection(match: Match, draw: torch.Generator) -> torch.nn.Module:
    """From the student's width to the teacher's, so that both can be compared."""
    if match.proj is None:
        return torch.nn.Identity()
    kind, own, wanted = match.proj
    made = PROJECTIONS[str(kind)](int(own), int(wanted))
    with torch.no_grad():
        made.weight.normal_(0, int(own) ** -0.5, generator=draw)
        made.bias.zero_()
    return made


def output_of(bert: BertForPreTraining, layer: int) -> torch.nn.Module:
    return bert.bert.encoder.layer[layer - 1] if layer else bert.bert.embeddings


def keep(module: torch.nn.Module, _: object, output: torch.Tensor) -> None:
    """A forward hook: transformers' own ones break torch.compile's graphs."""
    module.kept = output


def student(teacher: Path, settings: Distillation, job: Job, bert: BertForPreTraining) -> Distilled:
    """`bert` as the student of the model in the folder `teacher`. Raises UserError where it cannot learn from that."""
    if job.processes.device.type == "xla":
        raise UserError(f"{job.key}: a teacher does not run on XLA; train on a CPU or GPU")
    if files.content_hash(teacher / "vocab.txt") != files.content_hash(job.init / "vocab.txt"):
        raise UserError(
            f"{job.key}.teacher: {teacher} has another vocabulary than {job.init}; take a teacher with the student's"
        )
    if settings.kd_loss_weight and model_folder.MLM_HEAD in model_folder.training_history(teacher).get("untrained", []):
        raise UserError(
            f"{job.key}.teacher: the MLM head of {teacher} was never trained, so its logits say nothing; train it first"
            " (a phase with train: mlm_head), or set kd_loss_weight to 0 and match hidden states"
        )
    loaded = model.load(teacher, job.processes.device, job.settings.precision)
    check_taught(
        job.key,
        max(phase.max_seq_length for phase in job.phases),
        settings.intermediate_matches,
        size(job.init, bert.config),
        size(teacher, loaded.config),
    )
    seed = int(np.random.SeedSequence(job.seed).generate_state(1)[0])
    print(f"{job.title}: taught by {teacher}", flush=True)
    return Distilled(bert, loaded, settings, seed)


def size(folder: Path, config: BertConfig) -> Size:
    return Size(str(folder), config.max_position_embeddings, config.num_hidden_layers, config.hidden_size)
