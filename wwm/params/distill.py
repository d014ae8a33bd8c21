"""The section of params.yaml for models that learn of a teacher: distill."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from wwm.common.errors import UserError
from wwm.params.fields import Count, Name, Section
from wwm.params.training import PretrainedModel


def projection(value: list[str | int]) -> list[str | int]:
    """Raises UserError for what is no kind with two widths."""
    match value:
        case ["linear", int(), int()]:
            return value
    raise UserError(f"proj {value} is not [linear, width of the student, width of the teacher]; write it so")


class IntermediateMatch(Section):
    """As in TextBrewer's configuration."""

    layer_T: Count = Field(description="Layer of the teacher: 0 is its embeddings, 12 the last one of base.")
    layer_S: Count = Field(description="Layer of the student, counted alike.")
    feature: Literal["hidden"] = Field(description="`hidden`: the hidden states after that layer.")
    loss: Literal["hidden_mse", "cos"] = Field(
        description=(
            "`hidden_mse`: the mean of the squared differences; `cos`: 1 - their cosine, which takes no notice of their"
            " length."
        )
    )
    weight: Annotated[float, Field(gt=0, le=1e6)] = Field(description="Of this loss, a mean over all positions.")
    proj: Annotated[list[str | int], AfterValidator(projection)] | None = Field(
        default=None,
        description=(
            "`[linear, width of the student, width of the teacher]` where these differ: a linear map, trained beside"
            " the student and no part of it. null where they do not."
        ),
    )


class DistilledModel(PretrainedModel):
    stage: ClassVar[str] = "distill"

    teacher: Name = Field(
        description="The model it learns from, of those that `init` may name, with an MLM head and the same vocabulary."
    )
    temperature: Annotated[float, Field(gt=0, le=1000)] = Field(
        description="Logits of both are divided by it before they are compared; 8 for MiniRBT."
    )
    kd_loss_type: Literal["ce", "mse"] = Field(
        description=(
            "How logits at masked positions are compared: `ce`, the cross-entropy of the student's distribution to the"
            " teacher's; `mse`, the mean of the squared differences."
        )
    )
    kd_loss_weight: Annotated[float, Field(ge=0, le=1e6)] = Field(description="Of that loss; 1 for MiniRBT.")
    hard_label_weight: Annotated[float, Field(ge=0, le=1e6)] = Field(
        description="Of the losses by the text itself, which pretrain has alone; 0 for MiniRBT."
    )
    intermediate_matches: list[IntermediateMatch] = Field(
        default=[], description="Which hidden states of the student are to be those of the teacher."
    )

    @model_validator(mode="after")
    def learns_of_its_teacher(self) -> Self:
        if not self.kd_loss_weight and not self.intermediate_matches:
            raise UserError(
                f"kd_loss_weight 0 without intermediate_matches learns nothing of {self.teacher}; set one of them, or"
                " move the model to pretrain.models"
            )
        return self

    @model_validator(mode="after")
    def a_head_alone_has_something_to_learn_from(self) -> Self:
        if not self.kd_loss_weight and not self.hard_label_weight:
            for i, phase in enumerate(self.phases):
                if phase.train == "mlm_head":
                    raise UserError(
                        f"phases.{i}.train mlm_head: kd_loss_weight and hard_label_weight 0 leave the MLM head"
                        " untrained; set one of them, or train to all"
                    )
        return self


class Distill(Section):
    """Masked examples and a bigger model, the teacher -> smaller models. What `pretrain` says of all models holds."""

    reads: ClassVar[tuple[str, ...]] = ("pretrain",)

    models: dict[Name, DistilledModel] = Field(
        default={}, description="Models to train by a teacher, by name; keys as in `pretrain.models`, and its own."
    )
