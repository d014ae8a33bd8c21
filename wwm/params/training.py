"""The sections of params.yaml that make and measure models: init, load, pretrain, truncate, cloze."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

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
    Share,
    Text,
    distinct,
)
from wwm.params.masks import Mask, MaskedShare

Width = Annotated[int, Field(ge=1, le=2**17)]


class Architecture(Section):
    """Keys of transformers' BertConfig, by its names."""

    num_hidden_layers: Annotated[int, Field(ge=1, le=1000)] = Field(description="12 in base, 24 in large.")
    hidden_size: Width = Field(description="768 in base, 1024 in large.")
    num_attention_heads: Width = Field(description="They divide `hidden_size`; 12 in base, 16 in large.")
    intermediate_size: Width = Field(description="4 x `hidden_size` in the released models.")
    max_position_embeddings: Width = Field(description="Longest input; 512 in the released models.")
    hidden_dropout_prob: Share = Field(description="0.1 in the reference.")
    attention_probs_dropout_prob: Share = Field(description="0.1 in the reference.")
    initializer_range: Annotated[float, Field(gt=0, le=1)] = Field(
        description="Standard deviation of the first weights; 0.02 in the reference."
    )

    @model_validator(mode="after")
    def heads_divide(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            heads = min(
                (n for n in range(1, self.hidden_size + 1) if self.hidden_size % n == 0),
                key=lambda n: abs(n - self.num_attention_heads),
            )
            raise UserError(
                f"hidden_size {self.hidden_size} is not divisible by num_attention_heads {self.num_attention_heads};"
                f" nearest is {heads}"
            )
        return self


class InitialModel(Section):
    source: Text = Field(
        description=(
            "`random`, a model folder, or a hub name such as `google-bert/bert-base-chinese`, with `@` and a commit if"
            " it is to stay the same. A folder is copied when the stage runs."
        )
    )
    architecture: Architecture | None = Field(description="Of a `random` model; null for a model that is loaded.")
    seed: Seed | None = Field(
        default=None,
        description=(
            "Of the weights that are drawn, in place of `base.seed`: for experiments that are repeated. Default null."
        ),
    )
    own_vocabulary: bool = Field(
        default=False,
        description=(
            "As in `load`, which needs no vocabulary here: the model keeps its own, to be fine-tuned and compared only."
            " Default false."
        ),
    )

    @model_validator(mode="after")
    def architecture_goes_with_random(self) -> Self:
        if (self.source == "random") != (self.architecture is not None):
            raise UserError("architecture is given for source `random` and null for any other; set one of the two")
        if self.source == "random" and self.own_vocabulary:
            raise UserError("own_vocabulary is for a model that is loaded; remove it")
        return self


class Init(Section):
    """Where models begin."""

    models: dict[Name, InitialModel] = Field(description="Starting points, by name.")


class LoadedModel(Section):
    source: Text = Field(
        description=(
            "A model folder, or a hub name such as `hfl/rbt3`, with `@` and a commit if it is to stay the same. A"
            " folder is copied when the stage runs."
        )
    )
    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = Field(
        default=None,
        description=(
            "Of the files of weights in that folder, which `wwm compare` writes: other weights are then seen, and not"
            " taken for these. Default null."
        ),
    )


class Load(Section):
    """Models that keep their own vocabulary and architecture, whatever it is (AutoModel): to be cut, fine-tuned and
    compared, without any text.
    """

    models: dict[Name, LoadedModel] = Field(default={}, description="Models, by name. Default none.")


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
    init: Name = Field(
        description="The model it starts from: one of init, pretrain or truncate, with the vocabulary of `vocab`."
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


class TruncatedModel(Section):
    source: Name = Field(description="The model that is cut.")
    layers: list[Count] = Field(
        min_length=1, description="Which of its layers are kept, from 0; the authors' RBT3 keeps the first three."
    )


class Truncate(Section):
    """A few chosen layers of a bigger model."""

    models: dict[Name, TruncatedModel] = Field(default={}, description="Cut models, by name.")


class Cloze(Section):
    """Masked words of held-out text, to be filled in."""

    models: Annotated[list[Name], AfterValidator(distinct), Changes.NOTHING] = Field(description="Models to measure.")
    sentences: Counted = Field(description="Held-out sentences; one word of each is asked for.")
    max_seq_length: Pieces = Field(description="Longer sentences are left out.")


class ModelStages(Section):
    mask: Mask
    init: Init
    load: Load = Load()
    pretrain: Pretrain
    truncate: Truncate = Truncate()
    cloze: Cloze
