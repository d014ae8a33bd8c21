"""The sections of params.yaml that train and measure models: pretrain, cloze."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from wwm.common import milestones
from wwm.common.errors import UserError
from wwm.params.fields import (
    Beta,
    Changes,
    Count,
    Counted,
    Name,
    Pieces,
    Positive,
    Rate,
    Rows,
    Section,
    Seed,
    Text,
    distinct,
)
from wwm.params.masks import MaskedShare


class Phase(Section):
    max_seq_length: Pieces = Field(description="Length of the examples; one of the example set's lengths.")
    steps: Counted = Field(description="Optimizer steps.")
    batch_size: Rows = Field(description="Sequences of one optimizer step.")
    micro_batch: Rows | None = Field(
        description=(
            "Rows of max_seq_length in one forward pass of one process; short sequences share a row, and gradients are"
            " summed until the batch is complete. null for as many as fit into a GPU, or 16,384 positions on a CPU or"
            " TPU core."
        )
    )
    optimizer: Literal["adamw", "lamb", "lamb-ymcui", "muon"] = Field(
        description=(
            "BERT's `adamw`. `lamb` of arXiv 1904.00962: Adam's bias is corrected, and weights are adapted, not biases"
            " and LayerNorm; `lamb-ymcui` (ymcui/LAMB_Optimizer_TF, June 2019): no correction, and every tensor is"
            " adapted. `muon` with a momentum of 0.95 for the matrices of the encoder and of the MLM head's transform,"
            " beside AdamW for the rest (arXiv 2502.16982); not with `fsdp`, not on a TPU."
        )
    )
    learning_rate: Rate = Field(
        description=(
            "The reference's schedule: warm-up from 0, then the line that falls from this rate at step 0 to 0 at the"
            " last (0.9 of it after a warm-up of 10 %)."
        )
    )
    muon_learning_rate: Rate | None = Field(
        default=None,
        description=(
            "With `optimizer: muon`, of the matrices that it moves: at the same rate its updates are as large as"
            " AdamW's, and it bears one two to three times as high. null for learning_rate."
        ),
    )
    warmup_steps: Count = Field(description="Steps of linear warm-up, of this phase's own.")
    masked_lm_prob: Annotated[list[MaskedShare], Field(min_length=2, max_length=2)] | None = Field(
        default=None,
        description=(
            "`[from, to]`: the share of masked pieces, in a line from the first step to the last, of a set with dynamic"
            " masks. null for the set's own."
        ),
    )
    train: Literal["all", "mlm_head"] | None = Field(
        default=None,
        description=(
            "`mlm_head`: the encoder stays as it is, to warm up a head that the released weights lack. null for `all`."
        ),
    )

    @model_validator(mode="after")
    def warmup_fits(self) -> Self:
        if self.warmup_steps > self.steps:
            raise UserError(
                f"warmup_steps {self.warmup_steps} is more than steps {self.steps}; 10 % would be {self.steps // 10}"
            )
        return self

    @model_validator(mode="after")
    def muon_has_its_rate(self) -> Self:
        if self.muon_learning_rate and self.optimizer != "muon":
            raise UserError(
                f"muon_learning_rate {self.muon_learning_rate:g} has no use with optimizer {self.optimizer}; set it to"
                " null, or take muon"
            )
        return self


class PretrainedModel(Section):
    stage: ClassVar[str] = "pretrain"  # that trains it

    init: Name = Field(
        description=(
            "The model it starts from: one of init, pretrain, distill, milestones or truncate, with the vocabulary of"
            " `vocab`."
        )
    )
    examples: Name = Field(description="The example set of `mask.sets` that it trains on.")
    phases: list[Phase] = Field(
        min_length=1, description="One after the other, each with an optimizer and warm-up of its own."
    )
    seed: Seed | None = Field(
        default=None,
        description=(
            "Of the order of examples, dynamic masks and dropout, in place of `base.seed`: for experiments that are"
            " repeated. Default null."
        ),
    )
    milestones: Counted | None = Field(
        default=None,
        description=(
            "Every how many steps, counted over all phases as in the curve, the model is kept as it then is: a whole"
            " folder models/NAME/milestones/STEP, for the section `milestones`. null for never."
        ),
    )

    @model_validator(mode="after")
    def milestones_come_before_the_end(self) -> Self:
        if self.milestones and not self.milestone_steps:
            raise UserError(
                f"milestones {self.milestones} is no less than the {self.steps} steps of the phases, so there would be"
                " none; lower it, or set it to null"
            )
        return self

    @property
    def steps(self) -> int:
        """Of all phases."""
        return sum(phase.steps for phase in self.phases)

    @property
    def milestone_steps(self) -> range:
        """After which it is kept as it then is."""
        return milestones.steps(self.milestones, self.phases)


class Pretrain(Section):
    """Masked examples -> models."""

    weight_decay: Annotated[float, Field(ge=0, le=1000)] = Field(
        description="Decoupled; none on biases and LayerNorm. 0.01 in the reference."
    )
    adam_betas: Annotated[list[Beta], Field(min_length=2, max_length=2)] = Field(
        description="0.9, 0.999 in the reference."
    )
    adam_epsilon: Annotated[float, Field(gt=0)] = Field(description="1e-6 in the reference.")
    correct_bias: bool = Field(description="Adam's bias correction; the reference has none.")
    max_grad_norm: Annotated[float, Field(gt=0)] = Field(
        description="Gradients are clipped to this norm; 1.0 in the reference."
    )
    precision: Literal["fp32", "bf16"] = Field(
        description="`bf16`: matrix products in bfloat16, weights and sums in 32 bits."
    )
    gradient_checkpointing: bool = Field(
        description="Activations are computed again in the backward pass: less memory, a third more work."
    )
    compile: bool = Field(
        description=(
            "Each layer goes through torch.compile: on a GPU faster steps for half a minute at the start; on a CPU"
            " measure first. Needs a C++ compiler. A TPU compiles by itself."
        )
    )
    loss_spike: Annotated[Annotated[float, Field(gt=1)] | None, Changes.NOTHING] = Field(
        description=(
            "A step whose loss is this many times the mean of the 100 before it stops the training and names the worst"
            " example; null for never."
        )
    )
    accelerate: Annotated[Text | None, Changes.NOTHING] = Field(
        description=(
            "An accelerate config file (`accelerate config --config_file FILE`) for several processes or machines; null"
            " for one process."
        )
    )
    fsdp: Annotated[bool, Changes.NOTHING] = Field(
        description=(
            "Several processes each keep a part of the weights and of the optimizer (FSDP) instead of all (DDP); needs"
            " a number as `micro_batch`, and not with `compile`."
        )
    )
    log_every: Annotated[Counted, Changes.MEASURES] = Field(description="Steps between two points of the loss curve.")
    evaluate_every: Annotated[Counted, Changes.MEASURES] = Field(description="Steps between two held-out measurements.")
    heldout_examples: Annotated[Positive, Changes.MEASURES] = Field(description="Held-out examples to measure on.")
    checkpoint_every: Annotated[Counted, Changes.NOTHING] = Field(
        description="Steps between two checkpoints: what a kill can cost at most."
    )
    models: dict[Name, PretrainedModel] = Field(description="Models to train, by name.")

    @model_validator(mode="after")
    def settings_go_together(self) -> Self:
        if self.fsdp and self.compile:
            raise UserError("fsdp and compile do not go together here; set one of them to false")
        for name, model in self.models.items():
            if self.fsdp and any(phase.optimizer == "muon" for phase in model.phases):
                raise UserError(
                    f"models.{name}: optimizer muon needs whole matrices, and fsdp true keeps parts; set fsdp to false,"
                    " or take adamw or lamb"
                )
        if self.evaluate_every % self.log_every:
            nearest = max(1, round(self.evaluate_every / self.log_every)) * self.log_every
            raise UserError(
                f"evaluate_every {self.evaluate_every} is not divisible by log_every {self.log_every}; nearest is"
                f" {nearest}"
            )
        return self


class Cloze(Section):
    """Masked words of held-out text, to be filled in."""

    models: Annotated[list[Name], AfterValidator(distinct), Changes.NOTHING] = Field(description="Models to measure.")
    sentences: Counted = Field(description="Held-out sentences; one word of each is asked for.")
    max_seq_length: Pieces = Field(description="Longer sentences are left out.")
