"""The sections of params.yaml that make models without training them: init, load, milestones, truncate."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from wwm.common.errors import UserError
from wwm.params.fields import Count, Counted, Name, Section, Seed, Share, Text

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


class Milestone(Section):
    source: Name = Field(description="A model of `pretrain.models` or `distill.models` that keeps `milestones`.")
    step: Counted = Field(description="Which of them: a multiple of their number, below the model's last step.")


class Milestones(Section):
    """Models as they were at steps of their training, each a model like any other."""

    models: dict[Name, Milestone] = Field(default={}, description="Milestones to use, by name.")


class TruncatedModel(Section):
    source: Name = Field(description="The model that is cut.")
    layers: list[Count] = Field(
        min_length=1, description="Which of its layers are kept, from 0; the authors' RBT3 keeps the first three."
    )


class Truncate(Section):
    """A few chosen layers of a bigger model."""

    models: dict[Name, TruncatedModel] = Field(default={}, description="Cut models, by name.")
